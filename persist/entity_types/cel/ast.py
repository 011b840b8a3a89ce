"""The tree of a CEL expression: what ``syntax`` makes and filters and expressions walk
over."""

from collections.abc import Iterator
from dataclasses import dataclass


class Fault(Exception):
    """What is wrong with an expression, for people; it says where, as far as that is
    known."""

    def __init__(self, detail: str, position: int | None = None) -> None:
        super().__init__(
            detail if position is None else f"{detail} (at character {position + 1})"
        )


@dataclass(frozen=True, slots=True)
class Literal:
    """``null``, a truth value, a number, text or bytes."""

    value: bool | int | float | str | bytes | None
    position: int


@dataclass(frozen=True, slots=True)
class Name:
    """An identifier that stands alone, as ``data`` does in ``data.title``."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Select:
    """``operand.name``, or ``has(operand.name)`` where ``tested``."""

    operand: "Node"
    name: str
    tested: bool
    position: int


@dataclass(frozen=True, slots=True)
class Apply:
    """A function or an operator (``_&&_``, ``@in``); ``target`` is what stands before
    its dot."""

    function: str
    target: "Node | None"
    arguments: "tuple[Node, ...]"
    position: int


@dataclass(frozen=True, slots=True)
class Elements:
    """A list, written out."""

    items: "tuple[Node, ...]"
    position: int


@dataclass(frozen=True, slots=True)
class Entries:
    """A map, written out: its keys and values in turn."""

    items: "tuple[Node, ...]"
    position: int


Node = Literal | Name | Select | Apply | Elements | Entries


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below ``node``."""
    match node:
        case Select():
            return (node.operand,)
        case Apply():
            return (
                node.arguments
                if node.target is None
                else (node.target, *node.arguments)
            )
        case Elements() | Entries():
            return node.items
    return ()


def walk(node: Node) -> Iterator[Node]:
    """``node`` and all nodes below it."""
    yield node
    for child in children(node):
        yield from walk(child)
