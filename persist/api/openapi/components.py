"""JSON Schemas as components of the document, in the form that client generators
understand.

What generators disagree about is written in the one way that all of them read: a name
for every object and enumeration, no lists of types, no boolean schemas, no references
into the inside of a component. Conditions between members are left out; the JSON Schema
of the collection has them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from persist.api.openapi.shared import schema
from persist.api.openapi.type_unions import (
    NOTHING,
    OF_ONE_TYPE,
    complete,
    normalized,
    of_one_type,
)
from persist.domain.record import Json, dumps
from persist.domain.schema_keywords import resolve

NULL: Json = {"type": "null"}

ANY_OBJECT: Json = {"type": "object", "additionalProperties": True}

LARGEST_INLINE = 300
"""Characters of a schema's JSON text above which it becomes a separate component, so
that it is written once."""

LONGEST_BRANCH_NAME = 40
"""Characters of a title that names a branch; a longer one is a sentence."""

_MODIFIERS = re.compile(r"\(\?[A-Za-z-]+[):]")

_ONE = frozenset(
    (
        "additionalProperties",
        "contains",
        "contentSchema",
        "items",
        "not",
        "propertyNames",
        "unevaluatedItems",
        "unevaluatedProperties",
    )
)
_SEVERAL = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_NAMED = frozenset(("patternProperties", "properties"))
_ANNOTATIONS = ("deprecated", "description", "examples")
"""Without ``default``: some generators demand members that have one, others send the
default with every patch."""

_CONDITIONS = frozenset(("dependentRequired", "dependentSchemas"))
_KNOWN = (
    frozenset(("allOf", "anyOf", "const", "enum", "not", "oneOf", "type"))
    | frozenset(_ANNOTATIONS)
    | OF_ONE_TYPE - _CONDITIONS
)
"""The keywords that are kept. Conditions are not: no generator has a type for them, and
some take their branches for types."""


def pascal_case(text: str) -> str:
    """Return ``text`` as a name in PascalCase: ``ops-tickets`` is ``OpsTickets``."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    # Not ``capitalize``, which would write the letters behind the first in lower case.
    capitalized = [word[0].upper() + word[1:] for word in words]
    return "".join(capitalized)


def nullable(part: Json) -> Json:
    """Return a schema that also admits null."""
    if not part:
        return part
    return {"anyOf": [part, NULL]}


def not_only_null(part: object) -> object:
    """Return the schema of a member. One that is always null has no type in some
    languages."""
    if part == NULL:
        return {"description": "Always null."}
    return part


