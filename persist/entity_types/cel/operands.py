"""Operands of a filter: members, literals, times, lengths and calculations, and which
of them can be compared."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

from persist.domain.arithmetic import calculate
from persist.domain.entity_type import EntityType
from persist.domain.field import Field, FieldType
from persist.domain.field_types import NUMBERS, SCALARS
from persist.domain.query import EQUALITY, Function, Member
from persist.domain.query_values import compared_value, type_compared
from persist.domain.record import INT64, dumps, normalize_number
from persist.domain.suggestions import nearest
from persist.entity_types.cel.ast import Call, CompileError, List, Literal, Map, Node
from persist.entity_types.cel.references import Reference, reference, unknown, written

SYMBOLS: Mapping[Function, str] = {
    Function.EQ: "==",
    Function.NE: "!=",
    Function.LT: "<",
    Function.LTE: "<=",
    Function.GT: ">",
    Function.GTE: ">=",
    Function.IN: "in",
    Function.ADD: "+",
    Function.SUBTRACT: "-",
    Function.MULTIPLY: "*",
    Function.DIVIDE: "/",
    Function.REMAINDER: "%",
}

ARITHMETIC: Mapping[str, Function] = {
    "_+_": Function.ADD,
    "_-_": Function.SUBTRACT,
    "_*_": Function.MULTIPLY,
    "_/_": Function.DIVIDE,
    "_%_": Function.REMAINDER,
    "-_": Function.SUBTRACT,
}
"""What CEL's operators compute; a negative number is subtracted from 0."""

_AVAILABLE = (
    "&& || ! == != < <= > >= in + - * / % has() size() contains() startsWith()"
    ' endsWith() timestamp("…")'
)
MAX_DEPTH = 8
"""Calculations that nest: SQLite parses few functions within one another."""

_TYPES: Mapping[type, FieldType] = {
    NoneType: FieldType.ANY,
    bool: FieldType.BOOLEAN,
    int: FieldType.INTEGER,
    float: FieldType.NUMBER,
    str: FieldType.STRING,
}
_COMPARABLE_TYPES = ({*NUMBERS}, {FieldType.UUID, FieldType.STRING})
"""Pairs of different types whose members can be compared with each other."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal; ``is_time`` is set for ``timestamp("…")``, ``digits`` for a double."""

    value: Any
    position: int
    is_time: bool = False
    digits: str = ""

    @property
    def type(self) -> FieldType:
        """The type of the value, ``ANY`` for null."""
        return _TYPES[type(self.value)]

    def __str__(self) -> str:
        if self.value is None:
            return "null"
        if self.is_time:
            return f"timestamp({dumps(self.value)})"
        return f"the {self.type} {dumps(self.value)}"


@dataclass(frozen=True, slots=True)
class Length:
    """``size()`` of a list."""

    member: Member


@dataclass(frozen=True, slots=True)
class Calculation:
    """Arithmetic with numbers, at least one of which is stored.

    ``type`` is integer if all of them are integers, otherwise number.
    """

    function: Function
    left: "Operand"
    right: "Operand"
    type: FieldType

    @property
    def depth(self) -> int:
        """How many calculations nest, with this one."""
        depths = [
            each.depth
            for each in (self.left, self.right)
            if isinstance(each, Calculation)
        ]
        return 1 + max(depths, default=0)

    def __str__(self) -> str:
        return f"a calculation (of type {self.type})"


Operand = Member | Constant | Length | Calculation


def operand(entity_type: EntityType, node: Node) -> Operand:
    """Return the operand that ``node`` is. Raises ``CompileError``."""
    named_member = reference(node)
    if named_member is not None:
        return Member(field(entity_type, named_member))
    match node:
        case Literal():
            return _constant(node.value, node.position, node.digits)
        case Call(function=str(name)) if name in ARITHMETIC:
            operands = [operand(entity_type, each) for each in node.arguments]
            return _calculation(node, operands)
        case Call(function="timestamp"):
            return _time(node)
        case Call(function="size"):
            return _length(entity_type, node)
    raise unavailable(node)


def _length(entity_type: EntityType, node: Call) -> Length:
    arguments = node.arguments if node.target is None else (node.target,)
    sized = reference(arguments[0]) if len(arguments) == 1 else None
    if sized is not None:
        member = Member(field(entity_type, sized))
        if member.field.allows(FieldType.ARRAY):
            return Length(member)
    raise unavailable(node)


def field(entity_type: EntityType, named: Reference) -> Field:
    """Return the field that a reference names.

    Raises ``CompileError`` with the nearest known one.
    """
    found = None
    if named.root == "data" and named.path:
        found = entity_type.field_at(named.path, undeclared=True)
    elif named.root == "record" and len(named.path) == 1:
        found = entity_type.envelope.get(named.path[0])
    if found is None:
        raise CompileError(_unknown(entity_type, named), named.position)
    return found


def _unknown(entity_type: EntityType, named: Reference) -> str:
    if named.root in ("data", "record") and not named.path:
        return f"{named.root} is not a value by itself; name a member of it"
    if named.root == "data":
        return unknown(entity_type.schema, "data", named.path)
    if named.root == "record":
        near = nearest(named.path[0], entity_type.envelope, cutoff=0.0)
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


