"""Decimals: JSON numbers that a schema wants as decimal text."""

from typing import Any

from persist.entity_types.json_schema.cost import CostBudget
from persist.entity_types.json_schema.defaults import reaching
from persist.entity_types.json_schema.schema_graph import Node, in_order

NUMBERS = frozenset(("number", "integer"))

BRANCHES = ("anyOf", "oneOf")


class Decimals:
    """The members below a node that are text of the format ``decimal``.

    A JSON number there is written as text. Where a schema takes numbers as well, it
    stays a number.
    """

    def __init__(self, root: Node) -> None:
        self._root = root
        nodes, _ = in_order([root], _onward)
        decimals = [node for node in nodes if _is_decimal(node)]
        self._leading = reaching(decimals, nodes, _onward)

    def written(self, value: Any, budget: CostBudget) -> Any:
        """Return a value with decimals as text: itself where there is no number to
        write, otherwise a copy. Raises ``BudgetExceeded``."""
        return self._below(self._root, value, budget)

    def _below(
        self,
        node: Node,
        value: Any,
        budget: CostBudget,
    ) -> Any:
        if node not in self._leading:
            return value
        budget.spend(1)
        if _is_number(value) and _is_decimal(node):
            return repr(value)
        for conjunct in node.conjuncts:
            value = self._below(conjunct, value, budget)
        value = self._in_branches(node, value, budget)
        if isinstance(value, dict):
            return self._in_object(node, value, budget)
        if isinstance(value, list):
            return self._in_list(node, value, budget)
        return value

    def _in_branches(
        self,
        node: Node,
        value: Any,
        budget: CostBudget,
    ) -> Any:
        for keyword in BRANCHES:
            branches = node.several.get(keyword, ())
            fitting = [each for each in branches if _admits(each, value)]
            if len(fitting) == 1:
                value = self._below(fitting[0], value, budget)
        return value

    def _in_object(
        self,
        node: Node,
        value: dict[str, Any],
        budget: CostBudget,
    ) -> dict[str, Any]:
        written = {}
        for name, below in node.properties.items():
            if name not in value:
                continue
            new = self._below(below, value[name], budget)
            if new is not value[name]:
                written[name] = new
        return value | written if written else value

    def _in_list(
        self,
        node: Node,
        value: list[Any],
        budget: CostBudget,
    ) -> list[Any]:
        items = node.one.get("items")
        if items not in self._leading:
            return value
        first = len(node.several.get("prefixItems", ()))
        written = value[:first]
        for item in value[first:]:
            new = self._below(items, item, budget)
            written.append(new)
        return written


def _onward(node: Node) -> list[Node]:
    """Return the subschemas in which decimals are looked for."""
    onward = list(node.conjuncts)
    onward.extend(node.properties.values())
    for keyword in BRANCHES:
        branches = node.several.get(keyword, ())
        onward.extend(branches)
    items = node.one.get("items")
    if items is not None:
        onward.append(items)
    return onward


def _is_decimal(node: Node) -> bool:
    """Return whether a node admits decimal text and no number."""
    if node.assertions.get("format") != "decimal":
        return False
    types = _types(node)
    return "string" in types and NUMBERS.isdisjoint(types)


def _types(node: Node) -> frozenset[str]:
    """Return the types that a node declares; none where it declares none."""
    declared = node.assertions.get("type", ())
    if isinstance(declared, str):
        return frozenset([declared])
    return frozenset(declared)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float)


def _admits(node: Node, value: Any) -> bool:
    """Return whether a branch may be meant by a value, by its declared types."""
    types = _types(node)
    if not types:
        return True
    if isinstance(value, dict):
        return "object" in types
    if isinstance(value, list):
        return "array" in types
    if _is_decimal(node):
        return True
    return not NUMBERS.isdisjoint(types)
