"""Cost: what validating a value may cost, estimated before the engine is asked.

The unit is a visit: one keyword looked at, for which the engine takes 10 to 250 ns.
Most values are so small that the schema's size says enough. For others every visit is
counted as the engine makes them: it looks at a schema's cheap assertions first and at
nothing else where one fails, and it remembers what a recursive reference says of a
value.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import frexp
from typing import Any

from pydantic_core import to_json

from persist.domain.record import dumps
from persist.entity_types.json_schema.engine import FORMATS, matcher, weight
from persist.entity_types.json_schema.schema_graph import Graph, Node

MAX_VISITS = 500_000
"""Visits that one validation may take, the explanation of its faults included."""

BRIEF_VISITS = 25_000
"""Visits that may be made where others wait, about 5 ms."""

VISITS_PER_REGEX_CHARACTER = 4
"""Visits for each character of a text that is read as a regular expression."""

VISITS_PER_OWN_FORMAT = 16
"""Visits of a format that Python looks at."""

VISITS_PER_DOUBLE = 8
"""Visits of comparing a double with another number; its exponent comes to that."""

VISITS_PER_DOUBLE_CHARACTER = 2
VISITS_PER_TINY_CHARACTER = 10
"""The same for each character of a double's text, and of one as tiny as ``1e-310``."""

STATES_PER_VISIT = 16
"""Steps of a pattern, one state for one character, that make up a visit."""

_BOUNDS = ("maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum")
_OF_VARYING_PRICE = frozenset(("pattern", "format", "multipleOf", "uniqueItems"))
_NEVER_APPLIED = ("$defs", "definitions", "contentSchema")

Step = str | int

Member = tuple[Step, Node, Any]
"""The name or index of a member, the schema that it has to fit, and its value."""


