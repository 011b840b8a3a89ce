"""Examples that work when tried: those of an entity type, or values made from its
schema."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeGuard

from persist.domain.command import Command
from persist.domain.entity_type import EntityType
from persist.domain.errors import PersistError
from persist.domain.record import Data, dumps
from persist.domain.schema_keywords import Schema, resolve

_FORMATS = {
    "date-time": "2026-11-22T17:00:00Z",
    "date": "2026-11-22",
    "time": "17:00:00Z",
    "decimal": "10.50",
    "duration": "PT1H",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70",
}

Validate = Callable[[Data], Any]

_NULL = {"type": "null"}
_DEPTH = 8
"""Levels below which values are null, so that recursion ends."""

MAX_OPTIONAL_MEMBERS = 3
"""Members that an example object has if none is required."""

MAX_ITEMS = 64
MAX_CHARACTERS = 1_000
"""Items of a list in the data itself, half as many a level deeper, and characters of a
text; what needs more has no example."""


def example_data(entity_type: EntityType) -> Data | None:
    """Return data that the entity type accepts, None if none was found."""
    schema = entity_type.schema
    candidates = (
        entity_type.example or None,
        _value(schema, schema, "", 0),
        entity_type.example,
    )
    return _first_accepted(entity_type.validate, candidates)


def example_payload(command: Command, part: Data) -> Data | None:
    """Return a payload that the command accepts, None if none was found. ``part`` of
    the data is one for ``set``."""
    schema = command.payload_schema
    properties = schema.get("properties", {})
    takes_part = part.keys() <= properties.keys()
    candidates = (
        *schema.get("examples", ()),
        part if part and takes_part else None,
        _value(schema, schema, "", 0),
    )
    return _first_accepted(command.parse, candidates)


def example_lines(entity_type: EntityType, data: Data) -> str | None:
    """Return NDJSON that the collection can import, None if none was found.

    There are two lines, because Swagger UI writes a single one as JSON over several
    lines. Unique members differ from those of ``data``, which may be stored already.
    """
    lines = ""
    for number in (2, 3):
        varied = _varied(entity_type, data, number)
        if not _is_accepted(entity_type.validate, varied):
            return None
        text = dumps(varied)
        lines += f"{text}\n"
    return lines


def _varied(entity_type: EntityType, data: Data, number: int) -> Data:
    unique = set[str]().union(*entity_type.unique)
    varied = dict(data)
    for name in unique & data.keys():
        varied[name] = _varied_value(data[name], number)
    return varied


def _varied_value(value: object, number: int) -> object:
    if isinstance(value, str):
        return f"{value}-{number}"
    if isinstance(value, int):
        return value + number
    return value


def _first_accepted(validate: Validate, candidates: Iterable[Any]) -> Data | None:
    accepted = (data for data in candidates if _is_accepted(validate, data))
    return next(accepted, None)


def _is_accepted(validate: Validate, data: object) -> TypeGuard[Data]:
    if not isinstance(data, dict):
        return False
    text = dumps(data)
    # Tools take a member of that name for a reference, wherever it stands.
    if '"$ref"' in text:
        return False
    try:
        validate(dict(data))
    except PersistError:
        return False
    return True


def _value(schema: object, root: Schema, name: str, depth: int) -> Any:
    """Return a small value that fits the plain keywords of ``schema``; the caller
    checks it."""
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return None
    given = list(_given_values(schema))
    if given:
        return given[0]
    applied = list(_applied_schemas(schema, root))
    if applied:
        return _value(applied[0], root, name, depth + 1)
    return _of_type(schema, root, name, depth)


def _given_values(schema: Schema) -> Iterator[object]:
    """Yield the values that a schema states, the preferred one first."""
    for keyword in ("default", "const"):
        if keyword in schema:
            yield schema[keyword]
    yield from schema.get("examples", ())[:1]
    yield from schema.get("enum", ())[:1]


def _applied_schemas(schema: Schema, root: Schema) -> Iterator[object]:
    """Yield the schemas that a schema applies to its value, the preferred one
    first."""
    reference = str(schema.get("$ref", ""))
    target = resolve(root, reference)
    if target is not None:
        yield target
    yield from schema.get("allOf", ())[:1]
    yield from _branches(schema)[:1]


def _of_type(schema: Schema, root: Schema, name: str, depth: int) -> object:
    match _declared_type(schema):
        case "object":
            return _object(schema, root, depth)
        case "array":
            return _array(schema, root, name, depth)
        case "integer" | "number":
            return _number(schema)
        case "string":
            return _text(schema, name)
        case "boolean":
            return True
        case _:
            return None


def _declared_type(schema: Schema) -> str:
    default = "object" if "properties" in schema else "string"
    declared = schema.get("type", default)
    if isinstance(declared, str):
        return declared
    return next(iter(declared), "null")


def _object(schema: Schema, root: Schema, depth: int) -> Data:
    properties = schema.get("properties", {})
    names = schema.get("required")
    if not names:
        names = [name for name in properties if name != "$ref"][:MAX_OPTIONAL_MEMBERS]
    made: Data = {}
    for name in names:
        member = properties.get(name, {})
        made[name] = _value(member, root, name, depth + 1)
    return made


def _array(schema: Schema, root: Schema, name: str, depth: int) -> list[object]:
    items = schema.get("items")
    item = _value(items, root, name, depth + 1)
    least = schema.get("minItems", 0)
    length = min(least, MAX_ITEMS >> depth)
    return [item] * length


def _number(schema: Schema) -> int:
    lower_bound = max(
        schema.get("minimum", -math.inf),
        schema.get("exclusiveMinimum", -math.inf) + 1,
    )
    upper_bound = min(
        schema.get("maximum", math.inf),
        schema.get("exclusiveMaximum", math.inf) - 1,
    )
    step = schema.get("multipleOf", 1)
    nearest = max(lower_bound, min(1, upper_bound))
    try:
        steps = math.ceil(nearest / step)
        return int(steps * step)
    except OverflowError:
        return 0


def _text(schema: Schema, name: str) -> str:
    words = name.replace("_", " ")
    label = words.capitalize() or "Text"
    text_format = schema.get("format", "")
    text = _FORMATS.get(text_format, label)
    shortest = schema.get("minLength", 0)
    longest = schema.get("maxLength")
    length = min(shortest, MAX_CHARACTERS)
    padded = text.ljust(length, "x")
    return padded[:longest]


def _branches(schema: Schema) -> list[object]:
    found = [
        *schema.get("anyOf", ()),
        *schema.get("oneOf", ()),
    ]
    return [branch for branch in found if branch != _NULL]
