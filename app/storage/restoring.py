"""Restoring: a snapshot comes back through the migration plan of each of its collections.

Everything that takes time happens first, outside of any writer: the snapshot is verified, every
record walks its plan and is validated. The transaction then only looks for conflicts and inserts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, NamedTuple

from sqlalchemy.schema import CreateIndex, CreateTable

from app.domain.change import Change, Operation, Origin
from app.domain.entity_type import Kind
from app.domain.errors import (
    InvalidSchema,
    InvalidSnapshot,
    MigrationFailed,
    PersistError,
    RestoreConflict,
)
from app.domain.identity import new_id
from app.domain.migration import MigrationPlan
from app.domain.record import Data, Record, canonical_text, same_data, to_text
from app.domain.snapshot import Inspection, Manifest, lines_of
from app.entity_types.definition import check_step, normal_form, refuse
from app.entity_types.from_schema import plan_of
from app.storage.catalog import Catalog, Stale, registered_layout
from app.storage.definitions import StoredDefinition, plan_steps
from app.storage.dialect import Dialect
from app.storage.layout import Layout
from app.storage.records import BATCH
from app.storage.spool import Spool
from app.storage.tables import MIGRATIONS
from app.storage.unit_of_work import RecordKey, UnitOfWork

FAULTS = 100
"""Failing records a refusal lists."""

Failure = dict[str, str]


class OnConflict(Enum):
    """What happens to a record that is here already."""

    FAIL = "fail"
    SKIP = "skip"
    OVERWRITE = "overwrite"


@dataclass(frozen=True)
class Order:
    """What a client asks for. ``workspace`` is where to, None for where it was taken; ``plan`` has
    declarative steps by collection, for this run instead of the collection's own."""

    snapshot: str
    workspace: str | None
    on_conflict: OnConflict
    plan: Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass
class Target:
    """A collection that is restored: its layout, its plan, and what of it had to be done."""

    layout: Layout
    plan: MigrationPlan
    missing: Sequence[StoredDefinition] = ()
    from_versions: dict[int, int] = field(default_factory=dict)

    def report(self) -> dict[str, Any]:
        """The collection's part of the report."""
        versions = {str(version): count for version, count in sorted(self.from_versions.items())}
        return {
            "name": self.layout.type.name,
            "from_versions": versions,
            "to_version": self.layout.type.schema_version,
        }


class Row(NamedTuple):
    """A record on its way in; ``changed``: a step made other data of it."""

    collection: str
    workspace: str
    id: str
    revision: int
    created_at: str
    updated_at: str
    text: str
    changed: bool


Place = tuple[str, str, str]


class _Present:
    """What a restore finds here already, and what becomes of it."""

    def __init__(self, on_conflict: OnConflict) -> None:
        self.last: dict[Place, int] = {}
        self.replaced: set[Place] = set()
        self.skipped = 0
        self.same = 0
        self._on_conflict = on_conflict
        self._kept: set[Place] = set()
        self._seen: set[Place] = set()
        self._conflicts: list[Failure] = []

    def look(self, work: UnitOfWork, piece: list[Row]) -> None:
        """Read and lock what is here; what is to be overwritten goes."""
        work.read(RecordKey(row.collection, row.workspace, row.id) for row in piece)
        for row in piece:
            place = row[:3]
            current = work.records(row.collection).get(row.workspace, row.id)
            if place in self._seen:
                self._conflict(row, "the snapshot holds this id twice for the workspace it is restored into")
            elif current is not None:
                self._decide(work, row, current)
            self._seen.add(place)
        work.flush_records()

    def _decide(self, work: UnitOfWork, row: Row, current: Record) -> None:
        place = row[:3]
        if self._on_conflict is OnConflict.FAIL:
            self._conflict(row, f"a record with this id is here, at revision {current.revision}")
        elif self._on_conflict is OnConflict.SKIP:
            self.skipped += 1
            self._kept.add(place)
        elif same_data(current.text, row.text):
            self.same += 1
            self._kept.add(place)
        else:
            work.records(row.collection).remove(current)
            self.replaced.add(place)

    def _conflict(self, row: Row, detail: str) -> None:
        if len(self._conflicts) < FAULTS:
            self._conflicts.append({"collection": row.collection, "id": row.id, "detail": detail})

    def check(self) -> None:
        """Raise ``RestoreConflict`` listing the records that are here already."""
        if self._conflicts:
            raise RestoreConflict(
                f"{self._conflicts[0]['id']}: {self._conflicts[0]['detail']}; nothing was restored. Choose "
                "on_conflict skip or overwrite, or another workspace",
                failures=self._conflicts,
            )

    def incoming(self, work: UnitOfWork, piece: list[Row]) -> list[Row]:
        """The rows of a piece that come in; their last revisions here are looked up."""
        rows = [row for row in piece if row[:3] not in self._kept]
        self.last = {}
        for row in rows:
            self.last[row[:3]] = work.journal.last_revision(row.collection, row.workspace, row.id)
        return rows


