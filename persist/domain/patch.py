"""Patches of data: merge patch (RFC 7396) and JSON Patch (RFC 6902)."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from persist.domain.canonical_json import same_json
from persist.domain.cpu_budget import CpuBudget
from persist.domain.errors import (
    InvalidPatch,
    PatchTestFailed,
    Violation,
    pointer,
    steps_of,
)
from persist.domain.json_lock import JSON_LOCK
from persist.domain.record import Data, Json, dumps, json_text
from persist.domain.strict_json import MAX_DEPTH, depth_of

MAX_OPERATIONS = 100
"""Operations that a JSON Patch may have."""

MAX_SECONDS = 0.5
"""Seconds that the operations of a JSON Patch may compute, while other writers wait."""

MEMBERS = {
    "add": ("path", "value"),
    "copy": ("from", "path"),
    "move": ("from", "path"),
    "remove": ("path",),
    "replace": ("path", "value"),
    "test": ("path", "value"),
}
"""The members that each operation needs, by its ``op``."""

INDEX = re.compile(r"0|[1-9]\d{0,9}", re.ASCII)
END_OF_LIST = "-"

Path = Sequence[str]


def merge_patch(target: object, patch: object) -> Any:
    """Return ``target`` with ``patch`` merged in (RFC 7396, section 2). The arguments
    are not changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


class _Fault(Exception):
    """What is wrong with an operation."""


@dataclass(frozen=True)
class JsonPatch:
    """A JSON Patch that is well formed. The result may have ``max_bytes``."""

    operations: Sequence[Json]
    max_bytes: int

    def apply(self, data: Data) -> Data:
        """Return the patched data; ``data`` is changed. Raises ``InvalidPatch`` naming
        the operation, and ``PatchTestFailed``."""
        document: Any = data
        # Only copies make the document larger than the data and the patch: ten copies
        # of itself make it a thousand times as large.
        size = len(dumps(data))
        time = CpuBudget(MAX_SECONDS)
        for index, operation in enumerate(self.operations):
            _check_time(index, time)
            try:
                with JSON_LOCK:
                    if operation["op"] == "copy":
                        size = self._size_after_copy(document, operation, size)
                    document = _apply(document, operation)
            except _TestFailed as failed:
                raise _test_failed(index, operation, failed) from None
            except _Fault as fault:
                raise _refusal(index, operation, fault) from None
        if not isinstance(document, dict):
            raise InvalidPatch("the patch leaves a value that is not a JSON object")
        if len(json_text(document, size).encode()) > self.max_bytes:
            raise _too_large(self.max_bytes)
        return document

    def _size_after_copy(self, document: object, operation: Json, size: int) -> int:
        """Return an upper bound of the size after a copy, in characters. Raises
        ``InvalidPatch`` if the result of so many copies would be too large."""
        source = steps_of(operation["from"])
        copied = _value_at(document, source)
        size += len(dumps(copied))
        if size <= self.max_bytes:
            return size
        size = len(dumps(document))  # other operations may have removed something
        if size > self.max_bytes:
            raise _too_large(self.max_bytes)
        return size


def _check_time(index: int, time: CpuBudget) -> None:
    """Raise ``InvalidPatch`` if the operations so far took too long."""
    if time.is_over:
        raise InvalidPatch(
            f"the operations before operation {index} take longer than"
            f" {time.seconds:g} s; send fewer at once"
        )


class _TestFailed(Exception):
    """The value of a test operation differs."""


def json_patch(operations: object, max_bytes: int) -> JsonPatch:
    """Return the JSON Patch of a body. Raises ``InvalidPatch``."""
    if not isinstance(operations, list):
        raise InvalidPatch("a JSON Patch is an array of operations")
    if len(operations) > MAX_OPERATIONS:
        raise InvalidPatch(
            f"a JSON Patch may have {MAX_OPERATIONS} operations, this one has"
            f" {len(operations)}"
        )
    for index, operation in enumerate(operations):
        try:
            _check_form(operation)
        except _Fault as fault:
            raise _refusal(index, operation, fault) from None
    return JsonPatch(operations, max_bytes)


def map_values(
    operations: object,
    change: Callable[[Path, Any], Any],
) -> object:
    """Return a JSON Patch whose values are those that ``change`` returns for a path and
    a value. Operations that are not well formed stay as they are."""
    if not isinstance(operations, list):
        return operations
    return [_with_value(operation, change) for operation in operations]


def _with_value(
    operation: object,
    change: Callable[[Path, Any], Any],
) -> object:
    if not isinstance(operation, dict) or "value" not in operation:
        return operation
    path = operation.get("path")
    if not isinstance(path, str):
        return operation
    steps = steps_of(path)
    value = change(steps, operation["value"])
    return operation | {"value": value}


def _check_form(operation: object) -> None:
    """Raise ``_Fault`` if an operation could be applied to no data at all."""
    if not isinstance(operation, dict):
        raise _Fault("an operation is a JSON object")
    op = operation.get("op")
    if not isinstance(op, str) or op not in MEMBERS:
        raise _Fault(f"op must be one of {', '.join(MEMBERS)}")
    for member in MEMBERS[op]:
        if member not in operation:
            raise _Fault(f"{op} needs the member {member}")
        if member != "value":
            _check_pointer(operation[member], member)
    path = steps_of(operation["path"])
    if "value" in MEMBERS[op]:
        _check_depth(path, operation["value"])
    _check_target(op, operation, path)


