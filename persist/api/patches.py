"""Patches: merge patch (RFC 7396) and JSON Patch (RFC 6902) as a change of data."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import jsonpatch
import jsonpointer

from persist.domain.errors import InvalidJson, InvalidPatch, PatchTestFailed, Violation
from persist.domain.patch import merge_patch
from persist.domain.record import Data, canonical_text, dumps
from persist.domain.strict_json import check_depth

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"

MAX_OPERATIONS = 100
"""Operations that a JSON Patch may have."""

Change = Callable[[Data], Data]


def change_of(patch: Any, media_type: str, limit: int) -> Change:
    """The change a patch stands for, by its media type. The result may have ``limit``
    bytes.

    Raises ``InvalidPatch``; the change may raise it, too, and ``PatchTestFailed``.
    """
    if media_type == JSON_PATCH:
        return json_patch(patch, limit)
    if not isinstance(patch, dict):
        raise InvalidPatch(
            "a merge patch is a JSON object; send an array of operations as"
            f" {JSON_PATCH}"
        )
    return lambda data: _within(limit, merge_patch(data, patch))


def json_patch(operations: Any, limit: int) -> Change:
    """The change of a JSON Patch. Raises as ``change_of``."""
    if not isinstance(operations, list):
        raise InvalidPatch("a JSON Patch is an array of operations")
    _check(operations)
    return lambda data: _apply(data, operations, limit)


def _check(operations: list[Any]) -> None:
    if len(operations) > MAX_OPERATIONS:
        raise InvalidPatch(
            f"a JSON Patch may have {MAX_OPERATIONS} operations, this one has"
            f" {len(operations)}"
        )
    for index, operation in enumerate(operations):
        try:
            jsonpatch.JsonPatch([operation])
            if (
                operation["op"] in ("add", "replace", "test")
                and "value" not in operation
            ):
                raise jsonpatch.InvalidJsonPatch("the operation needs a value")
        except (
            jsonpatch.JsonPatchException,
            jsonpointer.JsonPointerException,
            TypeError,
            AttributeError,
        ) as error:
            raise _refused(index, error) from None


def _apply(data: Data, operations: list[Any], limit: int) -> Data:
    for index, operation in enumerate(operations):
        try:
            if operation["op"] == "test":
                _test(index, operation, data)
            else:
                data = jsonpatch.apply_patch(data, [deepcopy(operation)], in_place=True)
        except (
            jsonpatch.JsonPatchException,
            jsonpointer.JsonPointerException,
            TypeError,
        ) as error:
            raise _refused(index, error) from None
        if operation["op"] == "copy":
            _within(limit, data)
    if not isinstance(data, dict):
        raise InvalidPatch("the patch leaves something that is no JSON object")
    try:
        check_depth(data)
    except InvalidJson as error:
        raise InvalidPatch(error.detail) from None
    return _within(limit, data)


def _test(index: int, operation: dict[str, Any], data: Data) -> None:
    """RFC 6902, section 4.6; compared as JSON, where true is not 1."""
    missing = object()
    found = jsonpointer.resolve_pointer(data, operation["path"], missing)
    if isinstance(found, jsonpointer.EndOfList):
        found = missing
    if found is missing or canonical_text(found) != canonical_text(operation["value"]):
        place = Violation(
            f"/{index}", f"the value at {operation['path']} is another one"
        )
        raise PatchTestFailed(
            f"the test of operation {index} did not hold; nothing was changed",
            errors=[place],
        )


def _refused(index: int, error: Exception) -> InvalidPatch:
    return InvalidPatch(
        f"operation {index} cannot be applied",
        errors=[Violation(f"/{index}", str(error)[:200])],
    )


def _within(limit: int, data: Data) -> Data:
    if len(dumps(data).encode()) > limit:
        raise InvalidPatch(f"the patched data would be larger than {limit:,} bytes")
    return data