def _key(record: Record) -> Place:
    return record.collection, record.workspace, record.id


class Restore:
    """One restore: ``prepare`` in a thread, ``run`` in a transaction, then ``close``."""

    def __init__(self, dialect: Dialect, catalog: Catalog, order: Order) -> None:
        self.manifest: Manifest = {}
        self._dialect = dialect
        self._catalog = catalog
        self._order = order
        self._targets: dict[str, Target] = {}
        self._failures: list[Failure] = []
        self._migrated = 0
        self._spool = Spool()

    def close(self) -> None:
        """Let go of what was spooled."""
        self._spool.close()

    def prepare(self, content: Iterable[bytes]) -> None:
        """Verify, walk and validate every record. Raises ``MigrationFailed`` listing the failing
        records, ``InvalidSnapshot``, ``InvalidSchema`` for a faulty ``plan``."""
        inspection = Inspection()
        rows: list[tuple[Any, ...]] = []
        for line in lines_of(content):
            record = inspection.read(line)
            if not self.manifest:
                self.manifest = inspection.manifest
                self._find_targets()
            if record is not None and (row := self._walked(record)) is not None:
                rows.append(row)
            if len(rows) >= BATCH:
                self._spool.put(rows)
                rows = []
        inspection.finish()
        self._check()
        self._spool.put(rows)

    def _find_targets(self) -> None:
        for name in self._order.plan:
            if not any(entry["name"] == name for entry in self.manifest["collections"]):
                raise MigrationFailed(f"the plan names {name[:80]!r}, which the snapshot does not hold")
        for entry in self.manifest["collections"]:
            name = entry["name"]
            target = self._targets.get(name) or self._target(entry)
            if name in self._order.plan:
                target.plan = _plan(target.layout.type.schema_version, name, self._order.plan[name])
            self._targets[name] = target

    def _target(self, entry: Mapping[str, Any]) -> Target:
        name = entry["name"]
        versions = _versions(entry) if entry["kind"] == Kind.REGISTERED.value else []
        if name in self._catalog.layouts or name in self._catalog.ahead:
            layout = self._catalog.get(name)
            if layout.type.kind.value != entry["kind"]:
                raise MigrationFailed(
                    f"{name} is {entry['kind']} in the snapshot and {layout.type.kind.value} here"
                )
            _check_agreement(layout, versions)
            return Target(layout, layout.type.plan)
        if not versions:
            raise MigrationFailed(f"there is no typed collection {name} here: deploy its class first")
        layout = registered_layout(versions[-1], self._dialect)
        return Target(layout, layout.type.plan, versions)

    def _walked(self, record: Mapping[str, Any]) -> tuple[Any, ...] | None:
        target, version = self._targets.get(record["collection"]), record["schema_version"]
        if target is None:
            raise InvalidSnapshot(f"the manifest does not know the collection {record['collection']}")
        try:
            steps = target.plan.chain(version)
            data: Data = target.layout.type.validate(target.plan.walk(version, record["data"]))
        except PersistError as error:
            self._fail(record, error)
            return None
        target.from_versions[version] = target.from_versions.get(version, 0) + 1
        self._migrated += bool(steps)
        text = to_text(data)
        changed = bool(steps) and not same_data(to_text(record["data"]), text)
        place = record["workspace"] or "" if self._order.workspace is None else self._order.workspace
        times = record["created_at"], record["updated_at"]
        return record["collection"], place, record["id"], record["revision"], *times, text, changed

    def _fail(self, record: Mapping[str, Any], error: PersistError) -> None:
        named = {"collection": record["collection"], "id": record["id"]}
        found = error.errors or ((None, error.detail),)
        for place, detail in found:
            if len(self._failures) < FAULTS:
                self._failures.append(named | {"pointer": place or "", "detail": detail})

    def _check(self) -> None:
        if self._failures:
            first = self._failures[0]
            raise MigrationFailed(
                f"record {first['id']} of {first['collection']} does not come along: {first['detail']}; "
                "correct the plan, or send one with this run",
                failures=self._failures,
            )

    def run(self, work: UnitOfWork, origin: Origin) -> dict[str, Any]:
        """Store everything; the report. Records to be overwritten go first, then all come in, so
        that unique values may have changed places. Raises ``RestoreConflict``, and ``Stale`` where a
        type changed since ``prepare``."""
        targets = {name: self._placed(work, target) for name, target in self._targets.items()}
        present = _Present(self._order.on_conflict)
        for piece in self._pieces():
            present.look(work, piece)
        present.check()
        created = 0
        for piece in self._pieces():
            records = [self._record(targets, present, row) for row in present.incoming(work, piece)]
            self._insert(work, records, origin)
            created += sum(1 for record in records if _key(record) not in present.replaced)
        return self._reported(work, targets, created, present)

    def _pieces(self) -> Iterator[list[Row]]:
        for piece in self._spool:
            yield [Row(*row) for row in piece]

    def _record(self, targets: Mapping[str, Target], present: "_Present", row: "Row") -> Record:
        """The record as it comes in. It keeps its revision where this database never knew the id and
        no step changed it; otherwise it gets the larger of the snapshot's and the last here, + 1."""
        last = present.last[row.collection, row.workspace, row.id]
        revision = row.revision if not last and not row.changed else max(row.revision, last) + 1
        version = targets[row.collection].layout.type.schema_version
        return Record(
            row.id, row.collection, row.workspace, revision, version, row.created_at, row.updated_at, row.text
        )

    def _insert(self, work: UnitOfWork, records: list[Record], origin: Origin) -> None:
        for record in records:
            work.records(record.collection).put(record)
            work.journal.append(Change(Operation.RESTORE, record, origin, snapshot=self._order.snapshot))
        work.flush_records()
        work.journal.flush()

    def _reported(
        self, work: UnitOfWork, targets: Mapping[str, Target], created: int, present: "_Present"
    ) -> dict[str, Any]:
        report = {
            "id": new_id(),
            "kind": "restore",
            "at": work.now,
            "snapshot": self._order.snapshot,
            "created": created,
            "skipped": present.skipped,
            "overwritten": len(present.replaced) + present.same,
            "migrated": self._migrated,
            "collections": [target.report() for _, target in sorted(targets.items())],
            "failures": [],
        }
        self._dialect.inserter(MIGRATIONS)(work.cursor, [(report["id"], work.now, to_text(report))])
        return report

    def _placed(self, work: UnitOfWork, target: Target) -> Target:
        """The target as the transaction sees it; a missing registered type is registered."""
        type = target.layout.type
        if not target.missing:
            if not work.holds(type):
                raise Stale
            return target
        if work.definitions.versions(type.name):
            raise Stale
        table = work.definitions.next_table()
        for version in target.missing:
            work.definitions.add(version.name, version.schema_version, version.definition, table)
        layout = work.adopt(registered_layout(_at(target.missing, table), self._dialect))
        work.cursor.execute(self._dialect.ddl(CreateTable(layout.table)))
        for index in layout.table.indexes:
            work.cursor.execute(self._dialect.ddl(CreateIndex(index)))
        return Target(layout, target.plan, from_versions=target.from_versions)


