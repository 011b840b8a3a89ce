"""Members: which subschemas of a node apply, and to which members of a value."""

from collections.abc import Iterator, Mapping

from persist.entity_types.json_schema.engine import matcher
from persist.entity_types.json_schema.schema_graph import Node

_NEVER_APPLIED = ("$defs", "definitions", "contentSchema")

Step = str | int

Member = tuple[Step, Node, object]
"""The name or index of a member, the schema that it has to fit, and its value."""


def members_of(
    node: Node,
    value: object,
) -> Iterator[Member]:
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


def _items(
    node: Node,
    value: list[object],
) -> Iterator[Member]:
    first = node.several.get("prefixItems", ())
    items = node.one.get("items")
    for index, item in enumerate(value):
        below = items
        if index < len(first):
            below = first[index]
        if below is not None:
            yield index, below, item


def _named_members(
    properties: Mapping[str, Node],
    value: dict[str, object],
) -> Iterator[Member]:
    """Yield the members of an object that only ``properties`` describes."""
    # Whichever has fewer names, for either may have many.
    shorter = properties if len(properties) < len(value) else value
    for name in shorter:
        if name in properties and name in value:
            below = properties[name]
            yield name, below, value[name]


def _described_members(
    node: Node,
    value: dict[str, object],
) -> Iterator[Member]:
    for name, member in value.items():
        for below in described(node, name):
            yield name, below, member


def applied(node: Node) -> list[Node]:
    """Return the subschemas that a value may be validated against."""
    unused: set[Node] = set()
    for keyword in _NEVER_APPLIED:
        named = node.named.get(keyword, {})
        unused.update(named.values())
        if keyword in node.one:
            unused.add(node.one[keyword])
    return [below for below in node.subschemas if below not in unused]


def described(node: Node, name: str) -> list[Node]:
    """Return the schemas that a node has for a member of this name."""
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
