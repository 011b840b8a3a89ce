"""Trimming: the oldest changes are deleted in batches, so writers hardly wait.

The last change of each record before the cut stays below ``journal_first``: it is what
the record was at the cut.
"""

import time
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime

import sqlalchemy as sa

from persist.domain.record import dumps
from persist.domain.seal import Seal, inclusion_paths
from persist.storage.clock import timestamp
from persist.storage.dialect import Dialect
from persist.storage.journal.changes import JOURNAL_ENDS
from persist.storage.journal.seals import LEAF_HASHES, SEALS_AFTER, seal_of
from persist.storage.long_operations.progress import OnProgress
from persist.storage.sql import Inserter, Row, Session, Statement, big_integer
from persist.storage.tables import JOURNAL, JOURNAL_BASES, JOURNAL_FIRST, SEALS

BATCH_CHANGES = 1_000
"""Changes after which a transaction of trimming ends, at the end of a seal."""

FIRST_SINCE = Statement(
    sa.select(JOURNAL.c.seq)
    .where(JOURNAL.c.seq >= big_integer("first"), JOURNAL.c.at >= sa.bindparam("at"))
    .order_by(JOURNAL.c.seq)
    .limit(sa.literal_column("1"))
)
"""Select the first change at or after a time."""

LOCK_FIRST = Statement(sa.update(JOURNAL_FIRST).values(seq=JOURNAL_FIRST.c.seq))
"""Keep other trims waiting until this transaction ends."""

MOVE_FIRST = Statement(
    sa.update(JOURNAL_FIRST)
    .values(seq=big_integer("end"))
    .where(JOURNAL_FIRST.c.seq < big_integer("end"))
)
"""Have the journal begin at a later ``seq``."""

_TABLE = JOURNAL.alias("earlier")
_EARLIER = _TABLE.c
_CHANGE = JOURNAL.c

_PREDECESSOR = (
    sa.select(_EARLIER.seq)
    .where(
        _EARLIER.collection == _CHANGE.collection,
        _EARLIER.workspace == _CHANGE.workspace,
        _EARLIER.id == _CHANGE.id,
        _EARLIER.revision < _CHANGE.revision,
    )
    .order_by(_EARLIER.revision.desc())
    .limit(sa.literal_column("1"))
    .correlate(JOURNAL)
)

PREDECESSORS = Statement(
    sa.select(_PREDECESSOR.scalar_subquery()).where(
        _CHANGE.seq >= big_integer("start"),
        _CHANGE.seq < big_integer("end"),
    )
)
"""Select, for each change of a range, the change of the same record before it, or
null."""


@Statement
def delete_changes(dialect: Dialect) -> sa.ClauseElement:
    """Delete the changes of ``seqs``."""
    of_seqs = dialect.one_of(_CHANGE.seq, "seqs")
    return sa.delete(JOURNAL).where(of_seqs)


@Statement
def delete_bases(dialect: Dialect) -> sa.ClauseElement:
    """Delete the seals and paths of the bases of ``seqs``."""
    column = JOURNAL_BASES.c.seq
    of_seqs = dialect.one_of(column, "seqs")
    return sa.delete(JOURNAL_BASES).where(of_seqs)


INSERT_BASES = Inserter(JOURNAL_BASES)

SEALED_BEFORE = Statement(
    sa.select(sa.func.coalesce(sa.func.max(SEALS.c.seq), 0)).where(
        SEALS.c.seq < big_integer("cut")
    )
)
"""Select the last change of the last seal before a ``seq``; 0 if there is none."""

DELETE_SEALS = Statement(sa.delete(SEALS).where(SEALS.c.seq < big_integer("end") - 1))
"""Delete the seals before a ``seq``, except one that ends right before it."""


