"""Fields: the members of a schema, patterns of ``patternProperties`` included.

See ``domain.schema_fields``.
"""

from collections.abc import Mapping
from functools import lru_cache

from persist.domain.field import Field, Path, Schema
from persist.domain.schema_fields import SchemaFields
from persist.entity_types.json_schema.engine import PatternRefused, matcher, weight

CACHED_SCHEMAS = 64


def members_of(schema: Schema) -> SchemaFields:
    """Return the members that a schema declares."""
    return SchemaFields(schema, _matches)


def fields_of(schema: Schema) -> Mapping[str, Field]:
    """Return the declared top-level members of an object schema by name."""
    return _recent_members(schema).declared


def field_at(schema: Schema, path: Path) -> Field | None:
    """Return the member at ``path``; None where nothing can be there."""
    return _recent_members(schema).at(path)


def names_at(schema: Schema, path: Path) -> list[str]:
    """Return the declared members of the object at ``path``."""
    return _recent_members(schema).names(path)


class _SameSchema:
    """A schema as the key of a cache: equal to the very same object only."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _SameSchema):
            return NotImplemented
        return other.schema is self.schema


def _recent_members(schema: Schema) -> SchemaFields:
    key = _SameSchema(schema)
    return _recent(key)


@lru_cache(maxsize=CACHED_SCHEMAS)
def _recent(key: _SameSchema) -> SchemaFields:
    return members_of(key.schema)


def _matches(pattern: str, name: str) -> bool:
    try:
        weight(pattern)
    except PatternRefused:
        return False
    matches = matcher(pattern)
    return matches(name)
