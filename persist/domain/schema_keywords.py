"""Keywords: reading those of one JSON Schema."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from persist.domain.errors import steps_of

Schema = Mapping[str, Any]

JSON_TYPES = frozenset(
    ("null", "boolean", "integer", "number", "string", "array", "object")
)
NOTHING: Schema = {"not": {}}
"""The schema ``false``."""


def resolve(
    root: Schema,
    reference: str,
) -> Any:
    """Return the schema that a reference within a document leads to, or None."""
    if not reference.startswith("#"):
        return None
    target: Any = root
    for step in steps_of(unquote(reference[1:])):
        if isinstance(target, Mapping):
            target = target.get(step)
        elif isinstance(target, list) and step.isdecimal() and int(step) < len(target):
            target = target[int(step)]
        else:
            return None
    return target if isinstance(target, Mapping | bool) else None


def alternatives(schema: Schema) -> Iterator[list[object]]:
    """Yield the subschemas of which one applies, for each keyword that has such."""
    for keyword in ("anyOf", "oneOf"):
        if list_of(schema, keyword):
            yield list_of(schema, keyword)
    if "if" in schema:
        yield [schema["if"], True]
        yield [schema.get("then", True), schema.get("else", True)]
    for dependent in mapping_of(schema, "dependentSchemas").values():
        yield [dependent, True]


def is_closed(schema: Schema) -> bool:
    """Return whether an object may have declared members only."""
    closing = ("additionalProperties", "unevaluatedProperties")
    return any(schema.get(keyword) is False for keyword in closing)


def mapping_of(
    schema: Schema,
    keyword: str,
) -> Schema:
    """Return the subschemas that a keyword names; none if it has another form."""
    value = schema.get(keyword)
    return value if isinstance(value, Mapping) else {}


def list_of(
    schema: Schema,
    keyword: str,
) -> list[object]:
    """Return the elements that a keyword lists; none if it has another form."""
    value = schema.get(keyword)
    return value if isinstance(value, list) else []


def own_types(schema: Schema) -> frozenset[str]:
    """Return the JSON types that a schema's own keywords allow."""
    declared = schema.get("type")
    if schema is NOTHING:
        return frozenset()
    if declared is None:
        values = schema.get("enum")
        if "const" in schema:
            values = [schema["const"]]
        if not isinstance(values, list):
            return JSON_TYPES
        return frozenset(map(_type_name, values))
    named = {declared} if isinstance(declared, str) else set(declared)
    if "number" in named:
        named.add("integer")
    return frozenset(named)


_TYPE_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (Mapping, "object"),
)
"""JSON types by Python's; the first that fits counts, since a bool is an int."""


def _type_name(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return "integer"
    return next((name for kind, name in _TYPE_NAMES if isinstance(value, kind)), "null")
