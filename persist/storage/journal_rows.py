"""Changes as rows of the journal, and many of them that wait for their transaction."""

import json
from collections.abc import Iterator, Sequence

from persist.domain.canonical_json import json_sha256
from persist.domain.change import Change, Operation
from persist.domain.seal import MAX_SEAL_CHANGES, Leaf, merkle_root
from persist.storage.spool import Spool
from persist.storage.sql import Row

HASH = 15
"""Where a change's row, without its ``seq``, has the hash of its leaf."""


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


class StagedChanges:
    """Rows of changes in a temporary file, with the roots of the seals over them.

    They are made ready outside of a transaction, which then adds them to the journal by
    ``JournalWriter.add_staged``. Raises ``Unavailable`` as ``Spool``.
    """

    def __init__(self) -> None:
        self.count = 0
        self._spool = Spool()
        self._leaves: list[bytes] = []
        self._roots: list[tuple[int, bytes]] = []

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows of ``change_row``, as many as one statement takes at most."""
        self._spool.put(rows)
        self.count += len(rows)
        self._leaves += [row[HASH] for row in rows]
        while len(self._leaves) >= MAX_SEAL_CHANGES:
            self._add_root(self._leaves[:MAX_SEAL_CHANGES])
            del self._leaves[:MAX_SEAL_CHANGES]

    def finish(self) -> None:
        """Make the last root; nothing may be added after this."""
        if self._leaves:
            self._add_root(self._leaves)
            self._leaves = []

    def _add_root(self, leaves: list[bytes]) -> None:
        self._roots.append((len(leaves), merkle_root(leaves)))

    def batches(self) -> Iterator[Sequence[Row]]:
        """Iterate over the rows."""
        return iter(self._spool)

    def roots(self) -> Sequence[tuple[int, bytes]]:
        """Return the root of each seal and how many changes it covers."""
        return self._roots

    def close(self) -> None:
        """Delete the file."""
        self._spool.close()
