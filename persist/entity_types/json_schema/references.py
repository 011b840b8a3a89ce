"""References: where each reference of a schema leads, whatever form it has.

A schema may hold schemas with addresses of their own (``$id``), as bundlers write them.
References are followed within the document and nowhere else: nothing here could fetch
anything. Source: JSON Schema Core 2020-12, sections 8.2 and 9.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from persist.domain.errors import Violation, pointer
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
"""The dynamic anchor that ``$recursiveAnchor: true`` (2019-09) stands for."""


_DATA = frozenset(("enum", "const", "default", "examples", "required", "type"))
"""Keywords behind which no schema can lie."""


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
    """A schema of a document: its path, its draft and the resource it belongs to."""

    schema: Any
    path: Path
    dialect: Dialect
    resource: Resource


class Document:
    """Every schema of a document, by its identity (``located``).

    ``problems`` names what is wrong with the addresses. A reference may also lead to a
    place that no keyword of the draft makes a schema; ``resolve`` then adds what is
    there to ``located`` and to ``extra``.
    """

    def __init__(self, schema: Mapping[str, Any], dialect: Dialect) -> None:
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
        try:
            uri, fragment = urldefrag(urljoin(holder.resource.uri, reference))
        except ValueError:
            raise Unresolved("is no URI reference") from None
        if reference.startswith("#"):
            uri = holder.resource.uri
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

    def _at(self, root: Located, fragment: str) -> Located:
        """Return the schema at a JSON Pointer from ``root``."""
        value: Any = root.schema
        path = root.path
        holder = root
        for text in fragment.split("/")[1:]:
            step = text.replace("~1", "/").replace("~0", "~")
            holder = self.located.get(id(value), holder)
            if holder.schema is value and step in _DATA:
                raise Unresolved(NO_SCHEMA)
            value, key = _member(value, step)
            path = (*path, key)
        if isinstance(value, bool):
            return Located(value, path, holder.dialect, holder.resource)
        if not isinstance(value, dict):
            raise Unresolved(NO_SCHEMA)
        if id(value) not in self.located:
            extra = self._add(value, path, holder.dialect, holder.resource)
            self.extra.append(extra)
        return self.located[id(value)]

    def _add(
        self, schema: Any, path: Path, dialect: Dialect, resource: Resource | None
    ) -> Located:
        """Note a schema and every schema inside it."""
        if isinstance(schema, dict):
            dialect, resource = self._entered(schema, path, dialect, resource)
        assert resource is not None
        located = Located(schema, path, dialect, resource)
        if isinstance(schema, dict):
            self.located[id(schema)] = located
            if not hasattr(resource, "root"):
                resource.root = located
            self._note_anchors(located)
            for steps, part in subschemas(schema, dialect):
                self._add(part, (*path, *steps), dialect, resource)
        return located

    def _entered(
        self,
        schema: Mapping[str, Any],
        path: Path,
        dialect: Dialect,
        outer: Resource | None,
    ) -> tuple[Dialect, Resource]:
        """Return the draft and the resource that ``schema`` belongs to."""
        own = schema.get("$schema")
        if outer is not None and isinstance(own, str) and "$id" in schema:
            dialect = dialect_of(own) or dialect
            if dialect_of(own) is None:
                location = pointer((*path, "$schema"))
                self.problems.append(Violation(location, "names an unknown draft"))
        given = schema.get(dialect.id_keyword)
        hidden = dialect.ref_hides_siblings and "$ref" in schema and outer is not None
        if not isinstance(given, str) or hidden:
            given = ""
        base = outer.uri if outer is not None else BASE
        try:
            uri, _ = urldefrag(urljoin(base, given))
        except ValueError:
            location = pointer((*path, dialect.id_keyword))
            self.problems.append(Violation(location, "must be a URI reference"))
            uri, given = base, ""
        if outer is not None and (not given or given.startswith("#")):
            return dialect, outer
        return dialect, self._resource(uri, path, dialect)

    def _resource(self, uri: str, path: Path, dialect: Dialect) -> Resource:
        if uri in self._resources:
            location = pointer((*path, dialect.id_keyword))
            detail = f"{uri} is the address of another schema of this document too"
            self.problems.append(Violation(location, detail))
        resource = Resource(uri)
        self._resources.setdefault(uri, resource)
        return resource

    def _note_anchors(self, located: Located) -> None:
        schema, resource = located.schema, located.resource
        anchors, dynamic = resource.anchors, resource.dynamic_anchors
        given = schema.get(located.dialect.id_keyword)
        if isinstance(given, str) and given.startswith("#") and len(given) > 1:
            anchors.setdefault(given[1:], located)
        if isinstance(schema.get("$anchor"), str):
            anchors.setdefault(schema["$anchor"], located)
        if isinstance(schema.get("$dynamicAnchor"), str):
            anchors.setdefault(schema["$dynamicAnchor"], located)
            dynamic.setdefault(schema["$dynamicAnchor"], located)
        if schema.get("$recursiveAnchor") is True and resource.root is located:
            dynamic.setdefault(RECURSIVE, located)


def _member(value: Any, step: str) -> tuple[Any, str | int]:
    """Return what is behind a step of a pointer, and the step."""
    if isinstance(value, dict) and step in value:
        return value[step], step
    if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
        return value[int(step)], int(step)
    raise Unresolved(NO_SCHEMA)
