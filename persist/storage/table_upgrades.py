"""The service's own tables: creating them, and upgrading those of an earlier release.

An upgrade only adds: columns that may be null or have a default, indexes and tables. A
process of the earlier release keeps working meanwhile.
"""

from collections.abc import Callable
from contextlib import closing
from itertools import islice

import sqlalchemy as sa
from sqlalchemy.schema import CreateColumn

from persist.storage.dialect import Dialect
from persist.storage.seals import LAST_SEAL, SealedHead, SealWriter
from persist.storage.sql import Session, Statement, quoted_name
from persist.storage.tables import JOURNAL_FIRST, JOURNAL_HEAD, METADATA
from persist.storage.unit_of_work import now

SEALS_PER_TRANSACTION = 4
"""Seals that one transaction of the upgrade adds; other writers wait meanwhile."""

JOURNAL_RANGE = Statement(sa.select(JOURNAL_FIRST.c.seq, JOURNAL_HEAD.c.seq))


def add_missing_columns(connection: sa.Connection) -> None:
    """Add the columns and indexes that tables of an earlier release lack."""
    inspector = sa.inspect(connection)
    for table in METADATA.sorted_tables:
        if inspector.has_table(table.name):
            _add_columns(connection, table, inspector)
            _add_indexes(connection, table, inspector)


def _add_columns(
    connection: sa.Connection, table: sa.Table, inspector: sa.Inspector
) -> None:
    columns = inspector.get_columns(table.name)
    present = {column["name"] for column in columns}
    alter = f"ALTER TABLE {quoted_name(table.name)}"
    for column in table.columns:
        if column.name in present:
            continue
        created = CreateColumn(column)
        written = created.compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"{alter} ADD COLUMN {written}")


def _add_indexes(
    connection: sa.Connection, table: sa.Table, inspector: sa.Inspector
) -> None:
    indexes = inspector.get_indexes(table.name)
    present = {index["name"] for index in indexes}
    for index in table.indexes:
        if index.name not in present:
            index.create(connection)


def seal_journal(
    dialect: Dialect, on_progress: Callable[[str, int, int], None]
) -> None:
    """Seal the changes that an earlier release wrote, in transactions of a few seals.

    Other writers wait for one such transaction at most. What is interrupted goes on
    at the next start.
    """
    with closing(dialect.connect()) as connection:
        cursor = connection.cursor()
        session = Session(dialect, cursor)
        while _seal_some(session, on_progress):
            pass


def _seal_some(
    session: Session[Dialect], on_progress: Callable[[str, int, int], None]
) -> bool:
    """Add seals in one transaction; return whether changes without a seal are left."""
    session.execute(session.dialect.begin_exclusive)
    first, head = session.rows(JOURNAL_RANGE)[0]
    row = session.rows(LAST_SEAL)[0]
    last_seal = SealedHead(*row)
    done = last_seal.seq
    total = head - first + 1
    has_changes = total > 0
    if has_changes and done < head:
        seals = SealWriter(session, now())
        seals.begin(last_seal, done + 1)
        stored = seals.seal_stored(head)
        some = islice(stored, SEALS_PER_TRANSACTION)
        for done in some:
            sealed = done - first + 1
            on_progress("sealing the journal", sealed, total)
        seals.finish()
    session.execute("COMMIT")
    return bool(has_changes and done < head)
