"""Changes as rows of the journal."""

import json

from persist.domain.canonical_json import json_sha256
from persist.domain.change import Change, Operation
from persist.domain.seal import Leaf
from persist.storage.sql import Row

COLLECTION = 2
"""Where a change's row, without its ``seq``, has the name of the collection."""

HASH = 15
"""Where it has the hash of its leaf."""


def change_row(change: Change, now: str) -> Row:
    """Return the row of a change, all columns but ``seq``."""
    record = change.record
    operation = str(change.operation)
    return (
        now,
        record.workspace,
        record.collection,
        record.id,
        record.revision,
        record.schema_version,
        operation,
        change.command,
        change.payload,
        change.origin.actor,
        change.origin.request_id,
        change.snapshot,
        record.created_at,
        None if record.updated_at == now else record.updated_at,
        None if change.operation is Operation.DELETE else record.text,
        _leaf_of(change, operation, now).hash(),
        None,
        None,
    )


def _leaf_of(change: Change, operation: str, now: str) -> Leaf:
    record = change.record
    origin = change.origin
    # Not by name, which takes twice the time.
    return Leaf(
        now,
        record.workspace or None,
        record.collection,
        record.id,
        record.revision,
        record.schema_version,
        operation,
        change.command,
        origin.actor or None,
        origin.request_id,
        _payload_sha256(change),
        _data_sha256(change),
    )


def _payload_sha256(change: Change) -> str | None:
    if change.payload is None:
        return None
    return json_sha256(json.loads(change.payload))


def _data_sha256(change: Change) -> str | None:
    if change.operation is Operation.DELETE:
        return None
    record = change.record
    data = record.data if record.parsed is None else record.parsed
    return json_sha256(data)
