"""Unicode's simple case folding (The Unicode Standard, section 3.13).

Each character becomes one character. ``str.casefold`` is full folding, which turns some
characters into two: a search for ``ss`` would find ``ß``.
"""

from functools import cache

LAST_CASED = 0x1FFFF
"""The last code point whose character may have case."""


def fold(text: str) -> str:
    """Return ``text`` with its case folded."""
    if text.isascii():
        return text.lower()
    return text.translate(_FOLDED)


@cache
def folded_pairs() -> tuple[str, str]:
    """Return the characters beyond ASCII that fold, and what each becomes."""
    characters = ""
    folded = ""
    for code in range(0x80, LAST_CASED + 1):
        character = chr(code)
        becomes = _folded(character)
        if becomes != character:
            characters += character
            folded += becomes
    return characters, folded


def _folded(character: str) -> str:
    full = character.casefold()
    if len(full) == 1:
        return full
    # If full folding makes several characters, simple folding is the lower case.
    lower = character.lower()
    return lower if len(lower) == 1 else character


class _Folded(dict[int, str]):
    """What characters become, each computed when ``str.translate`` first asks."""

    def __missing__(self, code: int) -> str:
        folded = _folded(chr(code))
        self[code] = folded
        return folded


_FOLDED = _Folded()
