"""Decimals: JSON numbers that a schema wants as decimal text."""

from collections.abc import Iterable, Iterator
from typing import Any

from persist.domain.patch import END_OF_LIST, INDEX, Path
from persist.domain.strict_json import WrittenNumber
from persist.entity_types.json_schema.applicable_subschemas import described, members_of
from persist.entity_types.json_schema.budget import BudgetExceeded, CostBudget
from persist.entity_types.json_schema.defaults import reaching
from persist.entity_types.json_schema.schema_graph import Node, in_order

NUMBERS = frozenset(("number", "integer"))

BRANCHES = ("anyOf", "oneOf")


class Decimals:
    """The members below a node that are text of the format ``decimal``.

    A JSON number there is written as text. If a schema takes numbers as well, it
    stays a number.
    """

    def __init__(self, root: Node) -> None:
        self._root = root
        nodes, _ = in_order([root], _onward)
        decimals = [node for node in nodes if _is_decimal(node)]
        self._leading = reaching(decimals, nodes, _onward)

    def __bool__(self) -> bool:
        """Whether there is a decimal."""
        return self._root in self._leading

    def written(self, value: object, budget: CostBudget) -> Any:
        """Return a value with decimals as text: itself if there is no number to
        write, otherwise a copy. Raises ``BudgetExceeded``."""
        return self._below(self._root, value, budget)

    def written_at(self, path: Path, value: object) -> object:
        """Return the value of the member at a path with decimals as text.

        A value that takes too much work stays as it is: its validation will refuse it.
        """
        nodes: Iterable[Node] = (self._root,)
        for step in path:
            nodes = list(_at(step, nodes))
        budget = CostBudget()
        try:
            for node in nodes:
                value = self._below(node, value, budget)
        except BudgetExceeded:
            pass
        return value

    def _below(
        self,
        node: Node,
        value: object,
        budget: CostBudget,
    ) -> Any:
        if node not in self._leading:
            return value
        budget.spend(1)
        if _is_number(value) and _is_decimal(node):
            return value.text if isinstance(value, WrittenNumber) else repr(value)
        for conjunct in node.conjuncts:
            value = self._below(conjunct, value, budget)
        value = self._in_branches(node, value, budget)
        if isinstance(value, dict | list):
            return self._in_members(node, value, budget)
        return value

    def _in_branches(
        self,
        node: Node,
        value: object,
        budget: CostBudget,
    ) -> object:
        for keyword in BRANCHES:
            branches = node.several.get(keyword, ())
            # If several branches may be meant, the value stays a number.
            fitting = [each for each in branches if _admits(each, value)]
            if len(fitting) == 1:
                value = self._below(fitting[0], value, budget)
        return value

    def _in_members(
        self,
        node: Node,
        value: Any,
        budget: CostBudget,
    ) -> object:
        written = value
        for step, below, member in members_of(node, value):
            new = self._below(below, member, budget)
            if new is not member:
                # The caller's value is not changed, and copied only if a member
                # differs.
                written = value.copy() if written is value else written
                written[step] = new
        return written


def _at(step: str, nodes: Iterable[Node]) -> Iterator[Node]:
    """Yield the schemas that nodes have for a member, or for an item of a list."""
    in_place, _ = in_order(nodes, _conjuncts_and_branches)
    for node in in_place:
        yield from described(node, step)
        if step == END_OF_LIST or INDEX.fullmatch(step):
            yield from _items(node)


def _conjuncts_and_branches(node: Node) -> list[Node]:
    onward = list(node.conjuncts)
    for keyword in BRANCHES:
        onward.extend(node.several.get(keyword, ()))
    return onward


def _items(node: Node) -> Iterator[Node]:
    yield from node.several.get("prefixItems", ())
    if "items" in node.one:
        yield node.one["items"]


def _onward(node: Node) -> list[Node]:
    """Return the subschemas in which decimals are looked for."""
    onward = _conjuncts_and_branches(node)
    onward.extend(node.properties.values())
    onward.extend(node.pattern_properties.values())
    onward.extend(_items(node))
    if "additionalProperties" in node.one:
        onward.append(node.one["additionalProperties"])
    return onward


def _is_decimal(node: Node) -> bool:
    """Return whether a node admits decimal text and no number."""
    if node.assertions.get("format") != "decimal":
        return False
    types = _types(node)
    return "string" in types and NUMBERS.isdisjoint(types)


def _types(node: Node) -> frozenset[str]:
    """Return the types that a node declares; none if it declares none."""
    declared = node.assertions.get("type", ())
    if isinstance(declared, str):
        return frozenset([declared])
    return frozenset(declared)


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float)


def _admits(node: Node, value: object) -> bool:
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
