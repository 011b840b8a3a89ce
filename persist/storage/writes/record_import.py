"""Importing records: exported records are stored under their own ids, by the rules of a
restore."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from persist.domain.change import Origin
from persist.domain.errors import MigrationFailed
from persist.storage.layout import Layout
from persist.storage.long_operations.staging import Staging
from persist.storage.migrations.record_migration import RecordFailures, bring_forward
from persist.storage.snapshots.restore_target import RestoreTarget
from persist.storage.snapshots.restore_writer import (
    LISTED_FAULTS,
    IncomingRow,
    OnConflict,
    RestoreWriter,
)
from persist.storage.writes.unit_of_work import UnitOfWork


@dataclass(frozen=True)
class Imported:
    """What became of the records of an import."""

    created: int
    skipped: int
    overwritten: int
    migrated: int


class RecordImport:
    """One import: ``prepare`` in a thread, ``run`` in a transaction on the connection
    of the staging."""

    def __init__(
        self,
        staging: Staging,
        layout: Layout,
        workspace: str,
        on_conflict: OnConflict,
        origin: Origin,
    ) -> None:
        self.writer = RestoreWriter(staging, on_conflict, None, origin)
        self._target = RestoreTarget(layout, layout.type.plan)
        self._workspace = workspace

    def prepare(self, records: Iterable[Mapping[str, object]]) -> None:
        """Bring forward, validate and stage every record.

        Raises ``MigrationFailed`` with the failing records, ``RestoreConflict``.
        """
        layout = self._target.layout
        self.writer.add_collection(layout, has_table=True)
        self.writer.stage(layout.dialect, self._rows(records))

    def _rows(self, records: Iterable[Mapping[str, Any]]) -> Iterator[IncomingRow]:
        name = self._target.layout.type.name
        failures = RecordFailures(LISTED_FAULTS)
        converted = bring_forward(
            records,
            lambda record: self._target.row(record, self._workspace),
            lambda record: (name, record["id"]),
            failures,
        )
        for _, row in converted:
            yield row
        if failures.failed:
            first = failures.listed[0]
            raise MigrationFailed(
                f"record {first.id} cannot be brought forward: {first.detail}; nothing"
                " was imported",
                failures=failures.as_json(),
            )

    def run(self, work: UnitOfWork) -> Imported:
        """Store everything. Raises ``RestoreConflict``, ``UniqueViolation``, and
        ``Stale`` if the type changed since ``prepare``."""
        layout = self._target.layout
        entity_type = layout.type
        work.collection(entity_type, self._workspace)
        self.writer.store(work, {entity_type.name: layout})
        created, skipped, overwritten = self.writer.totals()
        return Imported(created, skipped, overwritten, self._target.migrated)
