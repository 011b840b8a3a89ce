"""Evolution: every stored record of a registered type gets a new schema version.

New data is computed and validated from one consistent read, outside of any writer.
Inside the transaction only the records that changed since are computed again.
"""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from persist.domain.change import Origin
from persist.domain.errors import MigrationRequired
from persist.domain.record import Record, dumps
from persist.storage.dialect import Dialect
from persist.storage.layout import Layout
from persist.storage.record_migration import (
    MigratedRecords,
    NewData,
    RecordFailures,
    bring_forward,
    name_of,
    records_of,
)
from persist.storage.spool import Spool
from persist.storage.sql import Session
from persist.storage.unit_of_work import UnitOfWork

LISTED_FAULTS = 10
"""Faults that a refusal lists."""


class Rehearsal:
    """The new data of every record as of one moment, on the disk in table order."""

    def __init__(self) -> None:
        self._spool = Spool()
        self._spooled: Iterator[Any] = iter(())
        self._next: Any = None

    def run(self, dialect: Dialect, old: Layout, new: Layout) -> None:
        """Compute and validate everything. Raises ``MigrationRequired``."""
        failures = RecordFailures(LISTED_FAULTS)
        with closing(dialect.connect()) as connection:
            session = Session(dialect, connection.cursor())
            session.execute(dialect.begin_read)
            for record, new_data in _evolved(old, new, session, failures, _NOTHING):
                key = record.workspace, record.id
                self._spool.put((key, record.revision, new_data.text))
        _check(failures)
        self._spooled = iter(self._spool)
        self._next = next(self._spooled, None)

    def text(self, record: Record) -> str | None:
        """Return the new data of a record if it still has the revision it had.

        Records are asked for in table order.
        """
        key = record.workspace, record.id
        while self._next is not None and self._next[0] < key:
            self._next = next(self._spooled, None)
        spooled = self._next
        if spooled is not None and spooled[:2] == (key, record.revision):
            text: str = spooled[2]
            return text
        return None

    def close(self) -> None:
        """Delete what is on the disk."""
        self._spool.close()


class _Nothing:
    """A rehearsal that has not been run."""

    def text(self, record: Record) -> str | None:
        return None


_NOTHING = _Nothing()


def _evolved(
    old: Layout,
    new: Layout,
    session: Session[Dialect],
    failures: RecordFailures,
    rehearsal: Rehearsal | _Nothing,
) -> Iterator[tuple[Record, NewData]]:
    """Return each record with its new data."""

    def convert(record: Record) -> NewData:
        text = rehearsal.text(record)
        if text is not None:
            return NewData(text)
        data = new.type.bring_forward(record.schema_version, record.data)
        return NewData(dumps(data), data)

    return bring_forward(records_of(old, session), convert, name_of, failures)


def evolve(
    work: UnitOfWork, old: Layout, new: Layout, rehearsal: Rehearsal, origin: Origin
) -> int:
    """Bring every record to the new version and return how many there are.

    Each gets one ``migrate`` change and one revision. Raises ``MigrationRequired``.
    """
    failures = RecordFailures(LISTED_FAULTS)
    evolved = _evolved(old, new, work.session, failures, rehearsal)
    writer = MigratedRecords(new, work.session, work.journal, origin, work.now)
    for _ in writer.write(evolved):
        pass
    _check(failures)
    return failures.records


def _check(failures: RecordFailures) -> None:
    """Raise ``MigrationRequired`` if a record cannot be brought forward."""
    if not failures.failed:
        return
    listed = failures.as_json()
    for failure in listed:
        del failure["collection"]
    raise MigrationRequired(
        f"{failures.failed} of {failures.records} stored records do not fit the new"
        " schema; send a migration (rename, drop, set, default) that makes them fit",
        failed=failures.failed,
        records=failures.records,
        failures=listed,
    )
