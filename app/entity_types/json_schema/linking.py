"""Linking: the rules of compiled schemas become checks for each type of value.

What ``$ref`` and ``allOf`` lead to is merged into the schema they stand in, once; of ``anyOf`` and ``oneOf``
only the alternatives for the value's type remain, and a single one is merged as well. So a member
that may be null costs no more than one that may not.
"""

from collections.abc import Iterable, Iterator

from app.entity_types.json_schema.applicators import unevaluated
from app.entity_types.json_schema.assertions import ANY, Either, Rule, Together, allowed_types
from app.entity_types.json_schema.branches import between
from app.entity_types.json_schema.run import Check, Node

MERGED = 8  # checks; merging any number would take quadratic space


def in_order(nodes: Iterable[Node]) -> tuple[list[Node], list[Node]]:
    """The nodes, each after those beside it; and nodes that lead back to themselves."""
    order: dict[Node, None] = {}
    looping: list[Node] = []
    for start in nodes:
        path: dict[Node, Iterator[Node]] = {} if start in order else {start: iter(start.beside)}
        while path:
            beside = next(next(reversed(path.values())), None)
            if beside is None:
                order[path.popitem()[0]] = None
            elif beside in path:
                looping.append(beside)
            elif beside not in order:
                path[beside] = iter(beside.beside)
    return list(order), looping


def link(node: Node, rules: list[Rule]) -> None:
    """Give ``node`` its checks; the nodes beside it have theirs."""
    allowed = allowed_types(node.schema)
    for python in ANY:
        entries = (entry for types, entry in rules if python in types)
        checks = tuple(dict.fromkeys(check for entry in entries for check in _expanded(entry, python)))
        if python not in allowed:
            checks = checks[:1]
        elif python in node.unevaluated:
            checks = (unevaluated(python, checks, node.unevaluated[python]),)
        node.checks[python] = checks
        if python not in allowed or any(_refuses(entry, python) for _, entry in rules):
            node.refused.add(python)


def _expanded(entry: Check | Together | Either, python: type) -> tuple[Check, ...]:
    if isinstance(entry, Together):
        return _merged(entry.node, python)
    if not isinstance(entry, Either):
        return (entry,)
    possible = [node for node in entry.nodes if python not in node.refused]
    if len(possible) == 1:
        return _merged(possible[0], python)
    return (between(entry.keyword, possible or entry.nodes, entry.most),)


def _merged(node: Node, python: type) -> tuple[Check, ...]:
    checks = node.checks[python]
    return checks if len(checks) <= MERGED else (node.check,)


def _refuses(entry: Check | Together | Either, python: type) -> bool:
    if isinstance(entry, Together):
        return python in entry.node.refused
    return isinstance(entry, Either) and all(python in node.refused for node in entry.nodes)
