"""Cost: what validating a value may cost, estimated before the engine is asked.

Most values are so small that the schema's size says enough. For others every visit is
counted as the engine makes them: it looks at a schema's cheap assertions first and at
nothing else if one fails, and it remembers what a recursive reference says of a
value.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic_core import to_json

from persist.entity_types.json_schema.applicable_subschemas import applied, members_of
from persist.entity_types.json_schema.assertion_costs import (
    OF_VARYING_COST,
    STATES_PER_VISIT,
    VISITS_PER_DOUBLE_CHARACTER,
    VISITS_PER_TINY_CHARACTER,
    cost_of_assertions,
    cost_of_double,
    count_numbers,
    spend_on_scalar,
)
from persist.entity_types.json_schema.budget import (
    MAX_VISITS,
    BudgetExceeded,
    CostBudget,
)
from persist.entity_types.json_schema.engine import weight
from persist.entity_types.json_schema.schema_graph import Graph, Node


class CostModel:
    """The costs of a graph's nodes.

    ``rate`` is the number of visits that one character of a value's JSON text may take
    at most, ``tiny_rate`` if some of its numbers have a negative exponent.
    """

    def __init__(self, graph: Graph) -> None:
        self._recursive = graph.recursive
        self._own_costs: dict[Node, int] = {}
        self._plain: set[Node] = set()
        self._cheap_checks: dict[Node, Callable[[object], bool]] = {}
        self._numbers: dict[Node, int] = {}
        self._constants: dict[Node, frozenset[str]] = {}
        for node in graph.nodes:
            self._numbers[node] = count_numbers(node.assertions)
            self._own_costs[node] = cost_of_assertions(node.assertions)
            if _is_plain(node):
                self._plain.add(node)
            if "const" in node.assertions or "enum" in node.assertions:
                self._constants[node] = _texts(node.assertions)
            cheap_check = _cheap_check(node.assertions)
            if cheap_check is not None:
                self._cheap_checks[node] = cheap_check
        self.rate = self._rate(graph, VISITS_PER_DOUBLE_CHARACTER)
        self.tiny_rate = self._rate(graph, VISITS_PER_TINY_CHARACTER)

    def own_cost(self, node: Node) -> int:
        """Return the visits of validating a value against a node without its
        subschemas."""
        return self._own_costs[node]

    def _rate(self, graph: Graph, per_number: int) -> int:
        rates: dict[Node, int] = {}
        recursive = 0
        for node in graph.depth_first:
            below = 0
            for each in applied(node):
                if each not in self._recursive:
                    below += rates.get(each, 0)
            own = self._own_costs[node] + _pattern_rate(node)
            own += self._numbers[node] * per_number
            rate = own + passes(node) * below
            rates[node] = rate
            if node in self._recursive:
                # They are visited at any depth: each is counted once for every
                # character.
                recursive += rate
        return rates[graph.root] + recursive

    def is_low(self, value: Any) -> bool:
        """Return whether the engine's work on a value of this size is affordable,
        whatever the value is."""
        text = to_json(value)
        # Comparing doubles as tiny as 1e-310 takes the engine 16 µs each.
        rate = self.tiny_rate if b"e-" in text else self.rate
        return rate * len(text) <= MAX_VISITS

    def is_within(
        self,
        value: object,
        parts: Iterable[tuple[Node, object]],
        budget: CostBudget,
    ) -> bool:
        """Return whether the engine's work on ``parts`` of a value is within the
        budget, and pay for it if it had to be counted."""
        # Nearly all values are so small that counting would take longer than
        # validating.
        if self.is_low(value):
            return True
        # Its own budget: if it does not suffice nothing was spent, and the
        # slower evaluation may still do.
        counted = CostBudget(budget.left)
        try:
            for node, part in parts:
                _Count(self, counted).visit(node, part)
        except BudgetExceeded:
            return False
        budget.left = counted.left
        return True

    def spend_on_assertions(
        self,
        node: Node,
        value: object,
        budget: CostBudget,
    ) -> None:
        """Pay for what the node's own assertions cost over ``value``."""
        budget.spend(self._own_costs[node])
        if isinstance(value, list):
            budget.spend(len(value))
        else:
            self.spend_on_double(node, value, budget)
            spend_on_scalar(node.assertions, value, budget)

    def spend_on_double(self, node: Node, value: object, budget: CostBudget) -> None:
        """Pay for comparing a value that is a double with the numbers of a node."""
        if isinstance(value, float):
            budget.spend(self._numbers[node] * cost_of_double(value))

    def is_plain(self, node: Node) -> bool:
        """Whether a node costs nothing beyond its own assertions."""
        return node in self._plain

    def is_recursive(self, node: Node) -> bool:
        """Whether a node leads back to itself."""
        return node in self._recursive

    def fails_cheap_check(self, node: Node, value: object) -> bool:
        """Whether an assertion that the engine looks at first fails."""
        cheap_check = self._cheap_checks.get(node)
        return cheap_check is not None and cheap_check(value)

    def lacks_constant(self, node: Node, value: object) -> bool:
        """Whether a text is none of the constants of a node."""
        constants = self._constants.get(node)
        if constants is None or not isinstance(value, str):
            return False
        return value not in constants


