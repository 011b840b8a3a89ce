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
    return (
        now,
        record.workspace,
        record.collection,
        record.id,
        record.revision,
        record.schema_version,
        change.operation.value,
        change.command,
        change.payload,
        change.origin.actor,
        change.origin.request_id,
        change.snapshot,
        record.created_at,
        None if record.updated_at == now else record.updated_at,
        None if change.operation is Operation.DELETE else record.text,
        _leaf_hash(change, now),
        None,
        None,
    )


def _leaf_hash(change: Change, now: str) -> bytes:
    record = change.record
    data_sha256 = None
    if change.operation is not Operation.DELETE:
        data = record.data if record.parsed is None else record.parsed
        data_sha256 = json_sha256(data)
    payload_sha256 = None
    if change.payload is not None:
        payload_sha256 = json_sha256(json.loads(change.payload))
    return Leaf(
        at=now,
        workspace=record.workspace or None,
        collection=record.collection,
        id=record.id,
        revision=record.revision,
        schema_version=record.schema_version,
        operation=change.operation.value,
        command=change.command,
        actor=change.origin.actor or None,
        request_id=change.origin.request_id,
        payload_sha256=payload_sha256,
        data_sha256=data_sha256,
    ).hash()
