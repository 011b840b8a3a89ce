"""Conversion: a schema of any supported draft becomes one of draft 2020-12.

In what comes out every reference is a JSON Pointer into the document (``#/$defs/x``),
no schema inside it has an address or an anchor, and ``$defs`` stand at the root. So
everything that reads a schema (the engine, filters, OpenAPI) follows the same
references in the same simple way. A schema that is written like that already comes
out unchanged.

Dynamic references depend on how a schema was reached. A schema that is reached in
several ways is copied, once for each set of anchors that it sees.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from persist.domain.errors import Violation, pointer, steps_of
from persist.domain.record import Json, canonical_text, dumps, normalize_number
from persist.entity_types.json_schema.dialects import (
    DIALECT,
    DRAFT_2020,
    DRAFTS,
    NAMED,
    ONE,
    SEVERAL,
    Dialect,
    Path,
    dialect_of,
    meaning_of,
)
from persist.entity_types.json_schema.keyword_review import ADDRESSING, review
from persist.entity_types.json_schema.references import (
    RECURSIVE,
    Document,
    Located,
    Unresolved,
)

MAX_COPIES = 1_000
"""Schemas that dynamic references may add."""

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")

Scope = Mapping[str, Located]
"""The dynamic anchors that are seen where a schema is applied."""


@dataclass(frozen=True)
class Converted:
    """A schema of draft 2020-12 (``schema``), what was wrong with its source
    (``problems``), and what its author should know (``warnings``)."""

    schema: Any
    problems: tuple[Violation, ...] = ()
    warnings: tuple[Violation, ...] = ()
    changed: bool = False
    source_paths: Mapping[str, str] = field(default_factory=dict)

    def source_pointer(self, location: str) -> str:
        """Return where the author wrote what stands at ``location`` of the schema."""
        steps = location.split("/")
        for length in range(len(steps), 0, -1):
            known = self.source_paths.get("/".join(steps[:length]))
            if known is not None:
                return "/".join([known, *steps[length:]])
        return location


def convert(source: object) -> Converted:
    """Return a schema in draft 2020-12 without addresses and anchors.

    ``source`` fits the meta-schema of its draft.
    """
    if not isinstance(source, dict):
        return Converted(source)
    dialect = dialect_named(source)
    if dialect is None:
        return Converted(source, problems=(unknown_dialect(source["$schema"]),))
    copy = json.loads(
        # A copy in which 1.0 is 1: bounds are compared with data, where it is so.
        dumps(source),
        parse_float=lambda text: normalize_number(float(text)),
    )
    return _Conversion(copy, dialect).run()


def has_same_meaning(schema: object, other: object) -> bool:
    """Whether two schemas give the same verdicts and defaults by the same keywords:
    they differ in what only describes."""
    return _meaning(schema) == _meaning(other)


def _meaning(schema: object) -> str:
    return canonical_text(_without_unused(meaning_of(convert(schema).schema)))


def _without_unused(schema: Any) -> Any:
    """Return a converted schema without the definitions that nothing refers to."""
    if not isinstance(schema, dict) or "$defs" not in schema:
        return schema
    rest = {keyword: schema[keyword] for keyword in schema if keyword != "$defs"}
    used: dict[str, Any] = {}
    waiting = _definitions_named(rest)
    while waiting:
        name = waiting.pop()
        if name in schema["$defs"] and name not in used:
            used[name] = schema["$defs"][name]
            waiting |= _definitions_named(used[name])
    return {**rest, "$defs": used} if used else rest


def _definitions_named(schema: object) -> set[str]:
    """Return the names of the definitions that the references of a schema lead to or
    into."""
    found = set()
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            found.add(_definition_named(part.get("$ref")))
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    return found


def _definition_named(reference: object) -> str:
    if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
        return ""
    return steps_of(unquote(reference[1:]))[1]


def dialect_named(schema: Mapping[str, object]) -> Dialect | None:
    """Return the draft that ``$schema`` names; 2020-12 if it names none."""
    if "$schema" not in schema:
        return DRAFT_2020
    named = schema["$schema"]
    return dialect_of(named) if isinstance(named, str) else None


def unknown_dialect(named: object) -> Violation:
    """Return the violation of a ``$schema`` that names no known draft."""
    if not isinstance(named, str):
        return Violation("/$schema", "must be text, the address of a draft")
    names = ", ".join(dialect.uri for dialect in DRAFTS)
    detail = f"{named[:200]} is not known; leave it out or name one of {names}"
    return Violation("/$schema", detail)


class _Conversion:
    """One conversion: what was written so far and which references are still open."""

    def __init__(self, source: Json, dialect: Dialect) -> None:
        self._source = source
        self._document = Document(source, dialect)
        self._root = self._document.root
        self._problems = self._document.problems
        self._warnings: list[Violation] = []
        self._definitions: Json = {}
        self._locations: dict[tuple[int, frozenset[Any]], Path] = {}
        self._source_paths: dict[str, str] = {}
        self._open: list[tuple[Json, str, Located, Scope]] = []
        self._copies = 0
        self._is_dynamic = any(
            keyword in located.schema
            for located in self._document.located.values()
            for keyword in ("$dynamicRef", "$recursiveRef")
        )

    def run(self) -> Converted:
        """Convert the document."""
        scope = self._enter({}, self._root)
        changed = self._write(self._root, scope, ())
        for extra in self._document.extra:
            self._write_definition(extra, self._enter({}, extra))
        # At the end, when it is known where each schema is written.
        while self._open:
            self._close(*self._open.pop())
        if self._definitions:
            changed["$defs"] = self._definitions
        # The author's own object if nothing had to be converted: its members keep
        # their order.
        if changed == self._source:
            changed = self._source
        return Converted(
            changed,
            tuple(dict.fromkeys(self._problems)),
            tuple(dict.fromkeys(self._warnings)),
            changed is not self._source,
            self._source_paths,
        )

    # Writing one schema

    def _write(self, located: Located, scope: Scope, location: Path) -> Any:
        schema = located.schema
        self._source_paths[pointer(location)] = pointer(located.path)
        if not isinstance(schema, dict):
            return schema
        # Noted before what is below it: a schema may refer to itself.
        self._locations[id(schema), _key(scope)] = location
        written: Json = {}
        more: list[Json] = []
        if location == ():
            written |= _addresses(located)
        for keyword, value in schema.items():
            if self._is_ignored(located, keyword) or keyword in ADDRESSING:
                continue
            if keyword in _REFERENCES:
                self._write_reference(located, keyword, scope, written, more)
            else:
                self._write_keyword(located, keyword, value, scope, location, written)
        if more:
            written["allOf"] = [*written.get("allOf", ()), *more]
        return written

    def _is_ignored(self, located: Located, keyword: str) -> bool:
        """Whether the schema's own draft ignores a keyword; warn if that may be a
        surprise."""
        reviewed = review(located, keyword)
        if reviewed.warning is not None:
            location = pointer((*located.path, keyword))
            self._warnings.append(Violation(location, reviewed.warning))
        return reviewed.is_ignored

    def _write_keyword(
        self,
        located: Located,
        keyword: str,
        value: Any,
        scope: Scope,
        location: Path,
        written: dict[str, object],
    ) -> None:
        writer = _WRITERS.get(keyword)
        if keyword in ("$defs", "definitions"):
            for name in value:
                self._write_named_definition(located, (keyword, name), scope)
        elif writer is None or not writer(self, located, scope, location, written):
            written[keyword] = self._written_value(
                located, keyword, value, scope, location
            )

    def _written_value(
        self,
        located: Located,
        keyword: str,
        value: Any,
        scope: Scope,
        location: Path,
    ) -> object:
        """Return the value of a keyword that 2020-12 writes in the same way."""
        if keyword in ONE and isinstance(value, dict | bool):
            return self._below(located, (keyword,), scope, location)
        if keyword in SEVERAL and isinstance(value, list):
            return [
                self._below(located, (keyword, index), scope, location)
                for index in range(len(value))
            ]
        if keyword in NAMED:
            return {
                name: self._below(located, (keyword, name), scope, location)
                for name in value
            }
        return value

    def _below(
        self,
        located: Located,
        steps: Path,
        scope: Scope,
        location: Path,
        to: Path | None = None,
    ) -> Any:
        """Write the schema at ``steps`` inside ``located``, to the steps ``to``."""
        value = located.schema
        for step in steps:
            value = value[step]
        found = self._document.located.get(id(value))
        if found is None:
            path = (*located.path, *steps)
            found = Located(value, path, located.dialect, located.base)
        return self._write(
            found, self._enter(scope, found), (*location, *(to or steps))
        )

    # Definitions

    def _write_named_definition(
        self, located: Located, steps: Path, scope: Scope
    ) -> None:
        """Write a schema of ``$defs`` to the root's ``$defs``."""
        location = ("$defs", self._free_name(str(steps[-1])))
        self._definitions[location[1]] = None  # the name is taken from now on
        self._definitions[location[1]] = self._below(
            located, steps, scope, (), location
        )

    def _write_definition(self, located: Located, scope: Scope) -> Path:
        """Write a schema that stands nowhere in the result yet."""
        last = [step for step in located.path if isinstance(step, str)]
        name = self._free_name(last[-1] if last else "root")
        location = ("$defs", name)
        self._definitions[name] = None
        self._definitions[name] = self._write(located, scope, location)
        return location

    def _free_name(self, name: str) -> str:
        free = name
        count = 1
        while free in self._definitions:
            count += 1
            free = f"{name}-{count}"
        return free

    # References

    def _write_reference(
        self,
        located: Located,
        keyword: str,
        scope: Scope,
        written: Json,
        more: list[Json],
    ) -> None:
        reference = located.schema[keyword]
        try:
            target = self._document.resolve(located, reference)
        except Unresolved as why:
            location = pointer((*located.path, keyword))
            detail = f"{reference[:200]} {why}"
            self._problems.append(Violation(location, detail))
            return
        if keyword != "$ref":
            target = self._dynamic(target, keyword, reference, scope)
        holder = written
        # A schema of 2019-09 may have ``$ref`` and ``$recursiveRef``.
        if "$ref" in written:
            holder = {}
            more.append(holder)
        holder["$ref"] = ""
        self._open.append((holder, reference, target, self._enter(scope, target)))

    def _dynamic(
        self, target: Located, keyword: str, reference: str, scope: Scope
    ) -> Located:
        """Return what a dynamic reference leads to where these anchors are seen."""
        anchor = reference.partition("#")[2]
        if keyword == "$recursiveRef":
            anchor = RECURSIVE
        elif (
            target.schema is True
            or target.schema is False
            or target.schema.get("$dynamicAnchor") != anchor
        ):
            return target
        if anchor not in self._document.resource_of(target).dynamic_anchors:
            return target
        return scope.get(anchor, target)

    def _enter(self, scope: Scope, located: Located) -> Scope:
        """Return the anchors that are seen inside a schema: the outermost ones
        count."""
        if not self._is_dynamic:
            return scope
        return {**self._document.resource_of(located).dynamic_anchors, **scope}

    def _close(
        self, holder: Json, reference: str, target: Located, scope: Scope
    ) -> None:
        """Write where an open reference leads."""
        if isinstance(target.schema, bool):
            holder["$ref"] = self._boolean(target.schema)
            return
        location = self._locations.get((id(target.schema), _key(scope)))
        if location is None:
            self._copies += 1
            if self._copies > MAX_COPIES:
                detail = "its dynamic references lead to too many variants of schemas"
                self._problems.append(Violation(pointer(target.path), detail))
                return
            location = self._write_definition(target, scope)
        holder["$ref"] = to_reference(location)

    def _boolean(self, schema: bool) -> str:
        name = "anything" if schema else "nothing"
        if self._definitions.get(name) is not schema:
            name = self._free_name(name)
            self._definitions[name] = schema
        return to_reference(("$defs", name))

    # Keywords that 2020-12 writes in another way

    def _write_items(
        self, located: Located, scope: Scope, location: Path, written: Json
    ) -> bool:
        """Write an array of ``items`` as ``prefixItems``, up to 2019-09."""
        items = located.schema["items"]
        if located.dialect is DRAFT_2020 or not isinstance(items, list):
            return False
        if items:
            written["prefixItems"] = [
                self._below(located, ("items", index), scope, location, to)
                for index in range(len(items))
                for to in [("prefixItems", index)]
            ]
        if "additionalItems" in located.schema:
            steps: Path = ("additionalItems",)
            written["items"] = self._below(located, steps, scope, location, ("items",))
        return True

    def _write_nothing(
        self, located: Located, scope: Scope, location: Path, written: dict[str, object]
    ) -> bool:
        """Write nothing: ``additionalItems`` is written with ``items``."""
        return True

    def _write_dependencies(
        self, located: Located, scope: Scope, location: Path, written: Json
    ) -> bool:
        for name, value in located.schema["dependencies"].items():
            if isinstance(value, list):
                written.setdefault("dependentRequired", {})[name] = value
            else:
                to: Path = ("dependentSchemas", name)
                below = self._below(
                    located, ("dependencies", name), scope, location, to
                )
                written.setdefault("dependentSchemas", {})[name] = below
        return True

    def _write_bound(
        self, located: Located, scope: Scope, location: Path, written: Json
    ) -> bool:
        """Write the bounds of draft-04, where exclusive ones are booleans."""
        schema = located.schema
        if located.dialect.id_keyword != "id":
            return False
        for bound in ("minimum", "maximum"):
            exclusive = "exclusive" + bound.capitalize()
            if bound in schema:
                name = exclusive if schema.get(exclusive) is True else bound
                written[name] = schema[bound]
        return True


_WRITERS = {
    "items": _Conversion._write_items,
    "additionalItems": _Conversion._write_nothing,
    "dependencies": _Conversion._write_dependencies,
    **dict.fromkeys(
        ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        _Conversion._write_bound,
    ),
}


def _addresses(root: Located) -> dict[str, str]:
    """Return the members of a root that name its draft and its address."""
    found = {"$schema": DIALECT} if "$schema" in root.schema else {}
    address = root.schema.get(root.dialect.id_keyword)
    if isinstance(address, str):
        found["$id"] = address.rstrip("#")
    return found


def _key(scope: Scope) -> frozenset[tuple[str, int]]:
    return frozenset((name, id(located.schema)) for name, located in scope.items())


def to_reference(path: Path) -> str:
    """Return the reference to a path of the document."""
    return "#" + quote(pointer(path), safe="/~!$&'()*+,;=:@?")
