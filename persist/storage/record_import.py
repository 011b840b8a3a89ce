"""Importing records: exported records come back under their own ids, by the rules of a
restore."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from persist.domain.change import Origin
from persist.domain.errors import MigrationFailed
from persist.storage.catalog import Stale
from persist.storage.layout import Layout
from persist.storage.restore_target import RestoreTarget
from persist.storage.restore_writer import (
    OnConflict,
    RestoreWriter,
    Row,
    spool_forward,
)
from persist.storage.spool import Spool
from persist.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True)
class Imported:
    """What became of the records of an import."""

    created: int
    skipped: int
    overwritten: int
    migrated: int


class RecordImport:
    """One import: ``prepare`` in a thread, ``run`` in a transaction, ``close``."""

    def __init__(self, layout: Layout, workspace: str, on_conflict: OnConflict) -> None:
        self._target = RestoreTarget(layout, layout.type.plan)
        self._workspace = workspace
        self._on_conflict = on_conflict
        self._spool = Spool()

    def close(self) -> None:
        """Delete what is on the disk."""
        self._spool.close()

    def prepare(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Bring forward and validate every record. Raises ``MigrationFailed`` with the
        failing records."""
        name = self._target.layout.type.name
        failures = spool_forward(
            records,
            lambda record: self._target.row(record, self._workspace),
            lambda record: (name, record["id"]),
            self._spool,
        )
        if failures.failed:
            first = failures.listed[0]
            raise MigrationFailed(
                f"record {first.id} cannot be brought forward: {first.detail}; nothing"
                " was imported",
                failures=failures.as_json(),
            )

    def run(self, work: UnitOfWork, origin: Origin) -> Imported:
        """Store everything. Raises ``RestoreConflict``, ``UniqueViolation``, and
        ``Stale`` if the type changed since ``prepare``."""
        layout = self._target.layout
        if not work.is_current(layout.type):
            raise Stale
        writer = RestoreWriter(
            work, {layout.type.name: layout}, self._on_conflict, None, origin
        )
        batches = ([Row(*row) for row in batch] for batch in self._spool)
        with Spool() as incoming:
            writer.remove_overwritten(batches, incoming)
            writer.insert(incoming)
        return Imported(
            writer.created, writer.skipped, writer.overwritten, self._target.migrated
        )
