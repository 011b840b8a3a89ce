"""Trimming: the head of the journal is deleted in batches, so writers hardly wait."""

import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime

import sqlalchemy as sa

from persist.domain.change import Operation
from persist.storage.change_feed import JOURNAL_ENDS
from persist.storage.dialect import Dialect
from persist.storage.sql import Session, Statement, big_integer, constant
from persist.storage.tables import JOURNAL, JOURNAL_FIRST, SEALS
from persist.storage.unit_of_work import timestamp

BATCH_CHANGES = 1_000
"""Changes that one transaction deletes."""

OnProgress = Callable[[str, int, int], None]
"""Is called with what is done, how much of it is done, and how much there is."""

FIRST_SINCE = Statement(
    sa.select(JOURNAL.c.seq)
    .where(JOURNAL.c.seq >= big_integer("first"), JOURNAL.c.at >= sa.bindparam("at"))
    .order_by(JOURNAL.c.seq)
    .limit(sa.literal_column("1"))
)
"""Select the first change at or after a time."""

MOVE_FIRST = Statement(
    sa.update(JOURNAL_FIRST)
    .values(seq=big_integer("upto"))
    .where(JOURNAL_FIRST.c.seq < big_integer("upto"))
)
"""Have the journal begin at a later ``seq``."""

_LATER = JOURNAL.alias("later")
_OUTLIVED = sa.exists().where(
    _LATER.c.collection == JOURNAL.c.collection,
    _LATER.c.workspace == JOURNAL.c.workspace,
    _LATER.c.id == JOURNAL.c.id,
    _LATER.c.revision > JOURNAL.c.revision,
)

DELETE_CHANGES = Statement(
    sa.delete(JOURNAL).where(
        JOURNAL.c.seq >= big_integer("start"),
        JOURNAL.c.seq < big_integer("upto"),
        sa.or_(JOURNAL.c.operation != constant(Operation.DELETE.value), _OUTLIVED),
    )
)
"""Delete a range of changes.

The deletion of a record that is still deleted stays: no other may have its revision.
"""

SEALED_BEFORE = Statement(
    sa.select(sa.func.coalesce(sa.func.max(SEALS.c.seq), 0)).where(
        SEALS.c.seq < big_integer("cut")
    )
)
"""Select the last change of the last seal before a ``seq``; 0 if there is none."""

DELETE_SEALS = Statement(sa.delete(SEALS).where(SEALS.c.seq < big_integer("upto") - 1))
"""Delete the seals before a ``seq``, but for one that ends right before it."""


def trim(
    dialect: Dialect, before: int | datetime, on_progress: OnProgress
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
        for start in range(first, cut, BATCH_CHANGES):
            begun = time.monotonic()
            end = start + BATCH_CHANGES
            upto = min(end, cut)
            _delete(session, start, upto)
            done = upto - first
            on_progress("cutting the journal", done, cut - first)
            # Other writers get as much time as this took.
            taken = time.monotonic() - begun
            time.sleep(taken)
    deleted = max(cut - first, 0)
    begin = max(cut, first)
    return deleted, begin


def _delete(session: Session[Dialect], start: int, upto: int) -> None:
    """Delete a range of changes and its seals in one transaction."""
    session.execute(session.dialect.begin_write)
    session.run(MOVE_FIRST, upto=upto)
    session.run(DELETE_CHANGES, start=start, upto=upto)
    session.run(DELETE_SEALS, upto=upto)
    session.execute("COMMIT")


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
