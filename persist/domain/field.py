"""Field: what a JSON Schema says of one member, as far as filters, sorting and columns
need it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Schema = Mapping[str, Any]
Path = tuple[str, ...]


class FieldType(StrEnum):
    """What a member holds; ``ANY`` where the schema leaves it open or allows
    several."""

    INTEGER = "integer"
    NUMBER = "number"
    STRING = "string"
    BOOLEAN = "boolean"
    OBJECT = "object"
    ARRAY = "array"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Field:
    """A member of a record's data, or of its envelope.

    ``nullable``: it may be null or absent in stored data. ``declared``: the schema
    names it; undeclared members of an open object can be filtered by, too.
    """

    path: Path
    type: FieldType
    nullable: bool
    envelope: bool = False
    declared: bool = True

    @property
    def name(self) -> str:
        """How a query string names it."""
        return ("_" if self.envelope else "") + ".".join(self.path)


ENVELOPE: Mapping[str, Field] = {
    name: Field((name,), type_, nullable=False, envelope=True)
    for name, type_ in {
        "id": FieldType.STRING,
        "revision": FieldType.INTEGER,
        "schema_version": FieldType.INTEGER,
        "created_at": FieldType.STRING,
        "updated_at": FieldType.STRING,
    }.items()
}
"""The envelope's members by name; a query string writes them with an underscore."""


def fields_of(schema: Schema) -> dict[str, Field]:
    """The declared top-level members of an object schema, by name, in its order."""
    parts, members = _parts(schema, [schema]), dict[str, list[Any]]()
    for part in parts:
        for name, inner in _object(part, "properties").items():
            members.setdefault(name, []).append(inner)
    required = {name for part in parts for name in part.get("required", ())}
    found = {
        name: _member(schema, inner, name in required)
        for name, inner in members.items()
    }
    return {
        name: Field((name,), _type(parts), nullable)
        for name, (parts, nullable) in found.items()
    }


def field_at(schema: Schema, path: Path) -> Field | None:
    """The member at ``path``: the first segment must be declared, deeper ones declared
    or open.

    None where nothing can be there.
    """
    parts, nullable = _parts(schema, [schema]), False
    for depth, name in enumerate(path):
        found = [
            _object(part, "properties")[name]
            for part in parts
            if name in _object(part, "properties")
        ]
        if not found:
            if depth == 0 or not _is_open(parts):
                return None
            return Field(path, FieldType.ANY, nullable=True, declared=False)
        required = any(name in part.get("required", ()) for part in parts)
        parts, absent = _member(schema, found, required)
        nullable = nullable or absent
    return Field(path, _type(parts), nullable)


def _member(
    schema: Schema, found: list[Any], required: bool
) -> tuple[list[Schema], bool]:
    """The parts of a member's schema, and whether it may be null or absent."""
    parts = _parts(schema, found)
    defaulted = any(part.get("default") is not None for part in parts)
    return parts, _allows_null(parts) or not (required or defaulted)


def names_at(schema: Schema, path: Path) -> list[str]:
    """The declared members of the object at ``path``, to name the nearest one from."""
    parts = _parts(schema, [schema])
    for name in path:
        parts = _parts(
            schema, [_object(part, "properties").get(name) for part in parts]
        )
    return [name for part in parts for name in _object(part, "properties")]


def _object(part: Schema, keyword: str) -> Mapping[str, Any]:
    value = part.get(keyword)
    return value if isinstance(value, Mapping) else {}


_NULLABLE: Schema = {}
"""Stands among the parts of a schema for a branch that is ``null``."""


def _parts(root: Schema, schemas: list[Any]) -> list[Schema]:
    """The schemas and all that belongs to them, each once: a reference may lead 500
    times to one."""
    found: dict[int, Schema] = {}
    waiting = schemas[::-1]
    while waiting:
        schema = waiting.pop()
        if isinstance(schema, Mapping) and id(schema) not in found:
            found[id(schema)] = schema
            waiting += [*_added(schema, root)][::-1]
    return list(found.values())


def _added(schema: Schema, root: Schema) -> Iterator[Any]:
    """What a schema's local ``$ref`` and ``allOf`` add to it, and the one branch of an
    ``anyOf`` or ``oneOf`` that is not ``null`` (how an optional member is usually
    written)."""
    reference = schema.get("$ref")
    if isinstance(reference, str):
        yield _resolved(root, reference)
    yield from schema.get("allOf", ())
    for keyword in ("anyOf", "oneOf"):
        branches = [b for b in schema.get(keyword, ()) if isinstance(b, Mapping)]
        others = [b for b in branches if b.get("type") != "null"]
        if len(branches) == 2 and len(others) == 1:
            yield _NULLABLE
            yield others[0]


def _resolved(root: Schema, reference: str) -> Schema | None:
    if not reference.startswith("#"):
        return None
    target: Any = root
    for part in reference[1:].split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        target = target.get(name) if isinstance(target, Mapping) else None
    return target if isinstance(target, Mapping) else None


def _types(part: Schema) -> set[str] | None:
    declared = part.get("type")
    if isinstance(declared, str):
        return {declared}
    if isinstance(declared, list):
        return set(declared)
    values = [part["const"]] if "const" in part else part.get("enum")
    return {_type_name(value) for value in values} if isinstance(values, list) else None


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    kinds = (
        (bool, "boolean"),
        (int, "integer"),
        (float, "number"),
        (str, "string"),
        (list, "array"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "object")


def _allows_null(parts: list[Schema]) -> bool:
    if any(part is _NULLABLE for part in parts):
        return True
    named = [types for part in parts if (types := _types(part)) is not None]
    return all("null" in types for types in named)


def _type(parts: list[Schema]) -> FieldType:
    named = [types - {"null"} for part in parts if (types := _types(part)) is not None]
    if not named:
        return FieldType.ANY
    common = set.intersection(*named)
    if common == {"integer", "number"}:
        return FieldType.NUMBER
    return FieldType(common.pop()) if len(common) == 1 else FieldType.ANY


def _is_open(parts: list[Schema]) -> bool:
    if _type(parts) not in (FieldType.OBJECT, FieldType.ANY):
        return False
    closed = (
        part.get("additionalProperties", part.get("unevaluatedProperties"))
        for part in parts
    )
    return all(value is not False for value in closed)
