"""The records of a collection inside a transaction.

What is read is remembered and what is written waits: many changes of one record in a
batch are one UPDATE, many new records are one INSERT. A query sees the waiting writes
because it sends them first.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sqlalchemy as sa

from persist.domain.batch_size import BATCH_CHARACTERS
from persist.domain.query import Query
from persist.domain.record import Record
from persist.storage.dialect import PRIMARY_KEY
from persist.storage.layout import Layout
from persist.storage.queries import query_sql
from persist.storage.queries.record_source import RecordSource
from persist.storage.queries.result_size import of_records
from persist.storage.sql import Clause, Compiled, Cursor, Row

BATCH_ROWS = 500
"""Rows that one statement takes at most."""

LOCKED_ROWS = 16
"""Rows that are fetched before it is known how many characters they have."""

Key = tuple[str, str]
"""Workspace and id."""

States = dict[Key, Record | None]
"""Records by key; None if there is none."""

Item = TypeVar("Item")


class WriteLost(Exception):
    """Another process changed a row after it was read. The operation runs again."""


@dataclass(slots=True)
class _Rows:
    """The rows that ``TableWriter`` takes."""

    deleted: list[Row] = field(default_factory=list)
    updated: list[Row] = field(default_factory=list)
    new: list[Row] = field(default_factory=list)


class TableRecords:
    """``domain.stores.Records`` of one table: the records that were read, and those
    that wait to be sent."""

    def __init__(self, layout: Layout, cursor: Cursor) -> None:
        self._layout = layout
        self._cursor = cursor
        self._stored: States = {}
        self._present: States = {}
        self._dirty: dict[Key, None] = {}
        self.refused: Key | None = None

    def lock(self, workspace: str, ids: Iterable[str]) -> int:
        unread: set[str] = set()
        for record_id in ids:
            key = workspace, record_id
            if key not in self._present:
                unread.add(record_id)
        if not unread:
            return 0
        layout = self._layout
        values = {
            "workspace": workspace,
            "ids": layout.dialect.bound_list(sorted(unread)),
        }
        cursor = layout.by_ids_locked.run(self._cursor, values)
        rows, characters, ended = _locked(cursor)
        if ended:
            # The others are read one by one when they are asked for.
            unread = {row[0] for row in rows}
        records = [layout.record(workspace, row) for row in rows]
        self.load(workspace, unread, records)
        return characters

    def load(
        self,
        workspace: str,
        ids: Iterable[str],
        records: Iterable[Record],
    ) -> None:
        """Take ``records`` for all that is stored under ``ids``."""
        loaded: States = {}
        for record_id in ids:
            loaded[workspace, record_id] = None
        for record in records:
            loaded[workspace, record.id] = record
        self._stored |= loaded
        self._present |= loaded

    def get(self, workspace: str, record_id: str) -> Record | None:
        key = workspace, record_id
        if key not in self._present:
            self.lock(workspace, [record_id])
        return self._present[key]

    def put(self, record: Record) -> None:
        self._change(record, record)

    def remove(self, record: Record) -> None:
        self._change(record, None)

    def _change(self, record: Record, after: Record | None) -> None:
        key = (record.workspace, record.id)
        self._present[key] = after
        self._dirty.pop(key, None)  # the order is that of the last changes
        self._dirty[key] = None

    def count(self, workspace: str, query: Query) -> int:
        statement = count_statement(self._layout, query)
        ((count,),) = self._select(statement, workspace, query)
        return int(count)

    def select_for_update(
        self,
        workspace: str,
        query: Query,
    ) -> list[tuple[str, int]]:
        statement = _select_for_update(self._layout, query)
        # They may be a million: the driver's rows are not copied.
        rows: list[Any] = self._select(statement, workspace, query)
        return rows

    def _select(
        self,
        statement: Compiled,
        workspace: str,
        query: Query,
    ) -> list[Row]:
        self.flush()
        values = query_sql.values(self._layout, workspace, query)
        cursor = statement.run(self._cursor, values)
        return cursor.fetchall()

    def flush(self) -> None:
        """Send the waiting rows: deletions, then updates, then new records.

        In that order a unique value may move from one record to another. Raises
        ``WriteLost`` and the driver's errors.
        """
        if not self._dirty:
            return
        writer = self._layout.writer
        rows = self._take_rows()
        if rows.deleted:
            _run_checked(writer.delete, self._cursor, rows.deleted)
        if rows.updated:
            _run_checked(writer.update, self._cursor, rows.updated)
        for batch in batches(rows.new):
            writer.insert(self._cursor, batch)

    def _take_rows(self) -> "_Rows":
        """Return the waiting changes as rows, by workspace and id."""
        rows = _Rows()
        # In one order for all transactions, which would otherwise wait for each other
        # in a circle.
        keys = sorted(self._dirty)
        self._dirty = {}
        for key in keys:
            before = self._stored.get(key)
            after = self._present[key]
            self._stored[key] = after
            self._add_change(rows, before, after)
        return rows

    def _add_change(
        self,
        rows: "_Rows",
        before: Record | None,
        after: Record | None,
    ) -> None:
        new_row = None if after is None else self._layout.row(after)
        if before is None:
            if new_row is not None:
                rows.new.append(new_row)
        elif new_row is None:
            key = _key(before)
            rows.deleted.append(key)
        else:
            key = _key(before)
            changed = new_row[len(PRIMARY_KEY) :]
            rows.updated.append((*changed, *key))

    def flush_exchanging(self) -> None:
        """Send the waiting rows so that records may exchange unique values.

        Every changed record is deleted, then inserted again, in the order of the last
        changes. If a unique value is taken, ``refused`` is the record that needed it.
        Raises as ``flush``.
        """
        keys = list(self._dirty)
        self._dirty = {}
        deleted: list[Row] = []
        for key in keys:
            before = self._stored.get(key)
            if before is not None:
                deleted.append(_key(before))
        writer = self._layout.writer
        _run_checked(writer.delete, self._cursor, sorted(deleted))
        for key in keys:
            after = self._present[key]
            self._stored[key] = after
            if after is not None:
                # One by one: the driver does not say which row of many was refused.
                self.refused = key
                row = self._layout.row(after)
                writer.insert(self._cursor, [row])
        self.refused = None

    def forget(self) -> None:
        """Drop what is remembered: the transaction went back to an earlier point."""
        self._stored.clear()
        self._present.clear()
        self._dirty.clear()


def _locked(cursor: Cursor) -> tuple[list[Row], int, bool]:
    """Return rows up to the characters of a batch, their number, and whether that is
    why it stopped."""
    rows: list[Row] = []
    characters = 0
    while batch := cursor.fetchmany(LOCKED_ROWS):
        rows += batch
        characters += of_records(batch)
        if len(batch) == LOCKED_ROWS and characters > BATCH_CHARACTERS:
            return rows, characters, True
    return rows, characters, False


def _key(record: Record) -> tuple[str, str, int]:
    return (
        record.workspace,
        record.id,
        record.revision,
    )


def batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Return the items in batches that one statement takes."""
    for start in range(0, len(items), BATCH_ROWS):
        end = start + BATCH_ROWS
        yield items[start:end]


