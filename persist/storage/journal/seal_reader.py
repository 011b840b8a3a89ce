"""Reading seals: what a client needs to check that a change is as it was written."""

from dataclasses import dataclass

from persist.domain.seal import Seal, Side, inclusion_path
from persist.storage.dialect import Dialect
from persist.storage.journal.change_feed import changes_by_seq
from persist.storage.journal.seals import (
    JOURNAL_BEGIN,
    LEAF_HASHES,
    NEWEST_SEAL,
    SEALS_AFTER,
    seal_of,
)
from persist.storage.sql import Row, Session


@dataclass(frozen=True, slots=True)
class ChangeProof:
    """A change as ``rows.CHANGE_COLUMNS``, its seal, and the inclusion path
    from the hash of its leaf to the root of the seal."""

    change: Row
    seal: Seal
    path: list[tuple[Side, bytes]]

    @property
    def collection(self) -> str:
        """The collection of the change."""
        _, _, _, collection, *_ = self.change
        return str(collection)

    @property
    def workspace(self) -> str:
        """The workspace of the change."""
        _, _, workspace, *_ = self.change
        return str(workspace)


def seals_after(
    session: Session[Dialect],
    after: int,
    limit: int,
) -> list[Seal]:
    """Return the seals whose last change comes after a ``seq``."""
    rows = session.rows(
        SEALS_AFTER,
        after=after,
        limit=limit,
    )
    return [seal_of(row) for row in rows]


def newest_seal(session: Session[Dialect]) -> Seal | None:
    """Return the last seal, None before the first change."""
    row = session.row(NEWEST_SEAL)
    if row is None:
        return None
    return seal_of(row)


def proof_of(session: Session[Dialect], seq: int) -> ChangeProof | None:
    """Return the proof of a change, None if it is not there or not sealed."""
    seqs = session.dialect.bound_list([seq])
    change = session.row(changes_by_seq, seqs=seqs)
    seals = seals_after(session, seq - 1, 1)
    first = session.value(JOURNAL_BEGIN)
    if change is None or not seals:
        return None
    if seq < first:
        return None
    seal = seals[0]
    # It does not cover the change, which an earlier release left without a seal.
    if seal.first_seq > seq:
        return None
    rows = session.rows(
        LEAF_HASHES,
        first=seal.first_seq,
        last=seal.seq,
    )
    leaves = [bytes(leaf_hash) for (leaf_hash,) in rows]
    path = inclusion_path(leaves, seq - seal.first_seq)
    return ChangeProof(change, seal, path)
