"""Activation: the variables of one evaluation, and the limit on their size.

An expression gets a copy of the members that it names, and of no others. In the copy
null and absent are the same: ``has`` is false for both, and an absent member that is
read is null. The time that CEL takes is linear in its input, so the size is measured
first.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from persist.domain.field import Path
from persist.domain.record import Data
from persist.entity_types.cel.references import written

MAX_SIZE = 100_000
"""Largest size of an evaluation's input, in units: one per value, four per member of an
object, one per sixteen characters."""


class InputTooLarge(Exception):
    """The input of an expression is larger than its limit."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member that an expression names.

    ``reads`` counts how often it is read; ``tested`` says whether ``has`` asks for it;
    ``double`` whether its integers are passed as doubles. ``variable`` is the name
    under which CEL's checker knows its type, if it does.
    """

    root: str
    path: Path
    reads: int
    tested: bool
    double: bool
    variable: str | None

    def __str__(self) -> str:
        return written(self.root, self.path)


class Activation:
    """The members that one expression names, bound to values for each evaluation."""

    def __init__(
        self,
        members: Iterable[Member],
        limit: int = MAX_SIZE,
    ) -> None:
        self._members = sorted(members, key=lambda member: len(member.path))
        self._named = frozenset((member.root, member.path) for member in self._members)
        self._limit = limit

    @property
    def roots(self) -> frozenset[str]:
        """The roots of the members."""
        return frozenset(member.root for member in self._members)

    def bind(self, values: Mapping[str, Data | None]) -> tuple[dict[str, object], bool]:
        """Return the variables for ``values``, and whether a null is among them. A root
        that is null has no members.

        Raises ``InputTooLarge``.
        """
        found = [_at(values[member.root], member.path) for member in self._members]
        holds_null = self._measure(found)
        variables: dict[str, Any] = {root: {} for root in values}
        owned: set[int] = set()
        for member, stored in zip(
            self._members,
            found,
            strict=True,
        ):
            is_integer = type(stored) is int
            value = float(stored) if member.double and is_integer else stored
            if member.variable is not None and value is not None:
                variables[member.variable] = value
            self._insert(
                variables,
                member,
                value,
                owned,
            )
        return variables, holds_null

    def without_value(self, values: Mapping[str, Data | None]) -> Iterator[str]:
        """Yield the members that are read and have no value."""
        for member in self._members:
            if member.reads and _at(values[member.root], member.path) is None:
                yield str(member)

    def _measure(self, values: list[Any]) -> bool:
        """Return whether a value that is read holds null; raise ``InputTooLarge``."""
        total = 0
        holds_null = False
        for member, value in zip(
            self._members,
            values,
            strict=True,
        ):
            if not member.reads:
                continue
            size, null = _size(value, self._limit)
            total += member.reads * size
            holds_null = holds_null or null
            if total > self._limit:
                raise InputTooLarge(
                    "the members that the expression reads are too large: the limit is"
                    f" {self._limit:,} units"
                )
        return holds_null

    def _insert(
        self,
        variables: dict[str, Any],
        member: Member,
        value: Any,
        owned: set[int],
    ) -> None:
        """Put a member's value into its root; ``owned`` are the ids of our copies."""
        if not member.path:
            variables[member.root] = _copy(value)
            return
        parent = self._parent(
            variables[member.root],
            member,
            owned,
        )
        if parent is None:
            return
        name = member.path[-1]
        if value is None and member.tested:
            parent.pop(name, None)
        elif member.reads or name in parent:
            parent[name] = value
        elif member.tested:
            # ``has`` asks only whether the member is there.
            parent[name] = {} if isinstance(value, dict) else True

    def _parent(
        self,
        root: dict[str, object] | None,
        member: Member,
        owned: set[int],
    ) -> dict[str, Any] | None:
        """Return our copy of the object that contains a member.

        None if a value of another type is in its place, or null and the expression
        names it too.
        """
        if root is None:
            return None
        parent = root
        for depth, name in enumerate(member.path[:-1], 1):
            child = parent.get(name)
            is_named = (member.root, member.path[:depth]) in self._named
            if not isinstance(child, dict) and (child is not None or is_named):
                return None
            if child is None or id(child) not in owned:
                child = dict(child or {})
                parent[name] = child
                owned.add(id(child))
            parent = child
        return parent


def _copy(root: Data | None) -> Data | None:
    return None if root is None else dict(root)


def _at(
    value: object,
    path: Path,
) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _size(
    value: object,
    limit: int,
) -> tuple[int, bool]:
    """Return the size of ``value`` in units, and whether it holds null.

    Counting ends beyond ``limit``.
    """
    size = 0
    holds_null = False
    waiting = [value]
    while waiting and size <= limit:
        item = waiting.pop()
        size += 1
        if item is None:
            holds_null = True
        elif isinstance(item, str):
            size += len(item) // 16
        elif isinstance(item, dict):
            size += 3 * len(item) + sum(map(len, item)) // 16
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    return size, holds_null
