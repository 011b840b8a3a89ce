"""Defaults: what a schema fills in before a value is validated and stored.

Through ``properties``, ``items``, ``$ref`` and ``allOf``, which always hold, and not
through branches: which of them is meant is only known once the value is complete.
"""

import json
from typing import Any, NamedTuple

from persist.domain.record import dumps
from persist.entity_types.json_schema.cost import BudgetExceeded, CostBudget
from persist.entity_types.json_schema.schema_graph import Node, in_order

FILLED = 1024 * 1024


class Default(NamedTuple):
    """A value to fill in, as JSON text, and its place in the schema."""

    value: Any
    text: str
    place: str


def prepare(root: Node) -> list[Node]:
    """Note on every node under ``root`` what a default may fill, or has to pass
    through; these nodes."""
    nodes, _ = in_order([root], _onward)
    below = {node: _onward(node) for node in nodes}
    for node in nodes:
        node.fillable = {
            name: default_of(member) for name, member in node.members.items()
        }
        node.defaulted = any(node.fillable.values())
    while sum(_passes_on(node, below[node]) for node in nodes):
        pass
    return nodes


def _passes_on(node: Node, below: list[Node]) -> bool:
    """Whether ``node`` is found only now to lead to a default."""
    found = not node.defaulted and any(each.defaulted for each in below)
    node.defaulted |= found
    return found


def _onward(node: Node) -> list[Node]:
    return [*node.parts, *node.members.values(), *node.under("items")]


def default_of(node: Node) -> Default | None:
    """The default of a schema: its own, or the first that ``$ref`` and ``allOf`` lead
    to."""
    for each in reversed(in_order([node], lambda node: reversed(node.parts))[0]):
        if isinstance(each.schema, dict) and "default" in each.schema:
            value = each.schema["default"]
            return Default(value, dumps(value), f"{each.place}/default")
    return None


def fill(node: Node, value: Any, visits: CostBudget) -> Any:
    """``value`` with its defaults: itself where none is missing, otherwise a copy as
    deep as needed."""
    if not node.defaulted:
        return value
    visits.spend(1 + (len(node.fillable) >> 2))
    for part in node.parts:
        value = fill(part, value, visits)
    if isinstance(value, dict):
        return _fill_members(node, value, visits)
    if isinstance(value, list) and node.items is not None and node.items.defaulted:
        return _fill_items(node, node.items, value, visits)
    return value


def _fill_members(
    node: Node, value: dict[str, Any], visits: CostBudget
) -> dict[str, Any]:
    filled = {}
    for name, default in node.fillable.items():
        if name in value:
            new = fill(node.members[name], value[name], visits)
            if new is not value[name]:
                filled[name] = new
        elif default is not None:
            filled[name] = fill(node.members[name], _fresh(default, visits), visits)
    visits.spend(len(value) >> 3 if filled else 0)
    return value | filled if filled else value


def _fill_items(
    node: Node, items: Node, value: list[Any], visits: CostBudget
) -> list[Any]:
    first = len(node.schema.get("prefixItems", ()))
    filled = [*value[:first], *(fill(items, item, visits) for item in value[first:])]
    return (
        value
        if all(new is old for new, old in zip(filled, value, strict=True))
        else filled
    )


def _fresh(default: Default, visits: CostBudget) -> Any:
    visits.filled += len(default.text)
    if visits.filled > FILLED:
        raise BudgetExceeded(f"its defaults would add more than {FILLED} characters")
    return (
        json.loads(default.text)
        if isinstance(default.value, dict | list)
        else default.value
    )