class BudgetExceeded(Exception):
    """The value takes more work than one validation may."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or f"it takes more than {MAX_VISITS} visits")


class CostBudget:
    """The visits that are left of one validation."""

    def __init__(self, visits: int = MAX_VISITS) -> None:
        self.left = visits
        self.filled_characters = 0

    def spend(self, visits: int) -> None:
        """Pay for work. Raises ``BudgetExceeded`` once the budget is spent."""
        self.left -= visits
        if self.left < 0:
            raise BudgetExceeded


class CostModel:
    """The prices of a graph's nodes.

    ``rate`` is the number of visits that one character of a value's JSON text may take
    at most, ``tiny_rate`` where some of its numbers have a negative exponent.
    """

    def __init__(self, graph: Graph) -> None:
        self._recursive = graph.recursive
        self._prices: dict[Node, int] = {}
        self._plain: set[Node] = set()
        self._refuters: dict[Node, Callable[[Any], bool]] = {}
        self._numbers: dict[Node, int] = {}
        for node in graph.nodes:
            self._numbers[node] = _count_numbers(node.assertions)
            self._prices[node] = _price(node.assertions)
            if _is_plain(node):
                self._plain.add(node)
            refuter = _refuter(node.assertions)
            if refuter is not None:
                self._refuters[node] = refuter
        self.rate = self._rate(graph, VISITS_PER_DOUBLE_CHARACTER)
        self.tiny_rate = self._rate(graph, VISITS_PER_TINY_CHARACTER)

    def price(self, node: Node) -> int:
        """Return the visits of one look at a value, subschemas aside."""
        return self._prices[node]

    def _rate(self, graph: Graph, per_number: int) -> int:
        rates: dict[Node, int] = {}
        recursive = 0
        for node in graph.depth_first:
            below = 0
            for each in _applied(node):
                if each not in self._recursive:
                    below += rates.get(each, 0)
            own = self._prices[node] + _pattern_rate(node)
            own += self._numbers[node] * per_number
            rate = own + passes(node) * below
            rates[node] = rate
            if node in self._recursive:
                recursive += rate
        return rates[graph.root] + recursive

    def is_within(
        self,
        value: object,
        parts: Iterable[tuple[Node, object]],
        budget: CostBudget,
    ) -> bool:
        """Return whether the engine's work on ``parts`` of a value is within the
        budget, and pay for it where it had to be counted."""
        text = to_json(value)
        rate = self.tiny_rate if b"e-" in text else self.rate
        if rate * len(text) <= MAX_VISITS:
            return True
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
        budget.spend(self._prices[node])
        if isinstance(value, list):
            budget.spend(len(value))
        else:
            self.spend_on_double(node, value, budget)
            _spend_on_scalar(node.assertions, value, budget)

    def spend_on_double(self, node: Node, value: object, budget: CostBudget) -> None:
        """Pay for comparing a value that is a double with the numbers of a node."""
        if isinstance(value, float):
            budget.spend(self._numbers[node] * _price_of_double(value))

    def is_plain(self, node: Node) -> bool:
        """Whether the price of a node is all that it can cost."""
        return node in self._plain

    def is_recursive(self, node: Node) -> bool:
        """Whether a node leads back to itself."""
        return node in self._recursive

    def refutes(self, node: Node, value: object) -> bool:
        """Whether an assertion that the engine looks at first fails."""
        refuter = self._refuters.get(node)
        return refuter is not None and refuter(value)


class _Count:
    """One count of visits."""

    def __init__(self, model: CostModel, budget: CostBudget) -> None:
        self._model = model
        self._budget = budget
        self._seen: set[tuple[Node, int]] = set()

    def visit(self, node: Node, value: object) -> None:
        model = self._model
        budget = self._budget
        budget.spend(model.price(node))
        model.spend_on_double(node, value, budget)
        if model.is_plain(node) or model.refutes(node, value):
            return
        if isinstance(value, dict | list):
            if self._is_remembered(node, value):
                return
            self._visit_members(node, value)
        else:
            _spend_on_scalar(node.assertions, value, budget)
        for _ in range(passes(node)):
            for each in node.in_place:
                self.visit(each, value)

    def _is_remembered(self, node: Node, value: object) -> bool:
        """Whether the engine remembers what a recursive node says of a value."""
        if not self._model.is_recursive(node):
            return False
        key = (node, id(value))
        remembered = key in self._seen
        self._seen.add(key)
        return remembered

    def _visit_members(self, node: Node, value: Any) -> None:
        patterns = node.pattern_properties
        if patterns and isinstance(value, dict):
            spend_on_names(patterns, value, self._budget)
        if isinstance(value, list):
            self._budget.spend(len(value))
        for _, below, member in members_of(node, value):
            self.visit(below, member)
        if isinstance(value, list):
            self._visit_each(node, "contains", value)
            self._visit_each(node, "unevaluatedItems", value)
        else:
            self._visit_each(node, "propertyNames", value)
            self._visit_each(node, "unevaluatedProperties", value.values())

    def _visit_each(
        self,
        node: Node,
        keyword: str,
        members: Iterable[object],
    ) -> None:
        if keyword in node.one:
            for member in members:
                self.visit(node.one[keyword], member)


def members_of(node: Node, value: object) -> Iterator[Member]:
    """Return the members or items of ``value`` that ``node`` itself describes, each
    with the schema that it has to fit."""
    if isinstance(value, list):
        return _items(node, value)
    if not isinstance(value, dict):
        return iter(())
    is_open = node.pattern_properties or "additionalProperties" in node.one
    if is_open:
        return _described_members(node, value)
    return _named_members(node.properties, value)


def _items(node: Node, value: list[object]) -> Iterator[Member]:
    first = node.several.get("prefixItems", ())
    items = node.one.get("items")
    for index, item in enumerate(value):
        below = first[index] if index < len(first) else items
        if below is not None:
            yield index, below, item


def _named_members(
    properties: Mapping[str, Node],
    value: dict[str, object],
) -> Iterator[Member]:
    """Yield the members of an object that only ``properties`` describes."""
    shorter = properties if len(properties) < len(value) else value
    for name in shorter:
        if name in properties and name in value:
            yield name, properties[name], value[name]


def _described_members(node: Node, value: dict[str, object]) -> Iterator[Member]:
    for name, member in value.items():
        for below in described(node, name):
            yield name, below, member


def described(node: Node, name: str) -> list[Node]:
    """Return what a node says of a member by its name."""
    found: list[Node] = []
    for pattern, below in node.pattern_properties.items():
        matches = matcher(pattern)
        if matches(name):
            found.append(below)
    if name in node.properties:
        found.append(node.properties[name])
    if not found and "additionalProperties" in node.one:
        found.append(node.one["additionalProperties"])
    return found


def passes(node: Node) -> int:
    """Return how often the engine looks at what applies in place: again for what it
    leaves unevaluated."""
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


def _spend_on_scalar(
    schema: Mapping[str, object],
    value: object,
    budget: CostBudget,
) -> None:
    if isinstance(value, float) and "multipleOf" in schema:
        _, exponent = frexp(value)
        budget.spend(abs(exponent) // 4)
    elif isinstance(value, str):
        _spend_on_text(schema, value, budget)


def _spend_on_text(
    schema: Mapping[str, Any],
    value: str,
    budget: CostBudget,
) -> None:
    if schema.get("format") == "regex":
        budget.spend(VISITS_PER_REGEX_CHARACTER * len(value))
    elif "format" in schema:
        budget.spend(len(value) >> 4)
    pattern = schema.get("pattern")
    if pattern is None:
        return
    visits = weight(pattern) * len(value) // STATES_PER_VISIT
    if visits > MAX_VISITS:
        raise BudgetExceeded(
            f"{len(value)} characters are too many to be matched against"
            f" {pattern[:100]}"
        )
    budget.spend(visits)


def _price(schema: Mapping[str, Any]) -> int:
    """Return the visits of one look at a value, those of subschemas aside."""
    required = len(schema.get("required", ()))
    price = 1 + len(schema) + (required >> 4)
    dependent = schema.get("dependentRequired", {})
    dependent_names = sum(map(len, dependent.values()))
    price += dependent_names >> 2
    price += _price_of_constants(schema)
    if schema.get("format") == "regex":
        price += VISITS_PER_REGEX_CHARACTER
    if schema.get("format") in FORMATS:
        price += VISITS_PER_OWN_FORMAT
    divisor = schema.get("multipleOf")
    if isinstance(divisor, float):
        _, exponent = frexp(divisor)
        price += 32 + abs(exponent)
    return price


def _price_of_double(number: float) -> int:
    """Return the visits of comparing a double with another number, which the engine
    does with all digits of both."""
    _, exponent = frexp(number)
    digits = max(-exponent, exponent >> 3)
    return VISITS_PER_DOUBLE + (digits >> 4)


def _count_numbers(schema: Mapping[str, Any]) -> int:
    """Return how many numbers a double is compared with digit by digit. Bounds that are
    integers are not among them."""
    count = 0
    for option in (*schema.get("enum", ()), schema.get("const")):
        if isinstance(option, int | float):
            count += 1
    for bound in _BOUNDS:
        if isinstance(schema.get(bound), float):
            count += 1
    return count


def _price_of_constants(schema: Mapping[str, Any]) -> int:
    """Return the visits of comparing a value with ``enum`` and ``const``."""
    doubles = 0
    deep: list[Any] = []
    for option in (*schema.get("enum", ()), schema.get("const")):
        if isinstance(option, float):
            doubles += _price_of_double(option)
        elif isinstance(option, dict | list):
            deep.append(option)
    if not deep:
        return doubles
    characters = len(dumps(deep))
    return doubles + (characters >> 2)


def _pattern_rate(node: Node) -> int:
    """Return the visits of matching one character against all patterns of a node."""
    rate = 0
    for pattern in node.patterns:
        rate += 1 + weight(pattern) // STATES_PER_VISIT
    return rate


def _is_plain(node: Node) -> bool:
    if _applied(node):
        return False
    return _OF_VARYING_PRICE.isdisjoint(node.assertions)


def _applied(node: Node) -> list[Node]:
    """Return the subschemas that a value may be validated against."""
    unused: set[Node] = set()
    for keyword in _NEVER_APPLIED:
        named = node.named.get(keyword, {})
        unused.update(named.values())
        if keyword in node.one:
            unused.add(node.one[keyword])
    return [below for below in node.subschemas if below not in unused]


_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def _refuter(schema: Mapping[str, Any]) -> Callable[[Any], bool] | None:
    """Return a function that says whether ``type`` or ``required`` fails at once."""
    declared = schema.get("type")
    required = tuple(schema.get("required", ()))
    if declared is None and not required:
        return None
    types = _python_types(declared)

    def refutes(value: object) -> bool:
        if type(value) not in types:
            return True
        if not isinstance(value, dict):
            return False
        return any(name not in value for name in required)

    return refutes


def _python_types(declared: str | list[str] | None) -> frozenset[type]:
    """Return the Python types of values that have a declared JSON type."""
    if isinstance(declared, str):
        return frozenset(_TYPES[declared])
    types: set[type] = set()
    for name in declared or _TYPES:
        types.update(_TYPES[name])
    return frozenset(types)