def _at(versions: Sequence[StoredDefinition], table: str) -> StoredDefinition:
    return replace(versions[-1], table_name=table)


def _versions(entry: Mapping[str, Any]) -> list[StoredDefinition]:
    """The definitions a registered collection brings. Raises ``MigrationFailed``."""
    found: list[StoredDefinition] = []
    try:
        for told in entry["definitions"]:
            written = {key: value for key, value in told.items() if key not in ("schema_version", "steps")}
            normal = normal_form({**written, "migration": told.get("steps", [])})
            found.append(StoredDefinition(entry["name"], told["schema_version"], "", normal, "document_new"))
        numbers = [version.schema_version for version in found]
        if not found or numbers != sorted(set(numbers)) or entry["schema_version"] not in numbers:
            raise MigrationFailed(f"the snapshot does not bring the definition of {entry['name']}")
        steps = plan_steps(version.definition["steps"] for version in found)
        return [replace(version, steps=steps) for version in found]
    except (InvalidSchema, KeyError, TypeError, AttributeError) as error:
        raise MigrationFailed(
            f"the snapshot's definitions of {entry['name']} are not valid: {error}"
        ) from None


def _check_agreement(layout: Layout, versions: Iterable[StoredDefinition]) -> None:
    """Raise ``MigrationFailed`` where a version number means another schema here."""
    for version in versions:
        if version.schema_version != layout.type.schema_version:
            continue
        if canonical_text(version.definition["schema"]) != canonical_text(layout.type.schema):
            raise MigrationFailed(
                f"schema version {version.schema_version} of {layout.type.name} has another schema here "
                "than in the snapshot; send a plan with this run that leads from one to the other"
            )


def _plan(current: int, name: str, steps: Any) -> MigrationPlan:
    """The plan a client sends with a run. Raises ``InvalidSchema``."""
    if not isinstance(steps, list):
        raise refuse(("plan", name), "this must be a list of steps")
    for index, step in enumerate(steps):
        check_step(step, ("plan", name, index), numbered=True)
    return plan_of(current, steps, ("plan", name))
