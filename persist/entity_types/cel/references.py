"""Members in an expression: which members of ``data``, ``payload`` or ``record`` its
tree names, and what to say of one that does not exist."""

import difflib
import heapq
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from persist.domain.field import FieldType, Path, Schema, field_at
from persist.entity_types.cel.ast import Apply, Literal, Name, Node, Select, children

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYWORDS = ("in", "true", "false", "null")
_MATCHED = 64


@dataclass(frozen=True, slots=True)
class Reference:
    """A member an expression names: ``root`` is ``data``, ``payload`` or ``record``.

    ``tested``: only whether it is there is asked, by ``has(data.x)`` or ``"x" in
    data``.
    """

    root: str
    path: Path
    tested: bool
    position: int

    def __str__(self) -> str:
        return written(self.root, self.path)


def written(root: str, path: Path) -> str:
    """How an expression names a member: ``data.title``, ``data["odd name"]``."""
    parts = (
        (
            f".{name}"
            if is_identifier(name)
            else f"[{json.dumps(name, ensure_ascii=False)}]"
        )
        for name in path
    )
    return root + "".join(parts)


def is_identifier(name: str) -> bool:
    """Whether a member's name can stand behind a dot."""
    return _IDENTIFIER.fullmatch(name) is not None and name not in _KEYWORDS


def reference(node: Node) -> Reference | None:
    """The member ``node`` stands for; None where it is no name with constant segments
    behind it."""
    path: list[str] = []
    position = node.position
    while not isinstance(node, Name):
        match node:
            case Select(operand=operand, name=str(name), tested=False):
                pass
            case Apply(
                function="_[_]",
                target=None,
                arguments=(operand, Literal(value=str(name))),
            ):
                pass
            case _:
                return None
        path.append(name)
        node = operand
    return Reference(node.name, tuple(reversed(path)), tested=False, position=position)


def presence(node: Node) -> Reference | None:
    """The member whose presence ``node`` asks for: ``has(data.x)`` or ``"x" in
    data``."""
    match node:
        case Select(operand=operand, name=str(name), tested=True):
            pass
        case Apply(
            function="@in", target=None, arguments=(Literal(value=str(name)), operand)
        ):
            pass
        case _:
            return None
    holder = reference(operand)
    if holder is None:
        return None
    return Reference(
        holder.root, (*holder.path, name), tested=True, position=node.position
    )


def references(
    node: Node, is_object: Callable[[str, Path], bool]
) -> Iterator[Reference]:
    """Every member the tree names, as often as it names it, each by its longest
    constant path.

    ``is_object`` says of which members ``"x" in …`` asks for a member, and not for an
    element.
    """
    found = presence(node)
    if found is None or not (
        isinstance(node, Select) or is_object(found.root, found.path[:-1])
    ):
        found = reference(node)
    if found is not None:
        yield found
        return
    for child in children(node):
        yield from references(child, is_object)


def unknown(schema: Schema, root: str, path: Path) -> str:
    """What to say of a member that does not exist: its name and the nearest known
    one."""
    depth = next(
        n
        for n in range(len(path) - 1, -1, -1)
        if n == 0 or field_at(schema, path[:n]) is not None
    )
    holder, detail = path[:depth], f"unknown member {written(root, path)}"
    field = field_at(schema, holder) if holder else None
    if field is not None and field.type not in (FieldType.OBJECT, FieldType.ANY):
        return (
            f"{detail}; {written(root, holder)} is of type {field.type} and has no"
            " members"
        )
    known = [
        name
        for name in dict.fromkeys(_property_names(schema))
        if _declared(schema, (*holder, name))
    ]
    near = nearest(path[depth], known)
    return (
        detail
        if near is None
        else f"{detail}; the nearest known one is {written(root, (*holder, near))}"
    )


def nearest(name: str, known: list[str]) -> str | None:
    """The known name most like ``name``; None where nothing is known.

    Only the eight that share most of its letters are looked at closely: that comparison
    is cubic.
    """
    matcher = difflib.SequenceMatcher(b=name[:_MATCHED])

    def shared_letters(candidate: str) -> float:
        matcher.set_seq1(candidate[:_MATCHED])
        return matcher.quick_ratio()

    matched = {
        candidate[:_MATCHED]: candidate
        for candidate in heapq.nlargest(8, known, key=shared_letters)
    }
    close = difflib.get_close_matches(name[:_MATCHED], matched, n=1, cutoff=0.0)
    return matched[close[0]] if close else None


def _declared(schema: Schema, path: Path) -> bool:
    field = field_at(schema, path)
    return field is not None and field.declared


def _property_names(part: Any) -> Iterator[str]:
    """The names under every ``properties`` of a schema, however deep."""
    if isinstance(part, Mapping):
        properties = part.get("properties")
        if isinstance(properties, Mapping):
            yield from properties
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _property_names(inner)