class Components:
    """The schemas of one collection by component name.

    A part of a schema that stands in several places, such as an object that is created
    and read, becomes one component.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self.schemas: Json = {}
        self._taken = {normalized(name) for name in reserved}
        self._names: dict[int, str] = {}
        self._sources: list[object] = []  # an id is unique while its object lives

    def add(self, name: str, component: Json) -> Json:
        """Add a component that is in its final form; return a reference to it."""
        self._taken.add(normalized(name))
        self.schemas[name] = component
        return schema(name)

    def convert(self, source: object, prefix: str, root: str = "") -> Any:
        """Return a JSON Schema as it stands in the document. ``prefix`` begins the
        names of its components; ``root`` is the name of the schema itself, to which it
        may refer. If it has several, other parts refer to the first one."""
        conversion = _Conversion(self, source, prefix)
        self._sources.append(source)
        first = self._names.get(id(source), root)
        if root:
            self._names[id(source)] = root
        converted = conversion.schema(source, prefix)
        if first:
            self._names[id(source)] = first
        return converted

    def part(self, source: object, part: object, prefix: str, name: str) -> Any:
        """Return a part of ``source`` as it stands under a member ``name``."""
        conversion = _Conversion(self, source, prefix)
        return conversion.placed(part, prefix + pascal_case(name))

    def name_of(self, source: object) -> str | None:
        """Return the name of the component that a schema has become."""
        return self._names.get(id(source))

    def reserve_name(self, source: object, wanted: str) -> str:
        """Return a free name for the component of a schema, and keep it."""
        name = wanted
        number = 2
        while normalized(name) in self._taken:
            name = f"{wanted}{number}"
            number = number + 1
        self._taken.add(normalized(name))
        self._names[id(source)] = name
        self._sources.append(source)
        return name


class _Conversion:
    """The conversion of one JSON Schema, whose references are JSON Pointers."""

    def __init__(self, components: Components, document: Any, prefix: str) -> None:
        self._components = components
        self._document = document
        self._prefix = prefix

    def schema(self, source: object, name: str) -> Any:
        """Return a schema in its form for generators. ``name`` begins the names of the
        objects inside it."""
        if source is False:
            return NOTHING
        if not isinstance(source, Mapping):
            return {}
        converted = {
            keyword: self._member(keyword, value, name)
            for keyword, value in source.items()
            if keyword in _KNOWN and not _is_left_out(keyword, value)
        }
        if isinstance(source.get("$ref"), str):
            converted = _joined(self._referred(source["$ref"]), converted)
        return of_one_type(complete(converted))

    def placed(self, source: object, name: str) -> object:
        """Return a schema as it stands inside another: as a reference if it is an
        object, an enumeration, or large."""
        known = self._components.name_of(source)
        if known is None:
            converted = self.schema(source, name)
            if not _becomes_component(converted):
                return converted
            known = self._components.reserve_name(source, name)
            self._components.schemas[known] = converted
        return schema(known)

    def _member(self, keyword: str, value: object, name: str) -> object:
        if keyword in _ONE:
            return self._inner(keyword, value, name)
        if keyword in _SEVERAL and isinstance(value, list):
            return self._branches(keyword, value, name)
        if keyword in _NAMED and isinstance(value, Mapping):
            return self._named(keyword, value, name)
        return value

    def _named(self, keyword: str, parts: Mapping[str, object], name: str) -> Json:
        """Return the schemas of a keyword that has them by the names of members, or by
        patterns of names."""
        named: Json = {}
        for member, part in parts.items():
            is_pattern = keyword == "patternProperties"
            if is_pattern and _has_modifiers(member):
                continue
            inner = name + pascal_case(member)
            named[member] = not_only_null(self.placed(part, inner))
        return named

    def _inner(self, keyword: str, value: object, name: str) -> object:
        """Return the one schema that a keyword has."""
        if keyword == "additionalProperties" and isinstance(value, bool):
            return value
        if keyword in ("items", "additionalProperties"):
            return self.placed(value, name)
        return self.schema(value, name)

    def _branches(
        self, keyword: str, branches: list[object], name: str
    ) -> list[object]:
        """Return the schemas of a keyword that has a list of them."""
        if keyword == "allOf":
            return [self.schema(branch, name) for branch in branches]
        named: list[object] = []
        for number, branch in enumerate(branches, 1):
            inner = name + _branch_name(branch, number)
            placed = self.placed(branch, inner)
            named.append(placed)
        return named

    def _referred(self, reference: str) -> Json:
        """Return a reference to the component of what ``reference`` leads to."""
        target = resolve(self._document, reference)
        if target is False:
            return NOTHING
        if not isinstance(target, Mapping):
            return {}
        components = self._components
        name = components.name_of(target)
        if name is None:
            fragment = re.split("[/#]", reference)[-1]
            wanted = self._prefix + pascal_case(fragment)
            name = components.reserve_name(target, wanted)
            # The name comes first in the document, then those that it leads to.
            components.schemas[name] = {}
            components.schemas[name] = self.schema(target, name)
        return schema(name)


def _is_left_out(keyword: str, value: Any) -> bool:
    """Return whether tools fail at a keyword: an example that could be taken for a
    reference, a pattern with modifiers, a condition."""
    if keyword == "examples":
        return not isinstance(value, list) or '"$ref"' in dumps(value)
    if keyword == "pattern":
        return _has_modifiers(value)
    return keyword in ("anyOf", "oneOf") and _is_condition(value)


def _has_modifiers(pattern: str) -> bool:
    """Return whether a pattern may have modifiers, as in ``(?i)``: few tools know
    them."""
    return _MODIFIERS.search(pattern) is not None


def _is_condition(branches: object) -> bool:
    """Return whether branches say which members must be there, and nothing of their
    types."""
    return isinstance(branches, list) and all(
        isinstance(branch, Mapping) and branch.keys() <= {"required", "not"}
        for branch in branches
    )


def _branch_name(branch: object, number: int) -> str:
    """Return a name that distinguishes a branch: the constant of its first member that
    has one, its title, or its number."""
    if isinstance(branch, Mapping):
        for constant in _constants(branch):
            return pascal_case(constant)
        title = branch.get("title")
        name = pascal_case(title) if isinstance(title, str) else ""
        if 0 < len(name) <= LONGEST_BRANCH_NAME:
            return name
    return f"Option{number}"


def _constants(schema: Mapping[str, object]) -> Iterator[str]:
    """Yield the constants of an object's members that can be names."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return
    for part in properties.values():
        if not isinstance(part, Mapping):
            continue
        constant = part.get("const")
        if isinstance(constant, str) and pascal_case(constant):
            yield constant


def _becomes_component(converted: Json) -> bool:
    """Return whether a schema becomes a component. An array does not, nor a choice that
    has one among others: the items do."""
    choices = converted.get("enum", ())
    if "properties" in converted or len(choices) > 1:
        return True
    text = dumps(converted)
    is_array = '"items":' in text
    is_reference = "$ref" in converted
    if is_array or is_reference:
        return False
    return len(text) > LARGEST_INLINE


def _joined(reference: Json, others: Json) -> Json:
    """Return a reference combined with other keywords. Most generators ignore the
    siblings of ``$ref``."""
    if not others:
        return reference
    if not reference:
        return others
    if "allOf" not in others:
        return {"allOf": [reference], **others}
    conjuncts = [reference, *others["allOf"]]
    return others | {"allOf": conjuncts}
