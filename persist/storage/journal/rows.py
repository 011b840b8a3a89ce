"""Changes as rows of the journal, and as the leaves that their hashes cover."""

import json
from functools import lru_cache
from operator import itemgetter

import sqlalchemy as sa

from persist.domain.canonical_json import json_sha256
from persist.domain.change import Change, Operation
from persist.domain.json_lock import JSON_LOCK, LONG_CHARACTERS
from persist.domain.record import parse_data
from persist.domain.seal import Leaf, leaf_hash
from persist.storage.sql import Row
from persist.storage.tables import JOURNAL

CHANGE_COLUMNS = (
    JOURNAL.c.seq,
    JOURNAL.c.at,
    JOURNAL.c.workspace,
    JOURNAL.c.collection,
    JOURNAL.c.id,
    JOURNAL.c.revision,
    JOURNAL.c.schema_version,
    JOURNAL.c.operation,
    JOURNAL.c.command,
    JOURNAL.c.actor,
    JOURNAL.c.request_id,
    JOURNAL.c.payload,
    JOURNAL.c.data,
    JOURNAL.c.hash,
    JOURNAL.c.payload_sha256,
    JOURNAL.c.data_sha256,
)
"""The columns of a change that is read: its envelope, its content and its hashes.

Behind ``seq``, the envelope has the first members of a leaf, in their order.
"""

PAYLOAD = CHANGE_COLUMNS.index(JOURNAL.c.payload)
DATA = CHANGE_COLUMNS.index(JOURNAL.c.data)
HASH = CHANGE_COLUMNS.index(JOURNAL.c.hash)

ENVELOPE = [column.name for column in CHANGE_COLUMNS[:PAYLOAD]]
"""The names of the columns before the content."""

LEAF_COLUMNS = tuple(
    # As text, also on connections that parse JSON.
    sa.cast(column, sa.Text).label(column.name)
    if column.name in ("payload", "data")
    else column
    for column in CHANGE_COLUMNS
)
"""The same columns, for ``leaf_of`` on any connection."""

INSERTED_COLLECTION = 2
"""Where ``change_row`` has the name of the collection."""

INSERTED_KEY = slice(1, 4)
"""Where ``change_row`` has workspace, collection and id."""

INSERTED_REVISION = 4
"""Where ``change_row`` has the revision."""

INSERTED_CREATED_AT = 12
"""Where ``change_row`` has the time at which the record was created."""

INSERTED_HASH = 15
"""Where ``change_row`` has the hash of the leaf."""

summary_values = itemgetter(4, 0, 9, 6, 7)
"""Takes revision, time, actor, operation and command from a ``change_row``."""


def change_row(change: Change, now: str) -> Row:
    """Return the row of a change that is inserted: all columns of the table but
    ``seq``, which is not known before the transaction ends."""
    record = change.record
    origin = change.origin
    text = None
    data_sha256 = None
    if change.operation is not Operation.DELETE:
        text = record.text
        data = record.data if record.parsed is None else record.parsed
        data_sha256 = json_sha256(data, len(text))
    envelope = (
        now,
        record.workspace,
        record.collection,
        record.id,
        record.revision,
        record.schema_version,
        str(change.operation),
        change.command,
    )
    leaf = (
        *envelope,
        origin.actor,
        origin.request_id,
        _payload_sha256(change.payload),
        data_sha256,
    )
    return (
        *envelope,
        change.payload,
        origin.actor,
        origin.request_id,
        change.snapshot,
        record.created_at,
        None if record.updated_at == now else record.updated_at,
        text,
        leaf_hash(leaf),
        None,
        None,
    )


def inserted_state(row: Row) -> Row:
    """Return a record as the change of a ``change_row`` left it: the columns of
    ``journal.changes.REVISION``."""
    at = row[0]
    record_id, revision, schema_version = row[3:6]
    created_at, updated_at, text = row[12:15]
    return record_id, revision, schema_version, created_at, updated_at or at, text


@lru_cache(maxsize=1)
def _payload_sha256(payload: str | None) -> str | None:
    """Return the hash of a payload, which many changes in a row may have."""
    if payload is None:
        return None
    return json_sha256(parse_data(payload), len(payload))


def leaf_of(row: Row) -> Leaf:
    """Return the leaf of a change that was read as ``LEAF_COLUMNS``.

    Raises ``ValueError`` if its payload or its data is not JSON.
    """
    payload, data, _, erased_payload, erased_data = row[PAYLOAD:]
    payload_sha256 = _content_sha256(payload, erased_payload)
    data_sha256 = _content_sha256(data, erased_data)
    return (*row[1:PAYLOAD], payload_sha256, data_sha256)


_parsed = json.JSONDecoder().decode
"""Return the value of a JSON text, as ``json.loads`` does in more time."""


def _content_sha256(text: str | None, erased: bytes | None) -> str | None:
    """Return the hex hash of a payload or of data, which may be ``erased``."""
    if erased is not None:
        return erased.hex()
    if text is None:
        return None
    if len(text) <= LONG_CHARACTERS:
        return json_sha256(_parsed(text))
    with JSON_LOCK:
        return json_sha256(_parsed(text))
