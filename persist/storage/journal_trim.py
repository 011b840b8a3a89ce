"""Retention: the journal's head is cut off, a piece at a time, so that writers hardly
wait."""

import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from persist.storage.change_feed import feed_statements
from persist.storage.dialect import Dialect
from persist.storage.sql import Connection
from persist.storage.tables import JOURNAL, JOURNAL_FIRST
from persist.storage.unit_of_work import timestamp

PIECE = 1_000
"""Changes that go in one transaction."""

Told = Callable[[str, int, int], None]


def trim(dialect: Dialect, before: int | datetime, told: Told) -> tuple[int, int]:
    """Cut off the changes before a ``seq`` or a time: how many, and the ``seq`` the
    journal begins at.

    The deletion of a record that is still gone keeps its envelope: its revision may not
    be used again.
    """
    ends, statements = feed_statements(dialect).ends, _statements()
    with closing(dialect.connect()) as connection:
        first, head = connection.execute(ends.text).fetchall()[0]
        cut = min(_seq(dialect, connection, before, first, head), head + 1)
        for start in range(first, cut, PIECE):
            begun, upto = time.monotonic(), min(start + PIECE, cut)
            connection.execute(dialect.begin_write)
            for statement in statements:
                _run(dialect, connection, statement, start=start, upto=upto)
            connection.execute("COMMIT")
            told("cutting the journal", upto - first, cut - first)
            time.sleep(time.monotonic() - begun)  # as long for the others
    return max(cut - first, 0), max(cut, first)


def _seq(
    dialect: Dialect,
    connection: Connection,
    before: int | datetime,
    first: int,
    head: int,
) -> int:
    """The first change that stays."""
    if isinstance(before, int):
        return before
    later = JOURNAL.c.at >= sa.bindparam("at")
    from_first = JOURNAL.c.seq >= sa.bindparam("first", type_=sa.BigInteger())
    statement = (
        sa.select(JOURNAL.c.seq).where(from_first, later).order_by(JOURNAL.c.seq)
    )
    at = timestamp(before.astimezone(UTC))
    found = _run(
        dialect, connection, statement.limit(sa.literal_column("1")), first=first, at=at
    ).fetchone()
    return int(found[0]) if found else head + 1


def _statements() -> tuple[sa.ClauseElement, ...]:
    start, upto = (
        sa.bindparam(name, type_=sa.BigInteger()) for name in ("start", "upto")
    )
    later = JOURNAL.alias("later")
    same = [
        later.c[name] == JOURNAL.c[name] for name in ("collection", "workspace", "id")
    ]
    outlived = sa.exists().where(*same, later.c.revision > JOURNAL.c.revision)
    goes = sa.or_(JOURNAL.c.operation != sa.literal_column("'delete'"), outlived)
    return (
        sa.update(JOURNAL_FIRST).values(seq=upto).where(JOURNAL_FIRST.c.seq < upto),
        sa.delete(JOURNAL).where(JOURNAL.c.seq >= start, JOURNAL.c.seq < upto, goes),
    )


def _run(
    dialect: Dialect, connection: Connection, clause: sa.ClauseElement, **values: Any
) -> Any:
    statement = dialect.compile(clause)
    return connection.execute(statement.text, statement.arguments(values))