def trim(
    dialect: Dialect,
    before: int | datetime,
    on_progress: OnProgress,
) -> tuple[int, int]:
    """Delete the changes before a ``seq`` or a time, up to the end of a seal.

    The last seal before the cut stays: the chain of seals begins with it. Returns how
    many changes were deleted, and the ``seq`` at which the journal now begins.
    """
    with closing(dialect.connect()) as connection:
        cursor = connection.cursor()
        session = Session(dialect, cursor)
        first, head = session.rows(JOURNAL_ENDS)[0]
        first_kept = _first_kept(session, before, first, head)
        cut = min(first_kept, head + 1)
        last_sealed = session.value(SEALED_BEFORE, cut=cut)
        cut = last_sealed + 1
        start = first
        deleted = 0
        count = cut - first
        while count and start < cut:
            begun = time.monotonic()
            start, count = _trim_some(session, cut)
            deleted += count
            on_progress("cutting the journal", start - first, cut - first)
            # Other writers get as much time as this took.
            taken = time.monotonic() - begun
            time.sleep(taken)
    return deleted, max(start, first)


def _trim_some(session: Session[Dialect], cut: int) -> tuple[int, int]:
    """Trim some seals in one transaction.

    Returns where the journal begins then, and how many changes were deleted. Of each
    record its last change stays, with its inclusion path.
    """
    session.execute(session.dialect.begin_write)
    session.run(LOCK_FIRST)
    # Another trim may have come this far, or beyond the cut.
    start, _ = session.rows(JOURNAL_ENDS)[0]
    seals = _seals(session, start, cut)
    if not seals:
        session.execute("COMMIT")
        return start, 0
    end = seals[-1].seq + 1
    session.run(MOVE_FIRST, end=end)
    found = session.rows(PREDECESSORS, start=start, end=end)
    predecessors = {seq for (seq,) in found if seq is not None}
    for seal in seals:
        _keep_paths(session, seal, start, predecessors)
    seqs = session.dialect.bound_list(sorted(predecessors))
    session.run(delete_bases, seqs=seqs)
    session.run(delete_changes, seqs=seqs)
    session.run(DELETE_SEALS, end=end)
    session.execute("COMMIT")
    return end, end - start


def _seals(
    session: Session[Dialect],
    start: int,
    cut: int,
) -> list[Seal]:
    """Return the next seals, which cover some changes of a batch at least."""
    seals: list[Seal] = []
    rows = session.rows(
        SEALS_AFTER,
        after=start - 1,
        limit=BATCH_CHANGES,
    )
    for row in rows:
        seal = seal_of(row)
        if seal.seq >= cut:
            break
        seals.append(seal)
        if seal.seq - start >= BATCH_CHANGES:
            break
    return seals


def _keep_paths(
    session: Session[Dialect],
    seal: Seal,
    start: int,
    predecessors: set[int],
) -> None:
    """Store the inclusion paths of the changes of a seal that are kept."""
    first = max(seal.first_seq, start)
    covered = range(first, seal.seq + 1)
    kept = sorted(set(covered) - predecessors)
    rows = session.rows(LEAF_HASHES, first=seal.first_seq, last=seal.seq)
    leaves = [bytes(leaf_hash) for (leaf_hash,) in rows]
    indexes = [seq - seal.first_seq for seq in kept]
    paths = inclusion_paths(leaves, indexes)
    members = asdict(seal)
    text = dumps(members)
    bases: list[Row] = []
    for seq, path in zip(kept, paths, strict=True):
        siblings = [(side, sibling.hex()) for side, sibling in path]
        base = (seq, text, dumps(siblings))
        bases.append(base)
    session.insert(INSERT_BASES, bases)


def _first_kept(
    session: Session[Dialect], before: int | datetime, first: int, head: int
) -> int:
    """Return the ``seq`` of the first change that stays."""
    if isinstance(before, int):
        return before
    moment = before.astimezone(UTC)
    at = timestamp(moment)
    found = session.row(FIRST_SINCE, first=first, at=at)
    if found is None:
        return head + 1
    seq: int = found[0]
    return seq
