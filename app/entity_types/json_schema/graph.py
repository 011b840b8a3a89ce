"""Graph: every schema of a document as a compiled node, and what is wrong with the document."""

from collections import deque
from collections.abc import Iterator
from typing import Any

from app.domain.errors import Violation, pointer
from app.entity_types.json_schema.applicators import APPLICATORS, SURPLUS, UNKNOWN
from app.entity_types.json_schema.assertions import ANY, ASSERTIONS, Rule, asserting
from app.entity_types.json_schema.document import Document, Scope, Unresolvable
from app.entity_types.json_schema.linking import in_order, link
from app.entity_types.json_schema.patterns import Pattern, PatternRefused, compile_pattern
from app.entity_types.json_schema.run import ANYTHING, Node

MAX_NODES = 10_000
_TRIGGERS = (*(((keyword,), maker) for keyword, maker in ASSERTIONS.items()), *APPLICATORS)
_UNEVALUATED = (("unevaluatedProperties", dict, UNKNOWN), ("unevaluatedItems", list, SURPLUS))


class Graph:
    """The nodes of a schema that fits the meta-schema of draft 2020-12.

    ``problems`` names references that lead nowhere or in circles: with any, the nodes are not fit for
    use. ``refused_patterns`` names patterns beyond the linear engine, which assert nothing; ``weight``
    is that of all others together. In ``nodes`` each comes after those beside it.
    """

    def __init__(self, schema: Any) -> None:
        self.document = Document(schema)
        self.problems = list(self.document.problems)
        self.refused_patterns: list[Violation] = []
        self.weight = 0
        self._known: dict[tuple[int, Scope], Node] = {}
        self._waiting: deque[tuple[Node, Scope]] = deque()
        self.root = self.node(self.document.root, ())
        rules = {node: list(_rules(place)) for node, place in self._places()}
        self.nodes, looping = in_order(rules)
        self.problems += [Violation(node.place, "refers to itself without end") for node in looping]
        if not self.problems:
            self._link(rules)

    def node(self, schema: Any, outer: Scope, detail: str = "is not allowed here") -> Node:
        """The node of a schema that is entered from ``outer``; it may be compiled later."""
        if schema is True:
            return ANYTHING
        if schema is False:
            return _nothing(detail)
        scope = self.document.scope(schema, outer)
        key = (id(schema), scope)
        if key not in self._known:
            self._known[key] = Node(schema, self.document.place(schema))
            self._waiting.append((self._known[key], scope))
        return self._known[key]

    def _places(self) -> Iterator[tuple[Node, "_Place"]]:
        """Every node in turn, those too that compiling the ones before has led to."""
        while self._waiting:
            node, scope = self._waiting.popleft()
            if len(self._known) > MAX_NODES:
                detail = f"dynamic references unfold to more than {MAX_NODES} schemas"
                self.problems.append(Violation(node.place, detail))
                return
            yield node, _Place(self, node, scope)

    def _link(self, rules: dict[Node, list[Rule]]) -> None:
        for node in self.nodes:
            if node in rules:
                link(node, rules[node])


def _rules(place: "_Place") -> Iterator[Rule]:
    schema = place.node.schema
    for keywords, maker in _TRIGGERS:
        if any(keyword in schema for keyword in keywords):
            yield from maker(place, schema)
    for keyword, python, detail in _UNEVALUATED:
        if keyword in schema:
            place.node.unevaluated[python] = place.below(schema[keyword], detail)


def _nothing(detail: str) -> Node:
    node = Node(False, "")
    node.checks = dict.fromkeys(ANY, (asserting("false", lambda _: False, detail),))
    return node


class _Place:
    """Where the keywords of one node are compiled."""

    def __init__(self, graph: Graph, node: Node, scope: Scope) -> None:
        self.node = node
        self._graph = graph
        self._scope = scope

    def below(self, schema: Any, detail: str = "is not allowed here") -> Node:
        return self._graph.node(schema, self._scope, detail)

    def beside(self, schema: Any, *, always: bool = False) -> Node:
        return self._beside(self._graph.node(schema, self._scope), always)

    def refer(self, reference: str, *, dynamic: bool) -> Node:
        document, source = self._graph.document, self.node.schema
        try:
            if dynamic:
                schema = document.resolve_dynamically(reference, source, self._scope)
            else:
                schema = document.resolve(reference, source)
        except Unresolvable as why:
            keyword = "$dynamicRef" if dynamic else "$ref"
            self._graph.problems.append(Violation(self._pointer(keyword), str(why)))
            return ANYTHING
        return self._beside(self._graph.node(schema, self._scope), not dynamic)

    def pattern(self, text: str, *path: str) -> Pattern:
        try:
            pattern = compile_pattern(text)
        except PatternRefused as why:
            self._graph.refused_patterns.append(Violation(self._pointer(*path), str(why)))
            return Pattern(text, 0, lambda _: True)
        self._graph.weight += pattern.weight
        return pattern

    def _beside(self, node: Node, always: bool) -> Node:
        self.node.beside.append(node)
        if always:
            self.node.parts.append(node)
        return node

    def _pointer(self, *path: str) -> str:
        return self.node.place + pointer(path)
