"""Evaluation: a value under a schema, keyword by keyword, within a budget.

It gives the engine's verdict at ten times its cost, but remembers every answer, stops
where the first assertion fails, can be interrupted, and says of every subschema whether
it holds. So it explains what the engine only refuses, and it validates what the engine
might be busy with for too long. A subschema that is asked often is compiled. Source:
JSON Schema Core and Validation 2020-12.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from persist.domain.bounded_cache import bounded_cache, weight_of_texts
from persist.domain.record import INT64_BOUNDS, canonical_text
from persist.entity_types.json_schema.applicable_subschemas import (
    Step,
    members_of,
)
from persist.entity_types.json_schema.budget import CostBudget
from persist.entity_types.json_schema.cost import (
    CostModel,
    spend_on_names,
)
from persist.entity_types.json_schema.engine import ENGINE_BYTES, bytes_of, validator
from persist.entity_types.json_schema.patterns import to_assertions
from persist.entity_types.json_schema.schema_graph import (
    Graph,
    Node,
    asserts_integer,
)

VISITS_PER_EVALUATION = 10
"""The visits that the evaluation of one keyword group here is worth."""

VISITS_PER_COMPILED_NODE = 50
"""Visits that compiling a node counts for."""

OFTEN = 64
"""Times a schema is evaluated before it is considered for compilation."""

ASSERTIONS = (
    "type",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "dependentRequired",
    "uniqueItems",
)
"""Keywords that assert something of the value itself."""


class Evaluation:
    """The answers that one graph gives of one value and of its parts.

    ``counted`` says that the engine's whole work on the value is known to be within the
    budget, so that parts of it may be left to the engine.
    """

    def __init__(
        self, graph: Graph, costs: CostModel, budget: CostBudget, *, counted: bool
    ) -> None:
        self._graph = graph
        self._costs = costs
        self._budget = budget
        self._counted = counted
        self._answers: dict[tuple[Node, int], bool] = {}
        self._asked: Counter[Node] = Counter()
        self._compiled: dict[Node, Callable[[object], bool]] = {}
        self._compile: Callable[[Node], Callable[[object], bool]] | None = None
        self._own: dict[Node, Callable[[object], bool]] = {}

    def spend(self, visits: int) -> None:
        """Pay for work. Raises ``BudgetExceeded``."""
        self._budget.spend(visits)

    def is_valid(self, node: Node, value: object) -> bool:
        """Return whether a value is valid under a node. Raises ``BudgetExceeded``."""
        if isinstance(node.schema, bool):
            return node.schema
        compiled = self._compiled.get(node)
        if compiled is not None:
            self.spend(1)
            return compiled(value)
        key = (node, id(value))
        answer = self._answers.get(key)
        if answer is None:
            self.spend(VISITS_PER_EVALUATION)
            self._note_asked(node)
            answer = self._evaluate(node, value)
            # Only containers: equal scalars may be one object, and are quick to judge.
            if isinstance(value, dict | list):
                self._answers[key] = answer
        return answer

    def holding(self, node: Node, value: object) -> Iterator[Node]:
        """Yield the subschemas that must hold of this very value."""
        yield from node.conjuncts
        if isinstance(value, dict):
            yield from _dependents(node, value)
        if "if" in node.one:
            holds = self.is_valid(node.one["if"], value)
            branch = node.one.get("then" if holds else "else")
            if branch is not None:
                yield branch

    def count_contained(self, node: Node, value: list[object]) -> int:
        """Return how many items fit the node's ``contains``."""
        below = node.one["contains"]
        return sum(self.is_valid(below, item) for item in value)

    def unevaluated(
        self, node: Node, value: Any
    ) -> Iterator[tuple[Step, Node, object]]:
        """Yield the members or items that the node's ``unevaluated…`` applies to."""
        keyword = _unevaluated_keyword(value)
        if keyword is None or keyword not in node.one:
            return
        below = node.one[keyword]
        evaluated = self._evaluated(node, value, without=keyword)
        members = value.items() if isinstance(value, dict) else enumerate(value)
        for step, member in members:
            if step not in evaluated:
                yield step, below, member

    # One node

    def _evaluate(self, node: Node, value: object) -> bool:
        return (
            # The cheap tests first: most branches of a union fail there.
            self._is_own_valid(node, value)
            and all(self.is_valid(each, value) for each in self.holding(node, value))
            and self._is_valid_in_branches(node, value)
            and self._is_valid_in_members(node, value)
        )

    def _is_own_valid(self, node: Node, value: object) -> bool:
        self._costs.spend_on_assertions(node, value, self._budget)
        if self._costs.fails_cheap_check(node, value):
            return False
        compiled = self._own.get(node)
        if compiled is None:
            compiled = compile_assertions(_own_assertions(node))
            self._own[node] = compiled
        return compiled(value)

    def _is_valid_in_branches(self, node: Node, value: object) -> bool:
        excluded = node.one.get("not")
        if excluded is not None and self.is_valid(excluded, value):
            return False
        any_of = node.several.get("anyOf")
        if any_of and not any(self.is_valid(each, value) for each in any_of):
            return False
        one_of = node.several.get("oneOf")
        if not one_of:
            return True
        count = sum(self.is_valid(each, value) for each in one_of)
        return count == 1

    def _is_valid_in_members(self, node: Node, value: object) -> bool:
        if not isinstance(value, dict | list):
            return True
        if isinstance(value, dict):
            is_accepted = self._has_valid_names(node, value)
        else:
            is_accepted = self.contains_enough(node, value)
        return (
            is_accepted
            and self._are_valid(members_of(node, value))
            and self._are_valid(self.unevaluated(node, value))
        )

    def _are_valid(self, members: Iterable[tuple[Step, Node, object]]) -> bool:
        return all(self.is_valid(below, member) for _, below, member in members)

    def _has_valid_names(self, node: Node, value: dict[str, object]) -> bool:
        spend_on_names(node.pattern_properties, value, self._budget)
        names = node.one.get("propertyNames")
        if names is None:
            return True
        return all(self.is_valid(names, name) for name in value)

    def contains_enough(self, node: Node, value: list[Any]) -> bool:
        """Return whether ``contains`` holds, ``minContains`` and ``maxContains``
        counted."""
        if "contains" not in node.one:
            return True
        schema = node.assertions
        count = self.count_contained(node, value)
        least = schema.get("minContains", 1)
        limit = schema.get("maxContains", count)
        return bool(least <= count <= limit)

    # What other keywords have evaluated

    def _evaluated(self, node: Node, value: Any, without: str = "") -> set[Step]:
        """Return the members or items that ``node`` evaluates other than by the keyword
        ``without``."""
        self.spend(VISITS_PER_EVALUATION)
        keyword = _unevaluated_keyword(value)
        if keyword in node.one and keyword != without:
            steps = value if isinstance(value, dict) else range(len(value))
            return set(steps)
        seen: set[Step] = {step for step, _, _ in members_of(node, value)}
        if isinstance(value, list):
            seen.update(self._contained(node, value))
        for each in (*self.holding(node, value), *self._valid_branches(node, value)):
            seen |= self._evaluated(each, value)
        return seen

    def _contained(self, node: Node, value: list[object]) -> Iterator[int]:
        """Yield the indexes of the items that fit the node's ``contains``."""
        below = node.one.get("contains")
        if below is None:
            return
        for index, item in enumerate(value):
            if self.is_valid(below, item):
                yield index

    def _valid_branches(self, node: Node, value: object) -> Iterator[Node]:
        branches = list(node.several.get("anyOf", ()))
        branches.extend(node.several.get("oneOf", ()))
        condition = node.one.get("if")
        if condition is not None:
            branches.append(condition)
        for each in branches:
            if self.is_valid(each, value):
                yield each

    # Compiling what is asked often

    def _note_asked(self, node: Node) -> None:
        """Compile a node once it was evaluated about as often as it has subschemas."""
        # The engine's work on a compiled node is not counted while it runs.
        if not self._counted:
            return
        self._asked[node] += 1
        asked = self._asked[node]
        # Not each time: measuring the size takes time as well.
        is_power_of_two = asked & (asked - 1) == 0
        if asked < OFTEN or not is_power_of_two:
            return
        size = _size(node, asked)
        if size > asked:
            return
        self.spend(size * VISITS_PER_COMPILED_NODE)
        compile_node = self._compile
        if compile_node is None:
            compile_node = self._graph.compile_nodes()
            self._compile = compile_node
        self._compiled[node] = compile_node(node)


