"""Examples that work when tried: an entity type's own, or made up from its schema."""

import math
from collections.abc import Mapping
from typing import Any

from app.domain.command import Command
from app.domain.entity_type import EntityType
from app.domain.errors import PersistError
from app.domain.record import Data

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


def example_data(type: EntityType) -> Data | None:
    """Data the entity type accepts, or None where none can be made up."""
    candidates = (type.example, _made_up(type.schema, type.schema, "", 0))
    return next(
        (data for data in candidates if isinstance(data, dict) and _accepts(type.validate, data)), None
    )


def example_payload(command: Command, data: Data | None) -> Data | None:
    """A payload the command accepts; ``data`` lends its values to members of the same name."""
    schema = command.payload_schema
    named = {name: data[name] for name in schema.get("properties", {}) if data and name in data}
    first = dict(list(named.items())[:1])
    candidates = (*schema.get("examples", ()), first or None, _made_up(schema, schema, "", 0))
    return next(
        (data for data in candidates if isinstance(data, dict) and _accepts(command.parse, data)), None
    )


def _accepts(validate: Any, data: Data) -> bool:
    try:
        validate(dict(data))
    except PersistError:
        return False
    return True


def _made_up(schema: Any, root: Mapping[str, Any], name: str, depth: int) -> Any:
    """A small value that fits the plain keywords of ``schema``; the caller checks it."""
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return None
    given = [schema[word] for word in ("default", "const") if word in schema]
    given += [*schema.get("examples", ())[:1], *schema.get("enum", ())[:1]]
    if given:
        return given[0]
    for inner in (_target(schema, root), *schema.get("allOf", ())[:1], *_branches(schema)[:1]):
        if inner is not None:
            return _made_up(inner, root, name, depth + 1)
    return _of_type(schema, root, name, depth)


def _of_type(schema: Mapping[str, Any], root: Mapping[str, Any], name: str, depth: int) -> Any:
    declared = schema.get("type", "object" if "properties" in schema else "string")
    kind = declared if isinstance(declared, str) else next(iter(declared), "null")
    if kind == "object":
        wanted = schema.get("required", ())
        inner = schema.get("properties", {})
        return {key: _made_up(inner.get(key, {}), root, key, depth + 1) for key in wanted}
    if kind == "array":
        return [_made_up(schema.get("items"), root, name, depth + 1)] * schema.get("minItems", 0)
    if kind in ("integer", "number"):
        return _number(schema)
    return {"string": _text(schema, name), "boolean": True}.get(kind)


def _number(schema: Mapping[str, Any]) -> int:
    at_least = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf - 1) + 1)
    at_most = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - 1)
    step = schema.get("multipleOf", 1)
    nearest = max(at_least, min(1, at_most))
    return int(math.ceil(nearest / step) * step)


def _text(schema: Mapping[str, Any], name: str) -> str:
    text = _FORMATS.get(schema.get("format", ""), name.replace("_", " ").capitalize() or "Text")
    least, most = schema.get("minLength", 0), schema.get("maxLength", len(text) + schema.get("minLength", 0))
    return text.ljust(least, "x")[:most]


def _branches(schema: Mapping[str, Any]) -> list[Any]:
    found = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return [branch for branch in found if branch != {"type": "null"}]


def _target(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    reference = str(schema.get("$ref", ""))
    if not reference.startswith("#/$defs/"):
        return None
    return root.get("$defs", {}).get(reference.removeprefix("#/$defs/"))
