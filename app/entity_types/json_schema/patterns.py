r"""Patterns: regular expressions of JSON Schema, matched in linear time.

JSON Schema's dialect is ECMA-262 with Unicode semantics. It is translated to the one of pydantic's Rust
engine, which never backtracks; what needs backtracking (look-around, back-references) is refused.
Linear is not yet short: ``[a-m][a-z]{4000}\d`` took 29 s over 1 MiB, with the interpreter's lock held. So
a pattern has a weight, the number of states it unfolds to, and weight times length is limited as well.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydantic_core import SchemaError, SchemaValidator, core_schema

MAX_WEIGHT = 5_000

_WORD, _DIGIT = "0-9A-Za-z_", "0-9"
_SPACE = r"\t\n\v\f\r \u{a0}\u{feff}\p{Zs}\u{2028}\u{2029}"
_SETS = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CLASSES = _SETS | {kind.upper(): f"[^{body}]" for kind, body in _SETS.items()}
_ASSERTIONS = {"b": r"(?-u:\b)", "B": r"\B", "A": r"\A", "z": r"\z"}
_CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
_LOOK_AROUND = ("(?=", "(?!", "(?<=", "(?<!")

_ESCAPE = r"\\(?:u\{[0-9A-Fa-f]+\}|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|c[A-Za-z]|[pP]\{[^{}]*\}|.)"
_TOKEN = re.compile(
    rf"(?P<escape>{_ESCAPE})|(?P<set>\[\^?)"
    r"|(?P<group>\((?:\?(?:<[=!]|P?<\w+>|[ims]*(?:-[ims]+)?[:)]|[=!]))?)"
    r"|(?P<repeat>(?:[*+?]|\{[0-9]{1,6}(?:,[0-9]{0,6})?\})\??)|(?P<other>.)",
    re.DOTALL,
)
_SET_TOKEN = re.compile(rf"(?P<escape>{_ESCAPE})|(?P<other>.)", re.DOTALL)
_SURROGATES = re.compile(r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE)


class PatternRefused(Exception):
    """Why a pattern is not accepted, in a sentence for people."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern; ``matches`` searches a text for it."""

    text: str
    weight: int
    matches: Callable[[str], bool]


def compile_pattern(text: str) -> Pattern:
    """The pattern that ``text`` (ECMA-262) describes; raises ``PatternRefused``."""
    translated, weight = _Translation(_SURROGATES.sub(_joined, text)).result()
    if weight > MAX_WEIGHT:
        raise PatternRefused(f"the pattern unfolds to {weight} states, {MAX_WEIGHT} are allowed")
    try:
        engine = SchemaValidator(core_schema.str_schema(pattern=translated, regex_engine="rust-regex"))
    except SchemaError as error:
        raise PatternRefused(f"the pattern is no regular expression: {_reason(error)}") from None
    return Pattern(text, max(weight, 1), engine.isinstance_python)


def is_pattern(text: str) -> bool:
    """Whether ``text`` is written as a regular expression that could be matched in linear time."""
    try:
        _Translation(_SURROGATES.sub(_joined, text)).result()
    except PatternRefused:
        return False
    return True


def _joined(pair: re.Match[str]) -> str:
    high, low = (int(half, 16) for half in pair.groups())
    return f"\\u{{{0x10000 + (high - 0xD800) * 0x400 + low - 0xDC00:x}}}"


def _reason(error: SchemaError) -> str:
    last = str(error).strip().splitlines()[-1].strip()
    return last.removeprefix("error: ").removeprefix("SchemaError: ")


