"""Visits: what judging a value may cost, reckoned before the engine is asked.

A visit is one keyword looked at; the engine takes 10 to 250 ns for it. Most values are
so small that the schema's own size says enough; for others every visit is counted, as
the engine would make them: what a recursive reference says of a value it remembers,
everything else it looks at again.
"""

from collections.abc import Iterator
from math import frexp
from typing import Any

from persist.domain.record import dumps
from persist.entity_types.json_schema.engine import matcher, weight
from persist.entity_types.json_schema.schema_graph import Graph, Node

VISITS = 500_000
REGEX = 4
STEPS = 16
"""What a text to be read as a regular expression takes in visits for each character,
and how many steps of one, one state for one character, make up a visit."""

_MEMBERS = ("properties", "patternProperties", "additionalProperties")
_OF_ARRAYS = ("unevaluatedItems", "contains")
_VARYING = frozenset(("pattern", "format", "multipleOf", "uniqueItems"))
_UNUSED = ("$defs", "definitions", "contentSchema")
Step = str | int


class BudgetExceeded(Exception):
    """The value takes more work than one validation may."""

    def __init__(self, detail: str = f"it takes more than {VISITS} visits") -> None:
        super().__init__(detail)


class CostBudget:
    """The visits that are ``left`` of a validation."""

    def __init__(self) -> None:
        self.left = VISITS
        self.filled = 0
        self._seen: set[tuple[Node, int]] = set()

    def spend(self, visits: int) -> None:
        """Pay for work; raises ``BudgetExceeded`` once the budget is spent."""
        self.left -= visits
        if self.left < 0:
            raise BudgetExceeded

    def judging(self, node: Node, value: Any) -> None:
        """Pay for all that ``node`` would look at in ``value``."""
        self.left -= node.price
        if self.left < 0:
            raise BudgetExceeded
        if node.plain:
            return
        if isinstance(value, dict | list):
            if node.recursive:
                if (node, id(value)) in self._seen:
                    return
                self._seen.add((node, id(value)))
            self._members(node, value)
        elif isinstance(node.schema, dict):
            self._scalar(node.schema, value)
        for _ in range(node.turns):
            for beside in node.beside:
                self.judging(beside, value)

    def _scalar(self, schema: Any, value: Any) -> None:
        if isinstance(value, float) and "multipleOf" in schema:
            self.spend(abs(frexp(value)[1]) // 4)
        if isinstance(value, str) and schema.get("format") == "regex":
            self.spend(REGEX * len(value))
        if isinstance(value, str) and "pattern" in schema:
            visits = weight(schema["pattern"]) * len(value) // STEPS
            if visits > VISITS:
                text = schema["pattern"][:100]
                raise BudgetExceeded(
                    f"{len(value)} characters are too many to be matched against {text}"
                )
            self.spend(visits)

    def _members(self, node: Node, value: Any) -> None:
        patterns = node.leads.get("patternProperties", ())
        if patterns and isinstance(value, dict):
            self.spend(len(value) * len(patterns))
            self.spend(sum(map(len, value)) * sum(map(weight, patterns)) // STEPS)
        if isinstance(value, list):
            self.spend(len(value))
        judging = self.judging
        for _, below, member in within(node, value):
            judging(below, member)
        for keyword in (
            "propertyNames",
            "unevaluatedProperties",
            "unevaluatedItems",
            "contains",
        ):
            if keyword in node.leads and isinstance(value, list) == (
                keyword in _OF_ARRAYS
            ):
                members = (
                    value.values() if keyword == "unevaluatedProperties" else value
                )
                for member in members:
                    self.judging(node.leads[keyword], member)


def within(node: Node, value: Any) -> Iterator[tuple[Step, Node, Any]]:
    """Members or items of ``value`` that ``node`` itself describes, with the schemas
    they are to fit."""
    if isinstance(value, list):
        first = node.leads.get("prefixItems", [])
        for index, item in enumerate(value):
            below = first[index] if index < len(first) else node.items
            if below is not None:
                yield index, below, item
    elif isinstance(value, dict) and not node.leads.keys().isdisjoint(_MEMBERS):
        members, rest = node.members, node.leads.get("additionalProperties")
        patterns = [
            (matcher(text), below)
            for text, below in node.leads.get("patternProperties", {}).items()
        ]
        for name, member in value.items():
            found = (
                [below for matches, below in patterns if matches(name)]
                if patterns
                else []
            )
            if name in members:
                found.append(members[name])
            for below in found or ((rest,) if rest else ()):
                yield name, below, member


def _price(schema: Any) -> int:
    """The visits one look at a value takes, those of other schemas aside."""
    if isinstance(schema, bool):
        return 1
    options = [*schema.get("enum", ()), schema.get("const")]
    deep = [option for option in options if isinstance(option, dict | list)]
    price: int = 1 + len(schema) + (len(schema.get("required", ())) >> 4)
    price += len(dumps(deep)) >> 2 if deep else 0
    price += REGEX * (schema.get("format") == "regex")
    if isinstance(divisor := schema.get("multipleOf"), float):
        price += 32 + abs(frexp(divisor)[1])
    return price


def most(graph: Graph) -> int:
    """What one character of a value's JSON text may cost at most; notes on every node
    what it costs."""
    cost: dict[Node, int] = {}
    for node in graph.order:
        onward = [
            below
            for keyword in node.leads
            if keyword not in _UNUSED
            for below in node.under(keyword)
        ]
        node.price = _price(node.schema)
        node.plain = not onward and (
            isinstance(node.schema, bool) or _VARYING.isdisjoint(node.schema)
        )
        cost[node] = node.price + sum(
            1 + weight(text) // STEPS for text in node.patterns
        )
        cost[node] += node.turns * sum(
            cost.get(below, 0) for below in onward if not below.recursive
        )
    return cost[graph.root] + sum(cost[node] for node in cost if node.recursive)
