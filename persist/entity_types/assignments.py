"""Assignments: the ``set`` of commands and migration steps, compiled."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from persist.domain.field import Schema
from persist.domain.record import Data
from persist.entity_types.cel.program import Program, Result, compile_expression
from persist.entity_types.definition import Location, expressions

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

    compiled = [
        _Assignment(
            name,
            None
            if condition is None
            else program(condition, Result.CONDITION, f"{where}/if"),
            program(
                value, Result.VALUE, where if condition is None else f"{where}/value"
            ),
        )
        for name, condition, value, where in expressions(values, location)
    ]

    def assigned(data: Data, payload: Data | None) -> Data:
        return {
            assignment.name: assignment.value(data, payload)
            for assignment in compiled
            if assignment.condition is None or assignment.condition(data, payload)
        }

    return assigned
