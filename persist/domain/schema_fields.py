"""Schema fields: the members that a JSON Schema declares, as far as filters, sorting,
indexes and columns need them.

The schema is in draft 2020-12 and its references are JSON Pointers. A member counts as
declared where any branch of the schema declares it; its type is what all branches
together leave possible.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import unquote

from persist.domain.field import Field, FieldType, Path, Schema

_SCALARS = ("string", "boolean", "null")
_ALL = frozenset((*_SCALARS, "object", "array", "integer", "number"))
_BRANCHES = ("anyOf", "oneOf")
_CONDITIONAL = ("if", "then", "else")

Types = frozenset[str]

REMEMBERED = 1_000
"""Members of one schema that are remembered once they were looked up."""


@dataclass(frozen=True, eq=False)
class _View:
    """What applies to one value: all of ``schemas``, and of each of ``choices`` at
    least one. ``hints`` declare members and constrain nothing."""

    schemas: tuple[Any, ...] = ()
    choices: tuple[tuple["_View", ...], ...] = ()
    hints: tuple["_View", ...] = ()
    """Views of conditions: they apply to some values only."""

    def parts(self) -> Iterator["_View"]:
        """Yield this view and every view inside it, each once."""
        seen = {id(self)}
        waiting = [self]
        while waiting:
            view = waiting.pop()
            yield view
            inner = [each for choice in view.choices for each in choice]
            for each in (*inner, *view.hints):
                if id(each) not in seen:
                    seen.add(id(each))
                    waiting.append(each)


class SchemaFields:
    """The members that a schema declares.

    ``matches`` says whether a pattern of ``patternProperties`` occurs in a name; by
    default these patterns declare nothing.
    """

    def __init__(
        self,
        schema: Schema,
        matches: Callable[[str, str], bool] = lambda pattern, name: False,
    ) -> None:
        self.schema = schema
        self._matches = matches
        self._views: dict[int, _View] = {}
        self._root = self._view([schema])
        self._found: dict[tuple[Path, bool], Field | None] = {}
        self._member_views: dict[tuple[_View, str], _View] = {}

    @cached_property
    def declared(self) -> Mapping[str, Field]:
        """The declared top-level members by name, in the schema's order."""
        found = {name: self.at((name,)) for name in self.names(())}
        return {name: field for name, field in found.items() if field is not None}

    def at(self, path: Path, *, undeclared: bool = False) -> Field | None:
        """Return the member at ``path``; None where nothing can be there.

        The first segment must be declared, or open with ``undeclared``; deeper ones
        declared or open.
        """
        key = (path, undeclared)
        if key not in self._found:
            if len(self._found) > REMEMBERED:
                self._found.clear()
            self._found[key] = self._find(path, undeclared)
        return self._found[key]

    def named(self, path: Path) -> Field | None:
        """Return the member at a path that may begin with ``data``."""
        if path[0] != "data" or len(path) == 1:
            return self.at(path)
        inner = path[1:]
        declared = self.at(inner) or self.at(path)
        return declared or self.at(inner, undeclared=True)

    def names(self, path: Path) -> list[str]:
        """Return the declared members of the object at ``path``."""
        view = self._root
        for name in path:
            view = self._member(view, name)
        declared = (
            name
            for part in view.parts()
            for schema in part.schemas
            for name in _object(schema, "properties")
        )
        return list(dict.fromkeys(declared))

    def is_open(self, path: Path = ()) -> bool:
        """Whether the object at ``path`` may have members that are not declared."""
        view = self._root
        for name in path:
            view = self._member(view, name)
        return self._is_open(view)

    def _find(self, path: Path, undeclared: bool) -> Field | None:
        view, nullable = self._root, False
        for depth, name in enumerate(path):
            if not self._is_declared(view, name):
                hidden = depth == 0 and not undeclared
                if hidden or not self._is_open(view):
                    return None
                return Field(path, FieldType.ANY, nullable=True, declared=False)
            required = any(
                name in schema.get("required", ())
                for schema in view.schemas
                if isinstance(schema, Mapping)
            )
            view = self._member(view, name)
            filled = any(
                isinstance(schema, Mapping) and schema.get("default") is not None
                for schema in view.schemas
            )
            optional = not (required or filled)
            nullable = nullable or optional or "null" in self._types(view)
        return Field(path, _field_type(self._types(view)), nullable)

    # Views

    def _view(self, schemas: Iterable[Any]) -> _View:
        """Return what applies where all of ``schemas`` do."""
        certain: dict[int, Any] = {}
        choices: list[tuple[_View, ...]] = []
        hints: list[_View] = []
        waiting = list(schemas)[::-1]
        while waiting:
            schema = waiting.pop()
            if id(schema) in certain and not isinstance(schema, bool):
                continue
            certain[id(schema)] = schema
            if not isinstance(schema, Mapping):
                continue
            waiting.extend([*self._conjuncts(schema)][::-1])
            for keyword in _BRANCHES:
                if schema.get(keyword):
                    branches = schema[keyword]
                    views = dict.fromkeys(self._one_view(each) for each in branches)
                    choices.append(tuple(views))
            conditional = [schema[word] for word in _CONDITIONAL if word in schema]
            conditional += _object(schema, "dependentSchemas").values()
            hints += [self._one_view(each) for each in conditional]
        return _View(tuple(certain.values()), tuple(choices), tuple(hints))

    def _one_view(self, schema: Any) -> _View:
        """Return the view of one schema, the same one each time."""
        if isinstance(schema, bool):
            return _View((schema,))
        if schema.keys() == {"$ref"}:  # many branches may refer to one schema
            schema = resolve(self.schema, schema["$ref"]) or schema
        known = self._views.get(id(schema))
        if known is None:
            self._views[id(schema)] = _View(
                (schema,)
            )  # a reference to itself ends here
            known = self._views[id(schema)] = self._view([schema])
        return known

    def _conjuncts(self, schema: Schema) -> Iterator[Any]:
        reference = schema.get("$ref")
        if isinstance(reference, str):
            target = resolve(self.schema, reference)
            if target is not None:
                yield target
        yield from schema.get("allOf", ())

    def _member(self, view: _View, name: str) -> _View:
        """Return what applies to a member of what a view applies to."""
        if (view, name) not in self._member_views:
            if len(self._member_views) > REMEMBERED:
                self._member_views.clear()
            self._member_views[view, name] = self._new_member(view, name)
        return self._member_views[view, name]

    def _new_member(self, view: _View, name: str) -> _View:
        made: dict[int, _View] = {}

        def member(part: _View) -> _View:
            if id(part) not in made:
                made[id(part)] = _View()
                below = [
                    each
                    for schema in part.schemas
                    for each in self._below(schema, name)
                ]
                choices = [
                    tuple(
                        dict.fromkeys(map(member, filter(self._may_be_object, choice)))
                    )
                    for choice in part.choices
                ]
                hints = tuple(map(member, part.hints))
                own = self._view(below)
                made[id(part)] = _View(
                    own.schemas,
                    (*own.choices, *choices),
                    (*own.hints, *hints),
                )
            return made[id(part)]

        return member(view)

    def _is_declared(self, view: _View, name: str) -> bool:
        return any(
            self._names(schema, name)
            for part in view.parts()
            for schema in part.schemas
        )

    def _names(self, schema: Any, name: str) -> bool:
        """Whether a schema itself names a member, or a pattern of it does."""
        patterns = _object(schema, "patternProperties")
        return name in _object(schema, "properties") or any(
            self._matches(pattern, name) for pattern in patterns
        )

    def _below(self, schema: Any, name: str) -> list[Any]:
        """Return the schemas that a schema itself has for a member."""
        if not isinstance(schema, Mapping):
            return [False] if schema is False else []
        properties = _object(schema, "properties")
        found = [properties[name]] if name in properties else []
        for pattern, below in _object(schema, "patternProperties").items():
            if self._matches(pattern, name):
                found.append(below)
        if not found and "additionalProperties" in schema:
            found.append(schema["additionalProperties"])
        return found

    def _may_be_object(self, view: _View) -> bool:
        """Whether what a view applies to may have members: a null has none."""
        return "object" in self._types(view)

    def _is_open(self, view: _View) -> bool:
        if not self._may_be_object(view):
            return False
        return _evaluate(view, _is_open_schema, all, any)

    def _types(self, view: _View) -> Types:
        """Return the JSON types that a value may have."""
        return _evaluate(view, _own_types, _intersection, _union)