def _constant(value: object, position: int, digits: str = "") -> Constant:
    if isinstance(value, bytes):
        raise CompileError("bytes are not a JSON value", position)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise CompileError(
                "a number must lie within the range of a double", position
            )
        value = normalize_number(value)
    if isinstance(value, int) and value not in INT64:
        raise CompileError("an integer must lie within 64 bits", position)
    return Constant(value, position, digits=digits)


def _calculation(node: Call, operands: list[Operand]) -> Calculation | Constant:
    function = ARITHMETIC[node.function]
    types = {number_type(function, each, node.position) for each in operands}
    kind = FieldType.NUMBER if FieldType.NUMBER in types else FieldType.INTEGER
    if function is Function.REMAINDER and kind is FieldType.NUMBER:
        raise CompileError("% takes whole numbers", node.position)
    if node.function == "-_":
        if isinstance(operands[0], Constant):
            return _negative(operands[0], node.position)
        operands = [Constant(0, node.position), *operands]
    left, right = operands
    if isinstance(left, Constant) and isinstance(right, Constant):
        return _calculated(function, left, right, kind, node.position)
    calculation = Calculation(function, left, right, kind)
    if calculation.depth > MAX_DEPTH:
        raise CompileError(
            f"arithmetic with stored numbers nests at most {MAX_DEPTH} deep;"
            " calculate with literals first, in parentheses",
            node.position,
        )
    return calculation


def _calculated(
    function: Function,
    left: Constant,
    right: Constant,
    kind: FieldType,
    position: int,
) -> Constant:
    """Return what an operator makes of two literals."""
    values = [left.value, right.value]
    if kind is FieldType.NUMBER:
        values = list(map(float, values))
    value = calculate(function.value, *values)
    if value is None:
        text = f"{left.value} {SYMBOLS[function]} {right.value}"
        raise CompileError(f"{text} is not a number that can be stored", position)
    return _constant(value, position, repr(value) if kind is FieldType.NUMBER else "")


def number_type(function: Function, operand: Operand, position: int) -> FieldType:
    """Return as which type an operand is calculated with: integer or number.

    Raises ``CompileError`` for an operand that is not a number.
    """
    match operand:
        case Length():
            return FieldType.INTEGER
        case Calculation():
            return operand.type
        case Constant() if operand.type in NUMBERS:
            # 2.0 is a double, though its value is the integer.
            return FieldType.NUMBER if operand.digits else operand.type
        case Member() if operand.field.type is FieldType.INTEGER:
            return FieldType.INTEGER
        case Member() if any(map(operand.field.allows, NUMBERS)):
            return FieldType.NUMBER
    name = named(operand) if isinstance(operand, Member) else operand
    raise CompileError(f"{SYMBOLS[function]} takes numbers, not {name}", position)


def _negative(constant: Constant, position: int) -> Constant:
    digits = constant.digits
    if digits:
        digits = digits[1:] if digits.startswith("-") else f"-{digits}"
    return _constant(-constant.value, position, digits)


def _time(node: Call) -> Constant:
    text = None
    if len(node.arguments) == 1 and isinstance(node.arguments[0], Literal):
        text = node.arguments[0].value
    if not isinstance(text, str):
        raise CompileError(
            'timestamp() takes one literal, as in timestamp("2026-11-22T17:00:00Z")',
            node.position,
        )
    return Constant(text, node.position, is_time=True)


def named(member: Member) -> str:
    """Return a member and its type, for messages."""
    root = "record" if member.field.envelope else "data"
    is_time = member.field.type is FieldType.DATE_TIME
    kind = "a time" if is_time else f"of type {member.field.type}"
    return f"{written(root, member.field.path)} ({kind})"


def compare_members(
    function: Function, left: Member, right: Member, position: int
) -> None:
    """Raise ``CompileError`` unless both members have one type with this comparison."""
    types = {left.field.type, right.field.type}
    alike = len(types) == 1 or any(types == pair for pair in _COMPARABLE_TYPES)
    ordered = function in EQUALITY or FieldType.BOOLEAN not in types
    if not alike or not ordered or not types <= set(SCALARS):
        raise CompileError(
            f"{SYMBOLS[function]} cannot compare {named(left)} and {named(right)}",
            position,
        )


def compare_constant(
    function: Function, member: Member, constant: Constant
) -> tuple[FieldType, object]:
    """Return the type as which a member is compared with a constant, and what is
    compared of the constant.

    Raises ``CompileError`` if the member has no such comparison.
    """
    kind = _type_compared(member, constant)
    unordered = function not in EQUALITY and constant.type is FieldType.BOOLEAN
    if kind is None or unordered:
        raise CompileError(
            f"{SYMBOLS[function]} cannot compare {named(member)} and {constant}",
            constant.position,
        )
    try:
        value = constant.value
        if kind is FieldType.DECIMAL and constant.digits:
            value = constant.digits
        return kind, compared_value(member.field, kind, function, value)
    except ValueError as error:
        raise CompileError(
            f"{named(member)} {error}, not {constant}", constant.position
        ) from None


def _type_compared(member: Member, constant: Constant) -> FieldType | None:
    if constant.is_time and member.field.type is not FieldType.DATE_TIME:
        raise CompileError(
            f"timestamp() is compared with times, not with {named(member)}",
            constant.position,
        )
    is_envelope_time = (
        member.field.envelope and member.field.type is FieldType.DATE_TIME
    )
    if is_envelope_time and not constant.is_time:
        raise CompileError(
            f'{named(member)} is compared with timestamp("…"), not with {constant}',
            constant.position,
        )
    return type_compared(member.field, constant.value)
