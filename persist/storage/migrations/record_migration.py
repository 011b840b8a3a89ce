"""Record migration: stored data is brought to another schema version, record by record.

Evolution, migration in place and restore share it: they compute new data for each
record, list those that fail, and stage the others in batches.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import sqlalchemy as sa

from persist.domain.batch_size import BATCH_CHARACTERS, BatchSize
from persist.domain.change import Change
from persist.domain.errors import PersistError
from persist.domain.record import Record
from persist.storage.dialect import Dialect
from persist.storage.layout import Layout
from persist.storage.sql import Session
from persist.storage.writes.records import BATCH_ROWS

Item = TypeVar("Item")
Converted = TypeVar("Converted")


class RecordFailure(NamedTuple):
    """What is wrong with one record; ``pointer`` is ``""`` for all of it."""

    collection: str
    id: str
    pointer: str
    detail: str


class RecordFailures:
    """The records that cannot be brought forward, and how many records there were.

    ``listed`` holds the first ``limit`` faults.
    """

    def __init__(self, limit: int) -> None:
        self.records = 0
        self.failed = 0
        self.listed: list[RecordFailure] = []
        self._limit = limit

    @property
    def full(self) -> bool:
        """Whether no further fault is listed."""
        return len(self.listed) >= self._limit

    def add(self, collection: str, record_id: str, error: PersistError) -> None:
        """Add a record with all that its error says."""
        self.failed += 1
        faults = error.errors or ((None, error.detail),)
        for pointer, detail in faults:
            if self.full:
                return
            failure = RecordFailure(collection, record_id, pointer or "", detail)
            self.listed.append(failure)

    def as_json(self) -> list[dict[str, str]]:
        """Return the listed faults as a problem shows them."""
        return [failure._asdict() for failure in self.listed]


def bring_forward(
    records: Iterable[Item],
    convert: Callable[[Item], Converted],
    name: Callable[[Item], tuple[str, str]],
    failures: RecordFailures,
) -> Iterator[tuple[Item, Converted]]:
    """Return each record with its new data; those that fail are only listed.

    ``name`` returns the collection and id of a record.
    """
    for record in records:
        failures.records += 1
        try:
            converted = convert(record)
        except PersistError as error:
            failures.add(*name(record), error)
        else:
            yield record, converted


def name_of(record: Record) -> tuple[str, str]:
    """Return the collection and id of a record."""
    return record.collection, record.id


def characters_of(change: Change) -> int:
    """Return the characters of the data of a change."""
    return len(change.record.text)


def batched(
    items: Iterable[Item], characters: Callable[[Item], int]
) -> Iterator[list[Item]]:
    """Return the items in lists of at most ``BATCH_ROWS``, or fewer that have
    ``BATCH_CHARACTERS``."""
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += characters(item)
        if len(batch) == BATCH_ROWS or size >= BATCH_CHARACTERS:
            yield batch
            batch = []
            size = 0
    if batch:
        yield batch


def records_of(layout: Layout, session: Session[Dialect]) -> Iterator[Record]:
    """Return every record of a table by workspace and id.

    A batch is read when the one before it is done with.
    """
    table = layout.table
    dialect = layout.dialect
    key = sa.tuple_(table.c.workspace, table.c.id)
    after = key > sa.tuple_(sa.bindparam("workspace"), sa.bindparam("id"))
    page = (
        sa.select(table.c.workspace, *layout.selected)
        .order_by(table.c.workspace, table.c.id)
        .limit(sa.bindparam("rows", type_=sa.Integer()))
    )
    size = BatchSize(BATCH_ROWS)
    first = dialect.compile(page)
    further = dialect.compile(page.where(after))
    rows = first.run(session.cursor, {"rows": size.records}).fetchall()
    while rows:
        characters = 0
        for workspace, *row in rows:
            record = layout.record(workspace, tuple(row))
            characters += len(record.text)
            yield record
        size.note(len(rows), characters)
        last_workspace, last_id, *_ = rows[-1]
        last = {
            "workspace": last_workspace,
            "id": last_id,
            "rows": size.records,
        }
        rows = further.run(session.cursor, last).fetchall()