def _run_checked(
    run: Callable[[Cursor, Sequence[Row]], int],
    cursor: Cursor,
    rows: Sequence[Row],
) -> None:
    """Change rows in batches. Raises ``WriteLost`` if one of them is no longer as it
    was read."""
    for batch in batches(rows):
        changed = run(cursor, batch)
        # The condition of each row has the revision that was read.
        if changed != len(batch):
            raise WriteLost


def page_statement(layout: RecordSource, query: Query) -> Compiled:
    """Return the statement of a page."""
    key = ("page", *query_sql.shape(query))

    def write() -> Clause:
        return query_sql.page(layout, query)

    return layout.statements.get(key, write)


def _select_for_update(layout: Layout, query: Query) -> Compiled:
    """Return the statement that locks what matches, in the order of the query."""
    key = ("lock", *query_sql.shape(query))
    columns = layout.table.c

    def write() -> Clause:
        page = query_sql.page(layout, query)
        ids = page.with_only_columns(columns.id, columns.revision)
        return layout.dialect.for_update(ids)

    return layout.statements.get(key, write)


def count_statement(layout: RecordSource, query: Query) -> Compiled:
    """Return the statement that counts all that matches, whatever the page."""
    key = ("count", query.where)

    def write() -> Clause:
        unpaged = Query(where=query.where, values=query.values)
        conditions = query_sql.where(layout, unpaged)
        counted = sa.select(sa.func.count()).select_from(layout.table)
        return counted.where(*conditions)

    return layout.statements.get(key, write)
