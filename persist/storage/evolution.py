"""Evolution: every stored record of a registered type gets a new schema version.

New data is computed, validated and staged from one consistent read, outside of any
writer. What changes meanwhile is staged again until little is left, which the
transaction does before it stores everything.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from operator import itemgetter

import sqlalchemy as sa

from persist.domain.change import Change, Operation, Origin
from persist.domain.errors import MigrationRequired
from persist.domain.record import Record, dumps
from persist.storage.catalog import Stale
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
from persist.storage.records import batches
from persist.storage.sql import Session, Statement, big_integer
from persist.storage.staging import Staging, refusing
from persist.storage.tables import JOURNAL, JOURNAL_HEAD
from persist.storage.unit_of_work import UnitOfWork

LISTED_FAULTS = 10
"""Faults that a refusal lists."""

FEW_CHANGES = 100
"""Records that changed since they were staged: so few may be left to the
transaction."""

MAX_ROUNDS = 20
"""Times that what changed meanwhile is staged again."""

LAST_SEQ = Statement(sa.select(JOURNAL_HEAD.c.seq))

CHANGED_SINCE = Statement(
    sa.select(JOURNAL.c.workspace, JOURNAL.c.id)
    .where(
        JOURNAL.c.seq > big_integer("since"),
        JOURNAL.c.collection == sa.bindparam("collection"),
    )
    .distinct()
    .order_by(JOURNAL.c.workspace, JOURNAL.c.id)
)
"""Select the records of a collection that changed after a ``seq``."""


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
        self._staged_seq = 0
        self._is_stored = False

    def stage(self) -> None:
        """Compute and validate everything. Raises ``MigrationRequired``."""
        dialect = self._old.dialect
        with (
            refusing(dialect),
            closing(dialect.connect()) as connection,
        ):
            self._staging.open()
            reader = Session(dialect, connection.cursor())
            self._stage_all(reader)
            self._staging.changes.index()
            for _ in range(MAX_ROUNDS):
                if self._stage_round(reader) <= FEW_CHANGES:
                    break
            self._staging.changes.finish()

    def _stage_all(self, reader: Session[Dialect]) -> None:
        reader.execute(reader.dialect.begin_read)
        self._staged_seq = reader.value(LAST_SEQ)
        self._staging.rows(self._new)
        records = records_of(self._old, reader)
        changes = self._changes(records)
        for batch in batched(changes, characters_of):
            self._staging.add(self._new, batch)
        reader.execute("ROLLBACK")
        self._check()

    def _stage_round(self, reader: Session[Dialect]) -> int:
        """Stage what changed meanwhile again and return how many records that are."""
        reader.execute(reader.dialect.begin_read)
        with self._staging.transaction():
            changed = self._stage_changed(reader)
        reader.execute("ROLLBACK")
        self._check()
        return changed

    def _stage_changed(self, reader: Session[Dialect]) -> int:
        last_seq = reader.value(LAST_SEQ)
        changed = reader.rows(
            CHANGED_SINCE,
            collection=self._old.type.name,
            since=self._staged_seq,
        )
        for workspace, keys in groupby(changed, itemgetter(0)):
            ids = [record_id for _, record_id in keys]
            for batch in batches(ids):
                self._stage_again(reader, workspace, batch)
        self._staged_seq = last_seq
        return len(changed)

    def _stage_again(
        self,
        reader: Session[Dialect],
        workspace: str,
        ids: Sequence[str],
    ) -> None:
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
        for _, migrated in converted:
            yield Change(Operation.MIGRATE, migrated, self._origin)

    def _migrated(self, record: Record) -> Record:
        entity_type = self._new.type
        data = entity_type.bring_forward(record.schema_version, record.data)
        version = entity_type.schema_version
        return record.next(version, self._staging.at, dumps(data), data)

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
        if self._is_stored:
            raise Stale
        self._is_stored = True
        self._stage_changed(work.session)
        self._check()
        self._staging.store(work, {self._new.type.name: table})
        return self._staging.changes.count
