"""Schema fields: the members that a JSON Schema declares, as far as filters, sorting,
indexes and columns need them.

A member counts as declared if any branch of the schema declares it. Its type is what
those branches leave possible.
"""

from collections.abc import Mapping
from functools import cached_property

from persist.domain.field import Field, FieldType, Path, Schema
from persist.domain.schema_location import Location, Matches, root_of

Steps = tuple[str | None, ...]
"""The way to a value inside a record: names of members, and None for an index that is
not known."""

MAX_CACHED = 1_000
"""Members of one schema that are kept once they were looked up."""


class SchemaFields:
    """The members that a schema declares.

    By default patterns of ``patternProperties`` declare nothing.
    """

    def __init__(
        self,
        schema: Schema,
        matches: Matches = lambda pattern, name: False,
    ) -> None:
        self.schema = schema
        self._root = root_of(schema, matches)
        self._found: dict[tuple[Path, bool], Field | None] = {}

    @cached_property
    def declared(self) -> Mapping[str, Field]:
        """The declared top-level members by name, in the schema's order."""
        found = {name: self.at((name,)) for name in self._root.names()}
        return {name: field for name, field in found.items() if field is not None}

    def at(
        self,
        path: Path,
        *,
        undeclared: bool = False,
    ) -> Field | None:
        """Return the member at ``path``, or None if nothing can be.

        Below the first segment, members may be undeclared if their object is open;
        the first one may be too with ``undeclared``.
        """
        key = path, undeclared
        if key not in self._found:
            if len(self._found) > MAX_CACHED:
                self._found.clear()
            self._found[key] = self._find(path, undeclared)
        return self._found[key]

    def below(self, steps: Steps) -> Field | None:
        """Return what names and indexes lead to; None if nothing describes it."""
        location = self._below(steps)
        return None if location is None else _field((), location, True)

    def names_below(self, steps: Steps) -> list[str] | None:
        """Return the declared members of a closed object that names and indexes lead
        to; None if it is open, or nothing describes it."""
        location = self._below(steps)
        if location is None or location.is_open():
            return None
        return list(location.names())

    def _below(self, steps: Steps) -> Location | None:
        location: Location | None = self._root
        for step in steps:
            if location is not None:
                location = location.element() if step is None else location.member(step)
        return location

    def named(self, path: Path) -> Field | None:
        """Return the member at a path that may begin with ``data``."""
        if path[0] != "data" or len(path) == 1:
            return self.at(path)
        inner = path[1:]
        declared = self.at(inner) or self.at(path)
        return declared or self.at(inner, undeclared=True)

    def names(self, path: Path) -> list[str]:
        """Return the declared members of the object at ``path``."""
        location = self._location(path)
        return [] if location is None else list(location.names())

    def is_open(self, path: Path = ()) -> bool:
        """Return whether the object at ``path`` may have members not declared."""
        location = self._location(path)
        return location is not None and location.is_open()

    def _location(self, path: Path) -> Location | None:
        location: Location | None = self._root
        for name in path:
            location = None if location is None else location.member(name)
        return location

    def _find(
        self,
        path: Path,
        undeclared: bool,
    ) -> Field | None:
        location = self._root
        nullable = False
        for depth, name in enumerate(path):
            may_be_undeclared = undeclared or depth > 0
            inner = location.member(name)
            if inner is None or not _is_known(inner, may_be_undeclared):
                is_open = may_be_undeclared and location.is_open()
                return undeclared_field(path) if is_open else None
            nullable = nullable or _may_lack(
                location,
                name,
                inner,
            )
            location = inner
        return _field(
            path,
            location,
            nullable,
        )


def _is_known(location: Location, may_be_undeclared: bool) -> bool:
    return location.declared or may_be_undeclared


def _may_lack(
    location: Location,
    name: str,
    member: Location,
) -> bool:
    """Return whether a member may be null or absent."""
    is_present = location.requires(name) or member.has_default()
    return not is_present or member.allows_null()


def undeclared_field(path: Path) -> Field:
    """Return a member of an open object that no schema declares."""
    return Field(
        path,
        FieldType.ANY,
        nullable=True,
        declared=False,
    )


def _field(
    path: Path,
    location: Location,
    nullable: bool,
) -> Field:
    """Return a member, or an element of a list, which has no path.

    The elements of an element are left out: lists may contain lists without end.
    """
    types = location.types()
    items = location.items() if path and FieldType.ARRAY in types else None
    certain = location.is_certain()
    choices = location.choices() or []
    return Field(
        path,
        next(iter(types)) if len(types) == 1 else FieldType.ANY,
        nullable or not certain,
        declared=location.declared,
        types=tuple(sorted(types)),
        choices=tuple(value for value in choices if value is not None),
        certain=certain,
        items=None
        if items is None
        else _field(
            (),
            items,
            True,
        ),
    )
