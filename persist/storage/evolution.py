"""Evolution: every stored record of a registered type gets a new schema version.

New data is computed, validated and staged from one consistent read, outside of any
writer. What changes meanwhile is staged again until little is left, which the
transaction does before it stores everything.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

import sqlalchemy as sa

from persist.domain.change import Change, Origin
from persist.domain.errors import MigrationRequired
from persist.domain.record import Record, dumps
from persist.storage.catch_up import CatchUp
from persist.storage.dialect import Dialect
from persist.storage.layout import Layout
from persist.storage.record_migration import (
    RecordFailures,
    batched,
    bring_forward,
    characters_of,
    name_of,
    records_of,
)
from persist.storage.sql import Session
from persist.storage.staging import Staging, refusing
from persist.storage.unit_of_work import UnitOfWork

LISTED_FAULTS = 10
"""Faults that a refusal lists."""


class Evolution:
    """The evolution of a collection: ``stage`` in a thread, ``store`` in a transaction
    on the connection of the staging."""

    def __init__(
        self,
        staging: Staging,
        old: Layout,
        new: Layout,
        origin: Origin,
    ) -> None:
        self._staging = staging
        self._old = old
        self._new = new
        self._origin = origin
        self._failures = RecordFailures(LISTED_FAULTS)
        self._catch_up = CatchUp(staging, self._stage_again, [new.type.name])

    def stage(self) -> None:
        """Compute and validate everything. Raises ``MigrationRequired``."""
        dialect = self._old.dialect
        with (
            refusing(dialect),
            closing(dialect.connect()) as connection,
        ):
            self._staging.open()
            reader = Session(dialect, connection.cursor())
            reader.execute(dialect.begin_read)
            self._catch_up.begin(reader)
            self._stage_all(reader)
            reader.execute("ROLLBACK")
            self._check()
            self._catch_up.run(reader)
            self._check()

    def _stage_all(self, reader: Session[Dialect]) -> None:
        self._staging.rows(self._new)
        records = records_of(self._old, reader)
        changes = self._changes(records)
        for batch in batched(changes, characters_of):
            with self._staging.transaction():
                self._staging.add(self._new, batch)

    def _stage_again(
        self,
        reader: Session[Dialect],
        collection: str,
        workspace: str,
        ids: Sequence[str],
    ) -> None:
        """Stage records of the collection again."""
        values = {
            "workspace": workspace,
            "ids": reader.dialect.bound_list(ids),
        }
        rows = self._old.by_ids.run(reader.cursor, values).fetchall()
        records = [self._old.record(workspace, row) for row in rows]
        changes = list(self._changes(records))
        self._staging.replace(self._new, workspace, ids, changes)

    def _changes(self, records: Iterable[Record]) -> Iterator[Change]:
        """Yield the change of each record that can be brought forward."""
        converted = bring_forward(
            records,
            self._migrated,
            name_of,
            self._failures,
        )
        for _, change in converted:
            yield change

    def _migrated(self, record: Record) -> Change:
        entity_type = self._new.type
        data = entity_type.bring_forward(record.schema_version, record.data)
        return Change.migration(
            record,
            entity_type.schema_version,
            dumps(data),
            data,
            self._origin,
            self._staging.at,
        )

    def _check(self) -> None:
        """Raise ``MigrationRequired`` if a record cannot be brought forward."""
        failures = self._failures
        if not failures.failed:
            return
        listed = failures.as_json()
        for failure in listed:
            del failure["collection"]
        raise MigrationRequired(
            f"{failures.failed} of {failures.records} stored records do not fit the"
            " new schema; send a migration (rename, drop, set, default) that makes"
            " them fit",
            failed=failures.failed,
            records=failures.records,
            failures=listed,
        )

    def store(self, work: UnitOfWork, table: sa.Table) -> int:
        """Store all records in a new table and return how many there are.

        Each gets one ``migrate`` change and one revision. Raises
        ``MigrationRequired``, and ``Stale`` if a transaction before this one failed.
        """
        self._catch_up.finish(work.session)
        self._check()
        self._staging.store(work, {self._new.type.name: table})
        return self._staging.changes.count
