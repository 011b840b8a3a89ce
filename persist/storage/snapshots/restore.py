"""Restoring: a snapshot comes back through the migration plan of each collection.

What takes long happens first, outside of any writer: the snapshot is verified, every
record walks its plan and is validated. The transaction only looks for conflicts and
inserts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.schema import CreateIndex, CreateTable

from persist.domain.change import Origin
from persist.domain.errors import InvalidSnapshot, MigrationFailed
from persist.domain.record import Json
from persist.domain.snapshot import Manifest, lines_of
from persist.domain.workspace import DEFAULT, Workspaces, check_in_workspace
from persist.storage.entity_types.catalog import Catalog, Stale
from persist.storage.entity_types.definitions import Definitions
from persist.storage.layout import Layout, layout_of
from persist.storage.long_operations.staging import Staging
from persist.storage.migrations.migration_reports import record_run
from persist.storage.migrations.record_migration import RecordFailures, bring_forward
from persist.storage.snapshots.restore_target import RestoreTarget, Steps, TargetFinder
from persist.storage.snapshots.restore_writer import (
    LISTED_FAULTS,
    IncomingRow,
    OnConflict,
    RestoreWriter,
)
from persist.storage.snapshots.snapshot_chunks import ReadTransaction
from persist.storage.snapshots.snapshot_store import Snapshots
from persist.storage.writes.unit_of_work import UnitOfWork


@dataclass(frozen=True)
class RestoreRequest:
    """What a client asks for.

    ``workspace`` is where to restore, None for where the snapshot was taken. ``plan``
    has declarative steps by collection, for this run instead of the collection's own.
    """

    snapshot: str
    workspace: str | None
    on_conflict: OnConflict
    plan: Mapping[str, Steps]


class Restore:
    """One restore: ``prepare`` in a thread, ``run`` in a transaction on the connection
    of the staging.

    ``is_exclusive`` tells whether that transaction declares something or stores records
    of several collections.
    """

    def __init__(
        self,
        staging: Staging,
        catalog: Catalog,
        request: RestoreRequest,
        origin: Origin,
    ) -> None:
        self.manifest: Manifest = {}
        self.is_exclusive = False
        self.writer = RestoreWriter(
            staging, request.on_conflict, request.snapshot, origin
        )
        self._staging = staging
        self._dialect = staging.dialect
        self._catalog = catalog
        self._request = request
        self._target_of: dict[str, RestoreTarget] = {}

    def prepare(self, snapshots: Snapshots) -> None:
        """Verify the snapshot; bring forward, validate and stage every record.

        Raises ``MigrationFailed`` with the failing records, ``RestoreConflict``,
        ``InvalidSnapshot``, ``InvalidSchema`` for a faulty ``plan``,
        ``WorkspaceNotFound`` and ``CollectionNotInWorkspace``.
        """
        self.writer.stage(self._dialect, self._rows(snapshots))

    def _rows(self, snapshots: Snapshots) -> Iterator[IncomingRow]:
        failures = RecordFailures(LISTED_FAULTS)
        converted = bring_forward(
            self._records(snapshots),
            self._row,
            lambda record: (record["collection"], record["id"]),
            failures,
        )
        for _, row in converted:
            yield row
        if failures.failed:
            first = failures.listed[0]
            raise MigrationFailed(
                f"record {first.id} of {first.collection} cannot be brought forward:"
                f" {first.detail}; correct the plan, or send one with this run",
                failures=failures.as_json(),
            )

    def _records(self, snapshots: Snapshots) -> Iterator[Mapping[str, Any]]:
        """Return the records of the snapshot, which is verified meanwhile."""
        inspection = snapshots.inspection(self._request.snapshot)
        for line in lines_of(snapshots.content(self._request.snapshot)):
            record = inspection.read(line)
            if not self.manifest:
                self._open(inspection.manifest)
            if record is None:
                continue
            name = record["collection"]
            if name not in self._target_of:
                raise InvalidSnapshot(
                    f"the manifest does not know the collection {name}"
                )
            yield record
        # Only now is it known that the content is that of its hash: nothing is stored
        # before the last line was read.
        inspection.finish()

    def _open(self, manifest: Manifest) -> None:
        self.manifest = manifest
        undeclared = self._undeclared(self._catalog.workspaces)
        with ReadTransaction(self._dialect) as session:
            finder = TargetFinder(self._dialect, self._catalog, Definitions(session))
            self._target_of = finder.find(manifest, self._request.plan)
        is_new = False
        for target in self._target_of.values():
            self.writer.add_collection(target.layout, has_table=not target.versions)
            is_new = is_new or bool(target.versions)
        self.is_exclusive = bool(undeclared) or is_new or len(self._target_of) > 1

    def _workspace(self, taken: Mapping[str, Any]) -> str:
        """Return the workspace that a record or an entry is restored into."""
        if self._request.workspace is None:
            return taken["workspace"] or DEFAULT
        return self._request.workspace

    def _undeclared(self, workspaces: Workspaces) -> dict[str, set[str]]:
        """Return the workspaces that the restore declares, with their collections.

        They are those that the snapshot was taken from and that do not exist. Raises
        ``WorkspaceNotFound`` and ``CollectionNotInWorkspace``.
        """
        undeclared: dict[str, set[str]] = {}
        where_taken = self._request.workspace is None
        for entry in self.manifest["collections"]:
            name = entry["name"]
            workspace = self._workspace(entry)
            is_declared = workspace in (DEFAULT, *workspaces)
            if where_taken and not is_declared:
                undeclared.setdefault(workspace, set()).add(name)
            else:
                check_in_workspace(workspaces, workspace, name)
        return undeclared

    def _row(self, record: Mapping[str, Any]) -> IncomingRow:
        """Return a record of the snapshot as it will be stored."""
        target = self._target_of[record["collection"]]
        return target.row(record, self._workspace(record))

    def run(self, work: UnitOfWork) -> Json:
        """Store everything and return the report.

        Raises what ``_undeclared`` does, ``RestoreConflict``, ``UniqueViolation``, and
        ``Stale`` if a type changed since ``prepare``.
        """
        # Once more: workspaces may have changed while the records were staged.
        undeclared = self._undeclared(work.workspaces)
        if undeclared and not self.is_exclusive:
            raise Stale
        for workspace, collections in undeclared.items():
            work.declare_workspace(workspace, collections)
        layouts = {
            name: self._current_layout(work, target)
            for name, target in self._target_of.items()
        }
        self.writer.store(work, layouts)
        created, skipped, overwritten = self.writer.totals()
        restored = [target for _, target in sorted(self._target_of.items())]
        report = {
            "kind": "restore",
            "snapshot": self._request.snapshot,
            "created": created,
            "skipped": skipped,
            "overwritten": overwritten,
            "migrated": sum(target.migrated for target in restored),
            "collections": [target.report() for target in restored],
            "failures": [],
        }
        return record_run(work.session, self._staging.at, report)

    def _current_layout(self, work: UnitOfWork, target: RestoreTarget) -> Layout:
        """Return the layout as the transaction sees it.

        A registered type that does not exist is registered.
        """
        entity_type = target.layout.type
        if not target.versions:
            if not work.is_current(entity_type):
                raise Stale
            return target.layout
        # The plan of the records was made from these versions.
        if work.definitions.versions(entity_type.name) != list(target.stored):
            raise Stale
        table = work.definitions.next_table()
        known = {version.schema_version for version in target.stored}
        for version in target.versions:
            if version.schema_version not in known:
                work.definitions.add(
                    version.name, version.schema_version, version.definition, table
                )
        work.definitions.reactivate(entity_type.name, entity_type.schema_version, table)
        return self._created(
            work, layout_of(entity_type, self._dialect, table_name=table)
        )

    def _created(self, work: UnitOfWork, layout: Layout) -> Layout:
        """Create the table of a layout."""
        work.session.execute(self._dialect.ddl(CreateTable(layout.table)))
        for index in layout.table.indexes:
            work.session.execute(self._dialect.ddl(CreateIndex(index)))
        work.adopt(layout)
        return layout
