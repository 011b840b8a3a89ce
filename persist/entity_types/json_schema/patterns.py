r"""Patterns: ECMA-262 regular expressions in the syntax of the engine.

The engine reads most of ECMA-262 as the standard means it (``\d``, ``\w`` and ``\s``
among it). What it reads otherwise is rewritten here, symbol by symbol. Source:
ECMA-262, section 22.2, with the ``u`` flag.
"""

import re
from typing import Any

from persist.domain.bounded_cache import bounded_cache, weight_of_texts
from persist.domain.record import Json

_SURROGATE_PAIR = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_SYMBOL = re.compile(
    _SURROGATE_PAIR.pattern
    + r"|\\[pPu]\{[^}]*\}|\\c[A-Za-z]|\\.|\[\^\]|\[\]|\[\^?|\]|\{\d*,?\d*\}|.",
    re.DOTALL,
)

_BACK_REFERENCE = re.compile(r"\\k<\w+>")
_COUNT = re.compile(r"(?<!\\)\{(\d+),?(\d*)\}")

_ANYWHERE = {r"\0": r"\x00", r"\<": "<", r"\>": ">"}

_OUTSIDE_CLASS = {
    ".": r"[^\n\r\u2028\u2029]",
    "[]": r"[^\s\S]",
    "[^]": r"[\s\S]",
    r"\b": r"(?-u:\b)",
    r"\B": r"(?-u:\B)",
    "{": r"\{",
    "}": r"\}",
}

_INSIDE_CLASS = {r"\b": r"\x08"}

_PATTERNS_BYTES = 16_777_216
"""What may be kept of patterns that were translated."""


@bounded_cache(_PATTERNS_BYTES, weight_of_texts)
def to_engine_syntax(pattern: str) -> str:
    """Return a pattern as the engine has to read it to match what ECMA-262 says."""
    if "(?s" in pattern:
        return pattern  # under this flag, which ECMA-262 lacks, a dot is anything
    translated = []
    in_class = False
    for symbol in _SYMBOL.findall(pattern):
        special = _INSIDE_CLASS if in_class else _OUTSIDE_CLASS
        if _SURROGATE_PAIR.fullmatch(symbol):
            translated.append(_code_point(symbol))
        elif in_class and symbol in ("[]", "[^]"):
            translated.append(symbol)  # a bracket in the class, and the class's end
            in_class = False
        else:
            translated.append(special.get(symbol, _ANYWHERE.get(symbol, symbol)))
            in_class = _is_in_class(symbol, in_class)
    return "".join(translated)


def _is_in_class(symbol: str, before: bool) -> bool:
    return symbol.startswith("[") or (before and not symbol.startswith("]"))


def _code_point(pair: str) -> str:
    high = int(pair[2:6], 16) - 0xD800
    low = int(pair[8:], 16) - 0xDC00
    number = 0x10000 + (high << 10) + low
    return f"\\u{{{number:X}}}"


def to_assertions(pattern: str) -> Json:
    """Return the keywords that assert of a text that a pattern matches it.

    Look-ahead at the start of an anchored pattern, ``^(?!a)(?=b)c``, is asserted by
    separate patterns.
    """
    ahead, rest = split_look_ahead(pattern)
    if not ahead:
        return {"pattern": to_engine_syntax(pattern)}
    conjuncts: list[Any] = [{"pattern": to_engine_syntax(rest)}]
    for is_negative, text in ahead:
        schema = {"type": "string", "pattern": to_engine_syntax(text)}
        conjuncts.append(
            {"not": schema} if is_negative else {"pattern": schema["pattern"]}
        )
    return {"allOf": conjuncts}


def split_look_ahead(pattern: str) -> tuple[list[tuple[bool, str]], str]:
    """Return the look-aheads at the start of an anchored pattern, each with whether it
    is negative, and the pattern that remains."""
    ahead: list[tuple[bool, str]] = []
    rest = pattern.removeprefix("^")
    while pattern.startswith("^") and rest.startswith(("(?!", "(?=")):
        end = _closing(rest)
        if end is None:
            return [], pattern
        ahead.append((rest[2] == "!", f"^(?:{rest[3:end]})"))
        rest = rest[end + 1 :]
    is_repeated = rest.startswith(("*", "+", "?", "{"))
    if not ahead or is_repeated or _has_alternatives(rest):
        return [], pattern
    return ahead, f"^{rest}"


def without_counts(pattern: str) -> str:
    """Return a pattern of few states that can be read if a given one can: ``a{1000}``
    is ``a*`` in it, and a back-reference has a number in place of a name."""
    numbered = _BACK_REFERENCE.sub(r"\\1", pattern)
    return _COUNT.sub(_any_number, numbered)


def _any_number(count: re.Match[str]) -> str:
    """Return ``*`` for a count, unless its bounds are out of order."""
    lower = int(count[1])
    upper = int(count[2] or lower)
    if upper < lower:
        return count[0]
    return "*"


def _depths(pattern: str) -> list[tuple[str, int, int]]:
    """Return the tokens outside character classes, each with its position and with the
    number of groups that are open after it."""
    found = []
    depth = position = 0
    in_class = False
    for symbol in _SYMBOL.findall(pattern):
        if not in_class:
            depth += (symbol == "(") - (symbol == ")")
            found.append((symbol, position, depth))
        if symbol not in ("[]", "[^]") or in_class:
            in_class = symbol.startswith("[") or (in_class and symbol != "]")
        position += len(symbol)
    return found


def _closing(pattern: str) -> int | None:
    """Return the position at which the group that a pattern begins with ends."""
    for _, position, depth in _depths(pattern):
        if depth == 0:
            return position
    return None


def _has_alternatives(pattern: str) -> bool:
    return any(symbol == "|" and depth == 0 for symbol, _, depth in _depths(pattern))
