"""View: what an expression sees of data and payload, and how much of it that may be.

Of the members an expression names, and of no others, a copy is handed over in which
null and absent are one: ``has`` is false for both, and a member that is read is null
where it is absent. CEL computes in time linear in what it is given, so weighing that
first bounds an evaluation.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from persist.domain.field import Path
from persist.domain.record import Data
from persist.entity_types.cel.references import written

LIMIT = 100_000
"""Units an expression may work over: one a value, four a member, one for sixteen
characters."""


class TooMuch(Exception):
    """An expression would work over more than its limit."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A member an expression sees: how often it reads it, whether it asks with ``has``,
    whether it takes it for a double, and the variable CEL knows it by, if it has one of
    its own."""

    root: str
    path: Path
    reads: int
    tested: bool
    double: bool
    variable: str | None

    def __str__(self) -> str:
        return written(self.root, self.path)


class View:
    """The members one expression sees."""

    def __init__(self, seen: Iterable[Seen], limit: int = LIMIT) -> None:
        self._seen = sorted(seen, key=lambda member: len(member.path))
        self._named = frozenset((member.root, member.path) for member in self._seen)
        self._limit = limit

    def of(self, values: Mapping[str, Data]) -> tuple[dict[str, Any], bool]:
        """The variables of an evaluation over ``values``, and whether there is a null
        in them; raises ``TooMuch``."""
        view: dict[str, Any] = {root: {} for root in values}
        owned: set[int] = set()
        spent, nulls = 0, False
        for member in self._seen:
            value = _at(values[member.root], member.path)
            if member.reads:
                weight, holds_null = _weighed(value, self._limit)
                spent, nulls = spent + member.reads * weight, nulls or holds_null
                if spent > self._limit:
                    raise TooMuch(
                        f"it would work over too much data; the limit is {self._limit}"
                        " values"
                    )
            if member.double and type(value) is int:
                value = float(value)
            if member.variable is not None and value is not None:
                view[member.variable] = value
            self._place(view, member, value, owned)
        return view, nulls

    def without_value(self, values: Mapping[str, Data]) -> Iterator[str]:
        """The members that are read and have no value."""
        for member in self._seen:
            if member.reads and _at(values[member.root], member.path) is None:
                yield str(member)

    def _place(
        self, view: dict[str, Any], member: Seen, value: Any, owned: set[int]
    ) -> None:
        if not member.path:
            view[member.root] = dict(value)
            return
        holder = self._holder(view[member.root], member, owned)
        if holder is None:
            return
        name = member.path[-1]
        if value is None and member.tested:
            holder.pop(name, None)
        elif member.reads or name in holder:
            holder[name] = value
        elif member.tested:
            holder[name] = {} if isinstance(value, dict) else True

    def _holder(
        self, tree: dict[str, Any], member: Seen, owned: set[int]
    ) -> dict[str, Any] | None:
        """The view's own object that holds a member; None where that is named itself
        and is none."""
        for depth, name in enumerate(member.path[:-1], 1):
            child = tree.get(name)
            if child is None and (member.root, member.path[:depth]) in self._named:
                return None
            if child is not None and not isinstance(child, dict):
                return None
            if child is None or id(child) not in owned:
                child = tree[name] = dict(child or {})
                owned.add(id(child))
            tree = child
        return tree


def _at(value: Any, path: Path) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _weighed(value: Any, limit: int) -> tuple[int, bool]:
    """How many units ``value`` is, or some number beyond ``limit``; whether there is a
    null in it."""
    weight, nulls, waiting = 0, False, [value]
    while waiting and weight <= limit:
        item = waiting.pop()
        weight += 1
        if item is None:
            nulls = True
        elif isinstance(item, str):
            weight += len(item) // 16
        elif isinstance(item, dict):
            weight += 3 * len(item) + sum(map(len, item)) // 16
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    return weight, nulls