def resolve(root: Schema, reference: str) -> Any:
    """Return the schema that a reference within a document leads to, or None."""
    if not reference.startswith("#"):
        return None
    target: Any = root
    for part in unquote(reference[1:]).split("/")[1:]:
        step = part.replace("~1", "/").replace("~0", "~")
        if isinstance(target, Mapping):
            target = target.get(step)
        elif isinstance(target, list) and step.isdecimal() and int(step) < len(target):
            target = target[int(step)]
        else:
            return None
    return target if isinstance(target, Mapping | bool) else None


Answer = TypeVar("Answer")


def _evaluate(
    view: _View,
    leaf: Callable[[Any], Answer],
    conjunction: Callable[[list[Answer]], Answer],
    disjunction: Callable[[list[Answer]], Answer],
) -> Answer:
    """Return what ``leaf`` says of all schemas of a view, put together."""
    done: dict[int, Answer] = {}

    def of(part: _View) -> Answer:
        if id(part) not in done:
            own = [leaf(schema) for schema in part.schemas]
            choices = [disjunction([of(each) for each in ch]) for ch in part.choices]
            done[id(part)] = conjunction([*own, *choices])
        return done[id(part)]

    return of(view)


def _object(schema: Any, keyword: str) -> Mapping[str, Any]:
    value = schema.get(keyword) if isinstance(schema, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _own_types(schema: Any) -> Types:
    """Return the types that a schema's own keywords leave possible."""
    if not isinstance(schema, Mapping):
        return frozenset() if schema is False else _ALL
    types = _ALL
    declared = schema.get("type")
    if isinstance(declared, str | list):
        names = [declared] if isinstance(declared, str) else declared
        types = frozenset(names)
        if "number" in types:
            types |= {"integer"}
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list):
        types &= frozenset(map(_type_name, values))
    return types


def _type_name(value: Any) -> str:
    kinds = (
        (bool, "boolean"),
        (int, "integer"),
        (float, "number"),
        (str, "string"),
        (list, "array"),
        (dict, "object"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "null")


def _field_type(types: Types) -> FieldType:
    present = types - {"null"}
    if present and present <= {"integer", "number"}:
        return FieldType.NUMBER if "number" in present else FieldType.INTEGER
    return FieldType(next(iter(present))) if len(present) == 1 else FieldType.ANY


def _is_open_schema(schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return schema is not False
    closed = schema.get("additionalProperties", schema.get("unevaluatedProperties"))
    return closed is not False


def _intersection(types: list[Types]) -> Types:
    return _ALL.intersection(*types)


def _union(types: list[Types]) -> Types:
    return frozenset().union(*types)
