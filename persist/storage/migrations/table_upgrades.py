"""The service's own tables: creating them, and upgrading those of an earlier release.

An upgrade only adds: columns that may be null or have a default, indexes and tables. A
process of the earlier release keeps working meanwhile.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateColumn

from persist.storage.clock import now
from persist.storage.dialect import Dialect
from persist.storage.journal.changes import JOURNAL_ENDS
from persist.storage.journal.seals import LAST_SEAL, SealedHead, SealWriter
from persist.storage.snapshots.snapshot_chunks import (
    HEAD,
    INSERT_CONTENTS,
    contents_rows,
    summary,
)
from persist.storage.sql import Session, Statement, big_integer, quoted_name
from persist.storage.tables import METADATA, SNAPSHOTS

SEALS_PER_TRANSACTION = 4
"""Seals that one transaction of the upgrade adds; other writers wait meanwhile."""

NOT_SUMMARIZED = Statement(
    sa.select(SNAPSHOTS.c.id)
    .where(SNAPSHOTS.c.automatic.is_(None))
    .limit(sa.literal_column("1"))
)
"""Select a snapshot of an earlier release."""

SUMMARIZE = Statement(
    sa.update(SNAPSHOTS)
    .where(SNAPSHOTS.c.id == sa.bindparam("snapshot_id"))
    .values(
        created_at=sa.bindparam("taken_at"),
        seq=big_integer("snapshot_seq"),
        automatic=big_integer("is_automatic"),
    )
)
"""Set what the row of a snapshot repeats of its manifest."""


def add_missing_columns(connection: sa.Connection) -> None:
    """Add the columns and indexes that tables of an earlier release lack."""
    inspector = sa.inspect(connection)
    tables = METADATA.tables
    # All tables at once: on PostgreSQL each look takes several statements.
    columns = inspector.get_multi_columns(filter_names=list(tables))
    indexes = inspector.get_multi_indexes(filter_names=list(tables))
    for (schema, name), present in columns.items():
        _add_columns(connection, tables[name], _names(present))
        _add_indexes(connection, tables[name], _names(indexes[schema, name]))


def _names(found: Iterable[Mapping[str, Any]]) -> set[str]:
    return {each["name"] for each in found}


def _add_columns(connection: sa.Connection, table: sa.Table, present: set[str]) -> None:
    alter = f"ALTER TABLE {quoted_name(table.name)}"
    for column in table.columns:
        if column.name in present:
            continue
        created = CreateColumn(column)
        written = created.compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"{alter} ADD COLUMN {written}")


def _add_indexes(connection: sa.Connection, table: sa.Table, present: set[str]) -> None:
    for index in table.indexes:
        if index.name not in present:
            index.create(connection)


def summarize_snapshots(dialect: Dialect) -> None:
    """Repeat in columns what the manifests of an earlier release's snapshots say.

    Each has its own transaction, for which other writers wait.
    """
    with closing(dialect.connect()) as connection:
        session = Session(dialect, connection.cursor())
        while _summarize_one(session):
            pass


def _summarize_one(session: Session[Dialect]) -> bool:
    """Return whether there was such a snapshot."""
    session.execute(session.dialect.begin_exclusive)
    row = session.row(NOT_SUMMARIZED)
    if row is not None:
        (snapshot_id,) = row
        head, _, store, _ = session.rows(HEAD, snapshot_id=snapshot_id)[0]
        manifest = json.loads(head)["manifest"]
        rows = contents_rows(store, manifest)
        session.insert(INSERT_CONTENTS, rows)
        created_at, seq, automatic = summary(manifest)
        session.run(
            SUMMARIZE,
            snapshot_id=snapshot_id,
            taken_at=created_at,
            snapshot_seq=seq,
            is_automatic=automatic,
        )
    session.execute("COMMIT")
    return row is not None


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
    first, head = session.rows(JOURNAL_ENDS)[0]
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
