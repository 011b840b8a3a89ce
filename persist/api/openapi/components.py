"""A JSON Schema lifted into the components of an OpenAPI document."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from persist.domain.errors import pointer
from persist.domain.record import INT64

Json = dict[str, Any]
Resource = Callable[[str], str]
"""Where a local reference of an entity's schema points to in the whole document."""

COMPONENTS = "#/components/schemas/"
NO_NUL = r"^[^\u0000]*$"
INT64_BOUNDS = {"minimum": INT64.start, "maximum": INT64.stop - 1}

_ONE = {
    *(
        "additionalProperties",
        "items",
        "contains",
        "not",
        "if",
        "then",
        "else",
        "propertyNames",
    ),
    *("unevaluatedItems", "unevaluatedProperties", "contentSchema"),
}
_MANY = {"allOf", "anyOf", "oneOf", "prefixItems"}
_NAMED = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
_DROPPED = {"$schema", "$id", "$anchor", "$dynamicAnchor", "$vocabulary"}


def ref(name: str) -> Json:
    """A reference to a schema of the document."""
    return {"$ref": COMPONENTS + name}


def component_name(text: str) -> str:
    """``text`` in the characters a component's name may have; different texts stay
    different."""
    return re.sub(r"[^A-Za-z0-9_-]", lambda found: f".{ord(found[0]):x}.", text)


def lifted(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The components a JSON Schema becomes: itself as ``name``, its ``$defs`` as
    ``name.<definition>``.

    Local references are rewritten to the new places, anchors among them; what the
    service demands beyond the schema (64-bit integers, no U+0000) is written into it.
    """
    place = _places(schema, name)
    root = {keyword: value for keyword, value in schema.items() if keyword != "$defs"}
    definitions = schema.get("$defs", {})
    nested = {
        f"{name}.{component_name(key)}": _moved(part, place)
        for key, part in definitions.items()
    }
    return {name: _moved(root, place), **nested}


def _places(schema: Mapping[str, Any], name: str) -> Resource:
    anchors = dict(_anchors(schema, ""))

    def place(reference: str) -> str:
        if not reference.startswith("#"):
            return reference
        local = anchors.get(reference[1:], reference[1:])
        if local.startswith("/$defs/"):
            definition, _, rest = local.removeprefix("/$defs/").partition("/")
            key = definition.replace("~1", "/").replace("~0", "~")
            return f"{COMPONENTS}{name}.{component_name(key)}" + (
                f"/{rest}" if rest else ""
            )
        return COMPONENTS + name + local

    return place


def _anchors(schema: Any, at: str) -> list[tuple[str, str]]:
    if not isinstance(schema, Mapping):
        return []
    own = [
        (schema[word], at)
        for word in ("$anchor", "$dynamicAnchor")
        if isinstance(schema.get(word), str)
    ]
    return own + [
        found for step, part in _parts(schema) for found in _anchors(part, at + step)
    ]


def _parts(schema: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The schemas inside a schema with the pointers to them."""
    found: list[tuple[str, Any]] = []
    for keyword, value in schema.items():
        if keyword in _ONE:
            found.append((f"/{keyword}", value))
        elif keyword in _MANY and isinstance(value, list):
            found += [(f"/{keyword}/{index}", part) for index, part in enumerate(value)]
        elif keyword in _NAMED and isinstance(value, Mapping):
            found += [(pointer((keyword, name)), part) for name, part in value.items()]
    return found


def _moved(schema: Any, place: Resource) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    moved: Json = {}
    for keyword, value in schema.items():
        if keyword in ("$ref", "$dynamicRef"):
            moved["$ref"] = place(value)
        elif keyword not in _DROPPED:
            moved[keyword] = _moved_value(keyword, value, place)
    return _bounded(moved)


def _moved_value(keyword: str, value: Any, place: Resource) -> Any:
    if keyword in ("additionalProperties", "items") and value in (True, {}):
        return ref("Value")
    if keyword in _ONE:
        return _moved(value, place)
    if keyword in _MANY and isinstance(value, list):
        return [_moved(part, place) for part in value]
    if keyword in _NAMED and isinstance(value, Mapping):
        return {name: _moved(part, place) for name, part in value.items()}
    return value


def _bounded(schema: Json) -> Json:
    types = schema.get("type", ())
    types = {types} if isinstance(types, str) else set(types)
    if "enum" in schema or "const" in schema:
        return schema
    if "integer" in types and "number" not in types:
        schema = INT64_BOUNDS | schema
    if "string" in types and "format" not in schema:
        schema = {"pattern": NO_NUL} | schema
    return schema
