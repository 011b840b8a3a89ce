"""Restoring: a snapshot comes back through the migration plan of each of its
collections.

Everything that takes time happens first, outside of any writer: the snapshot is
verified, every record walks its plan and is validated. The transaction then only looks
for conflicts and inserts.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.schema import CreateIndex, CreateTable

from persist.domain.change import Origin
from persist.domain.entity_type import Kind
from persist.domain.errors import InvalidSnapshot, MigrationFailed, PersistError
from persist.domain.identifiers import new_id
from persist.domain.record import Data, dumps, json_equal
from persist.domain.snapshot import Inspection, Manifest, lines_of
from persist.domain.workspace import DEFAULT, Workspaces, check_held
from persist.storage.catalog import Catalog, Stale
from persist.storage.definitions import Definitions, definition_statements
from persist.storage.dialect import Dialect
from persist.storage.layout import Layout, layout_of
from persist.storage.records import BATCH
from persist.storage.restore_targets import RestoreTarget, RestoreTargets, Steps
from persist.storage.restore_writer import (
    FAULTS,
    Failure,
    OnConflict,
    RestoreWriter,
    Row,
)
from persist.storage.snapshot_chunks import Pinned
from persist.storage.spool import Spool
from persist.storage.tables import MIGRATIONS
from persist.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True)
class Order:
    """What a client asks for. ``workspace`` is where to, None for where it was taken;
    ``plan`` has declarative steps by collection, for this run instead of the
    collection's own."""

    snapshot: str
    workspace: str | None
    on_conflict: OnConflict
    plan: Mapping[str, Steps]