class _Translation:
    """Writes one pattern in the other dialect and weighs it on the way.

    ``_sums`` holds the weight of every open group so far, ``_last`` that of what a quantifier
    would repeat (None where there is nothing to repeat).
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._out: list[str] = []
        self._sums = [0]
        self._last: int | None = None
        self._dot = r"[^\n\r\u{2028}\u{2029}]"
        self._kinds = {
            "escape": self._escape,
            "set": self._set,
            "group": self._group,
            "repeat": self._repeat,
            "other": self._other,
        }

    def result(self) -> tuple[str, int]:
        while self._at < len(self._text):
            token = _TOKEN.match(self._text, self._at)
            assert token is not None
            self._at = token.end()
            self._kinds[str(token.lastgroup)](token)
        if len(self._sums) > 1:
            raise PatternRefused("the pattern is no regular expression: a group is not closed")
        return "".join(self._out), sum(self._sums) + (self._last or 0)

    def _atom(self, text: str, weight: int = 1) -> None:
        self._out.append(text)
        self._sums[-1] += self._last or 0
        self._last = weight

    def _escape(self, token: re.Match[str]) -> None:
        value = _escaped(token[0])
        if token[0][1] in _ASSERTIONS:
            self._atom(_ASSERTIONS[token[0][1]])
        elif isinstance(value, int):
            self._atom(_literal(value))
        else:
            self._atom(f"[{value}]", _weight(value))

    def _set(self, token: re.Match[str]) -> None:
        items, self._at = _set_items(self._text, self._at)
        body = "".join(_set_body(items))
        negated = token[0] == "[^"
        if not body:
            self._atom(r"[\x00-\u{10FFFF}]" if negated else r"[^\x00-\u{10FFFF}]")
        else:
            self._atom(f"{token[0]}{body}]", max(_weight(body), 2 if negated else 1))

    def _group(self, token: re.Match[str]) -> None:
        if token[0] in _LOOK_AROUND:
            raise PatternRefused("look-around is not available: it cannot be matched in linear time")
        if token[0] == "(" and self._text.startswith("?", self._at):
            raise PatternRefused(f"this kind of group is not available: {self._text[self._at - 1 :][:4]}")
        flags = token[0][2:-1] if token[0][:2] == "(?" and token[0][-1] in ":)" else ""
        if "s" in flags:
            self._dot = "."
        if token[0].endswith(")"):
            self._atom(token[0], 0)
        else:
            self._atom(f"(?{flags}:", 0)
            self._sums.append(0)
            self._last = None

    def _repeat(self, token: re.Match[str]) -> None:
        if self._last is None:
            raise PatternRefused(f"the pattern is no regular expression: nothing to repeat before {token[0]}")
        self._out.append(token[0])
        counts = [int(count) for count in re.findall(r"[0-9]+", token[0])]
        if counts != sorted(counts):
            raise PatternRefused(f"the pattern is no regular expression: {token[0]} runs backwards")
        open_ended = token[0][0] in "*+" or ",}" in token[0]
        self._sums[-1] += max(self._last, 1) * (max(counts, default=1) + open_ended)
        self._last = None

    def _other(self, token: re.Match[str]) -> None:
        match token[0]:
            case ")":
                self._close()
            case "|":
                self._atom("|", 0)
                self._last = None
            case ".":
                self._atom(self._dot, 2)
            case "^" | "$":
                self._atom(token[0], 0)
            case "{" | "}" | "]":
                self._atom("\\" + token[0])
            case "\\":
                raise PatternRefused("the pattern is no regular expression: it ends with a backslash")
            case character:
                self._atom(character)

    def _close(self) -> None:
        if len(self._sums) == 1:
            raise PatternRefused(
                "the pattern is no regular expression: a group that was not opened is closed"
            )
        weight = self._sums.pop() + (self._last or 0)
        self._out.append(")")
        self._last = weight


def _escaped(text: str) -> int | str:
    """What an escape stands for: a character's number, or the body of a set."""
    kind, rest = text[1], text[2:]
    if kind in _CLASSES:
        return _CLASSES[kind]
    if kind in "pP" and rest:
        return text
    if kind in "ux" and rest:
        return _scalar(int(rest.strip("{}"), 16))
    if kind == "c" and rest:
        return ord(rest) % 32
    if kind in _CONTROLS:
        return _CONTROLS[kind]
    if kind in "123456789k":
        raise PatternRefused("back-references are not available: they cannot be matched in linear time")
    if kind.isalnum() and kind not in _ASSERTIONS:
        raise PatternRefused(f"the pattern is no regular expression: {text} means nothing in ECMA-262")
    return ord(kind)


def _scalar(number: int) -> int:
    if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        raise PatternRefused(f"the pattern is no regular expression: U+{number:X} is no character")
    return number


def _literal(number: int) -> str:
    return f"\\u{{{number:x}}}"


def _weight(body: str) -> int:
    """Unicode properties unfold to hundreds of states, other sets beyond ASCII to a few."""
    properties = body.count("\\p{") + body.count("\\P{") - body.count("\\p{Zs}")
    return 1 + 50 * properties + 2 * (body.startswith("[^") or not body.isascii() or "\\p{Zs}" in body)


def _set_items(text: str, at: int) -> tuple[list[int | str], int]:
    """The members of the set that begins at ``at``: characters, ``-`` as text, bodies of sets."""
    items: list[int | str] = []
    while True:
        token = _SET_TOKEN.match(text, at)
        if token is None or token[0] == "\\":
            raise PatternRefused("the pattern is no regular expression: a set is not closed")
        at = token.end()
        if token[0] == "]":
            return items, at
        if token["escape"]:
            items.append(8 if token[0] == r"\b" else _escaped(token[0]))
        else:
            items.append("-" if token[0] == "-" else ord(token[0]))


def _set_body(items: list[int | str]) -> Iterator[str]:
    """The members in the engine's syntax; a ``-`` that joins no two characters is itself."""
    at = 0
    while at < len(items):
        first = items[at]
        ends = items[at + 1 : at + 3]
        if isinstance(first, int) and len(ends) == 2 and ends[0] == "-" and isinstance(ends[1], int):
            if first > ends[1]:
                raise PatternRefused("the pattern is no regular expression: a range in a set runs backwards")
            yield f"{_literal(first)}-{_literal(ends[1])}"
            at += 3
            continue
        yield _literal(ord("-")) if first == "-" else _literal(first) if isinstance(first, int) else first
        at += 1
