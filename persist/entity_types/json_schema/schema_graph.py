"""Schema graph: every schema of a document as a node that knows its subschemas.

The document is in draft 2020-12 and every reference in it is a JSON Pointer
(``conversion``). Values that are computed for nodes (costs, defaults, validators) are
kept in separate tables, never on the nodes.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote

from jsonschema_rs import Registry as CompiledRegistry

from persist.domain.errors import Violation, pointer
from persist.domain.record import INT64_BOUNDS, Json, dumps, normalize_number
from persist.entity_types.json_schema.dialects import NAMED, ONE, SEVERAL
from persist.entity_types.json_schema.engine import PatternRefused, validator, weight
from persist.entity_types.json_schema.patterns import (
    split_look_ahead,
    to_assertions,
    to_engine_syntax,
)
from persist.entity_types.json_schema.references import BASE

_APPLICATORS_OF_ONE = ("$ref", "not", "if", "then", "else")
_APPLICATORS_OF_SEVERAL = ("allOf", "anyOf", "oneOf")
_NOT_ALLOWED = "is not allowed here"
_DENIALS = {
    **dict.fromkeys(
        ("additionalProperties", "unevaluatedProperties"),
        "is not a member this object may have",
    ),
    **dict.fromkeys(("items", "unevaluatedItems"), "is one item too many"),
}


@dataclass(frozen=True, eq=False)
class Node:
    """A schema and its subschemas. Equal schemas at two locations are two nodes.

    ``one``, ``several`` and ``named`` hold the subschemas of keywords whose value is a
    schema, an array of schemas or an object of schemas; a ``$ref`` is among ``one``.
    ``location`` is a JSON Pointer into the document. ``denial`` says of a value why it
    is not valid if the schema is ``false``.
    """

    schema: Any
    location: str
    denial: str = _NOT_ALLOWED
    one: Mapping[str, "Node"] = field(default_factory=dict)
    several: Mapping[str, tuple["Node", ...]] = field(default_factory=dict)
    named: Mapping[str, Mapping[str, "Node"]] = field(default_factory=dict)

    @cached_property
    def assertions(self) -> Mapping[str, Any]:
        """The keywords of the schema; none if it is a boolean."""
        return self.schema if isinstance(self.schema, dict) else {}

    @cached_property
    def subschemas(self) -> tuple["Node", ...]:
        """All subschemas, wherever they apply."""
        found = list(self.one.values())
        for nodes in self.several.values():
            found.extend(nodes)
        for by_name in self.named.values():
            found.extend(by_name.values())
        return tuple(found)

    @cached_property
    def in_place(self) -> tuple["Node", ...]:
        """The subschemas that apply to the value itself."""
        one = self.one
        found = [one[keyword] for keyword in _APPLICATORS_OF_ONE if keyword in one]
        for keyword in _APPLICATORS_OF_SEVERAL:
            found.extend(self.several.get(keyword, ()))
        dependent = self.named.get("dependentSchemas", {})
        found.extend(dependent.values())
        return tuple(found)

    @cached_property
    def conjuncts(self) -> tuple["Node", ...]:
        """The subschemas that must hold whenever this one does: ``$ref`` and
        ``allOf``."""
        conjuncts = self.several.get("allOf", ())
        target = self.one.get("$ref")
        if target is None:
            return conjuncts
        return (target, *conjuncts)

    @cached_property
    def properties(self) -> Mapping[str, "Node"]:
        """The subschemas of ``properties``."""
        return self.named.get("properties", {})

    @cached_property
    def pattern_properties(self) -> Mapping[str, "Node"]:
        """The subschemas of ``patternProperties``, by pattern."""
        return self.named.get("patternProperties", {})

    @cached_property
    def patterns(self) -> tuple[str, ...]:
        """The patterns that a value is matched against here."""
        own = self.assertions.get("pattern")
        of_names = tuple(self.pattern_properties)
        return of_names if own is None else (own, *of_names)


class Graph:
    """The nodes of a document.

    ``problems`` names references that lead nowhere or in circles; with any of them the
    graph is not fit for use. ``refused_patterns`` names patterns beyond the linear
    engine, which assert nothing. ``nodes`` come each after those it applies in place,
    ``depth_first`` each after all its subschemas, circles aside.
    """

    def __init__(self, schema: object) -> None:
        builder = _Builder(schema)
        self.root = builder.root
        self.refused_patterns = tuple(builder.refused_patterns)
        self._engine_document = builder.engine_document
        self._engine_locations = builder.engine_locations
        nodes = list(builder.nodes.values())
        self.nodes, circular = in_order(nodes, lambda node: node.in_place)
        self.depth_first, recursive = in_order(nodes, lambda node: node.subschemas)
        self.recursive = frozenset(recursive)
        circles = [
            Violation(node.location, "refers to itself forever") for node in circular
        ]
        self.problems = (*builder.problems, *circles)

    def compile(self) -> Callable[[object], bool]:
        """Return a function that says whether a value is valid under the root.

        Raises ``ValueError``.
        """
        return validator(self._engine_document)

    def compile_nodes(self) -> Callable[[Node], Callable[[object], bool]]:
        """Return a function that compiles single nodes. What it makes keeps memory of
        the size of all that the node leads to."""
        registry = self._registry()

        def compiled(node: Node) -> Callable[[object], bool]:
            return validator(self._reference_to(node), registry)

        return compiled

    def compile_members(self, conjuncts: Iterable[Node]) -> Callable[[object], bool]:
        """Return a function that says whether the members of an object, each by itself,
        are valid under all of these nodes."""
        schemas = [self._members_schema(node) for node in conjuncts]
        return validator({"allOf": schemas}, self._registry())

    def _members_schema(self, node: Node) -> Json:
        """Return the schema of the members that a node describes, none of them
        required."""
        schema: Json = {}
        if "properties" in node.named:
            properties = {}
            for name, below in node.properties.items():
                properties[name] = self._reference_to(below)
            schema["properties"] = properties
        if "patternProperties" in node.named:
            by_pattern = {}
            for pattern, below in node.pattern_properties.items():
                name = to_engine_syntax(pattern)
                by_pattern[name] = self._reference_to(below)
            schema["patternProperties"] = by_pattern
        additional = node.one.get("additionalProperties")
        if additional is not None:
            schema["additionalProperties"] = self._reference_to(additional)
        return schema

    def _registry(self) -> CompiledRegistry:
        return CompiledRegistry([(BASE, self._engine_document)])

    def _reference_to(self, node: Node) -> dict[str, str]:
        location = self._engine_locations[node]
        return {"$ref": BASE + _reference(location)}


def asserts_integer(schema: Mapping[str, Any]) -> bool:
    """Whether a schema admits no other number than integers."""
    declared = schema.get("type", ())
    if isinstance(declared, str):
        return declared == "integer"
    return "integer" in declared and "number" not in declared


class _Builder:
    """Builds the nodes, and the document as the engine reads it: integers are within
    64 bits, patterns in its own syntax, and nothing has an address."""

    def __init__(self, schema: object) -> None:
        # Parsed twice from text: two copies without shared parts, of which one is
        # changed.
        text = dumps(schema)
        self.nodes: dict[str, Node] = {}
        self.problems: list[Violation] = []
        self.refused_patterns: list[Violation] = []
        self.engine_document = _parsed(text)
        self.engine_locations: dict[Node, str] = {}
        self._references: list[tuple[Node, dict[str, Node], Any]] = []
        self.root = self._node(_parsed(text), self.engine_document, "", "")
        for reference in self._references:
            self._link(*reference)
        if isinstance(self.engine_document, dict):
            # The engine would resolve references against the address, and read the
            # draft again.
            for keyword in ("$id", "$schema"):
                self.engine_document.pop(keyword, None)

    def _node(
        self,
        schema: Any,
        engine_schema: Any,
        location: str,
        engine_location: str,
        denial: str = _NOT_ALLOWED,
    ) -> Node:
        one: dict[str, Node] = {}
        several: dict[str, tuple[Node, ...]] = {}
        named: dict[str, Mapping[str, Node]] = {}
        # The mappings are filled below, and by ``_link``: references may form circles.
        node = Node(schema, location, denial, one, several, named)
        self.nodes[location] = node
        self.engine_locations[node] = engine_location
        if not isinstance(schema, dict):
            return node
        self._adapt(schema, engine_schema, location)
        for keyword, value in schema.items():
            at = f"{location}/{keyword}"
            engine_at = f"{engine_location}/{keyword}"
            below = engine_schema.get(keyword)
            if keyword == "$ref":
                self._references.append((node, one, engine_schema))
            elif keyword in ONE:
                denial = _DENIALS.get(keyword, _NOT_ALLOWED)
                one[keyword] = self._node(value, below, at, engine_at, denial)
            elif keyword in SEVERAL:
                several[keyword] = self._several(value, below, at, engine_at)
            elif keyword in NAMED:
                named[keyword] = self._named(keyword, value, below, at, engine_at)
        return node

    def _several(
        self,
        schemas: list[Any],
        engine_schemas: list[Any],
        at: str,
        engine_at: str,
    ) -> tuple[Node, ...]:
        nodes = []
        for index, part in enumerate(schemas):
            node = self._node(
                part,
                # The engine's array may end with conjuncts that were added to it.
                engine_schemas[index],
                f"{at}/{index}",
                f"{engine_at}/{index}",
            )
            nodes.append(node)
        return tuple(nodes)

    def _named(
        self,
        keyword: str,
        schemas: Json,
        engine_schemas: Json,
        at: str,
        engine_at: str,
    ) -> dict[str, Node]:
        of_patterns = keyword == "patternProperties"
        nodes = {}
        for name, part in schemas.items():
            known_as = to_engine_syntax(name) if of_patterns else name
            if of_patterns and known_as not in engine_schemas:
                continue
            nodes[name] = self._node(
                part,
                engine_schemas[known_as],
                at + pointer((name,)),
                engine_at + pointer((known_as,)),
            )
        return nodes

    def _adapt(
        self,
        schema: Json,
        engine_schema: Json,
        location: str,
    ) -> None:
        """Write into the engine's schema what else it asserts here."""
        if asserts_integer(schema):
            _add_conjunct(engine_schema, INT64_BOUNDS)
        if "pattern" in schema:
            self._adapt_pattern(schema, engine_schema, location)
        if "patternProperties" in schema:
            self._adapt_name_patterns(engine_schema, location)

    def _adapt_pattern(
        self,
        schema: Json,
        engine_schema: Json,
        location: str,
    ) -> None:
        pattern = schema["pattern"]
        # The engine's own patterns may take exponential time.
        del engine_schema["pattern"]
        if self._is_accepted(pattern, f"{location}/pattern"):
            _add_conjunct(engine_schema, to_assertions(pattern))
        else:
            # It asserts nothing here either; the author gets a problem.
            del schema["pattern"]

    def _adapt_name_patterns(self, engine_schema: Json, location: str) -> None:
        keyword = "patternProperties"
        accepted = {}
        for pattern, below in engine_schema[keyword].items():
            at = location + pointer((keyword, pattern))
            if self._is_accepted(pattern, at, of_names=True):
                accepted[to_engine_syntax(pattern)] = below
        engine_schema[keyword] = accepted

    def _is_accepted(
        self,
        pattern: str,
        location: str,
        *,
        of_names: bool = False,
    ) -> bool:
        """Return whether the engine can match a pattern; note why it cannot."""
        try:
            weight(pattern)
            ahead, _ = split_look_ahead(pattern)
            if of_names and ahead:
                raise PatternRefused(
                    "has look-ahead, which no name can be matched with"
                )
        except PatternRefused as why:
            self.refused_patterns.append(Violation(location, str(why)))
            return False
        return True

    def _link(
        self,
        node: Node,
        one: dict[str, Node],
        engine_schema: Any,
    ) -> None:
        reference = node.assertions["$ref"]
        target_location = unquote(reference.removeprefix("#"))
        target = self.nodes.get(target_location)
        if target is None or not reference.startswith("#"):
            location = f"{node.location}/$ref"
            detail = f"{reference[:200]} leads to no schema of this document"
            self.problems.append(Violation(location, detail))
        else:
            one["$ref"] = target
            engine_schema["$ref"] = _reference(self.engine_locations[target])


def _add_conjunct(schema: Json, conjunct: Mapping[str, Any]) -> None:
    conjuncts = schema.get("allOf", ())
    schema["allOf"] = [*conjuncts, conjunct]


def _parsed(text: str) -> Any:
    return json.loads(text, parse_float=_number)


def _number(text: str) -> int | float:
    return normalize_number(float(text))


def _reference(location: str) -> str:
    return "#" + quote(location, safe="/~!$&'()*+,;=:@?")


def in_order(
    nodes: Iterable[Node], onward: Callable[[Node], Iterable[Node]]
) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """Return the nodes, each after those it leads to, and nodes that lead back to
    themselves."""
    order: dict[Node, None] = {}
    circular: dict[Node, None] = {}
    # Without recursion: references may lead further than Python's stack is deep.
    for start in nodes:
        path: dict[Node, Iterator[Node]] = {}
        if start not in order:
            path[start] = iter(onward(start))
        while path:
            following = next(next(reversed(path.values())), None)
            if following is None:
                finished, _ = path.popitem()
                order[finished] = None
            elif following in path:
                circular[following] = None
            elif following not in order:
                path[following] = iter(onward(following))
    return tuple(order), tuple(circular)
