"""CEL text to a syntax tree, and the CEL library's messages in plain words.

Google's parser (cel-expr-python) reads the text. The tree is read from its serialised
form, ``Any{ParsedExpr}`` in protobuf's wire format (messages of
``cel/expr/syntax.proto``). The only macro is ``has``. ``matches`` is excluded: a
regular expression of 100 characters can run for minutes.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped]

from persist.entity_types.cel.ast import (
    Call,
    CompileError,
    Identifier,
    List,
    Literal,
    Map,
    Node,
    Select,
)

MAX_CHARACTERS = 2_000
"""Longest text of an expression."""
CONFIG = cel.NewEnvConfigFromYaml(
    "name: persist\nstdlib:\n  include_macros: [has]\n  exclude_functions:\n    - name:"
    " matches\n"
)

_PARSER = cel.NewEnv(config=CONFIG)
_LOCATION = re.compile(r"<input>:(-?\d+):(-?\d+): (.*)")
_UNEXPECTED = re.compile(r"Syntax error: \D*?(input |error at: )")
_OPERATOR = re.compile(r"(?<!\w)(_[^\w\s'(]+_([^\w\s'(]_)?|@in|[!-]_)(?=['(]|$)")
_WORDS = {
    "undeclared reference to": "unknown name",
    "found no matching overload for": "there is no",
    "No matching overloads found : <jump_condition>": (
        "the operand before ? is not true or false"
    ),
    "No matching overloads found : ": "there is no ",
    "' applied to '(": "' for (",
    ")'": ")",
    " found in Activation": " was given",
    "null_type": "null",
    "int64": "int",
}
_WRAPPER = re.compile(r"wrapper\((\w+)\)")
_NUMBER = re.compile(r"-?(\d+(\.\d+)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_KEYWORD_MEMBER = re.compile(r"\.\s*(in|true|false|null)\b")


@lru_cache(maxsize=256)
def parse(text: str) -> Node:
    """Return the tree of ``text``, without checking names and types.

    Raises ``CompileError``.
    """
    _check_characters(text)
    try:
        # Without checks: names and types are checked against the schema of the
        # collection.
        serialized = _PARSER.compile(text, disable_check=True).serialize()
    except RuntimeError as error:
        raise compile_error(str(error), text) from None
    parsed = _message(_message(serialized)[2])
    source_info = _fields(parsed[3])
    positions = [_message(value) for number, value in source_info if number == 4]
    reader = _Reader(text, {entry[1]: entry.get(2, 0) for entry in positions})
    return reader.node(parsed[2])


def compile_error(
    message: str,
    text: str,
) -> CompileError:
    """Return the error for a message of the CEL library about ``text``."""
    if "recursion" in message:
        return CompileError("the expression is nested more than 32 deep")
    found = _LOCATION.search(message)
    if found is None:
        return CompileError(message)
    detail = _UNEXPECTED.sub("unexpected ", found[3])
    detail = detail.split(" expecting ")[0].replace("'<EOF>'", "end")
    detail = plain(detail.removesuffix(" (in container '')"))
    if _KEYWORD_MEMBER.search(text) or not detail.isascii():
        detail += (
            '; a member whose name is not a CEL identifier is written data["name"]'
        )
    return CompileError(
        detail,
        _position(
            text,
            int(found[1]),
            int(found[2]),
        ),
    )


def plain(message: str) -> str:
    """Return a message of the CEL library with operators and types as written."""
    message = _WRAPPER.sub(r"\1", _OPERATOR.sub(_operator, message))
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    return message


def _operator(found: re.Match[str]) -> str:
    return found[0].strip("@").replace("_", "")


def _position(
    text: str,
    line: int,
    column: int,
) -> int | None:
    """Return the index of a line and column in ``text``."""
    if line < 1 or column < 1:
        return None
    lines_before = text.split("\n")[: line - 1]
    return sum(len(before) + 1 for before in lines_before) + column - 1


def _check_characters(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise CompileError(
            f"the expression has {len(text)} characters; at most {MAX_CHARACTERS} are"
            " allowed"
        )
    for position, character in enumerate(text):
        if character == "\0" or "\ud800" <= character <= "\udfff":
            raise CompileError(
                "the expression contains U+0000 or a lone surrogate",
                position,
            )


class _Reader:
    """Reads ``Expr`` messages; ``positions`` maps their ids to indexes in ``text``."""

    def __init__(self, text: str, positions: Mapping[int, int]) -> None:
        self._text = text
        self._positions = positions
        # by the number of the field in Expr
        self._kinds: Mapping[int, Callable[[bytes, int], Node]] = {
            3: self._literal,
            4: self._identifier,
            5: self._select,
            6: self._call,
            7: self._list,
            8: self._map,
        }

    def node(self, buffer: bytes) -> Node:
        message = _message(buffer)
        position = self._positions.get(message.get(2, 0), 0)
        # Field 2 is the id; exactly one of the others is set.
        kind = max(message.keys() - {2})
        return self._kinds[kind](message[kind], position)

    def _literal(
        self,
        buffer: bytes,
        position: int,
    ) -> Node:
        ((kind, value),) = _fields(buffer)
        # No text of a record has it.
        if kind == 6 and b"\0" in value:
            raise CompileError(
                "text must not contain U+0000",
                position,
            )
        # A double does not keep how it was written, which tells 1.0 from 1.
        digits = _NUMBER.match(self._text, position) if kind == 5 else None
        written = digits[0] if digits else ""
        return Literal(_CONSTANTS[kind](value), position, written)

    def _identifier(
        self,
        buffer: bytes,
        position: int,
    ) -> Node:
        return Identifier(_message(buffer)[1].decode(), position)

    def _select(
        self,
        buffer: bytes,
        position: int,
    ) -> Node:
        message = _message(buffer)
        operand = self.node(message[1])
        return Select(
            operand,
            message[2].decode(),
            bool(message.get(3)),
            position,
        )

    def _call(
        self,
        buffer: bytes,
        position: int,
    ) -> Node:
        message = _message(buffer)
        target = self.node(message[1]) if 1 in message else None
        return Call(
            message[2].decode(),
            target,
            self._nodes(buffer, 3),
            position,
        )

    def _list(
        self,
        buffer: bytes,
        position: int,
    ) -> Node:
        return List(self._nodes(buffer, 1), position)

    def _map(
        self,
        buffer: bytes,
        position: int,
    ) -> Node:
        if 1 in _message(buffer):
            raise CompileError(
                "messages are not available here",
                position,
            )
        entries = [_message(value) for number, value in _fields(buffer) if number == 2]
        items: list[Node] = []
        for entry in entries:
            items += (self.node(entry[3]), self.node(entry[4]))
        return Map(tuple(items), position)

    def _nodes(
        self,
        buffer: bytes,
        field: int,
    ) -> tuple[Node, ...]:
        return tuple(
            self.node(value) for number, value in _fields(buffer) if number == field
        )


def _signed(value: int) -> int:
    # Varints have no sign: negative numbers are in two's complement.
    return value - 2**64 if value >= 2**63 else value


def _double(value: bytes) -> float:
    number: float = struct.unpack("<d", value)[0]
    return number


# by the number of the field in Constant
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
    """Yield number and value of the fields of a protobuf message.

    Source: https://protobuf.dev/programming-guides/encoding
    """
    index = 0
    while index < len(buffer):
        key, index = _varint(buffer, index)
        wire_type = key & 7
        if wire_type == 0:
            value, index = _varint(buffer, index)
            yield key >> 3, value
            continue
        if wire_type == 1:
            size = 8
        else:
            size, index = _varint(buffer, index)
        yield key >> 3, buffer[index : index + size]
        index += size


def _varint(
    buffer: bytes,
    index: int,
) -> tuple[int, int]:
    """Return the number that begins at ``index``, and the index behind it."""
    value = 0
    shift = 0
    while True:
        byte = buffer[index]
        index += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, index