def _check_target(op: str, operation: Json, path: Path) -> None:
    if op == "move" and _is_inside(path, steps_of(operation["from"])):
        raise _Fault("a value cannot be moved into itself")
    if op == "remove" and not path:
        raise _Fault("the complete data cannot be removed; DELETE the record")


def _check_pointer(given: object, member: str) -> None:
    if not isinstance(given, str):
        raise _Fault(f"{member} is a JSON Pointer, which is text")
    if given and not given.startswith("/"):
        raise _Fault(f"{member} is a JSON Pointer: empty, or beginning with /")
    if re.search("~(?![01])", given):
        raise _Fault(f"in {member}, a ~ is written ~0 and a / is written ~1")


def _check_depth(path: Path, value: object) -> None:
    if len(path) + depth_of(value) > MAX_DEPTH:
        raise _Fault(f"the value would nest deeper than {MAX_DEPTH} levels")


def _is_inside(path: Path, container: Path) -> bool:
    return len(path) > len(container) and path[: len(container)] == container


def _apply(document: object, operation: Json) -> object:
    """Return the document after one operation."""
    op = operation["op"]
    path = steps_of(operation["path"])
    if op in ("move", "copy"):
        source = steps_of(operation["from"])
        return _move_or_copy(document, op, source, path)
    if op in ("add", "replace"):
        change = _add if op == "add" else _replace
        return change(document, path, _copy(operation["value"]))
    if op == "remove":
        _remove(document, path)
    else:
        _test(document, path, operation["value"])
    return document


def _move_or_copy(document: object, op: str, source: Path, path: Path) -> object:
    value = _value_at(document, source)
    # A move onto itself changes nothing (RFC 6902, section 4.4).
    if source == path:
        return document
    _check_depth(path, value)
    if op == "copy":
        return _add(document, path, _copy(value))
    _remove(document, source)
    return _add(document, path, value)


def _copy(value: object) -> Any:
    # Several times as fast as deepcopy.
    return json.loads(dumps(value)) if isinstance(value, dict | list) else value


def _test(document: object, path: Path, expected: object) -> None:
    """Raise ``_TestFailed`` unless the values are equal as JSON, where true is not 1
    (RFC 6902, section 4.6)."""
    try:
        found = _value_at(document, path)
    except _Fault as fault:
        raise _TestFailed(str(fault)) from None
    if not same_json(found, expected):
        raise _TestFailed("the value is another one")


def _add(document: object, path: Path, value: object) -> object:
    if not path:
        return value
    container = _value_at(document, path[:-1])
    last = path[-1]
    if isinstance(container, dict):
        container[last] = value
        return document
    if not isinstance(container, list):
        raise _no_container(path)
    index = len(container)
    if last != END_OF_LIST:
        index = _index(last, len(container) + 1, path)
    container.insert(index, value)
    return document


def _replace(document: object, path: Path, value: object) -> object:
    _value_at(document, path)
    if not path:
        return value
    container = _value_at(document, path[:-1])
    container[_key_in(container, path[-1])] = value
    return document


def _remove(document: object, path: Path) -> None:
    _value_at(document, path)
    container = _value_at(document, path[:-1])
    del container[_key_in(container, path[-1])]


def _key_in(container: object, segment: str) -> str | int:
    """Return the key of a member, or the index of an item, that a path names."""
    return segment if isinstance(container, dict) else int(segment)


def _value_at(document: object, path: Path) -> Any:
    """Return the value at a path. Raises ``_Fault``."""
    value = document
    for depth, segment in enumerate(path):
        if isinstance(value, dict):
            if segment not in value:
                raise _Fault(
                    f"there is no member {segment[:80]!r} {_position(path[:depth])}"
                )
            value = value[segment]
        elif isinstance(value, list):
            value = value[_index(segment, len(value), path[: depth + 1])]
        else:
            raise _no_container(path[: depth + 1])
    return value


def _index(segment: str, length: int, path: Path) -> int:
    """Return an index of a list, less than ``length``. Raises ``_Fault``."""
    if not INDEX.fullmatch(segment) or int(segment) >= length:
        raise _Fault(
            f"{segment[:80]!r} is not an index from 0 to {length - 1} of the list"
            f" {_position(path[:-1])}"
        )
    return int(segment)


def _no_container(path: Path) -> _Fault:
    return _Fault(f"the value {_position(path[:-1])} is neither an object nor a list")


def _position(path: Path) -> str:
    return f"at {pointer(path)[:201]}" if path else "at the top"


def _refusal(index: int, operation: object, fault: _Fault) -> InvalidPatch:
    detail = f"operation {index}{_written(operation)} cannot be applied: {fault}"
    return InvalidPatch(detail, errors=[Violation(f"/{index}", str(fault))])


def _test_failed(
    index: int, operation: dict[str, object], failed: _TestFailed
) -> PatchTestFailed:
    return PatchTestFailed(
        f"the test of operation {index}{_written(operation)} does not hold: {failed};"
        " nothing was changed",
        errors=[Violation(f"/{index}", str(failed))],
    )


def _written(operation: object) -> str:
    """Return an operation for a message; nothing if it has no op or path."""
    if not isinstance(operation, dict):
        return ""
    op, path, source = (operation.get(member) for member in ("op", "path", "from"))
    if not isinstance(op, str) or not isinstance(path, str):
        return ""
    if isinstance(source, str):
        return f" ({op[:20]} {source[:80]!r} to {path[:80]!r})"
    return f" ({op[:20]} {path[:80]!r})"


def _too_large(limit: int) -> InvalidPatch:
    return InvalidPatch(f"the patched data would be larger than {limit:,} bytes")
