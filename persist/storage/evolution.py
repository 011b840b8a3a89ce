"""Evolution: every stored record of a registered type comes to a new schema version.

The records are walked and validated from a consistent read first, outside of any
writer; inside the transaction only those that changed since are computed again.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from persist.domain.change import Change, Operation, Origin
from persist.domain.errors import MigrationRequired, PersistError
from persist.domain.record import Data, Record, dumps
from persist.storage.dialect import Dialect
from persist.storage.layout import Layout
from persist.storage.records import BATCH
from persist.storage.spool import Spool
from persist.storage.sql import Cursor, Row
from persist.storage.unit_of_work import UnitOfWork

SAMPLES = 10
"""Failures a refusal shows."""


@dataclass
class Report:
    """How many records an evolution touches, and which of them it cannot bring
    along."""

    records: int = 0
    failed: int = 0
    samples: list[dict[str, str]] = field(default_factory=list)

    def add(self, id: str, error: PersistError) -> None:
        """Count a record that does not come along, and show it while there is room."""
        self.failed += 1
        shown = error.errors or ((None, error.detail),)
        for place, detail in shown[: SAMPLES - len(self.samples)]:
            self.samples.append({"id": id, "pointer": place or "", "detail": detail})

    def check(self) -> None:
        """Raise ``MigrationRequired`` where a record does not come along."""
        if self.failed:
            raise MigrationRequired(
                f"{self.failed} of {self.records} stored records do not fit the new"
                " schema; send a migration (rename, drop, set, default) that brings"
                " them there",
                failed=self.failed,
                records=self.records,
                failures=self.samples,
            )


class Rehearsal:
    """The new data of every record as of one moment, on the disk in the order of the
    table."""

    def __init__(self) -> None:
        self.report = Report()
        self._spool = Spool()
        self._held: Iterator[Any] = iter(())
        self._next: tuple[tuple[str, str], int, str] | None = None

    def run(self, dialect: Dialect, old: Layout, new: Layout) -> None:
        """Walk and validate everything. Does not raise for records that fail: see
        ``report``."""
        connection = dialect.connect()
        try:
            cursor = connection.cursor()
            cursor.execute(dialect.begin_read)
            for workspace, row in rows_of(dialect, old, cursor):
                self.report.records += 1
                try:
                    self._spool.put(((workspace, row[0]), row[1], _evolved(new, row)))
                except PersistError as error:
                    self.report.add(row[0], error)
        finally:
            connection.close()
        self._held = iter(self._spool)
        self._next = next(self._held, None)

    def text(self, key: tuple[str, str], revision: int) -> str | None:
        """The new data of a record as it was at that revision; keys are asked for in
        order."""
        while self._next is not None and self._next[0] < key:
            self._next = next(self._held, None)
        held = self._next
        return held[2] if held is not None and held[:2] == (key, revision) else None

    def close(self) -> None:
        self._spool.close()


def _evolved(new: Layout, row: Row) -> str:
    data: Data = json.loads(row[5])
    return dumps(new.type.validate(new.type.plan.walk(row[2], data)))


def rows_of(
    dialect: Dialect, layout: Layout, cursor: Cursor
) -> Iterator[tuple[str, Row]]:
    """Every row of a layout's table, by workspace and id, as (workspace, (the envelope
    columns…, data as text)); each piece is read when the one before it is done with."""
    table = layout.table
    key = sa.tuple_(table.c.workspace, table.c.id)
    columns = (table.c.workspace, *layout.selected)
    after = key > sa.tuple_(sa.bindparam("workspace"), sa.bindparam("id"))
    limited = (
        sa.select(*columns)
        .order_by(table.c.workspace, table.c.id)
        .limit(sa.literal_column(str(BATCH)))
    )
    first, further = dialect.compile(limited), dialect.compile(limited.where(after))
    rows = cursor.execute(first.text, first.arguments({})).fetchall()
    while rows:
        yield from [(row[0], row[1:]) for row in rows]
        values = {"workspace": rows[-1][0], "id": rows[-1][1]}
        rows = cursor.execute(further.text, further.arguments(values)).fetchall()


def evolve(
    work: UnitOfWork,
    dialect: Dialect,
    old: Layout,
    new: Layout,
    rehearsal: Rehearsal,
    origin: Origin,
) -> int:
    """Bring every record to the new version: one ``migrate`` change and one revision
    each. Gives their number. Raises ``MigrationRequired``."""
    report = Report()
    piece: list[tuple[Record, int]] = []
    for workspace, row in rows_of(dialect, old, work.cursor):
        report.records += 1
        try:
            text = rehearsal.text((workspace, row[0]), row[1]) or _evolved(new, row)
        except PersistError as error:
            report.add(row[0], error)
            continue
        piece.append((_next(new, workspace, row, work.now, text), row[1]))
        if len(piece) == BATCH:
            _write(work, new, piece, origin)
            piece = []
    report.check()
    _write(work, new, piece, origin)
    return report.records


def _next(new: Layout, workspace: str, row: Row, now: str, text: str) -> Record:
    id, revision, _, created_at, *_ = row
    return Record(
        id,
        new.type.name,
        workspace,
        revision + 1,
        new.type.schema_version,
        created_at,
        now,
        text,
    )


def _write(
    work: UnitOfWork, new: Layout, piece: list[tuple[Record, int]], origin: Origin
) -> None:
    if not piece:
        return
    rows: list[Any] = [
        (*new.row(record), record.workspace, record.id, was) for record, was in piece
    ]
    new.writer.update(work.cursor, rows)
    for record, _ in piece:
        work.journal.append(Change(Operation.MIGRATE, record, origin))