class _Count:
    """One count of visits."""

    def __init__(self, model: CostModel, budget: CostBudget) -> None:
        self._model = model
        self._budget = budget
        self._seen: set[tuple[Node, int]] = set()

    def visit(self, node: Node, value: object) -> bool:
        """Count the visits of a value under a node; return whether it is known that the
        value is not valid there."""
        model = self._model
        budget = self._budget
        budget.spend(model.own_cost(node))
        model.spend_on_double(node, value, budget)
        if model.fails_cheap_check(node, value):
            return True
        is_denied = model.lacks_constant(node, value)
        if model.is_plain(node):
            return is_denied
        if isinstance(value, dict | list):
            if self._is_remembered(node, value):
                return False
            is_denied = self._visit_members(node, value)
        else:
            spend_on_scalar(node.assertions, value, budget)
        for _ in range(passes(node)):
            is_denied = self._visit_in_place(node, value) or is_denied
        return is_denied

    def _visit_in_place(self, node: Node, value: object) -> bool:
        is_denied = False
        all_of = node.several.get("allOf", ())
        for each in all_of:
            is_denied = self.visit(each, value)
            if is_denied:
                break  # the engine asks none of the others
        for each in node.in_place:
            if each not in all_of:
                is_invalid = self.visit(each, value)
                is_denied |= is_invalid and each in node.conjuncts
        return is_denied

    def _is_remembered(self, node: Node, value: object) -> bool:
        """Whether the engine remembers what a recursive node says of a value."""
        if not self._model.is_recursive(node):
            return False
        # The value outlives the count, so that ids are not reused.
        key = (node, id(value))
        remembered = key in self._seen
        self._seen.add(key)
        return remembered

    def _visit_members(self, node: Node, value: Any) -> bool:
        is_denied = False
        patterns = node.pattern_properties
        if patterns and isinstance(value, dict):
            spend_on_names(patterns, value, self._budget)
        if isinstance(value, list):
            self._budget.spend(len(value))
        for _, below, member in members_of(node, value):
            is_denied |= self.visit(below, member)
        if isinstance(value, list):
            self._visit_each(node, "contains", value)
            self._visit_each(node, "unevaluatedItems", value)
        else:
            self._visit_each(node, "propertyNames", value)
            self._visit_each(node, "unevaluatedProperties", value.values())
        return is_denied

    def _visit_each(
        self,
        node: Node,
        keyword: str,
        members: Iterable[object],
    ) -> None:
        if keyword in node.one:
            for member in members:
                self.visit(node.one[keyword], member)


def passes(node: Node) -> int:
    """Return how often the engine validates the subschemas that apply in place: more
    often if it looks for unevaluated members."""
    if "unevaluatedProperties" in node.one or "unevaluatedItems" in node.one:
        return 3
    return 1


def spend_on_names(
    patterns: Mapping[str, Node],
    value: dict[str, object],
    budget: CostBudget,
) -> None:
    """Pay for matching the names of all members against patterns."""
    budget.spend(len(value) * len(patterns))
    states = sum(map(weight, patterns))
    characters = sum(map(len, value))
    budget.spend(characters * states // STATES_PER_VISIT)


def _pattern_rate(node: Node) -> int:
    """Return the visits of matching one character against all patterns of a node."""
    rate = 0
    for pattern in node.patterns:
        rate += 1 + weight(pattern) // STATES_PER_VISIT
    return rate


def _is_plain(node: Node) -> bool:
    if applied(node):
        return False
    return OF_VARYING_COST.isdisjoint(node.assertions)


def _texts(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the texts among the constants of a schema."""
    constants = [schema["const"]] if "const" in schema else schema["enum"]
    return frozenset(value for value in constants if isinstance(value, str))


_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    # 1.0 is an integer (JSON Schema, section 6.1.1).
    "integer": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def _cheap_check(schema: Mapping[str, Any]) -> Callable[[object], bool] | None:
    """Return a function that tells without the engine whether ``type`` or ``required``
    fails."""
    declared = schema.get("type")
    required = tuple(schema.get("required", ()))
    if declared is None and not required:
        return None
    types = _python_types(declared)

    def fails(value: object) -> bool:
        # Not isinstance: a bool is an int in Python and no number in JSON.
        if type(value) not in types:
            return True
        if not isinstance(value, dict):
            return False
        return any(name not in value for name in required)

    return fails


def _python_types(declared: str | list[str] | None) -> frozenset[type]:
    """Return the Python types of values that have a declared JSON type."""
    if isinstance(declared, str):
        return frozenset(_TYPES[declared])
    types: set[type] = set()
    for name in declared or _TYPES:
        types.update(_TYPES[name])
    return frozenset(types)
