"""The records of a collection inside a unit of work.

What is read is remembered and what is written waits: many changes of one record in a
batch are one UPDATE, many new records one INSERT. A query sees the waiting writes
because it sends them first.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from persist.domain.query import Query
from persist.domain.record import Record
from persist.storage import query_sql
from persist.storage.layout import Layout
from persist.storage.sql import Compiled, Cursor

BATCH = 500
"""Rows a statement takes at the most."""

STATEMENTS = 1000
"""Shapes of queries whose statements are kept for a layout."""

Key = tuple[str, str]
"""Workspace and id."""


class WriteLost(Exception):
    """A row was not as it was read: another process changed it. The operation runs
    again."""


class TableRecords:
    """``domain.stores.Records`` of one table: what was read and what waits to be
    written."""

    def __init__(self, layout: Layout, cursor: Cursor) -> None:
        self._layout = layout
        self._cursor = cursor
        self._stored: dict[Key, Record | None] = {}
        self._present: dict[Key, Record | None] = {}
        self._dirty: set[Key] = set()

    def read(self, workspace: str, ids: Iterable[str]) -> None:
        """Read and lock records that are about to be asked for, in one statement."""
        wanted = sorted({id for id in ids if (workspace, id) not in self._present})
        if not wanted:
            return
        statement = self._layout.by_ids_locked
        values = {
            "workspace": workspace,
            "ids": self._layout.dialect.bound_list(wanted),
        }
        self._remember(
            workspace,
            wanted,
            statement.run(self._cursor, values).fetchall(),
        )

    def _remember(
        self, workspace: str, ids: Iterable[str], rows: Iterable[Any]
    ) -> None:
        for id in ids:
            self._stored[workspace, id] = self._present[workspace, id] = None
        for row in rows:
            record = self._layout.record(workspace, row)
            self._stored[workspace, record.id] = self._present[workspace, record.id] = (
                record
            )

    def get(self, workspace: str, id: str) -> Record | None:
        key = workspace, id
        if key not in self._present:
            self.read(workspace, (id,))
        return self._present[key]

    def put(self, record: Record) -> None:
        key = record.workspace, record.id
        self._present[key] = record
        self._dirty.add(key)

    def remove(self, record: Record) -> None:
        key = record.workspace, record.id
        self._present[key] = None
        self._dirty.add(key)

    def count(self, workspace: str, query: Query) -> int:
        self.flush()
        statement = counting(self._layout, query)
        values = query_sql.values(self._layout, workspace, query)
        return int(statement.run(self._cursor, values).fetchall()[0][0])

    def chosen(self, workspace: str, query: Query) -> list[tuple[str, int]]:
        self.flush()
        statement = choosing(self._layout, query)
        values = query_sql.values(self._layout, workspace, query)
        return list(
            self._cursor.execute(statement.text, statement.arguments(values)).fetchall()
        )

    def flush(self) -> None:
        """Send what waits: what goes, then what changes, then what comes, so that a
        unique value may move from one record to another. Raises ``WriteLost`` and the
        driver's errors."""
        if not self._dirty:
            return
        keys, self._dirty = sorted(self._dirty), set()
        pairs = [(self._stored.get(key), self._present[key]) for key in keys]
        for key in keys:
            self._stored[key] = self._present[key]
        row = self._layout.row
        writer, cursor = self._layout.writer, self._cursor
        gone = [_key(before) for before, after in pairs if before and not after]
        changed = [
            (*row(after), *_key(before)) for before, after in pairs if before and after
        ]
        new = [row(after) for before, after in pairs if after and not before]
        for batch in batches(gone):
            _expect(len(batch), writer.delete(cursor, batch))
        for batch in batches(changed):
            _expect(len(batch), writer.update(cursor, batch))
        for batch in batches(new):
            writer.insert(cursor, batch)

    def forget(self) -> None:
        """Drop what is remembered: the transaction went back to an earlier point."""
        self._stored.clear()
        self._present.clear()
        self._dirty.clear()


def _key(record: Record) -> tuple[str, str, int]:
    return record.workspace, record.id, record.revision


def batches(rows: list[Any]) -> Iterator[list[Any]]:
    """The rows in pieces that one statement takes."""
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))


def _expect(wanted: int, found: int) -> None:
    if found != wanted:
        raise WriteLost


def paging(layout: Layout, query: Query) -> Compiled:
    """The statement of a page, compiled once for each shape of query."""
    return cached(
        layout, ("page", *query_sql.shape(query)), lambda: query_sql.page(layout, query)
    )


def choosing(layout: Layout, query: Query) -> Compiled:
    """The statement that locks what matches, in the order of ids, and tells its ids and
    revisions."""
    columns = (layout.table.c.id, layout.table.c.revision)

    def statement() -> sa.Select[Any]:
        page = query_sql.page(layout, query).with_only_columns(*columns)
        return layout.dialect.for_update(page)

    return cached(layout, ("choose", *query_sql.shape(query)), statement)


def counting(layout: Layout, query: Query) -> Compiled:
    """The statement that counts what matches, without regard to a page."""
    whole = Query(where=query.where, values=query.values)

    def statement() -> sa.Select[Any]:
        return (
            sa.select(sa.func.count())
            .select_from(layout.table)
            .where(*query_sql.where(layout, whole))
        )

    return cached(layout, ("count", query.where), statement)


def cached(
    layout: Layout, shape: Any, statement: Callable[[], sa.ClauseElement]
) -> Compiled:
    """A statement over a layout, compiled once for each shape."""
    found = layout.compiled.get(shape)
    if found is None:
        if len(layout.compiled) >= STATEMENTS:
            layout.compiled.clear()
        found = layout.compiled[shape] = layout.dialect.compile(statement())
    return found
