"""The typed filters of a collection in OpenAPI, and the names its ``sort`` and
``fields`` take.

A filter is a component ``<name>.<type>``: collections whose fields share name and type
share it.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from persist.api.openapi.components import INT64_BOUNDS, Json, component_name
from persist.api.openapi.parameters import NAMES, query
from persist.api.openapi.schemas import TEXT, TIME
from persist.domain.entity_type import EntityType
from persist.domain.field import ENVELOPE, Field, FieldType, Path
from persist.domain.query import OPERATORS, Function
from persist.domain.query import TEXT as PARTS
from persist.domain.schema_fields import SchemaFields

DEPTH = 4
"""How deep filters on nested members are listed; deeper ones work all the same."""

_VALUES: dict[FieldType, Json] = {
    FieldType.INTEGER: {"type": "integer", **INT64_BOUNDS},
    FieldType.NUMBER: {"type": "number"},
    FieldType.BOOLEAN: {"type": "boolean"},
}
_MOMENTS = {"_created_at", "_updated_at"}
_WORDS = {
    Function.EQ: "is",
    Function.NE: "is not; matches null and absent, too",
    Function.GT: "is greater than",
    Function.GTE: "is at least",
    Function.LT: "is less than",
    Function.LTE: "is at most",
    Function.IN: "is one of; the parameter repeated takes values that hold a comma",
    Function.CONTAINS: "contains, case-sensitive",
    Function.STARTSWITH: "starts with, case-sensitive",
    Function.ISNULL: "is null or absent",
}


def filter_parameters(type: EntityType) -> dict[str, Json]:
    """A parameter for each field of data and envelope and each operator its type has,
    by component name: what lists, exports and deletions by filter take."""
    found: dict[str, Json] = {}
    for field in (*_declared_fields(type), *ENVELOPE.values()):
        is_time = (
            field.name in _MOMENTS
            if field.envelope
            else ".".join(field.path) in type.times
        )
        found |= _filters(_query_name(field), field.type, is_time)
    return found


def selection_parameters(type: EntityType) -> dict[str, Json]:
    """The parameters ``sort`` and ``fields`` of a collection, by component name."""
    fields = (*_declared_fields(type), *ENVELOPE.values())
    scalar = (*_VALUES, FieldType.STRING)
    sortable = [
        field.name for field in fields if field.type in scalar and "," not in field.name
    ]
    signed = [sign + name for name in sortable for sign in ("", "-")]
    selectable = [name for name in type.fields if name and "," not in name]
    order = _names("sort", signed, "The order; `-` for descending, nulls last.")
    order["schema"] |= {"maxItems": 16, "uniqueItems": True}
    return {
        f"{type.name}.sort": order,
        f"{type.name}.fields": _names(
            "fields", selectable, "Only these members of `data`."
        ),
    }


def _names(name: str, allowed: list[str], description: str) -> Json:
    items = {"type": "string", "enum": allowed} if allowed else False
    schema = {"type": "array", "minItems": 1, "items": items}
    return query(name, schema, description, style="form", explode=False)


def _query_name(field: Field) -> str:
    taken = field.path[0] in NAMES or (field.path[0] == "data" and len(field.path) > 1)
    return "data." + field.name if taken and not field.envelope else field.name


@lru_cache(maxsize=4096)
def _filters(name: str, type: FieldType, is_time: bool) -> dict[str, Json]:
    operators = OPERATORS[type]
    named = [(f"{name}__{function.value}", function) for function in operators]
    if Function.EQ in operators:
        named.insert(0, (name, Function.EQ))
    value, kind = _VALUES.get(type, TEXT), "time" if is_time else type.value
    return {
        f"{component_name(key)}.{kind}": _filter(
            key, TIME if is_time and function not in PARTS else value, function
        )
        for key, function in named
    }


def _filter(name: str, value: Json, function: Function) -> Json:
    words = _WORDS[function]
    if function is Function.IN:
        listed = {"type": "array", "minItems": 1, "items": value}
        return query(name, listed, words, style="form", explode=False)
    return query(
        name, {"type": "boolean"} if function is Function.ISNULL else value, words
    )


def _declared_fields(type: EntityType) -> Iterator[Field]:
    """The members of data a query string can name; others are reached by ``filter``
    only."""
    definitions = {"$defs": type.schema.get("$defs", {})}
    for path in _declared_paths(dict(type.schema), definitions):
        field = type.field_at(path)
        if field is not None and all(map(_is_plain, path)):
            yield field


def _is_plain(name: str) -> bool:
    return bool(name) and "." not in name and "__" not in name and name[0] != "_"


def _declared_paths(
    schema: Json, definitions: Json, before: Path = ()
) -> Iterator[Path]:
    """The paths of declared members, inner ones where their object's schema says so
    plainly."""
    for name, field in SchemaFields(schema | definitions).declared.items():
        yield (*before, name)
        if field.type is FieldType.OBJECT and len(before) + 1 < DEPTH:
            inner = _unwrapped(schema.get("properties", {}).get(name), definitions)
            yield from _declared_paths(inner, definitions, (*before, name))


def _unwrapped(schema: Any, definitions: Json) -> Json:
    """``schema`` without the reference or the ``null`` branch around it."""
    if not isinstance(schema, dict):
        return {}
    branches = [
        branch for branch in schema.get("anyOf", ()) if branch != {"type": "null"}
    ]
    if len(branches) == 1:
        return _unwrapped(branches[0], definitions)
    reference = str(schema.get("$ref", ""))
    if reference.startswith("#/$defs/"):
        found = definitions["$defs"].get(reference.removeprefix("#/$defs/"))
        return found if isinstance(found, dict) else {}
    return schema
