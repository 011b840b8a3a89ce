"""Registration: a definition becomes a collection, or the next version of one.

Only the schema decides the version. What has to be done is decided from a read, prepared outside
the transaction (compiled, every record walked), and done in it if nothing changed in between.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable, DropIndex, DropTable

from app.domain.change import Origin
from app.domain.errors import (
    CollectionIsTyped,
    CollectionNotEmpty,
    Conflict,
    EntityTypeNotFound,
    InvalidSchema,
    MigrationRequired,
    UniqueViolation,
    Violation,
)
from app.domain.record import canonical_text
from app.entity_types.definition import normal_form, refuse, version_of
from app.entity_types.registry import COLLECTION_NAME
from app.storage.catalog import Stale, registered_layout
from app.storage.database import Database
from app.storage.definitions import StoredDefinition, plan_steps
from app.storage.evolution import Rehearsal, evolve
from app.storage.layout import Layout
from app.storage.unit_of_work import UnitOfWork

logger = logging.getLogger(__name__)


class Source(Enum):
    """Where a definition comes from. A file never takes a type back to an earlier schema: two
    replicas with different files would change it to and fro."""

    CLIENT = "client"
    FILE = "file"


class Act(Enum):
    """What a registration does."""

    CREATE = "create"
    EVOLVE = "evolve"
    AMEND = "amend"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Decision:
    """What has to be done, given the versions there are. ``target`` is the version to be."""

    act: Act
    versions: Sequence[StoredDefinition]
    target: StoredDefinition

    @property
    def current(self) -> StoredDefinition | None:
        """The current version before it."""
        return next((version for version in self.versions if version.current), None)


@dataclass(frozen=True)
class Registered:
    """What a registration came to: ``migrated`` is the number of records it touched."""

    act: Act
    layout: Layout
    migrated: int


def decide(name: str, definition: Any, versions: Sequence[StoredDefinition], source: Source) -> Decision:
    """What a definition asks for. Raises ``InvalidSchema``, ``Conflict``."""
    normal, asked = normal_form(definition), version_of(definition)
    current = next((version for version in versions if version.current), None)
    if current is None:
        last = versions[-1].schema_version if versions else 0
        number = max(asked or 1, last + 1)
        return Decision(Act.CREATE, versions, _target(name, number, normal, number - 1, versions))
    same = canonical_text(normal["schema"]) == canonical_text(current.definition["schema"])
    if asked is not None and asked < current.schema_version:
        logger.warning(
            "%s: schema version %d is older than the current %d", name, asked, current.schema_version
        )
        return Decision(Act.NOTHING, versions, current)
    if same:
        amended = {**current.definition, **{key: normal[key] for key in ("commands", "unique", "indexes")}}
        unchanged = canonical_text(amended) == canonical_text(current.definition)
        return Decision(
            Act.NOTHING if unchanged else Act.AMEND, versions, replace(current, definition=amended)
        )
    if asked == current.schema_version:
        raise MigrationRequired(f"schema version {asked} of {name} has another schema; raise schema_version")
    if source is Source.FILE and _was_before(normal, versions):
        logger.warning("%s: the file holds the schema of an earlier version; it is left alone", name)
        return Decision(Act.NOTHING, versions, current)
    number = asked or current.schema_version + 1
    return Decision(Act.EVOLVE, versions, _target(name, number, normal, current.schema_version, versions))


def _was_before(normal: Mapping[str, Any], versions: Sequence[StoredDefinition]) -> bool:
    text = canonical_text(normal["schema"])
    return any(canonical_text(version.definition["schema"]) == text for version in versions)


def _target(
    name: str, number: int, normal: dict[str, Any], before: int, versions: Sequence[StoredDefinition]
) -> StoredDefinition:
    """The version to be: a migration without numbers leads from the version before to it."""
    steps = [{"from": before, "to": number, **step} for step in normal["steps"]]
    if before and not any(step["from"] == before for step in steps) and versions:
        steps.append({"from": before, "to": number})
    definition = {**normal, "steps": [step for step in steps if step["from"] >= 1]}
    table = next((version.table_name for version in versions if version.current), "")
    every = plan_steps([*(version.definition["steps"] for version in versions), definition["steps"]])
    return StoredDefinition(name, number, "", definition, table, steps=every)


class Registration:
    """Registers, evolves and deletes registered entity types of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self, name: str, definition: Any, source: Source) -> "Prepared":
        """Everything that can be done before the transaction. Raises ``InvalidSchema``,
        ``MigrationRequired``, ``CollectionIsTyped``."""
        self._check_name(name, definition)
        await self._database.refresh()
        versions = await self._database.read(lambda reader: reader.definitions.versions(name))
        return await asyncio.to_thread(self._prepared, decide(name, definition, versions, source))

    def _check_name(self, name: str, definition: Any) -> None:
        if not COLLECTION_NAME.fullmatch(name):
            raise InvalidSchema(f"{name[:80]!r} cannot name a collection: {COLLECTION_NAME.pattern}")
        if self._database.catalog.is_typed(name):
            raise CollectionIsTyped(f"{name} is defined in code; choose another name")
        if isinstance(definition, dict) and definition.get("name", name) != name:
            raise refuse(("name",), f"the definition is of another name than {name}")

    def _prepared(self, decision: Decision) -> "Prepared":
        dialect = self._database.dialect
        prepared = Prepared(self._database, decision, registered_layout(_placed(decision.target), dialect))
        if decision.act is Act.EVOLVE and decision.current is not None:
            old = registered_layout(decision.current, dialect)
            prepared.rehearsal.run(dialect, old, prepared.layout)
            try:
                prepared.rehearsal.report.check()
            except Conflict:
                prepared.close()
                raise
        return prepared

    def delete(self, name: str) -> Callable[[UnitOfWork], None]:
        """The operation that deletes a type whose collection is empty. Raises
        ``CollectionIsTyped``; the operation ``EntityTypeNotFound`` and ``CollectionNotEmpty``."""
        if self._database.catalog.is_typed(name):
            raise CollectionIsTyped(f"{name} is defined in code; it cannot be deleted over HTTP")

        def operation(work: UnitOfWork) -> None:
            current = next((version for version in work.definitions.versions(name) if version.current), None)
            if current is None:
                raise EntityTypeNotFound(f"there is no registered entity type {name[:80]!r}")
            layout = registered_layout(current, self._database.dialect)
            if work.cursor.execute(f"SELECT 1 FROM {layout.table.name} LIMIT 1").fetchall():
                raise CollectionNotEmpty(f"{name} still holds records; delete them first")
            work.cursor.execute(self._database.dialect.ddl(DropTable(layout.table)))
            work.definitions.retire(name)

        return operation


