"""Defaults: what a schema fills in before a value is validated and stored.

Defaults are filled in through ``properties``, ``items``, ``$ref`` and ``allOf``, which
always apply, and not through branches: which of them is meant is only known once the
value is complete.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from persist.domain.record import dumps
from persist.entity_types.json_schema.budget import BudgetExceeded, CostBudget
from persist.entity_types.json_schema.schema_graph import Node, in_order

MAX_FILLED_CHARACTERS = 1024 * 1024
"""Characters of JSON text that defaults may add to one value."""


class Default(NamedTuple):
    """A value to fill in, as JSON text, and its pointer in the schema."""

    value: Any
    text: str
    location: str


class Defaults:
    """The defaults below a node, and how they are filled in.

    ``ignored`` are the pointers of defaults that are not filled in, because they do not
    fit their own schema.
    """

    def __init__(self, root: Node, ignored: frozenset[str] = frozenset()) -> None:
        self._root = root
        self._ignored = ignored
        nodes, _ = in_order([root], _onward)
        self._members: dict[Node, Mapping[str, Default]] = {}
        for node in nodes:
            self._members[node] = self._defaults_of_members(node)
        filling = [node for node in nodes if self._members[node]]
        self._filling = reaching(filling, nodes, _onward)

    def __iter__(self) -> Iterator[tuple[Node, Default]]:
        """Yield every default with the schema that it has to fit."""
        for node, members in self._members.items():
            for name, default in members.items():
                yield node.properties[name], default

    def __bool__(self) -> bool:
        return self._root in self._filling

    def fill(self, value: object, budget: CostBudget) -> Any:
        """Return ``value`` with its defaults: itself if none is missing, otherwise a
        copy as deep as needed. Raises ``BudgetExceeded``."""
        return self.fill_below(self._root, value, budget)

    def fill_below(
        self,
        node: Node,
        value: object,
        budget: CostBudget,
    ) -> object:
        """Fill in what ``node`` and the schemas below it have. See ``fill``."""
        if node not in self._filling:
            return value
        defaults = len(self._members[node])
        budget.spend(1 + (defaults >> 2))
        for conjunct in node.conjuncts:
            value = self.fill_below(conjunct, value, budget)
        if isinstance(value, dict):
            return self._fill_members(node, value, budget)
        items = node.one.get("items")
        if isinstance(value, list) and items in self._filling:
            return self._fill_items(node, value, budget)
        return value

    def _fill_members(
        self,
        node: Node,
        value: dict[str, object],
        budget: CostBudget,
    ) -> dict[str, object]:
        filled = {}
        defaults = self._members[node]
        for name, member in node.properties.items():
            if name in value:
                new = self.fill_below(member, value[name], budget)
                if new is not value[name]:
                    filled[name] = new
            elif name in defaults:
                default = defaults[name]
                fresh = _fresh(default, budget)
                filled[name] = self.fill_below(member, fresh, budget)
        if not filled:
            return value
        budget.spend(len(value) >> 3)
        return value | filled

    def _fill_items(
        self,
        node: Node,
        value: list[object],
        budget: CostBudget,
    ) -> object:
        items = node.one["items"]
        first = len(node.several.get("prefixItems", ()))
        given = value[first:]
        filled = []
        is_changed = False
        for item in given:
            new = self.fill_below(items, item, budget)
            is_changed = is_changed or new is not item
            filled.append(new)
        if not is_changed:
            return value
        return [*value[:first], *filled]

    def _defaults_of_members(self, node: Node) -> dict[str, Default]:
        """Return the default of each member that has one."""
        found = {}
        for name, member in node.properties.items():
            default = self._default_of(member)
            if default is not None:
                found[name] = default
        return found

    def _default_of(self, node: Node) -> Default | None:
        """Return the default of a schema: its own, or the first that ``$ref`` and
        ``allOf`` lead to."""
        order, _ = in_order([node], lambda each: reversed(each.conjuncts))
        for each in reversed(order):
            if "default" not in each.assertions:
                continue
            location = f"{each.location}/default"
            if location not in self._ignored:
                value = each.assertions["default"]
                return Default(value, dumps(value), location)
        return None


def reaching(
    found: list[Node],
    nodes: Iterable[Node],
    onward: Callable[[Node], Iterable[Node]],
) -> frozenset[Node]:
    """Return the nodes that are ``found``, or lead to one that is."""
    leading = defaultdict(list)
    for node in nodes:
        for below in onward(node):
            leading[below].append(node)
    reached = set(found)
    waiting = list(found)
    while waiting:
        node = waiting.pop()
        new = set(leading[node]) - reached
        reached |= new
        waiting.extend(new)
    return frozenset(reached)


def _onward(node: Node) -> list[Node]:
    """Return the subschemas through which defaults are filled in."""
    onward = list(node.conjuncts)
    onward.extend(node.properties.values())
    items = node.one.get("items")
    if items is not None:
        onward.append(items)
    return onward


def _fresh(default: Default, budget: CostBudget) -> object:
    """Return a new value, so that each place has its own copy of a default."""
    budget.filled_characters += len(default.text)
    if budget.filled_characters > MAX_FILLED_CHARACTERS:
        raise BudgetExceeded(
            f"its defaults would add more than {MAX_FILLED_CHARACTERS} characters"
        )
    value = default.value
    is_shared = isinstance(value, dict | list)
    return json.loads(default.text) if is_shared else value
