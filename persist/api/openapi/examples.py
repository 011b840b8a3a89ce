"""Examples that work when tried: those of an entity type, or values made from its
schema."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from persist.domain.command import Command
from persist.domain.entity_type import EntityType
from persist.domain.errors import PersistError
from persist.domain.record import Data, dumps

_FORMATS = {
    "date-time": "2026-11-22T17:00:00Z",
    "date": "2026-11-22",
    "time": "17:00:00Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70",
}
_DEPTH = 8
"""Levels below which values are null, so that recursion ends."""

FEW = 3
"""Members that an object has where none is required."""


def example_data(type: EntityType) -> Data | None:
    """Return data that the entity type accepts, None where none was found."""
    candidates = (
        type.example or None,
        _value(type.schema, type.schema, "", 0),
        type.example,
    )
    return next(
        (data for data in candidates if _is_accepted(type.validate, data)), None
    )


def example_payload(command: Command, part: Data) -> Data | None:
    """Return a payload that the command accepts, None where none was found. ``part`` of
    the data is one for ``set``."""
    schema = command.payload_schema
    own = part if part.keys() <= schema.get("properties", {}).keys() else {}
    candidates = (
        *schema.get("examples", ()),
        own or None,
        _value(schema, schema, "", 0),
    )
    return next(
        (data for data in candidates if _is_accepted(command.parse, data)), None
    )


def example_lines(type: EntityType, data: Data) -> str | None:
    """Return NDJSON that the collection can import, None where none was found.

    There are two lines, because Swagger UI writes a single one as JSON over several
    lines. Unique members differ from those of ``data``, which may be stored already.
    """
    lines = [_varied(type, data, number) for number in (2, 3)]
    if not all(_is_accepted(type.validate, line) for line in lines):
        return None
    return "".join(dumps(line) + "\n" for line in lines)


def _varied(type: EntityType, data: Data, number: int) -> Data:
    varied = dict(data)
    for name in {path for group in type.unique for path in group} & data.keys():
        value = data[name]
        if isinstance(value, str):
            varied[name] = f"{value}-{number}"
        elif isinstance(value, int):
            varied[name] = value + number
    return varied


def _is_accepted(validate: Callable[[Data], Any], data: Any) -> TypeGuard[Data]:
    if not isinstance(data, dict):
        return False
    try:
        validate(dict(data))
    except PersistError:
        return False
    return True


def _value(schema: Any, root: Mapping[str, Any], name: str, depth: int) -> Any:
    """Return a small value that fits the plain keywords of ``schema``; the caller
    checks it."""
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return None
    given = [schema[word] for word in ("default", "const") if word in schema]
    given += [*schema.get("examples", ())[:1], *schema.get("enum", ())[:1]]
    if given:
        return given[0]
    for inner in (
        _target(schema, root),
        *schema.get("allOf", ())[:1],
        *_branches(schema)[:1],
    ):
        if inner is not None:
            return _value(inner, root, name, depth + 1)
    return _of_type(schema, root, name, depth)


def _of_type(
    schema: Mapping[str, Any], root: Mapping[str, Any], name: str, depth: int
) -> Any:
    declared = schema.get("type", "object" if "properties" in schema else "string")
    kind = declared if isinstance(declared, str) else next(iter(declared), "null")
    if kind == "object":
        inner = schema.get("properties", {})
        wanted = schema.get("required") or list(inner)[:FEW]
        return {key: _value(inner.get(key, {}), root, key, depth + 1) for key in wanted}
    if kind == "array":
        item = _value(schema.get("items"), root, name, depth + 1)
        return [item] * schema.get("minItems", 0)
    if kind in ("integer", "number"):
        return _number(schema)
    return {"string": _text(schema, name), "boolean": True}.get(kind)


def _number(schema: Mapping[str, Any]) -> int:
    at_least = max(
        schema.get("minimum", -math.inf),
        schema.get("exclusiveMinimum", -math.inf - 1) + 1,
    )
    at_most = min(
        schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - 1
    )
    step = schema.get("multipleOf", 1)
    nearest = max(at_least, min(1, at_most))
    return int(math.ceil(nearest / step) * step)


def _text(schema: Mapping[str, Any], name: str) -> str:
    text = _FORMATS.get(
        schema.get("format", ""), name.replace("_", " ").capitalize() or "Text"
    )
    least = schema.get("minLength", 0)
    return text.ljust(least, "x")[: schema.get("maxLength")]


def _branches(schema: Mapping[str, Any]) -> list[Any]:
    found = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return [branch for branch in found if branch != {"type": "null"}]


def _target(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    reference = str(schema.get("$ref", ""))
    if not reference.startswith("#/$defs/"):
        return None
    return root.get("$defs", {}).get(reference.removeprefix("#/$defs/"))
