"""Patches over HTTP: the media type of a body decides which kind of patch it is."""

from collections.abc import Callable

from persist.domain.entity_type import EntityType
from persist.domain.errors import InvalidPatch
from persist.domain.patch import json_patch, map_values, merge_patch
from persist.domain.record import Data, dumps
from persist.domain.strict_json import WriteDecimals

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"

# Named, because Python builds the annotations of an inner function at each call.
Change = Callable[[Data], Data]


def write_decimals_of(entity_type: EntityType, media_type: str) -> WriteDecimals | None:
    """Return the function that writes the decimals of a patch as text; None if there
    are none."""
    write = entity_type.write_decimals
    if write is None or media_type != JSON_PATCH:
        return write
    return lambda _, operations: map_values(operations, write)


def change_of(patch: object, media_type: str, max_bytes: int) -> Change:
    """Return the change of a patch, whose result may have ``max_bytes``.

    Raises ``InvalidPatch``; the change may raise it, too, and ``PatchTestFailed``.
    """
    if media_type == JSON_PATCH:
        return json_patch(patch, max_bytes).apply
    if not isinstance(patch, dict):
        raise InvalidPatch(
            "a merge patch is a JSON object; send an array of operations as"
            f" {JSON_PATCH}"
        )

    def merge(data: Data) -> Data:
        merged: Data = merge_patch(data, patch)
        if len(dumps(merged).encode()) > max_bytes:
            raise InvalidPatch(
                f"the patched data would be larger than {max_bytes:,} bytes"
            )
        return merged

    return merge
