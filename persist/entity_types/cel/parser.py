"""CEL text becomes a tree, and what is wrong with it is said in plain words.

Google's parser (cel-expr-python) reads the text; the tree is read from what it
serialises, ``Any{ParsedExpr}`` in protobuf's wire format (messages of
``cel/expr/syntax.proto``). The only macro is ``has``, and ``matches`` does not exist: a
regular expression of 100 characters could cost minutes.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped]

from persist.entity_types.cel.ast import (
    Apply,
    Elements,
    Entries,
    Fault,
    Literal,
    Name,
    Node,
    Select,
)

MAX_TEXT = 2_000
CONFIG = cel.NewEnvConfigFromYaml(
    "name: persist\nstdlib:\n  include_macros: [has]\n  exclude_functions:\n    - name:"
    " matches\n"
)

_PARSER = cel.NewEnv(config=CONFIG)
_PLACE = re.compile(r"<input>:(-?\d+):(-?\d+): (.*)")
_UNEXPECTED = re.compile(r"Syntax error: \D*?(input |error at: )")
_OPERATOR = re.compile(r"(?<!\w)(_[^\w\s'(]+_([^\w\s'(]_)?|@in|[!-]_)(?=['(]|$)")
_WORDS = {
    "undeclared reference to": "unknown name",
    "found no matching overload for": "there is no",
    "No matching overloads found : <jump_condition>": (
        "what stands before ? is not true or false"
    ),
    "No matching overloads found : ": "there is no ",
    "' applied to '(": "' for (",
    ")'": ")",
    " found in Activation": " was given",
    "null_type": "null",
    "int64": "int",
}
_KEYWORD_MEMBER = re.compile(r"\.\s*(in|true|false|null)\b")


@lru_cache(maxsize=256)
def parse(text: str) -> Node:
    """The tree of ``text``, its names and types not looked at; raises ``Fault``."""
    _refuse_unfit(text)
    try:
        serialized = _PARSER.compile(text, disable_check=True).serialize()
    except RuntimeError as error:
        raise fault(str(error), text) from None
    parsed = _message(_message(serialized)[2])
    positions = (_message(entry) for number, entry in _fields(parsed[3]) if number == 4)
    return _Reader({place[1]: place.get(2, 0) for place in positions}).node(parsed[2])


def fault(message: str, text: str) -> Fault:
    """What a message of the CEL library about ``text`` says, in plain words."""
    if "recursion" in message:
        return Fault("the expression is nested more than 32 deep")
    found = _PLACE.search(message)
    if found is None:
        return Fault(message)
    detail = (
        _UNEXPECTED.sub("unexpected ", found[3])
        .split(" expecting ")[0]
        .replace("'<EOF>'", "end")
    )
    detail = plain(detail.removesuffix(" (in container '')"))
    if _KEYWORD_MEMBER.search(text) or not detail.isascii():
        detail += '; a member whose name is no CEL identifier is written data["name"]'
    return Fault(detail, _position(text, int(found[1]), int(found[2])))


def plain(message: str) -> str:
    """A message of the CEL library with operators and types as people write them."""
    message = _OPERATOR.sub(lambda found: found[0].strip("@").replace("_", ""), message)
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    return message


def _position(text: str, line: int, column: int) -> int | None:
    if line < 1 or column < 1:
        return None
    return sum(len(before) + 1 for before in text.split("\n")[: line - 1]) + column - 1


def _refuse_unfit(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise Fault(
            f"the expression has {len(text)} characters, {MAX_TEXT} are allowed"
        )
    unfit = next(
        (i for i, c in enumerate(text) if c == "\0" or "\ud800" <= c <= "\udfff"), None
    )
    if unfit is not None:
        raise Fault("the expression holds U+0000 or a lone surrogate", unfit)


class _Reader:
    """Makes nodes of ``Expr`` messages; ``positions`` says where in the text each id
    stands."""

    def __init__(self, positions: Mapping[int, int]) -> None:
        self._positions = positions
        self._kinds: Mapping[int, Callable[[bytes, int], Node]] = {
            3: self._literal,
            4: self._name,
            5: self._select,
            6: self._apply,
            7: self._elements,
            8: self._entries,
        }

    def node(self, buffer: bytes) -> Node:
        message = _message(buffer)
        position = self._positions.get(message.get(2, 0), 0)
        kind = max(message.keys() - {2})
        return self._kinds[kind](message[kind], position)

    def _literal(self, buffer: bytes, position: int) -> Node:
        ((kind, value),) = _fields(buffer)
        if kind == 6 and b"\0" in value:
            raise Fault("text cannot hold U+0000", position)
        return Literal(_CONSTANTS[kind](value), position)

    def _name(self, buffer: bytes, position: int) -> Node:
        return Name(_message(buffer)[1].decode(), position)

    def _select(self, buffer: bytes, position: int) -> Node:
        message = _message(buffer)
        return Select(
            self.node(message[1]), message[2].decode(), bool(message.get(3)), position
        )

    def _apply(self, buffer: bytes, position: int) -> Node:
        message = _message(buffer)
        target = self.node(message[1]) if 1 in message else None
        arguments = tuple(
            self.node(value) for number, value in _fields(buffer) if number == 3
        )
        return Apply(message[2].decode(), target, arguments, position)

    def _elements(self, buffer: bytes, position: int) -> Node:
        return Elements(
            tuple(self.node(value) for number, value in _fields(buffer) if number == 1),
            position,
        )

    def _entries(self, buffer: bytes, position: int) -> Node:
        if 1 in _message(buffer):
            raise Fault("messages are not available here", position)
        entries = (_message(value) for number, value in _fields(buffer) if number == 2)
        return Entries(
            tuple(self.node(entry[part]) for entry in entries for part in (3, 4)),
            position,
        )


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _double(value: bytes) -> float:
    number: float = struct.unpack("<d", value)[0]
    return number


_CONSTANTS: Mapping[int, Callable[[Any], Any]] = {
    1: lambda _: None,
    2: bool,
    3: _signed,
    4: int,
    5: _double,
    6: bytes.decode,
    7: bytes,
}


def _message(buffer: bytes) -> dict[int, Any]:
    return dict(_fields(buffer))


def _fields(buffer: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: number and value
    (https://protobuf.dev/programming-guides/encoding)."""
    at = 0
    while at < len(buffer):
        key, at = _varint(buffer, at)
        if key & 7 == 0:
            value, at = _varint(buffer, at)
            yield key >> 3, value
            continue
        size, at = (8, at) if key & 7 == 1 else _varint(buffer, at)
        yield key >> 3, buffer[at : at + size]
        at += size


def _varint(buffer: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
