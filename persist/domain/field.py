"""Field: what a JSON Schema says of one member, as far as filters, sorting and columns
need it."""

import json
from collections.abc import Mapping
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


def path_of(text: str) -> Path:
    """Return the path that text names: ``a.b``, or ``a."b.c"`` for any name.

    In quotes a name is written as a JSON string. Raises ``ValueError``.
    """
    path: list[str] = []
    rest = text
    while True:
        if rest.startswith('"'):
            name, end = json.JSONDecoder().raw_decode(rest)
        else:
            name = rest.partition(".")[0]
            end = len(name)
            if not name or '"' in name:
                raise ValueError(f"{text!r} is no path: a name is empty or unquoted")
        path.append(name)
        if end == len(rest):
            return tuple(path)
        if rest[end] != "." or end + 1 == len(rest):
            raise ValueError(f"{text!r} is no path: names are joined by dots")
        rest = rest[end + 1 :]
