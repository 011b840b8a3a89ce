"""The roots of an expression (``data``, ``payload``, ``record``, ``previous``,
``change``), the members of them that it names, and the message for one that does not
exist."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from persist.domain.field import Field, FieldType, Path, Schema
from persist.domain.schema_fields import Steps
from persist.domain.suggestions import nearest
from persist.entity_types.cel.ast import (
    Call,
    Identifier,
    Literal,
    Node,
    Select,
    children,
    walk,
)
from persist.entity_types.json_schema.fields import (
    field_at,
    field_below,
    fields_of,
    names_at,
    names_below,
)

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYWORDS = ("in", "true", "false", "null")


@dataclass(frozen=True, slots=True)
class Reference:
    """A member that an expression names.

    ``root`` is the name of a root such as ``data``. ``tested`` means that only its
    presence is asked for, by ``has(data.x)`` or ``"x" in data``.
    """

    root: str
    path: Path
    tested: bool
    position: int

    def __str__(self) -> str:
        return written(self.root, self.path)


@dataclass(frozen=True, slots=True)
class Roots:
    """The roots that an expression may name; a root without a schema is not checked.

    ``nullable`` are those that may be null as a whole. With ``unknown_are_numbers`` a
    member whose type is not known may be a double.
    """

    schemas: Mapping[str, Schema | None]
    nullable: frozenset[str] = frozenset()
    unknown_are_numbers: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the roots."""
        return tuple(self.schemas)

    def field(self, root: str, path: Path) -> Field | None:
        """Return the member at a path; None if it is unknown."""
        schema = self.schemas.get(root)
        if schema is None or not path:
            return self._unknown(None) if path else None
        return self._unknown(field_at(schema, path))

    def _unknown(self, field: Field | None) -> Field | None:
        """Return a field as the number it may be, if its type is not known."""
        known = field is not None and not (
            field.type is FieldType.ANY and field.allows(FieldType.NUMBER)
        )
        return field if known or not self.unknown_are_numbers else _A_NUMBER

    def below(self, root: str, steps: Steps) -> Field | None:
        """Return what names and indexes lead to; None if it is unknown."""
        schema = self.schemas.get(root)
        if schema is None or not steps:
            return self._unknown(None) if steps else None
        return self._unknown(field_below(schema, steps))

    def type(self, root: str, path: Path) -> FieldType | None:
        """Return the type of a member; None if it is unknown."""
        field = self.field(root, path)
        return None if field is None else field.type

    def is_object(self, root: str, path: Path) -> bool:
        """Return whether a root or a member is an object."""
        if not path:
            return root in self.schemas
        return self.type(root, path) is FieldType.OBJECT

    def numbers(self, root: str) -> list[tuple[str, Path]]:
        """Return the number members of a root."""
        fields = fields_of(self.schemas.get(root) or {})
        return [
            (root, field.path)
            for field in fields.values()
            if field.type is FieldType.NUMBER
        ]


_A_NUMBER = Field((), FieldType.NUMBER, nullable=True, declared=False)


def written(root: str, path: Path) -> str:
    """Return a member as CEL writes it: ``data.title``, ``data["odd name"]``."""
    return root + "".join(map(_segment, path))


def _segment(name: str) -> str:
    if is_identifier(name):
        return f".{name}"
    return f"[{json.dumps(name, ensure_ascii=False)}]"


def is_identifier(name: str) -> bool:
    """Return whether a member's name can follow a dot."""
    return _IDENTIFIER.fullmatch(name) is not None and name not in _KEYWORDS


def reference(node: Node) -> Reference | None:
    """Return the member that ``node`` names.

    None if it is not an identifier followed by constant segments.
    """
    path: list[str] = []
    position = node.position
    while not isinstance(node, Identifier):
        match node:
            case Select(operand=operand, name=str(name), tested=False):
                pass
            case Call(
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


def steps_to(node: Node) -> tuple[str, Steps] | None:
    """Return the root and the steps of a value inside a record; None if ``node`` is
    no chain of names and indexes."""
    steps: list[str | None] = []
    while not isinstance(node, Identifier):
        match node:
            case Select(operand=operand, name=str(name), tested=False):
                steps.append(name)
            case Call(
                function="_[_]",
                target=None,
                arguments=(operand, Literal(value=str(name))),
            ):
                steps.append(name)
            case Call(function="_[_]", target=None, arguments=(operand, _)):
                steps.append(None)
            case _:
                return None
        node = operand
    return node.name, tuple(reversed(steps))


def presence(node: Node) -> Reference | None:
    """Return the member whose presence ``has(data.x)`` or ``"x" in data`` asks for."""
    match node:
        case Select(operand=operand, name=str(name), tested=True):
            pass
        case Call(
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
    """Yield every member the tree names, each time, by its longest constant path.

    ``is_object`` returns whether ``"x" in …`` of a member asks for one of its members
    instead of an element.
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
    """Return the message for a member that does not exist, with the nearest known
    one."""
    depth = _known_depth(schema, path)
    parent = path[:depth]
    detail = f"unknown member {written(root, path)}"
    field = field_at(schema, parent) if parent else None
    if field is not None and field.type not in (FieldType.OBJECT, FieldType.ANY):
        kind = f"{written(root, parent)} is of type {field.type}"
        return f"{detail}; {kind} and has no members"
    known = names_at(schema, parent)
    near = nearest(path[depth], known, cutoff=0.0)
    if near is None:
        return detail
    return f"{detail}; the nearest known one is {written(root, (*parent, near))}"


def unknown_below_indexes(tree: Node, roots: Roots) -> Iterator[str]:
    """Yield the message for each member below an index that cannot exist."""
    for node in walk(tree):
        if isinstance(node, Select):
            yield from _unknown_in_element(node, roots)


def _unknown_in_element(select: Select, roots: Roots) -> Iterator[str]:
    holder = steps_to(select.operand)
    if holder is None or None not in holder[1]:
        return
    root, steps = holder
    schema = roots.schemas.get(root)
    known = None if schema is None else names_below(schema, steps)
    if known is not None and select.name not in known:
        near = nearest(select.name, known, cutoff=0.0)
        hint = "" if near is None else f"; the nearest known one is {near}"
        yield f"unknown member {select.name} of an element in {root}{hint}"


def _known_depth(schema: Schema, path: Path) -> int:
    """Return how many segments of ``path`` name a member, without the last one."""
    for depth in range(len(path) - 1, 0, -1):
        if field_at(schema, path[:depth]) is not None:
            return depth
    return 0
