"""Operands of a filter: members, literals and times, and which can be compared."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import NoneType
from typing import Any

from persist.domain.entity_type import EntityType
from persist.domain.field import ENVELOPE, Field, FieldType
from persist.domain.query import Function, Member
from persist.domain.record import INT64, dumps, normalize_number
from persist.entity_types.cel.ast import Call, CompileError, List, Literal, Map, Node
from persist.entity_types.cel.references import (
    Reference,
    nearest,
    reference,
    unknown,
    written,
)

SYMBOLS: Mapping[Function, str] = {
    Function.EQ: "==",
    Function.NE: "!=",
    Function.LT: "<",
    Function.LTE: "<=",
    Function.GT: ">",
    Function.GTE: ">=",
    Function.IN: "in",
}
EQUALITY = (Function.EQ, Function.NE, Function.IN)

_NUMERIC = (FieldType.INTEGER, FieldType.NUMBER)
_OPEN = (FieldType.OBJECT, FieldType.ARRAY, FieldType.ANY)
_AVAILABLE = (
    '&& || ! == != < <= > >= in has() contains() startsWith() endsWith() timestamp("…")'
)
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6}0*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_TYPES: Mapping[type, FieldType] = {
    NoneType: FieldType.ANY,
    bool: FieldType.BOOLEAN,
    int: FieldType.INTEGER,
    float: FieldType.NUMBER,
    str: FieldType.STRING,
}


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal; ``is_time`` is set for ``timestamp("…")``."""

    value: Any
    position: int
    is_time: bool = False

    @property
    def type(self) -> FieldType:
        """The type of the value, ``ANY`` for null."""
        return _TYPES[type(self.value)]

    def __str__(self) -> str:
        if self.value is None:
            return "null"
        return "a time" if self.is_time else f"the {self.type} {dumps(self.value)}"


def stored_time(text: str) -> str:
    """Return a time of RFC 3339 as the envelope stores it: UTC, microseconds, ``Z``.

    Raises ``ValueError``.
    """
    if _RFC3339.fullmatch(text) is None:
        raise ValueError(
            "not a time of RFC 3339 with at most six digits of a second's fraction"
        )
    try:
        moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("outside the years 1 to 9999") from error
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def operand(entity_type: EntityType, node: Node) -> Member | Constant:
    """Return the operand that ``node`` is. Raises ``CompileError``."""
    named = reference(node)
    if named is not None:
        return Member(field(entity_type, named))
    if isinstance(node, Literal):
        return _constant(node.value, node.position)
    if isinstance(node, Call) and node.function == "-_":
        return _negative(operand(entity_type, node.arguments[0]), node)
    if isinstance(node, Call) and node.function == "timestamp":
        return _time(node)
    raise unavailable(node)


def field(entity_type: EntityType, named: Reference) -> Field:
    """Return the field that a reference names.

    Raises ``CompileError`` with the nearest known one.
    """
    found = None
    if named.root == "data" and named.path:
        found = entity_type.field_at(named.path)
    elif named.root == "record" and len(named.path) == 1:
        found = ENVELOPE.get(named.path[0])
    if found is None:
        raise CompileError(_unknown(entity_type, named), named.position)
    return found


def _unknown(entity_type: EntityType, named: Reference) -> str:
    if named.root in ("data", "record") and not named.path:
        return f"{named.root} is no value by itself; name a member of it"
    if named.root == "data":
        return unknown(entity_type.schema, "data", named.path)
    if named.root == "record":
        near = nearest(named.path[0], list(ENVELOPE))
        return f"unknown member {named}; the nearest known one is record.{near}"
    hint = (
        'members are written data.<name>, those of the envelope record.<name>, text "in'
        ' quotes"'
    )
    return f"unknown name {named.root}; {hint}"


def unavailable(node: Node) -> CompileError:
    """Return the error for a part of CEL that filters do not have."""
    part = "this"
    match node:
        case Call(function="-_" | "_-_" | "_+_" | "_*_" | "_/_" | "_%_"):
            part = "arithmetic"
        case Call(function="_?_:_"):
            part = "?:"
        case Call(function="_[_]"):
            part = "an element of a stored list"
        case Call(function=str(name)) if name.isidentifier():
            part = f"{name}()"
        case Call():
            return CompileError(
                "a condition cannot be compared; join conditions with && || !",
                node.position,
            )
        case List():
            return CompileError("a list can only follow in", node.position)
        case Map():
            part = "a map"
    return CompileError(
        f"{part} is not available in a filter; there are {_AVAILABLE}", node.position
    )


def _constant(value: Any, position: int) -> Constant:
    if isinstance(value, bytes):
        raise CompileError("bytes are no JSON value", position)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise CompileError(
                "a number must lie within the range of a double", position
            )
        value = normalize_number(value)
    if isinstance(value, int) and value not in INT64:
        raise CompileError("an integer must lie within 64 bits", position)
    return Constant(value, position)


def _negative(inner: Member | Constant, node: Call) -> Constant:
    if not isinstance(inner, Constant) or inner.type not in _NUMERIC:
        raise unavailable(node)
    return _constant(-inner.value, node.position)


def _time(node: Call) -> Constant:
    if len(node.arguments) == 1 and isinstance(node.arguments[0], Literal):
        text = node.arguments[0].value
        if isinstance(text, str):
            try:
                return Constant(stored_time(text), node.position, is_time=True)
            except ValueError as error:
                raise CompileError(
                    f"timestamp({dumps(text)}): {error}", node.position
                ) from None
    raise CompileError(
        'timestamp() takes one literal, as in timestamp("2026-11-22T17:00:00Z")',
        node.position,
    )


def named(member: Member) -> str:
    """Return a member and its type, for messages."""
    root = "record" if member.field.envelope else "data"
    kind = "a time" if is_time(member) else f"of type {member.field.type}"
    return f"{written(root, member.field.path)} ({kind})"


def is_time(member: Member) -> bool:
    """Return whether a member is one of the envelope's times."""
    return member.field.envelope and member.field.name in ("_created_at", "_updated_at")


def compare_members(
    function: Function, left: Member, right: Member, position: int
) -> None:
    """Raise ``CompileError`` unless both members have one type with this comparison."""
    types = {left.field.type, right.field.type}
    alike = len(types) == 1 or types == set(_NUMERIC)
    ordered = function in EQUALITY or FieldType.BOOLEAN not in types
    if (
        not alike
        or not ordered
        or types & set(_OPEN)
        or is_time(left) is not is_time(right)
    ):
        raise CompileError(
            f"{SYMBOLS[function]} cannot compare {named(left)} and {named(right)}",
            position,
        )


def compare_constant(function: Function, member: Member, constant: Constant) -> None:
    """Raise ``CompileError`` unless the member's type has this comparison with the
    constant, which is not null."""
    if is_time(member) and not constant.is_time:
        raise CompileError(
            f'{named(member)} is compared with timestamp("…"), not with {constant}',
            constant.position,
        )
    if constant.is_time and not is_time(member):
        raise CompileError(
            "timestamp() is for record.created_at and record.updated_at, not for"
            f" {named(member)}",
            constant.position,
        )
    kinds = {
        constant.type,
        *(_NUMERIC if constant.type in _NUMERIC else ()),
        FieldType.ANY,
    }
    unordered = function not in EQUALITY and constant.type in (
        FieldType.BOOLEAN,
        FieldType.ANY,
    )
    if member.field.type not in kinds or constant.value is None or unordered:
        raise CompileError(
            f"{SYMBOLS[function]} cannot compare {named(member)} and {constant}",
            constant.position,
        )
