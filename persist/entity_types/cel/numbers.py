"""Numbers: integers among doubles become doubles, as JSON has one kind of number.

CEL has no arithmetic and no comparison of an integer with a double. In
``data.price + 1`` the literal is written ``1.0``, and in ``data.count * data.price``
the member is written ``double(data.count)``. A number below an index is written the
same way, ``double(data.lines[0].price)``: some of them are stored as integers.
"""

import json
import math
from collections.abc import Callable
from dataclasses import replace

from persist.domain.field import Field
from persist.domain.field_types import NUMBERS, FieldType
from persist.domain.record import INT64
from persist.domain.schema_fields import Steps
from persist.entity_types.cel.ast import (
    Call,
    CompileError,
    Identifier,
    List,
    Literal,
    Map,
    Node,
    Select,
)
from persist.entity_types.cel.references import is_identifier, steps_to

FieldOf = Callable[[str, Steps], Field | None]

ARITHMETIC = ("_+_", "_-_", "_*_", "_/_")
COMPARISONS = ("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_")

_SYMBOLS = {"@in": "in"}


def with_doubles(
    tree: Node,
    field_of: FieldOf,
) -> Node:
    """Return the tree in which integers among doubles are doubles.

    ``field_of`` returns what steps from a root lead to.
    """
    match tree:
        case Select():
            return replace(tree, operand=with_doubles(tree.operand, field_of))
        case List() | Map():
            items = tuple(with_doubles(item, field_of) for item in tree.items)
            return replace(tree, items=items)
        case Call():
            return _call(tree, field_of)
    return tree


def without_presence(tree: Node) -> Node:
    """Return the tree with ``true`` in place of ``has()``.

    CEL's checker does not take ``has()`` of a variable.
    """
    match tree:
        case Select(tested=True):
            return Literal(True, tree.position)
        case Select():
            return replace(tree, operand=without_presence(tree.operand))
        case List() | Map():
            return replace(tree, items=tuple(map(without_presence, tree.items)))
        case Call():
            target = None if tree.target is None else without_presence(tree.target)
            arguments = tuple(map(without_presence, tree.arguments))
            return replace(
                tree,
                target=target,
                arguments=arguments,
            )
    return tree


def _call(
    call: Call,
    field_of: FieldOf,
) -> Node:
    target = None if call.target is None else with_doubles(call.target, field_of)
    arguments = [with_doubles(argument, field_of) for argument in call.arguments]
    if call.function in (*ARITHMETIC, *COMPARISONS, "-_"):
        arguments = _alike(arguments, field_of)
    elif call.function == "_?_:_":
        arguments = [arguments[0], *_alike(arguments[1:], field_of)]
    elif call.function == "@in" and isinstance(arguments[1], List):
        searched = arguments[1]
        alike = _alike([arguments[0], *searched.items], field_of)
        arguments = [alike[0], replace(searched, items=tuple(alike[1:]))]
    return replace(
        call,
        target=target,
        arguments=tuple(arguments),
    )


def _alike(
    nodes: list[Node],
    field_of: FieldOf,
) -> list[Node]:
    """Return the nodes as doubles if they are all numbers and one is a double."""
    types = [number_type(node, field_of) for node in nodes]
    if FieldType.NUMBER not in types:
        return nodes
    are_numbers = None not in types
    return [
        _as_double(node)
        if kind is FieldType.INTEGER
        or (are_numbers and _is_known_element(node, field_of))
        else node
        for node, kind in zip(
            nodes,
            types,
            strict=True,
        )
    ]


def _as_double(node: Node) -> Node:
    if isinstance(node, Literal) and isinstance(node.value, int):
        return replace(node, value=float(node.value))
    return Call(
        "double",
        None,
        (node,),
        node.position,
    )


def number_type(
    node: Node,
    field_of: FieldOf,
) -> FieldType | None:
    """Return whether a node is an integer or a double; None if neither is known."""
    member = _field(node, field_of)
    kind = None
    if member is not None:
        kind = member.type
    elif isinstance(node, Literal):
        kind = _LITERAL_TYPES.get(type(node.value))
    elif isinstance(node, Call):
        kind = _CALL_TYPES.get(node.function) or _operand_type(node, field_of)
    return kind if kind in NUMBERS else None


def _field(node: Node, field_of: FieldOf) -> Field | None:
    """Return the member or the element of a list that a node is."""
    found = steps_to(node)
    return None if found is None else field_of(*found)


def _is_known_element(node: Node, field_of: FieldOf) -> bool:
    """Return whether a node is an element of a list or below one, and a number.

    What is not known to be a number may be text, which ``double()`` would read.
    """
    found = steps_to(node)
    if found is None or None not in found[1]:
        return False
    field = field_of(*found)
    return field is not None and field.declared


def _operand_type(
    call: Call,
    field_of: FieldOf,
) -> FieldType | None:
    """Return the type that all operands and the result have."""
    if call.function not in _KEEPING:
        return None
    is_conditional = call.function == "_?_:_"
    operands = call.arguments[1:] if is_conditional else call.arguments
    types = {number_type(operand, field_of) for operand in operands}
    return types.pop() if len(types) == 1 else None


_LITERAL_TYPES = {
    int: FieldType.INTEGER,
    float: FieldType.NUMBER,
}
_CALL_TYPES = {
    "double": FieldType.NUMBER,
    "int": FieldType.INTEGER,
    "size": FieldType.INTEGER,
}
_KEEPING = (*ARITHMETIC, "_%_", "-_", "_?_:_")
"""Operators whose result has the type of their operands."""


def written(node: Node) -> str:  # noqa: PLR0911 - a table of nodes
    """Return a tree as CEL text, in parentheses wherever they could matter."""
    match node:
        case Literal():
            return _literal(node)
        case Identifier():
            return node.name
        case Select(tested=True):
            return f"has({written(node.operand)}.{node.name})"
        case Select():
            return f"{written(node.operand)}{_segment(node.name)}"
        case List():
            return f"[{', '.join(map(written, node.items))}]"
        case Map():
            pairs = zip(
                node.items[::2],
                node.items[1::2],
                strict=True,
            )
            entries = [f"{written(key)}: {written(value)}" for key, value in pairs]
            return f"{{{', '.join(entries)}}}"
    return _written_call(node)


def _segment(name: str) -> str:
    return f".{name}" if is_identifier(name) else f"[{_quoted(name)}]"


def _written_call(call: Call) -> str:
    arguments = [written(argument) for argument in call.arguments]
    function = call.function
    if function == "_[_]":
        return f"{arguments[0]}[{arguments[1]}]"
    if function == "_?_:_":
        return "({} ? {} : {})".format(*arguments)
    if function in ("!_", "-_"):
        return f"{function[0]}({arguments[0]})"
    if not function.isidentifier() or function == "@in" or function.startswith("_"):
        symbol = _SYMBOLS.get(function, function.strip("_"))
        return f"({arguments[0]} {symbol} {arguments[1]})"
    receiver = "" if call.target is None else f"{written(call.target)}."
    return f"{receiver}{function}({', '.join(arguments)})"


def _literal(literal: Literal) -> str:
    value = literal.value
    match value:
        case None | bool():
            return json.dumps(value)
        case str():
            return _quoted(value)
        case bytes():
            return "b'" + "".join(f"\\x{byte:02x}" for byte in value) + "'"
        case float() if not math.isfinite(value):
            raise CompileError("a number must be finite", literal.position)
        case int() if value not in INT64:
            return f"{value}u"
    return repr(value)


def _quoted(text: str) -> str:
    # a JSON string, but CEL has no surrogate pairs
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
