"""The syntax tree of a CEL expression, in the terms of ``cel/expr/syntax.proto``.

``parser`` makes it; filters and programs walk over it.
"""

from collections.abc import Iterator
from dataclasses import dataclass


class CompileError(Exception):
    """What is wrong with an expression and, if known, at which character."""

    def __init__(self, detail: str, position: int | None = None) -> None:
        self.detail = detail
        where = "" if position is None else f" (at character {position + 1})"
        super().__init__(detail + where)


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: null, a boolean, a number, text or bytes.

    ``digits`` is the text of a double, which may have more digits than its value.
    """

    value: bool | int | float | str | bytes | None
    position: int
    digits: str = ""


@dataclass(frozen=True, slots=True)
class Identifier:
    """A name without an operand, such as ``data`` in ``data.title``."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Select:
    """``operand.name``; with ``tested`` it is ``has(operand.name)``."""

    operand: "Node"
    name: str
    tested: bool
    position: int


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function or an operator such as ``_&&_`` or ``@in``.

    ``target`` is the receiver, the operand before the dot of ``x.contains(y)``.
    """

    function: str
    target: "Node | None"
    arguments: "tuple[Node, ...]"
    position: int


@dataclass(frozen=True, slots=True)
class List:
    """A list literal."""

    items: "tuple[Node, ...]"
    position: int


@dataclass(frozen=True, slots=True)
class Map:
    """A map literal; ``items`` holds keys and values in turn."""

    items: "tuple[Node, ...]"
    position: int


Node = Literal | Identifier | Select | Call | List | Map


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below ``node``."""
    match node:
        case Select():
            return (node.operand,)
        case Call():
            receiver = () if node.target is None else (node.target,)
            return (*receiver, *node.arguments)
        case List() | Map():
            return node.items
    return ()


def walk(node: Node) -> Iterator[Node]:
    """Yield ``node`` and all nodes below it."""
    yield node
    for child in children(node):
        yield from walk(child)
