"""References: where each reference of a schema leads, whatever form it has.

A schema may hold schemas with their own addresses (``$id``), as bundlers write them.
References are followed within the document and nowhere else: nothing here could fetch
anything. Source: JSON Schema Core 2020-12, sections 8.2 and 9.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from persist.domain.errors import Violation, pointer, steps_of
from persist.entity_types.json_schema.dialects import (
    Dialect,
    Path,
    dialect_of,
    subschemas,
)

BASE = "https://schema.invalid/"
"""The address of a document that has none."""

OUTSIDE = "leads out of the schema; only references within it are followed"
NO_SCHEMA = "leads to no schema of this document"

RECURSIVE = "\0recursive"
"""The dynamic anchor that ``$recursiveAnchor: true`` (2019-09) becomes."""


_DATA = frozenset(("enum", "const", "default", "examples", "required", "type"))
"""Keywords whose values contain no schema."""


class Unresolved(Exception):
    """A reference that leads to no schema; the message says why."""


@dataclass(eq=False)
class Resource:
    """A schema with an address (``root``), and the schemas inside it that have an
    anchor."""

    uri: str
    root: "Located" = field(init=False)
    anchors: dict[str, "Located"] = field(default_factory=dict)
    dynamic_anchors: dict[str, "Located"] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Located:
    """A schema of a document: its path, its draft and the address of the resource that
    it belongs to."""

    schema: Any
    path: Path
    dialect: Dialect
    base: str


class Document:
    """Every schema of a document, by its identity (``located``).

    ``problems`` names what is wrong with the addresses. A reference may also lead to a
    place that no keyword of the draft makes a schema; ``resolve`` then adds what is
    there to ``located`` and to ``extra``.
    """

    def __init__(self, schema: Mapping[str, object], dialect: Dialect) -> None:
        self.schema = schema
        self.problems: list[Violation] = []
        self.located: dict[int, Located] = {}
        self.extra: list[Located] = []
        self._resources: dict[str, Resource] = {}
        self.root = self._add(schema, (), dialect, None)

    def resolve(self, holder: Located, reference: str) -> Located:
        """Return the schema that a reference in ``holder`` leads to.

        Raises ``Unresolved``.
        """
        base = holder.base
        try:
            uri, fragment = urldefrag(urljoin(base, reference))
        except ValueError:
            raise Unresolved("is not a URI reference") from None
        if reference.startswith("#"):
            uri = base
        resource = self._resources.get(uri)
        if resource is None:
            raise Unresolved(OUTSIDE)
        if not fragment:
            return resource.root
        name = unquote(fragment)
        if name.startswith("/"):
            return self._at(resource.root, name)
        if name not in resource.anchors:
            raise Unresolved(NO_SCHEMA)
        return resource.anchors[name]

    def resource_of(self, located: Located) -> Resource:
        """Return the resource that a schema belongs to."""
        return self._resources[located.base]

    def _at(self, root: Located, fragment: str) -> Located:
        """Return the schema at a JSON Pointer from ``root``."""
        value: Any = root.schema
        path = root.path
        holder = root
        for step in steps_of(fragment):
            holder = self.located.get(id(value), holder)
            if holder.schema is value and step in _DATA:
                raise Unresolved(NO_SCHEMA)
            value, key = _member(value, step)
            path = (*path, key)
        if isinstance(value, bool):
            return Located(value, path, holder.dialect, holder.base)
        if not isinstance(value, dict):
            raise Unresolved(NO_SCHEMA)
        if id(value) not in self.located:
            resource = self.resource_of(holder)
            extra = self._add(value, path, holder.dialect, resource)
            self.extra.append(extra)
        return self.located[id(value)]

    def _add(
        self, schema: object, path: Path, dialect: Dialect, resource: Resource | None
    ) -> Located:
        """Note a schema and every schema inside it."""
        if not isinstance(schema, dict):
            assert resource is not None
            return Located(schema, path, dialect, resource.uri)
        dialect = self._dialect_of(schema, path, dialect, resource)
        resource = self._resource_of(schema, path, dialect, resource)
        located = Located(schema, path, dialect, resource.uri)
        self.located[id(schema)] = located
        if not hasattr(resource, "root"):
            resource.root = located
        _note_anchors(located, resource)
        for steps, part in subschemas(schema, dialect):
            self._add(part, (*path, *steps), dialect, resource)
        return located

    def _dialect_of(
        self,
        schema: Mapping[str, object],
        path: Path,
        inherited: Dialect,
        outer: Resource | None,
    ) -> Dialect:
        """Return the draft of ``schema``: an embedded resource may name its own."""
        if outer is None:
            return inherited
        name = schema.get("$schema")
        is_unknown = isinstance(name, str) and dialect_of(name) is None
        if is_unknown and "$id" in schema:
            self._note_problem((*path, "$schema"), "names an unknown draft")
        return embedded_dialect(schema) or inherited

    def _resource_of(
        self,
        schema: Mapping[str, object],
        path: Path,
        dialect: Dialect,
        outer: Resource | None,
    ) -> Resource:
        """Return the resource that ``schema`` belongs to: ``outer`` or its own."""
        given = _address_of(schema, dialect, is_root=outer is None)
        base = BASE if outer is None else outer.uri
        try:
            uri, _ = urldefrag(urljoin(base, given))
        except ValueError:
            location = (*path, dialect.id_keyword)
            self._note_problem(location, "must be a URI reference")
            uri = base
            given = ""
        is_address = given and not given.startswith("#")
        if outer is not None and not is_address:
            return outer
        return self._new_resource(uri, path, dialect)

    def _new_resource(self, uri: str, path: Path, dialect: Dialect) -> Resource:
        if uri in self._resources:
            self._note_problem(
                (*path, dialect.id_keyword),
                f"{uri} is the address of another schema of this document too",
            )
        resource = Resource(uri)
        return self._resources.setdefault(uri, resource)

    def _note_problem(self, path: Path, detail: str) -> None:
        self.problems.append(Violation(pointer(path), detail))


def embedded_dialect(schema: Mapping[str, object]) -> Dialect | None:
    """Return the draft that an embedded resource names for itself.

    None if it names none, or if the schema has no address and so is not a resource.
    """
    name = schema.get("$schema")
    dialect = dialect_of(name) if isinstance(name, str) else None
    if dialect is None or dialect.id_keyword not in schema:
        return None
    return dialect


def _address_of(
    schema: Mapping[str, object], dialect: Dialect, *, is_root: bool
) -> str:
    """Return the address that a schema gives itself, ``""`` for none."""
    given = schema.get(dialect.id_keyword)
    if not isinstance(given, str):
        return ""
    is_hidden = dialect.ref_hides_siblings and "$ref" in schema
    return "" if is_hidden and not is_root else given


def _note_anchors(located: Located, resource: Resource) -> None:
    """Note the anchors of a schema in its resource."""
    schema = located.schema
    anchors = resource.anchors
    dynamic = resource.dynamic_anchors
    given = schema.get(located.dialect.id_keyword)
    if isinstance(given, str) and given.startswith("#") and len(given) > 1:
        anchors.setdefault(given[1:], located)
    anchor = schema.get("$anchor")
    if isinstance(anchor, str):
        anchors.setdefault(anchor, located)
    dynamic_anchor = schema.get("$dynamicAnchor")
    if isinstance(dynamic_anchor, str):
        anchors.setdefault(dynamic_anchor, located)
        dynamic.setdefault(dynamic_anchor, located)
    is_recursive = schema.get("$recursiveAnchor") is True
    if is_recursive and resource.root is located:
        dynamic.setdefault(RECURSIVE, located)


def _member(value: object, step: str) -> tuple[object, str | int]:
    """Return the value at a step of a pointer, and the step as a key or an index."""
    if isinstance(value, dict) and step in value:
        return value[step], step
    if isinstance(value, list) and step.isdecimal():
        index = int(step)
        if index < len(value):
            return value[index], index
    raise Unresolved(NO_SCHEMA)
