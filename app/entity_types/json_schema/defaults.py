"""Defaults: what a schema fills in before a value is validated and stored.

Through ``properties``, ``items``, ``$ref`` and ``allOf``, which always hold, and not through branches: which
of them is meant is only known once the value is complete.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.domain.record import to_text
from app.entity_types.json_schema.run import Exhausted, Node, Run

FILLED = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Default:
    """A value to fill in, and its JSON text."""

    value: Any
    text: str
    place: str


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object that a default may fill or have to pass through."""

    name: str
    node: Node
    default: Default | None


def prepare(root: Node) -> None:
    """Note on every node under ``root`` which members a default may fill, or has to pass through."""
    parents: dict[Node, list[Node]] = {root: []}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        for below in _below(node):
            if below not in parents:
                parents[below] = []
                waiting.append(below)
            parents[below].append(node)
    waiting = [node for node in parents if any(default_of(member) for member in node.members.values())]
    while waiting:
        node = waiting.pop()
        if not node.defaulted:
            node.defaulted = True
            waiting.extend(parents[node])
    for node in parents:
        found = (Member(name, member, default_of(member)) for name, member in node.members.items())
        node.fillable = tuple(member for member in found if member.default or member.node.defaulted)


def _below(node: Node) -> Iterator[Node]:
    yield from node.parts
    yield from node.members.values()
    if node.items is not None:
        yield node.items


def default_of(node: Node) -> Default | None:
    """The default of a schema: its own, or the first that ``$ref`` and ``allOf`` lead to."""
    waiting, seen = [node], set()
    while waiting:
        current = waiting.pop()
        if isinstance(current.schema, dict) and "default" in current.schema:
            value = current.schema["default"]
            return Default(value, to_text(value), f"{current.place}/default")
        seen.add(current)
        waiting.extend(part for part in reversed(current.parts) if part not in seen)
    return None


def fill(node: Node, value: Any, run: Run) -> Any:
    """``value`` with its defaults: itself where none is missing, otherwise a copy as deep as needed."""
    if not node.defaulted:
        return value
    run.spend(1 + (len(node.fillable) >> 2))
    for part in node.parts:
        value = fill(part, value, run)
    if type(value) is dict:
        return _fill_members(node, value, run)
    if type(value) is list and node.items is not None and node.items.defaulted:
        return _fill_items(node, node.items, value, run)
    return value


def _fill_members(node: Node, value: dict[str, Any], run: Run) -> dict[str, Any]:
    filled = value
    for member in node.fillable:
        if member.name in filled:
            old = filled[member.name]
            new = fill(member.node, old, run)
        elif member.default is not None:
            old, new = None, fill(member.node, _fresh(member.default, run), run)
        else:
            continue
        if new is not old or member.name not in filled:
            if filled is value:
                run.spend(len(value) >> 3)
                filled = dict(value)
            filled[member.name] = new
    return filled


def _fill_items(node: Node, items: Node, value: list[Any], run: Run) -> list[Any]:
    first = len(node.schema.get("prefixItems", ()))
    filled = [*value[:first], *(fill(items, item, run) for item in value[first:])]
    return value if all(new is old for new, old in zip(filled, value, strict=True)) else filled


def _fresh(default: Default, run: Run) -> Any:
    run.filled += len(default.text)
    if run.filled > FILLED:
        raise Exhausted(f"its defaults would add more than {FILLED} characters")
    return json.loads(default.text) if isinstance(default.value, dict | list) else default.value
