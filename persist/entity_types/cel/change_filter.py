"""Change filters: a CEL condition over ``data``, ``previous`` and ``change``.

A comparison that has no value is false: of a member that is missing or, without a
schema, of a wrong type. So no condition is ever unknown, as in filters of lists.
"""

from collections.abc import Mapping
from typing import Any

from persist.domain.bounded_cache import bounded_cache, of_type, weight_of_texts
from persist.domain.entity_type import EntityType
from persist.domain.errors import InvalidQuery
from persist.domain.field import Schema
from persist.domain.record import Data
from persist.entity_types.cel.ast import Call, CompileError, Node
from persist.entity_types.cel.numbers import written
from persist.entity_types.cel.parser import parse
from persist.entity_types.cel.program import (
    ExpressionFailed,
    InvalidReferences,
    Program,
    Result,
    compile_over,
)

_NULLABLE = frozenset(("data", "previous"))
"""A deletion has no data, and a creation none before it."""

_FILTERS_BYTES = 8_388_608
"""What may be kept of filters that were compiled."""

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

    def __init__(self, text: str, schemas: Mapping[str, Schema | None]) -> None:
        program = _compiled(text, schemas)
        self.reads_previous = "previous" in program.roots
        self._program = program
        self._schemas = schemas
        self._tree = parse(text)
        self._parts: dict[str, Program] = {}

    def __call__(self, change: Values, data: Any, previous: Any) -> bool:
        """Return whether a change matches; data is None if there is none."""
        values: dict[str, Data | None] = {
            "change": dict(change),
            "data": data,
            "previous": previous,
        }
        try:
            return self._program.evaluate(values) is True
        except ExpressionFailed:
            return _is_joined(self._tree) and self._holds(self._tree, values)

    def _holds(self, node: Node, values: Mapping[str, Data | None]) -> bool:
        """Return whether a condition is true if some of its parts may have no
        value."""
        match node:
            case Call(function="_&&_", arguments=parts):
                return all(self._holds(part, values) for part in parts)
            case Call(function="_||_", arguments=parts):
                return any(self._holds(part, values) for part in parts)
            case Call(function="!_", arguments=(part,)):
                return not self._holds(part, values)
            case _:
                return self._part_holds(written(node), values)

    def _part_holds(self, text: str, values: Mapping[str, Data | None]) -> bool:
        try:
            program = self._parts.get(text)
            if program is None:
                program = self._parts[text] = _compiled(text, self._schemas)
            return program.evaluate(values) is True
        except (CompileError, ExpressionFailed):  # written out, it may be too long
            return False


def _is_joined(node: Node) -> bool:
    """Return whether a condition is made of others."""
    return isinstance(node, Call) and node.function in ("_&&_", "_||_", "!_")


def _compiled(text: str, schemas: Mapping[str, Schema | None]) -> Program:
    return compile_over(text, schemas, Result.CONDITION, _NULLABLE)


@bounded_cache(_FILTERS_BYTES, weight_of_texts, of_type)
def compile_change_filter(entity_type: EntityType | None, text: str) -> ChangeFilter:
    """Return the filter ``text``; data is checked if the type is given.

    Raises ``InvalidQuery``.
    """
    schema = None if entity_type is None else _optional(entity_type.schema)
    schemas = {
        "data": schema,
        "previous": schema,
        "change": _CHANGE,
    }
    try:
        return ChangeFilter(text, schemas)
    except (CompileError, InvalidReferences) as error:
        raise InvalidQuery(f"filter: {error}") from None


def _optional(schema: Schema) -> Schema:
    """Return a schema in which no member is required: a deletion has no data."""
    return {name: value for name, value in schema.items() if name != "required"}
