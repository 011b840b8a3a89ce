"""Differences between JSON values: what changed, as a patch, and three-way merges.

Objects are compared member by member, everything else as one value: an array that
differs anywhere differs as a whole. An absent member and a member that is null differ.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from persist.domain.canonical_json import same_json
from persist.domain.errors import pointer
from persist.domain.record import Json

Path = tuple[str, ...]


class _Absent:
    """The type of ``ABSENT``."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""Stands for the value of a member that an object does not have."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A member that differs: its path, its value before and after (or ``ABSENT``)."""

    path: Path
    before: Any
    after: Any


def differences(
    before: object,
    after: object,
    path: Path = (),
) -> Iterator[Difference]:
    """Yield the differences between two values, each as deep as possible."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        if not _same(before, after):
            yield Difference(path, before, after)
        return
    for name in _member_names(before, after):
        old = before.get(name, ABSENT)
        new = after.get(name, ABSENT)
        yield from differences(old, new, (*path, name))


def changed_pointers(before: object, after: object) -> list[str]:
    """Return the JSON Pointers at which two values differ."""
    return [pointer(found.path) for found in differences(before, after)]


def json_patch_between(before: object, after: object) -> list[dict[str, object]]:
    """Return a JSON Patch (RFC 6902) that turns one value into another."""
    return [_operation(found) for found in differences(before, after)]


def _operation(found: Difference) -> dict[str, object]:
    location = pointer(found.path)
    if found.after is ABSENT:
        return {"op": "remove", "path": location}
    operation = "add" if found.before is ABSENT else "replace"
    return {"op": operation, "path": location, "value": found.after}


@dataclass(slots=True)
class Merge:
    """The result of a three-way merge.

    ``value`` is complete only if ``conflicts`` is empty: it lists the JSON Pointers
    that both sides changed to different results, and of two that contain one another
    the upper one.
    """

    value: Any = None
    conflicts: list[str] = field(default_factory=list)


def merge(
    base: object,
    theirs: object,
    mine: object,
) -> Merge:
    """Merge two changes of ``base``: the changes of ``mine`` are applied to ``theirs``.

    Members keep the order that they have in ``theirs``; new ones of ``mine`` follow.
    """
    merged = Merge()
    merged.value = _merge(base, theirs, mine, (), merged.conflicts)
    return merged


def _merge(
    base: Any,
    theirs: Any,
    mine: Any,
    path: Path,
    conflicts: list[str],
) -> object:
    if all(isinstance(value, dict) for value in (base, theirs, mine)):
        return _merge_members(base, theirs, mine, path, conflicts)
    if _same(base, theirs):
        return mine
    is_conflict = not _same(base, mine) and not _same(theirs, mine)
    if is_conflict:
        conflicts.append(pointer(path))
    # In a conflict, too: the merge goes on, so that all conflicts are listed.
    return theirs


def _merge_members(
    base: dict[str, object],
    theirs: dict[str, object],
    mine: dict[str, object],
    path: Path,
    conflicts: list[str],
) -> dict[str, object]:
    merged = {}
    for name in _member_names(theirs, mine):
        value = _merge(
            base.get(name, ABSENT),
            theirs.get(name, ABSENT),
            mine.get(name, ABSENT),
            (*path, name),
            conflicts,
        )
        if value is not ABSENT:
            merged[name] = value
    return merged


def _member_names(*objects: Json) -> dict[str, None]:
    """Return the names of the members of several objects, each once, in their order."""
    return {name: None for each in objects for name in each}


def _same(one: object, other: object) -> bool:
    if one is ABSENT or other is ABSENT:
        return one is other
    return same_json(one, other)