def compile_assertions(assertions: Mapping[str, Any]) -> Callable[[object], bool]:
    """Return a function that says whether these assertions of one schema hold."""
    if not assertions:
        return lambda value: True
    others = dict(assertions)
    pattern = others.pop("pattern", None)
    return _compiled(canonical_text(others), pattern)


def _bytes_of(text: str, pattern: str | None) -> int:
    if pattern is None:
        return weight_of_texts(text)
    return weight_of_texts(text) + bytes_of(pattern)


@bounded_cache(ENGINE_BYTES, _bytes_of)
def _compiled(text: str, pattern: str | None) -> Callable[[object], bool]:
    schema = json.loads(text)
    conjuncts = []
    if pattern is not None:
        # Patterns are those of ECMA 262, which the engine knows in this form.
        conjuncts.append(to_assertions(pattern))
    if asserts_integer(schema):
        # An integer is stored in 64 bits.
        conjuncts.append(INT64_BOUNDS)
    if conjuncts:
        schema["allOf"] = conjuncts
    return validator(schema)


def _own_assertions(node: Node) -> dict[str, object]:
    """Return the keywords that assert something of the value itself."""
    return {
        keyword: node.assertions[keyword]
        for keyword in ASSERTIONS
        if keyword in node.assertions
    }


def _dependents(node: Node, value: dict[str, object]) -> Iterator[Node]:
    """Yield the subschemas of ``dependentSchemas`` whose member is present."""
    for name, below in node.named.get("dependentSchemas", {}).items():
        if name in value:
            yield below


def _unevaluated_keyword(value: object) -> str | None:
    if isinstance(value, dict):
        return "unevaluatedProperties"
    if isinstance(value, list):
        return "unevaluatedItems"
    return None


def _size(node: Node, limit: int) -> int:
    """Return how many nodes a node leads to, or a number beyond ``limit``."""
    seen = {node}
    waiting = [node]
    while waiting and len(seen) <= limit:
        following = waiting.pop()
        for below in following.subschemas:
            if below not in seen:
                seen.add(below)
                waiting.append(below)
    return len(seen)
