"""The records of a collection inside a transaction.

What is read is remembered and what is written waits: many changes of one record in a
batch are one UPDATE, many new records are one INSERT. A query sees the waiting writes
because it sends them first.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sqlalchemy as sa

from persist.domain.query import Query
from persist.domain.record import Record
from persist.storage import query_sql
from persist.storage.layout import Layout
from persist.storage.sql import Compiled, Cursor, Row

BATCH_ROWS = 500
"""Rows that one statement takes at most."""

Key = tuple[str, str]
"""Workspace and id."""

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
    """``domain.stores.Records`` of one table: what was read and what waits."""

    def __init__(self, layout: Layout, cursor: Cursor) -> None:
        self._layout = layout
        self._cursor = cursor
        self._stored: dict[Key, Record | None] = {}
        self._present: dict[Key, Record | None] = {}
        self._dirty: dict[Key, None] = {}
        self.refused: Key | None = None

    def lock(self, workspace: str, ids: Iterable[str]) -> None:
        wanted = {
            record_id
            for record_id in ids
            if (workspace, record_id) not in self._present
        }
        if not wanted:
            return
        values = {
            "workspace": workspace,
            "ids": self._layout.dialect.bound_list(sorted(wanted)),
        }
        rows = self._layout.by_ids_locked.run(self._cursor, values).fetchall()
        self.load(
            workspace, wanted, (self._layout.record(workspace, row) for row in rows)
        )

    def load(
        self,
        workspace: str,
        ids: Iterable[str],
        records: Iterable[Record],
    ) -> None:
        """Take ``records`` for all that is stored under ``ids``."""
        for record_id in ids:
            key = workspace, record_id
            self._stored[key] = self._present[key] = None
        for record in records:
            key = workspace, record.id
            self._stored[key] = self._present[key] = record

    def get(self, workspace: str, record_id: str) -> Record | None:
        key = workspace, record_id
        if key not in self._present:
            self.lock(workspace, (record_id,))
        return self._present[key]

    def put(self, record: Record) -> None:
        self._change(record, record)

    def remove(self, record: Record) -> None:
        self._change(record, None)

    def _change(self, record: Record, after: Record | None) -> None:
        key = record.workspace, record.id
        self._present[key] = after
        self._dirty.pop(key, None)  # the order is that of the last changes
        self._dirty[key] = None

    def count(self, workspace: str, query: Query) -> int:
        self.flush()
        values = query_sql.values(self._layout, workspace, query)
        counted = count_statement(self._layout, query).run(self._cursor, values)
        return int(counted.fetchall()[0][0])

    def select_for_update(self, workspace: str, query: Query) -> list[tuple[str, int]]:
        self.flush()
        values = query_sql.values(self._layout, workspace, query)
        statement = _select_for_update(self._layout, query)
        rows = statement.run(self._cursor, values).fetchall()
        return [(record_id, revision) for record_id, revision in rows]

    def flush(self) -> None:
        """Send what waits: deletions, then updates, then new records.

        In that order a unique value may move from one record to another. Raises
        ``WriteLost`` and the driver's errors.
        """
        if not self._dirty:
            return
        writer = self._layout.writer
        rows = self._take_rows()
        _run_checked(writer.delete, self._cursor, rows.deleted)
        _run_checked(writer.update, self._cursor, rows.updated)
        for batch in batches(rows.new):
            writer.insert(self._cursor, batch)

    def _take_rows(self) -> "_Rows":
        """Return what waits as rows, by workspace and id."""
        row = self._layout.row
        rows = _Rows()
        keys = sorted(self._dirty)
        self._dirty = {}
        for key in keys:
            before = self._stored.get(key)
            after = self._present[key]
            self._stored[key] = after
            if before is None:
                if after is not None:
                    rows.new.append(row(after))
            elif after is None:
                rows.deleted.append(_key(before))
            else:
                rows.updated.append((*row(after), *_key(before)))
        return rows

    def flush_exchanging(self) -> None:
        """Send what waits so that records may exchange unique values: every changed
        record is deleted, then stored as it is now, in the order of the last changes.

        Where a unique value is taken, ``refused`` is the record that wants it. Raises
        as ``flush``.
        """
        keys = list(self._dirty)
        self._dirty = {}
        stored = [self._stored.get(key) for key in keys]
        before = [_key(record) for record in stored if record is not None]
        writer, cursor = self._layout.writer, self._cursor
        _run_checked(writer.delete, cursor, sorted(before))
        for key in keys:
            after = self._stored[key] = self._present[key]
            if after is not None:
                self.refused = key
                writer.insert(cursor, [self._layout.row(after)])
        self.refused = None

    def release(self) -> None:
        self.flush()
        self.forget()

    def forget(self) -> None:
        """Drop what is remembered: the transaction went back to an earlier point."""
        self._stored.clear()
        self._present.clear()
        self._dirty.clear()


def _key(record: Record) -> tuple[str, str, int]:
    return record.workspace, record.id, record.revision


def batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Return the items in batches that one statement takes."""
    for start in range(0, len(items), BATCH_ROWS):
        yield items[start : start + BATCH_ROWS]


def _run_checked(
    run: Callable[[Cursor, Sequence[Row]], int],
    cursor: Cursor,
    rows: Sequence[Row],
) -> None:
    """Change rows, each of which must be as it was read. Raises ``WriteLost``."""
    for batch in batches(rows):
        if run(cursor, batch) != len(batch):
            raise WriteLost


def page_statement(layout: Layout, query: Query) -> Compiled:
    """Return the statement of a page."""
    key = "page", *query_sql.shape(query)
    return layout.statements.get(key, lambda: query_sql.page(layout, query))


def _select_for_update(layout: Layout, query: Query) -> Compiled:
    """Return the statement that locks what matches, in the order of the query."""

    def write() -> sa.Select[Any]:
        columns = layout.table.c.id, layout.table.c.revision
        page = query_sql.page(layout, query).with_only_columns(*columns)
        return layout.dialect.for_update(page)

    return layout.statements.get(("lock", *query_sql.shape(query)), write)


def count_statement(layout: Layout, query: Query) -> Compiled:
    """Return the statement that counts all that matches, whatever the page."""

    def write() -> sa.Select[Any]:
        unpaged = Query(where=query.where, values=query.values)
        matching = query_sql.where(layout, unpaged)
        counted = sa.select(sa.func.count()).select_from(layout.table)
        return counted.where(*matching)

    return layout.statements.get(("count", query.where), write)
