"""Schemas of one type: many client generators know neither a list of types nor an
enumeration of several."""

import re
from collections.abc import Iterable
from typing import Any

from persist.domain.record import INT64_BOUNDS, Json

NOTHING: Json = {"not": {}}
"""The schema ``false``: no value fits."""

_BY_TYPE: dict[str, frozenset[str]] = {
    "array": frozenset(
        (
            "contains",
            "items",
            "maxContains",
            "maxItems",
            "minContains",
            "minItems",
            "prefixItems",
            "unevaluatedItems",
            "uniqueItems",
        )
    ),
    "number": frozenset(
        ("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf")
    ),
    "object": frozenset(
        (
            "additionalProperties",
            "dependentRequired",
            "dependentSchemas",
            "maxProperties",
            "minProperties",
            "patternProperties",
            "properties",
            "propertyNames",
            "required",
            "unevaluatedProperties",
        )
    ),
    "string": frozenset(
        (
            "contentEncoding",
            "contentMediaType",
            "contentSchema",
            "format",
            "maxLength",
            "minLength",
            "pattern",
        )
    ),
}
"""The keywords that say something about values of one type only."""

OF_ONE_TYPE = frozenset[str]().union(*_BY_TYPE.values())


def normalized(name: str) -> str:
    """Return a name without case and punctuation, which generators write in their own
    way."""
    return re.sub("[^a-z0-9]", "", name.lower())


def complete(converted: Json) -> Json:
    """Return the schema of one type with the bounds of the service and the keywords
    that linters require."""
    if "enum" in converted or "const" in converted:
        return converted
    match converted.get("type"):
        case "integer":
            return INT64_BOUNDS | converted
        case "object":
            return _object(converted)
        case "array":
            return _array(converted)
        case _:
            return converted


def _object(converted: Json) -> Json:
    """Return the schema of an object with ``additionalProperties``. TypeScript has no
    type for further members next to those that have their own types, so their type
    is left out."""
    others = converted.get("additionalProperties", True)
    if "properties" not in converted:
        return converted | {"additionalProperties": others}
    if isinstance(others, dict):
        return converted | {"additionalProperties": True}
    return converted


def _array(converted: Json) -> Json:
    """Return the schema of an array with ``items`` that is an object."""
    items = converted.get("items", {})
    if items != NOTHING:
        return converted | {"items": items}
    length = len(converted.get("prefixItems", ()))
    return converted | {"items": {}, "maxItems": length}


def of_one_type(converted: Json) -> Json:
    """Return a schema without a list of types, and without null or several types among
    the values of ``enum``: a branch of ``anyOf`` for each type."""
    types = _listed_types(converted)
    if types is None:
        return converted
    outside = {
        keyword: value
        for keyword, value in converted.items()
        if keyword not in OF_ONE_TYPE and keyword not in ("type", "enum")
    }
    branches = [_branch(converted, name) for name in types]
    if len(branches) == 1:
        return branches[0] | outside
    if "anyOf" in outside:
        return outside | {"allOf": [*outside.get("allOf", ()), {"anyOf": branches}]}
    return {"anyOf": branches, **outside}


def _listed_types(converted: Json) -> list[str] | None:
    """Return the types that a schema lists or that its constants have, None if it
    names at most one type."""
    types = converted.get("type")
    if "enum" in converted:
        types = sorted({type_name(value) for value in converted["enum"]})
    elif "const" in converted:
        types = [type_name(converted["const"])]
    if not isinstance(types, list):
        return None
    if set(types) >= {"integer", "number"}:
        types = [name for name in types if name != "integer"]
    return types


def _branch(converted: Json, name: str) -> Json:
    """Return the part of a schema that is about the values of one type."""
    own = _BY_TYPE.get("number" if name == "integer" else name, frozenset())
    branch: Json = {"type": name}
    if "enum" in converted:
        values = [value for value in converted["enum"] if type_name(value) == name]
        return branch | _enumeration(name, values)
    branch |= {key: value for key, value in converted.items() if key in own}
    return complete(branch)


def _enumeration(name: str, values: list[Any]) -> Json:
    """Return the keyword that names the values of one type. Texts that would get the
    same name in a program are a pattern."""
    if name == "null" or (name == "boolean" and len(values) > 1):
        return {}
    if name == "string":
        names = {normalized(value) for value in values}
        if len(names) < len(values) or "" in names:
            return {"pattern": any_of(values)}
    return {"enum": values}


def any_of(texts: Iterable[str], before: str = "") -> str:
    """Return the regular expression of exactly these texts, behind ``before``."""
    escaped = (re.sub(r"[$()*+./?\[\\\]^{|}]", r"\\\g<0>", text) for text in texts)
    return f"^{before}({'|'.join(escaped)})$"


def type_name(value: object) -> str:
    """Return the JSON type of a value."""
    if value is None:
        return "null"
    kinds = (
        (bool, "boolean"),
        (int, "integer"),
        (float, "number"),
        (str, "string"),
        (list, "array"),
    )
    for kind, name in kinds:
        if isinstance(value, kind):
            return name
    return "object"