class Restore:
    """One restore: ``prepare`` in a thread, ``run`` in a transaction, then
    ``close``."""

    def __init__(self, dialect: Dialect, catalog: Catalog, order: Order) -> None:
        self.manifest: Manifest = {}
        self._dialect = dialect
        self._catalog = catalog
        self._order = order
        self._targets: dict[str, RestoreTarget] = {}
        self._failures: list[Failure] = []
        self._migrated = 0
        self._spool = Spool()

    def close(self) -> None:
        """Let go of what was spooled."""
        self._spool.close()

    def prepare(self, content: Iterable[bytes]) -> None:
        """Verify, walk and validate every record. Raises ``MigrationFailed`` listing
        the failing records, ``InvalidSnapshot``, ``InvalidSchema`` for a faulty
        ``plan``, ``WorkspaceNotFound``, ``CollectionNotInWorkspace``."""
        inspection = Inspection()
        rows: list[tuple[Any, ...]] = []
        for line in lines_of(content):
            record = inspection.read(line)
            if not self.manifest:
                self._open(inspection.manifest)
            if record is not None and (row := self._walked(record)) is not None:
                rows.append(row)
            if len(rows) >= BATCH:
                self._spool.put(rows)
                rows = []
        inspection.finish()
        self._check()
        self._spool.put(rows)

    def _open(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._missing(self._catalog.workspaces)
        with Pinned(self._dialect) as cursor:
            definitions = Definitions(definition_statements(self._dialect), cursor)
            targets = RestoreTargets(self._dialect, self._catalog, definitions)
            self._targets = targets.find(manifest, self._order.plan)

    def _place(self, taken: Mapping[str, Any]) -> str:
        """The workspace that what was taken comes into."""
        return (
            taken["workspace"] or DEFAULT
            if self._order.workspace is None
            else self._order.workspace
        )

    def _missing(self, workspaces: Workspaces) -> dict[str, set[str]]:
        """The collections of the workspaces that are declared with this restore: those
        it was taken from, where they are not here. Raises ``WorkspaceNotFound``,
        ``CollectionNotInWorkspace``."""
        missing: dict[str, set[str]] = {}
        for entry in self.manifest["collections"]:
            workspace = self._place(entry)
            if (
                self._order.workspace is None
                and workspace != DEFAULT
                and workspace not in workspaces
            ):
                missing.setdefault(workspace, set()).add(entry["name"])
            else:
                check_held(workspaces, workspace, entry["name"])
        return missing

    def _walked(self, record: Mapping[str, Any]) -> tuple[Any, ...] | None:
        target, version = (
            self._targets.get(record["collection"]),
            record["schema_version"],
        )
        if target is None:
            raise InvalidSnapshot(
                f"the manifest does not know the collection {record['collection']}"
            )
        before = dumps(record["data"])
        try:
            _check_version(target, version)
            steps = target.plan.chain(version)
            data: Data = target.layout.type.validate(
                target.plan.walk(version, record["data"])
            )
        except PersistError as error:
            self._fail(record, error)
            return None
        target.from_versions[version] = target.from_versions.get(version, 0) + 1
        self._migrated += bool(steps)
        text = dumps(data)
        changed = bool(steps) and not json_equal(before, text)
        place = record["collection"], self._place(record), record["id"]
        times = record["created_at"], record["updated_at"]
        return tuple(Row(*place, record["revision"], *times, text, changed))

    def _fail(self, record: Mapping[str, Any], error: PersistError) -> None:
        named = {"collection": record["collection"], "id": record["id"]}
        found = error.errors or ((None, error.detail),)
        for place, detail in found:
            if len(self._failures) < FAULTS:
                self._failures.append(
                    named | {"pointer": place or "", "detail": detail}
                )

    def _check(self) -> None:
        if self._failures:
            first = self._failures[0]
            raise MigrationFailed(
                f"record {first['id']} of {first['collection']} does not come along:"
                f" {first['detail']}; correct the plan, or send one with this run",
                failures=self._failures,
            )

    def run(self, work: UnitOfWork, origin: Origin) -> dict[str, Any]:
        """Store everything; the report. Raises what ``_missing`` does,
        ``RestoreConflict``, ``UniqueViolation``, and ``Stale`` where a type changed
        since ``prepare``."""
        for workspace, collections in self._missing(work.workspaces).items():
            work.definitions.declare(workspace, collections)
        layouts = {
            name: self._placed(work, target) for name, target in self._targets.items()
        }
        arrival = RestoreWriter(work, layouts, self._order.on_conflict, self._dialect)
        with Spool() as incoming:
            arrival.make_room(self._pieces(), incoming)
            arrival.bring_in(incoming, self._order.snapshot, origin)
        report = self._report(work.now, arrival)
        self._dialect.inserter(MIGRATIONS)(
            work.cursor, [(report["id"], work.now, dumps(report))]
        )
        return report

    def _pieces(self) -> Iterator[list[Row]]:
        for piece in self._spool:
            yield [Row(*row) for row in piece]

    def _report(self, at: str, arrival: RestoreWriter) -> dict[str, Any]:
        return {
            "id": new_id(),
            "kind": "restore",
            "at": at,
            "snapshot": self._order.snapshot,
            "created": arrival.created,
            "skipped": arrival.skipped,
            "overwritten": arrival.overwritten,
            "migrated": self._migrated,
            "collections": [
                target.report() for _, target in sorted(self._targets.items())
            ],
            "failures": [],
        }

    def _placed(self, work: UnitOfWork, target: RestoreTarget) -> Layout:
        """The layout as the transaction sees it; a missing registered type is
        registered."""
        type = target.layout.type
        if not target.versions:
            if not work.holds(type):
                raise Stale
            return target.layout
        if work.definitions.versions(type.name) != list(target.stored):
            raise Stale
        table = work.definitions.next_table()
        known = {version.schema_version for version in target.stored}
        for version in target.versions:
            if version.schema_version not in known:
                work.definitions.add(
                    version.name, version.schema_version, version.definition, table
                )
        work.definitions.readmit(type.name, type.schema_version, table)
        return self._made(work, layout_of(type, self._dialect, table_name=table))

    def _made(self, work: UnitOfWork, layout: Layout) -> Layout:
        work.cursor.execute(self._dialect.ddl(CreateTable(layout.table)))
        for index in layout.table.indexes:
            work.cursor.execute(self._dialect.ddl(CreateIndex(index)))
        return work.adopt(layout)


def _check_version(target: RestoreTarget, version: int) -> None:
    """Raise ``MigrationFailed`` for data of a registered type that is newer than the
    type is here."""
    type = target.layout.type
    if type.kind is Kind.REGISTERED and version > type.schema_version:
        raise MigrationFailed(
            f"the data is of schema version {version}, {type.name} is at"
            f" {type.schema_version} here: first PUT /entity-types/{type.name} with the"
            " definition that stands in the snapshot's manifest"
        )
