"""Field: what a JSON Schema says about one member, as far as filters, sorting, indexes
and columns need it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from persist.domain.field_types import SCALARS, FieldType
from persist.domain.schema_keywords import Schema

__all__ = ["ENVELOPE", "Field", "FieldType", "Path", "Schema", "path_of"]

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """A member of a record's data, or of its envelope.

    - ``nullable``: it may be null or absent in stored data.
    - ``declared``: the schema names it. Undeclared members of an open object can be
      filtered too.
    - ``types``: the types that a value of an ``ANY`` field may have; empty means all.
    - ``choices``: the members of an enumeration; empty if it is none.
    - ``certain``: a stored value that is not null always has one of these types.
    - ``items``: the elements of a list.
    - ``normalized``: stored in the one form whose order as text is its order, as the
      envelope's times and ids are.

    Two fields of one type, path and envelope are equal: within an entity type the path
    decides about everything else.
    """

    path: Path
    type: FieldType
    nullable: bool
    envelope: bool = False
    declared: bool = True
    types: tuple[FieldType, ...] = field(default=(), compare=False)
    choices: tuple[object, ...] = field(default=(), compare=False)
    certain: bool = field(default=True, compare=False)
    items: "Field | None" = field(default=None, compare=False)
    normalized: bool = field(default=False, compare=False)

    @property
    def name(self) -> str:
        """The name in a query string."""
        return ("_" if self.envelope else "") + ".".join(self.path)

    @property
    def is_scalar(self) -> bool:
        """Whether its values are scalars of one type, so that records can be sorted by
        it."""
        return self.type in SCALARS

    def allows(self, field_type: FieldType) -> bool:
        """Return whether a value may have a type."""
        if self.type is not FieldType.ANY:
            return self.type is field_type
        return not self.types or field_type in self.types


def _envelope(name: str, field_type: FieldType) -> Field:
    is_text = field_type is not FieldType.INTEGER
    return Field((name,), field_type, False, envelope=True, normalized=is_text)


STORED_ENVELOPE: Mapping[str, Field] = {
    name: _envelope(name, field_type)
    for name, field_type in {
        "id": FieldType.UUID,
        "revision": FieldType.INTEGER,
        "schema_version": FieldType.INTEGER,
        "created_at": FieldType.DATE_TIME,
        "updated_at": FieldType.DATE_TIME,
    }.items()
}
"""The envelope's members that a record has a column for, by name."""

ENVELOPE: Mapping[str, Field] = {
    **STORED_ENVELOPE,
    "collection": _envelope("collection", FieldType.STRING),
    "workspace": replace(_envelope("workspace", FieldType.STRING), nullable=True),
}
"""The envelope's members by name; a query string writes them with an underscore."""

DELETION: Mapping[str, Field] = {
    "deleted_at": _envelope("deleted_at", FieldType.DATE_TIME),
    "deleted_by": Field(
        ("deleted_by",), FieldType.STRING, nullable=True, envelope=True, normalized=True
    ),
}
"""The additional members of a deleted record's envelope."""


ANYTHING = Field((), FieldType.ANY, nullable=True, declared=False)
"""An element of a list whose elements the schema does not describe."""


_SEGMENT = re.compile(r'([^."]+|"(?:[^"\\]|\\.)*")(?:\.(?=.)|$)', re.DOTALL)
"""A name of a path, or any name in quotes, and the dot behind it."""


def path_of(text: str) -> Path:
    """Return the path that text names: ``a.b``, or ``a."b.c"`` for any name.

    In quotes a name is written as a JSON string. Raises ``ValueError``.
    """
    path: list[str] = []
    position = 0
    while position < len(text) or not path:
        found = _SEGMENT.match(text, position)
        if found is None:
            raise ValueError(
                f"{text!r} is not a path: join names by dots, and write a name that"
                " contains a dot or a quote as a JSON string"
            )
        name = found[1]
        path.append(json.loads(name) if name.startswith('"') else name)
        position = found.end()
    return tuple(path)
