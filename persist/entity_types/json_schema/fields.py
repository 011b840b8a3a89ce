"""Fields: the members of a schema, patterns of ``patternProperties`` included.

See ``domain.schema_fields``.
"""

from collections.abc import Mapping
from functools import lru_cache

from persist.domain.field import Field, Path, Schema
from persist.domain.schema_fields import SchemaFields, Steps
from persist.entity_types.json_schema.engine import PatternRefused, matcher, weight

CACHED_SCHEMAS = 8
"""Schemas whose fields are kept, because the expressions of a definition look for them
one after another. Those of a large schema take megabytes."""


def members_of(schema: Schema) -> SchemaFields:
    """Return the members that a schema declares. Those of recent schemas are kept."""
    key = _SameSchema(schema)
    return _members_of(key)


def fields_of(schema: Schema) -> Mapping[str, Field]:
    """Return the declared top-level members of an object schema by name."""
    members = members_of(schema)
    return members.declared


def field_at(schema: Schema, path: Path) -> Field | None:
    """Return the member at ``path``; None if nothing can be there."""
    members = members_of(schema)
    return members.at(path)


def field_below(schema: Schema, steps: Steps) -> Field | None:
    """Return what names and indexes lead to; None if nothing describes it."""
    members = members_of(schema)
    return members.below(steps)


def names_below(schema: Schema, steps: Steps) -> list[str] | None:
    """Return the members of a closed object that names and indexes lead to; None if
    it may have others."""
    members = members_of(schema)
    return members.names_below(steps)


def names_at(schema: Schema, path: Path) -> list[str]:
    """Return the declared members of the object at ``path``."""
    members = members_of(schema)
    return members.names(path)


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


@lru_cache(maxsize=CACHED_SCHEMAS)
def _members_of(key: _SameSchema) -> SchemaFields:
    return SchemaFields(key.schema, _matches)


def _matches(pattern: str, name: str) -> bool:
    try:
        weight(pattern)
    except PatternRefused:
        return False
    matches = matcher(pattern)
    return matches(name)