def _placed(target: StoredDefinition) -> StoredDefinition:
    return replace(target, table_name=target.table_name or "document_new")


class Prepared:
    """A registration that only has to be done."""

    def __init__(self, database: Database, decision: Decision, layout: Layout) -> None:
        self.decision = decision
        self.layout = layout
        self.rehearsal = Rehearsal()
        self._database = database

    def close(self) -> None:
        """Let go of what was spooled."""
        self.rehearsal.close()

    def run(self, work: UnitOfWork, origin: Origin) -> Registered:
        """Do it. Raises ``Stale`` where the definitions changed since it was prepared."""
        target = self.decision.target
        if work.definitions.versions(target.name) != self.decision.versions:
            raise Stale
        match self.decision.act:
            case Act.CREATE:
                self._create(work, target)
            case Act.EVOLVE:
                return Registered(Act.EVOLVE, self.layout, self._evolve(work, target, origin))
            case Act.AMEND:
                self._amend(work, target)
        return Registered(self.decision.act, self.layout, 0)

    def _create(self, work: UnitOfWork, target: StoredDefinition) -> None:
        table = work.definitions.next_table()
        layout = registered_layout(replace(target, table_name=table), self._database.dialect)
        self._ddl(work, CreateTable(layout.table), *map(CreateIndex, _sorted(layout.table)))
        work.definitions.add(target.name, target.schema_version, target.definition, table)

    def _evolve(self, work: UnitOfWork, target: StoredDefinition, origin: Origin) -> int:
        old = self._old()
        self._ddl(work, *map(DropIndex, _sorted(old.table)))
        migrated = evolve(work, self._database.dialect, old, self.layout, self.rehearsal, origin)
        self._index(work, _sorted(self.layout.table))
        work.definitions.add(target.name, target.schema_version, target.definition, target.table_name)
        return migrated

    def _amend(self, work: UnitOfWork, target: StoredDefinition) -> None:
        before, after = _named(self._old().table), _named(self.layout.table)
        self._ddl(work, *(DropIndex(index) for name, index in before.items() if name not in after))
        self._index(work, [index for name, index in after.items() if name not in before])
        work.definitions.amend(target.name, target.schema_version, target.definition)

    def _old(self) -> Layout:
        if self.decision.current is None:
            raise Stale
        return registered_layout(self.decision.current, self._database.dialect)

    def _index(self, work: UnitOfWork, indexes: Sequence[sa.Index]) -> None:
        for index in indexes:
            if index.unique:
                self._check_unique(work, index)
            self._ddl(work, CreateIndex(index))

    def _check_unique(self, work: UnitOfWork, index: sa.Index) -> None:
        """Raise ``UniqueViolation`` with samples where stored records share a value."""
        table, expressions = self.layout.table, list(index.expressions)
        present = [sa.type_coerce(expression, sa.Text()).is_not(None) for expression in expressions]
        ids = (sa.func.min(table.c.id), sa.func.max(table.c.id))
        shared = sa.select(*ids).where(*present).group_by(*expressions)
        shared = shared.having(sa.func.count() > sa.literal_column("1")).limit(sa.literal_column("10"))
        statement = self._database.dialect.compile(shared)
        found = work.cursor.execute(statement.text, statement.arguments({})).fetchall()
        if found:
            paths = self.layout.unique[str(index.name)]
            samples = [
                Violation("/unique", f"{one} and {other} hold the same {' and '.join(paths)}")
                for one, other in found
            ]
            raise UniqueViolation(f"stored records share values of {' and '.join(paths)}", errors=samples)

    def _ddl(self, work: UnitOfWork, *elements: Any) -> None:
        for element in elements:
            work.cursor.execute(self._database.dialect.ddl(element))


def _sorted(table: sa.Table) -> list[sa.Index]:
    return sorted(table.indexes, key=lambda index: str(index.name))


def _named(table: sa.Table) -> dict[str, sa.Index]:
    return {str(index.name): index for index in _sorted(table)}
