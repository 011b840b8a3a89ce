"""Evolution: every record of a registered type is stored again in its next table."""

from persist.domain.change import Origin
from persist.domain.errors import MigrationRequired
from persist.domain.record import Data, Record
from persist.storage.entity_types.registered_indexes import (
    check_unique,
    create_index,
)
from persist.storage.layout import Layout, indexes_by_name
from persist.storage.long_operations.staging import Staging
from persist.storage.migrations.record_migration import RecordFailures
from persist.storage.migrations.staged_migration import StagedMigration
from persist.storage.writes.unit_of_work import UnitOfWork


class Evolution:
    """``stage`` in a thread, ``store`` in an exclusive transaction on the connection of
    ``staging``.

    ``new`` is the layout of the next table, which is empty and has no indexes.
    """

    def __init__(
        self, staging: Staging, before: Layout, new: Layout, origin: Origin
    ) -> None:
        self._staging = staging
        self._new = new
        self._migration = StagedMigration(
            staging,
            before,
            new,
            origin,
            self._converted,
            _migration_required,
        )

    def _converted(self, record: Record) -> Data:
        return self._new.type.bring_forward(record.schema_version, record.data)

    def stage(self) -> None:
        """Fill the next table.

        Raises ``MigrationRequired``, ``UniqueViolation``, and ``Stale`` if unique
        values changed places meanwhile.
        """
        self._staging.open()
        self._staging.build(self._new)
        self._migration.stage(self._create_indexes)

    def _create_indexes(self) -> None:
        """Create the indexes, once the table is filled: that takes less time."""
        for index in indexes_by_name(self._new.table).values():
            if index.unique:
                check_unique(self._staging.session, self._new, index)
            with self._staging.transaction(is_long=True):
                create_index(self._staging.session, index)

    def store(self, work: UnitOfWork) -> int:
        """Store the rest and the changes, and return how many records there are.

        Raises what ``stage`` does.
        """
        self._migration.finish(work.session)
        return self._migration.store(work.journal, self._new.table)

    @property
    def table_name(self) -> str:
        """The name of the next table."""
        return self._new.table.name


def _migration_required(failures: RecordFailures) -> MigrationRequired:
    listed = failures.as_json()
    # The refusal is about one collection, which its path names.
    for failure in listed:
        del failure["collection"]
    return MigrationRequired(
        f"{failures.failed} of {failures.records} stored records do not fit the"
        " new schema; send a migration (rename, drop, set, default) that makes"
        " them fit",
        failed=failures.failed,
        records=failures.records,
        failures=listed,
    )
