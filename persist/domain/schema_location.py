"""Locations: every schema that applies to one member, on all branches of a JSON Schema.

A member may be declared by ``properties`` next to ``$ref``, ``allOf``, ``anyOf``,
``oneOf``, ``if`` and ``dependentSchemas``, at any depth. References are JSON Pointers
into the same document: a definition is converted to that form when it is registered.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from persist.domain.field_types import FORMATS, NUMBERS, FieldType
from persist.domain.schema_keywords import (
    JSON_TYPES,
    NOTHING,
    Schema,
    alternatives,
    is_closed,
    list_of,
    mapping_of,
    own_types,
    resolve,
)

Result = TypeVar("Result")

PLAIN_TEXT = frozenset((FieldType.STRING,))

Matches = Callable[[str, str], bool]
"""Whether a pattern of ``patternProperties`` occurs in a name."""


def root_of(
    schema: Schema,
    matches: Matches,
) -> "Location":
    """Return the location of a whole document."""
    return _Document(schema, matches).located(schema)


class _Document:
    """A JSON Schema and the locations of its schemas, each made once."""

    def __init__(
        self,
        schema: Schema,
        matches: Matches,
    ) -> None:
        self.matches = matches
        self._schema = schema
        # A location refers to its document. Weak, so that there is no cycle: loaded
        # types are excluded from garbage collection (``gc.freeze``).
        self._locations: WeakValueDictionary[int, Location] = WeakValueDictionary()

    def located(self, schema: object) -> "Location":
        """Return the location that one schema of this document describes."""
        found = self._locations.get(id(schema))
        if found is None:
            found = self._locations[id(schema)] = Location(self, [schema])
        return found

    def conjuncts(self, schemas: list[object]) -> list[Schema]:
        """Return the schemas with all that ``$ref`` and ``allOf`` add, each once."""
        found: dict[int, Schema] = {}
        waiting = schemas[::-1]
        while waiting:
            schema = waiting.pop()
            if schema is False:
                schema = NOTHING
            if not isinstance(schema, Mapping) or id(schema) in found:
                continue
            found[id(schema)] = schema
            waiting += list_of(schema, "allOf")[::-1]
            reference = schema.get("$ref", schema.get("$dynamicRef"))
            if isinstance(reference, str):
                waiting.append(resolve(self._schema, reference))
        return list(found.values())


Group = list["Location | None"]
"""Schemas of which one applies; None is a branch that does not declare the member."""


class Location:
    """All schemas of one member: ``schemas`` always apply, of ``groups`` one each.

    A question is answered once. If a schema is recursive, the answer is that which
    restricts nothing. ``strict`` questions count branches that do not declare the
    member: there its value may be anything.
    """

    def __init__(
        self,
        document: _Document,
        schemas: list[object],
        groups: list[Group] | None = None,
        *,
        declared: bool = True,
    ) -> None:
        self.declared = declared
        self.schemas = document.conjuncts(schemas)
        self._document = document
        self._given_groups = groups or []
        self._members: dict[str, Location | None] = {}
        self._answers: dict[str, Any] = {}

    @cached_property
    def groups(self) -> list[Group]:
        """The branches of ``anyOf``, ``oneOf``, ``if`` and ``dependentSchemas``."""
        located = self._document.located
        found = list(self._given_groups)
        for schema in self.schemas:
            found += [[*map(located, parts)] for parts in alternatives(schema)]
        return found

    def _remembered(
        self,
        question: str,
        answer: Callable[[], Result],
        recursive: Result,
    ) -> Result:
        if question not in self._answers:
            # A schema that refers to itself asks again before there is an answer.
            self._answers[question] = recursive
            self._answers[question] = answer()
        found: Result = self._answers[question]
        return found

    # Values

    def json_types(self, *, strict: bool = False) -> frozenset[str]:
        """Return the JSON types that a value may have."""
        return self._remembered(
            f"types {strict}",
            lambda: self._find_json_types(strict),
            JSON_TYPES,
        )

    def _find_json_types(self, strict: bool) -> frozenset[str]:
        found = JSON_TYPES
        for schema in self.schemas:
            found &= own_types(schema)
        for group in self.groups:
            if strict and None in group:
                continue
            allowed = [branch.json_types(strict=strict) for branch in _present(group)]
            found &= frozenset().union(*allowed)
        return found

    def formats(self, *, strict: bool = False) -> frozenset[FieldType]:
        """Return the field types that a value which is text may have."""
        return self._remembered(
            f"formats {strict}",
            lambda: self._find_formats(strict),
            PLAIN_TEXT,
        )

    def _find_formats(self, strict: bool) -> frozenset[FieldType]:
        for schema in self.schemas:
            own = FORMATS.get(str(schema.get("format")))
            if own is not None:
                return frozenset((own,))
        for group in self.groups:
            if strict and None in group:
                continue
            united = _united_formats(group, strict)
            if united and FieldType.STRING not in united:
                return united
        return PLAIN_TEXT

    def types(self) -> frozenset[FieldType]:
        """Return the types of the field; empty if it may have any."""
        names = self.json_types() - {"null"}
        is_open = names == JSON_TYPES - {"null"}
        if is_open and self.formats() == PLAIN_TEXT:
            return frozenset()
        found = {FieldType(name) for name in names - {"string"}}
        if "string" in names:
            found |= self.formats()
        if found >= set(NUMBERS):
            found.remove(FieldType.INTEGER)
        return frozenset(found)

    def is_certain(self) -> bool:
        """Return whether every value has one of ``types``, whichever branch applies."""
        if not self.json_types(strict=True) <= self.json_types():
            return False
        return self.formats(strict=True) == self.formats()

    def allows_null(self) -> bool:
        """Return whether a value may be null."""
        return "null" in self.json_types(strict=True)

    def choices(self) -> list[object] | None:
        """Return the values of an enumeration, or None."""
        return self._remembered(
            "choices",
            self._find_choices,
            None,
        )

    def _find_choices(self) -> list[object] | None:
        for schema in self.schemas:
            if "const" in schema:
                return [schema["const"]]
            if isinstance(schema.get("enum"), list):
                return list(schema["enum"])
        for group in self.groups:
            united = _united_choices(group)
            if united is not None:
                return united
        return None

    def has_default(self) -> bool:
        """Return whether a schema that always applies has a default, and not null."""
        return any(schema.get("default") is not None for schema in self.schemas)

    # Objects and lists

    def names(self) -> dict[str, None]:
        """Return the declared members of an object, in the order of the schema."""
        return self._remembered(
            "names",
            self._find_names,
            {},
        )

    def _find_names(self) -> dict[str, None]:
        found: dict[str, None] = {}
        for schema in self.schemas:
            found |= dict.fromkeys(mapping_of(schema, "properties"))
        for group in self.groups:
            for branch in _present(group):
                found |= branch.names()
        return found

    def requires(self, name: str) -> bool:
        """Return whether an object must have a member."""
        return self._remembered(
            f"requires {name}",
            lambda: self._find_requires(name),
            False,
        )

    def _find_requires(self, name: str) -> bool:
        if any(name in list_of(schema, "required") for schema in self.schemas):
            return True
        return any(
            all(branch is not None and branch.requires(name) for branch in group)
            for group in self.groups
        )

    def is_open(self) -> bool:
        """Return whether an object may have members that no schema declares."""
        return self._remembered(
            "open",
            self._find_is_open,
            True,
        )

    def _find_is_open(self) -> bool:
        if "object" not in self.json_types() or any(map(is_closed, self.schemas)):
            return False
        return all(
            any(branch is None or branch.is_open() for branch in group)
            for group in self.groups
        )

    def member(self, name: str) -> "Location | None":
        """Return the location of a member of an object; None if it is undeclared."""
        if name not in self._members:
            self._members[name] = None
            self._members[name] = self._find_member(name)
        return self._members[name]

    def _find_member(self, name: str) -> "Location | None":
        declarations: list[object] = []
        for schema in self.schemas:
            declarations += self._declarations(schema, name)
        groups: list[Group] = []
        for group in self.groups:
            branches = _branches_of_type(group, "object")
            inner = [branch and branch.member(name) for branch in branches]
            if any(inner):
                groups.append(inner)
        if declarations or groups:
            return Location(
                self._document,
                declarations,
                groups,
            )
        return self._additional()

    def _declarations(
        self,
        schema: Schema,
        name: str,
    ) -> list[object]:
        """Return the schemas that one schema declares for a member."""
        found: list[Any] = []
        properties = mapping_of(schema, "properties")
        if name in properties:
            found.append(properties[name])
        patterns = mapping_of(schema, "patternProperties")
        for pattern, described in patterns.items():
            if self._document.matches(pattern, name):
                found.append(described)
        return found

    def _additional(self) -> "Location | None":
        """Return the location of members that ``additionalProperties`` describes."""
        described = [
            schema["additionalProperties"]
            for schema in self.schemas
            if isinstance(schema.get("additionalProperties"), Mapping)
        ]
        if not described:
            return None
        return Location(
            self._document,
            described,
            declared=False,
        )

    def element(self) -> "Location | None":
        """Return the location of what an index leads to: an element of a list, or a
        member of an object that names none; None if nothing describes it."""
        types = self.json_types() - {"null"}
        if types == {"array"}:
            return self.items()
        if types == {"object"} and not self.names():
            return self._additional()
        return None

    def items(self) -> "Location | None":
        """Return the location of a list's elements; None if nothing describes them."""
        return self._remembered(
            "items",
            self._find_items,
            None,
        )

    def _find_items(self) -> "Location | None":
        groups: list[Group] = []
        for schema in self.schemas:
            groups += self._described_items(schema)
        for group in self.groups:
            branches = _branches_of_type(group, "array")
            inner = [branch and branch.items() for branch in branches]
            if any(inner):
                groups.append(inner)
        return (
            Location(
                self._document,
                [],
                groups,
            )
            if groups
            else None
        )

    def _described_items(self, schema: Schema) -> list[Group]:
        if "items" not in schema and "prefixItems" not in schema:
            return []
        elements = [
            *list_of(schema, "prefixItems"),
            schema.get("items", True),
        ]
        return [[*map(self._document.located, elements)]]


def _present(group: Group) -> list[Location]:
    return [branch for branch in group if branch is not None]


def _branches_of_type(
    group: Group,
    json_type: str,
) -> Group:
    """Return the branches under which a value may be of a JSON type."""
    return [
        branch for branch in group if branch is None or json_type in branch.json_types()
    ]


def _united_formats(
    group: Group,
    strict: bool,
) -> frozenset[FieldType]:
    """Return the types of text that the branches which allow text have."""
    texts = [
        branch.formats(strict=strict)
        for branch in _present(group)
        if "string" in branch.json_types()
    ]
    return frozenset[FieldType]().union(*texts)


def _united_choices(group: Group) -> list[object] | None:
    """Return the values of all branches; None if one of them is not an enumeration."""
    united: list[object] = []
    for branch in group:
        found = None if branch is None else _choices_or_null(branch)
        if found is None:
            return None
        united += [value for value in found if value not in united]
    return united


def _choices_or_null(branch: Location) -> list[object] | None:
    if branch.json_types() == {"null"}:
        return [None]
    return branch.choices()
