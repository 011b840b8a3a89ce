"""Change filters: a CEL condition over ``data``, ``previous`` and ``change``.

Without a schema, and where a member is missing, a wrong type makes it false.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from persist.domain.entity_type import EntityType
from persist.domain.errors import InvalidQuery
from persist.domain.field import Schema
from persist.domain.record import Data
from persist.entity_types.cel.ast import CompileError
from persist.entity_types.cel.program import (
    ExpressionFailed,
    InvalidReferences,
    Program,
    Result,
    compile_over,
)

_NULLABLE = frozenset(("data", "previous"))
"""A deletion has no data, and a creation none before it."""

_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_INTEGER = {"type": "integer"}

_CHANGE: Schema = {
    "type": "object",
    "properties": {
        "seq": _INTEGER,
        "at": _TEXT,
        "workspace": _TEXT_OR_NULL,
        "collection": _TEXT,
        "id": _TEXT,
        "revision": _INTEGER,
        "schema_version": _INTEGER,
        "operation": _TEXT,
        "command": _TEXT_OR_NULL,
        "payload": {"type": ["object", "null"]},
        "actor": _TEXT_OR_NULL,
        "request_id": _TEXT,
    },
    "additionalProperties": False,
}

Values = Mapping[str, Any]


class ChangeFilter:
    """A compiled filter. ``reads_previous``: it names the data before a change."""

    def __init__(self, program: Program) -> None:
        self.reads_previous = "previous" in program.roots
        self._program = program

    def __call__(self, change: Values, data: Any, previous: Any) -> bool:
        """Return whether a change matches; data is None where there is none."""
        values: dict[str, Data | None] = {
            "change": dict(change),
            "data": data,
            "previous": previous,
        }
        try:
            return self._program.evaluate(values) is True
        except ExpressionFailed:
            return False


@lru_cache(maxsize=256)
def compile_change_filter(text: str, entity_type: EntityType | None) -> ChangeFilter:
    """Return the filter ``text``; data is checked where the type is given.

    Raises ``InvalidQuery``.
    """
    schema = None if entity_type is None else _optional(entity_type.schema)
    schemas = {
        "data": schema,
        "previous": schema,
        "change": _CHANGE,
    }
    try:
        program = compile_over(text, schemas, Result.CONDITION, _NULLABLE)
    except (CompileError, InvalidReferences) as error:
        raise InvalidQuery(f"filter: {error}") from None
    return ChangeFilter(program)


def _optional(schema: Schema) -> Schema:
    """Return a schema in which no member is required: a deletion has no data."""
    return {name: value for name, value in schema.items() if name != "required"}
