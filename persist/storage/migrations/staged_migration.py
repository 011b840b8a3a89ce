"""Staged migration: every record of a collection gets a new schema version.

New data is computed, validated and staged outside of any writer. What changes meanwhile
is staged again until little is left, which the transaction does before it stores
everything. Registered types evolve in this way (``evolution``), and so do the tables of
classes (``migrator``).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import sqlalchemy as sa

from persist.domain.change import Change, Origin
from persist.domain.errors import PersistError
from persist.domain.record import Data, Record, dumps
from persist.storage.dialect import Dialect, Failure
from persist.storage.entity_types.catalog import Stale
from persist.storage.journal.changes import JournalWriter
from persist.storage.layout import Layout
from persist.storage.long_operations.catch_up import CatchUp
from persist.storage.long_operations.staging import Staging
from persist.storage.migrations.record_migration import (
    RecordFailures,
    batched,
    bring_forward,
    characters_of,
    name_of,
    records_of,
)
from persist.storage.sql import Session

LISTED_FAULTS = 10
"""Faults that a refusal lists."""

Convert = Callable[[Record], Data]
"""Returns the valid data of a record in the new version. Raises ``PersistError``."""

Refuse = Callable[[RecordFailures], PersistError]
"""Returns the refusal for records that cannot be brought forward."""

OnStaged = Callable[[int], None]
"""Is called with how many records are staged."""


def ignore_staged(_: int) -> None:
    """Do nothing."""


class StagedMigration:
    """The migration of a collection: ``stage`` in a thread, ``store`` in a transaction
    on the connection of ``staging``, which is open.

    ``new`` is the layout of the table that the records are stored in.
    """

    def __init__(
        self,
        staging: Staging,
        old: Layout,
        new: Layout,
        origin: Origin,
        convert: Convert,
        refuse: Refuse,
        on_staged: OnStaged = ignore_staged,
    ) -> None:
        self._staging = staging
        self._old = old
        self._new = new
        self._origin = origin
        self._convert = convert
        self._refuse = refuse
        self._on_staged = on_staged
        self._failures = RecordFailures(LISTED_FAULTS)
        self._catch_up = CatchUp(staging, self._stage_again, [new.type.name])

    def stage(self, after_all: Callable[[], None] | None = None) -> None:
        """Compute and validate everything while others write.

        ``after_all`` is called before what changed meanwhile is staged again. Raises
        the refusal.
        """
        # A record that changes between two batches is staged again.
        with self._catch_up.reading(one_moment=False) as reader:
            self._stage_all(reader)
            if after_all is not None:
                after_all()
        self._check()

    def stage_from(self, reader: Session[Dialect]) -> None:
        """Compute and validate everything as a transaction sees it. Raises the
        refusal."""
        self._catch_up.begin(reader)
        self._stage_all(reader)

    def _stage_all(self, reader: Session[Dialect]) -> None:
        # Created even if no record is stored, so that it is there for those that
        # come meanwhile.
        self._staging.rows(self._new)
        records = records_of(self._old, reader)
        changes = self._changes(records)
        count = 0
        self._on_staged(count)
        for batch in batched(changes, characters_of):
            self._staging.add(self._new, batch)
            count += len(batch)
            self._on_staged(count)
        self._check()

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
        try:
            self._staging.replace(self._new, workspace, ids, changes)
        except Exception as error:
            if reader.dialect.failure(error) is not Failure.UNIQUE:
                raise
            # Values may have changed places between two batches. Filling another table
            # shows whether they are unique.
            raise Stale from error

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
        data = self._convert(record)
        return Change.migration(
            record,
            self._new.type.schema_version,
            dumps(data),
            data,
            self._origin,
            self._staging.at,
        )

    def _check(self) -> None:
        if self._failures.failed:
            raise self._refuse(self._failures)

    def finish(self, session: Session[Dialect]) -> None:
        """Stage the rest, in the transaction that stores everything.

        Raises the refusal, and ``Stale`` if a transaction before this one failed.
        """
        self._catch_up.finish(session)
        self._check()

    def store(self, journal: JournalWriter, table: sa.Table) -> int:
        """Store all records in a table and return how many there are.

        Each gets one ``migrate`` change and one revision.
        """
        self._staging.store(journal, {self._new.type.name: table})
        return self._staging.changes.count
