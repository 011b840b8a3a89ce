"""Assignments: the ``set`` of commands and migration steps, compiled."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from persist.domain.errors import Violation
from persist.domain.field import Field, FieldType, Schema
from persist.domain.field_types import NUMBERS, TEXT_TYPES
from persist.domain.query_values import is_choice, type_compared
from persist.domain.record import Data, dumps
from persist.entity_types.cel.program import (
    ExpressionFailed,
    Program,
    Result,
    compile_expression,
)
from persist.entity_types.cel.references import unknown
from persist.entity_types.definition import Location, expressions, refusal_at
from persist.entity_types.json_schema.fields import members_of

Assignments = Callable[[Data, Data | None], Data]
"""Returns the new values of members for data and a payload."""


class _Assignment(NamedTuple):
    name: str
    condition: Program | None
    value: Program


def compile_assignments(
    values: Mapping[str, object],
    location: Location,
    data_schema: Schema | None,
    payload_schema: Schema | None = None,
) -> Assignments:
    """Compile the new values of members. Every expression sees the data as it was.

    Raises ``InvalidSchema``; the result raises ``ExpressionFailed``.
    """

    def program(text: str, result: Result, where: str) -> Program:
        schemas = {"data_schema": data_schema, "payload_schema": payload_schema}
        return compile_expression(text, result=result, pointer=where, **schemas)

    compiled = []
    for name, condition, value, where in expressions(values, location):
        holds = None
        at = where
        if condition is not None:
            holds = program(condition, Result.CONDITION, f"{where}/if")
            at = f"{where}/value"
        new_value = program(value, Result.VALUE, at)
        compiled.append(_Assignment(name, holds, new_value))

    def assigned(data: Data, payload: Data | None) -> Data:
        return {
            assignment.name: assignment.value(data, payload)
            for assignment in compiled
            if assignment.condition is None or assignment.condition(data, payload)
        }

    return assigned


_NUMBERS = frozenset((*NUMBERS, FieldType.DECIMAL))
_TYPES: Mapping[str, frozenset[FieldType]] = {
    "INT": _NUMBERS,
    "DOUBLE": _NUMBERS,
    "STRING": frozenset(TEXT_TYPES),
    "BOOL": frozenset((FieldType.BOOLEAN,)),
    "LIST": frozenset((FieldType.ARRAY,)),
    "MAP": frozenset((FieldType.OBJECT,)),
}
"""The types of members that a value of a type of CEL fits."""


def check_assignments(
    values: Mapping[str, object],
    location: Location,
    data_schema: Schema,
    payload_schema: Schema,
) -> None:
    """Raise ``InvalidSchema`` if a member can never have the value of its expression.

    Only a new definition is checked: an earlier release accepted others.
    """
    for name, condition, text, where in expressions(values, location):
        at = where if condition is None else f"{where}/value"
        value = compile_expression(
            text, data_schema=data_schema, payload_schema=payload_schema, pointer=at
        )
        _check_target(name, value, data_schema, at)


def _check_target(name: str, value: Program, schema: Schema, location: str) -> None:
    """Raise ``InvalidSchema`` if a member can never have a value of this type."""
    field = members_of(schema).at((name,), undeclared=True)
    if field is None:
        raise refusal_at((), [Violation(location, unknown(schema, "data", (name,)))])
    kind = value.type_name.partition("<")[0]
    fitting = _TYPES.get(kind)
    if fitting is None or not field.certain:
        return
    if any(map(field.allows, fitting)) and not _is_outside_choices(field, value):
        return
    types = " or ".join(field.types)
    detail = f"gives a value of type {kind.lower()}; {name[:100]} is of type {types}"
    if field.choices:
        detail += f" and one of {dumps(field.choices)[:200]}"
    raise refusal_at((), [Violation(location, detail)])


def _is_outside_choices(field: Field, value: Program) -> bool:
    """Whether a constant value is not among those that a member may have."""
    if value.roots:
        return False
    try:
        constant = value({})
    except ExpressionFailed:
        return True
    is_fraction = isinstance(constant, float) and not constant.is_integer()
    if is_fraction and field.types == (FieldType.INTEGER,):
        return True
    kind = type_compared(field, constant)
    if kind is None or not field.choices:
        return False
    return not is_choice(field, kind, constant)
