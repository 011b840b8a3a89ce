"""Registration: a definition becomes a collection, or the next version of one.

It is planned from a read and prepared outside of the transaction: definitions are
compiled and new data is computed. The transaction does the rest if nothing changed in
between.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.schema import DropIndex, DropTable

from persist.domain.change import Origin
from persist.domain.errors import (
    CollectionIsTyped,
    CollectionNotEmpty,
    EntityTypeNotFound,
    InvalidSchema,
    PersistError,
)
from persist.domain.identifiers import COLLECTION_NAME
from persist.entity_types.definition import refuse
from persist.storage.database import Database
from persist.storage.dialect import Dialect
from persist.storage.entity_types.catalog import Stale, registered_layout
from persist.storage.entity_types.definitions import (
    StoredDefinition,
    current_of,
    plan_steps,
)
from persist.storage.entity_types.registered_indexes import (
    check_unique,
    create_index,
)
from persist.storage.entity_types.registration_plan import (
    Action,
    RegistrationPlan,
    Source,
    plan_registration,
)
from persist.storage.layout import Layout, indexes_by_name
from persist.storage.long_operations.staging import Staging
from persist.storage.migrations.evolution import Evolution
from persist.storage.migrations.next_tables import (
    create_table,
    drop_unused_tables,
    retire_table,
)
from persist.storage.reads.read_error import read_error
from persist.storage.writes.unit_of_work import UnitOfWork
from persist.storage.writes.writer import Isolation

logger = logging.getLogger(__name__)

LOGGED_WARNINGS = 20
"""Warnings of one definition that the log names."""


@dataclass(frozen=True)
class Registered:
    """What a registration did, and how many records it migrated."""

    plan: RegistrationPlan
    migrated: int


class Registration:
    """Registers, evolves and deletes registered entity types of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(
        self,
        name: str,
        definition: object,
        source: Source,
        staging: Staging,
        origin: Origin,
    ) -> "Prepared":
        """Do everything that can be done before the transaction, which runs on the
        connection of ``staging`` if records evolve.

        Raises ``InvalidSchema``, ``MigrationRequired``, ``CollectionIsTyped``, and
        ``Stale`` if another registration came in between.
        """
        self._check_name(name, definition)
        await self._database.refresh()
        versions = await self._database.read(
            lambda reader: reader.definitions.versions(name)
        )
        plan = await asyncio.to_thread(
            plan_registration, name, definition, versions, source
        )
        for location, detail in plan.warnings[:LOGGED_WARNINGS]:
            logger.warning("%s: %s %s", name, location, detail)
        try:
            prepared = await asyncio.to_thread(self._prepare, plan)
            if plan.action is Action.EVOLVE:
                await self._stage(prepared, staging, origin)
        except PersistError:
            raise
        except Exception as error:
            raise read_error(self._database.dialect, error) from error
        return prepared

    @asynccontextmanager
    async def staging(self) -> AsyncIterator[Staging]:
        """Give the staging of a registration, and drop the tables that are no longer
        used after it."""
        dialect = self._database.dialect
        staging = Staging(dialect)
        try:
            with closing(staging):
                yield staging
        finally:
            if staging.builds:
                await asyncio.to_thread(drop_unused_tables, dialect)

    def _check_name(self, name: str, definition: object) -> None:
        check_name(name)
        if self._database.catalog.is_typed(name):
            raise CollectionIsTyped(f"{name} is defined in code; choose another name")
        if isinstance(definition, dict) and definition.get("name", name) != name:
            raise refuse(("name",), f"the definition is of another name than {name}")

    def _prepare(self, plan: RegistrationPlan) -> "Prepared":
        dialect = self._database.dialect
        if plan.action is Action.NOTHING:
            return Prepared(dialect, plan)
        catalog = self._database.catalog
        before = None
        if plan.current is not None:
            steps = plan_steps(version.definition["steps"] for version in plan.versions)
            before = catalog.layout_of(replace(plan.current, steps=steps))
        after = registered_layout(_with_table(plan.target), dialect, plan.schemas)
        catalog.offer(plan.target, after.type)
        return Prepared(dialect, plan, before, after)

    async def _stage(
        self, prepared: "Prepared", staging: Staging, origin: Origin
    ) -> None:
        """Fill the next table of a type with its records as they evolve. Raises
        ``MigrationRequired`` and ``UniqueViolation``."""
        before = prepared.before
        after = prepared.after
        assert before is not None
        assert after is not None
        await asyncio.to_thread(staging.begin_building)
        new = await self._database.write(
            lambda work: create_table(work.session, after.type),
            isolation=Isolation.SEPARATE,
        )
        prepared.evolution = Evolution(staging, before, new, origin)
        await asyncio.to_thread(prepared.evolution.stage)

    def delete(self, name: str) -> Callable[[UnitOfWork], None]:
        """Return the operation that deletes a type whose collection is empty.

        Raises ``CollectionIsTyped``. The operation raises ``EntityTypeNotFound`` and
        ``CollectionNotEmpty``.
        """
        if self._database.catalog.is_typed(name):
            raise CollectionIsTyped(
                f"{name} is defined in code; it cannot be deleted over HTTP"
            )

        return lambda work: _delete(work, name)


def check_name(name: str) -> None:
    """Raise ``InvalidSchema`` if a name cannot be that of a collection."""
    if not COLLECTION_NAME.fullmatch(name):
        raise InvalidSchema(
            f"{name[:80]!r} cannot name a collection: {COLLECTION_NAME.pattern}"
        )


def _delete(work: UnitOfWork, name: str) -> None:
    """Delete a registered type with its empty table."""
    current = current_of(work.definitions.versions(name))
    if current is None:
        raise EntityTypeNotFound(f"there is no registered entity type {name[:80]!r}")
    select = f"SELECT 1 FROM {current.table_name} LIMIT 1"
    if work.session.execute(select).fetchall():
        raise CollectionNotEmpty(f"{name} has records; delete them first")
    table = sa.Table(current.table_name, sa.MetaData())
    work.session.execute(work.session.dialect.ddl(DropTable(table)))
    work.definitions.retire(name)
    for workspace, collections in work.workspaces.items():
        if name in collections:
            others = [other for other in collections if other != name]
            work.declare_workspace(workspace, others)


def _with_table(target: StoredDefinition) -> StoredDefinition:
    """Return a definition with a table name, which a new one has not yet."""
    return replace(target, table_name=target.table_name or "document_new")


class Prepared:
    """A registration whose layouts are compiled and whose new data is computed."""

    def __init__(
        self,
        dialect: Dialect,
        plan: RegistrationPlan,
        before: Layout | None = None,
        after: Layout | None = None,
    ) -> None:
        self.plan = plan
        self.before = before
        self.after = after
        self.evolution: Evolution | None = None
        self._dialect = dialect

    def run(self, work: UnitOfWork) -> Registered:
        """Do it. Raises ``Stale`` if the definitions changed since it was prepared."""
        target = self.plan.target
        # Everything was prepared for these versions.
        if work.definitions.versions(target.name) != self.plan.versions:
            raise Stale
        migrated = 0
        match self.plan.action, self.before, self.after:
            case Action.CREATE, _, Layout() as after:
                self._create(work, target, after)
            case Action.EVOLVE, Layout() as before, _ if self.evolution:
                migrated = self._evolve(work, target, before, self.evolution)
            case Action.AMEND, Layout() as before, Layout() as after:
                self._amend(work, target, before, after)
        return Registered(self.plan, migrated)

    def _create(
        self,
        work: UnitOfWork,
        target: StoredDefinition,
        after: Layout,
    ) -> None:
        table = create_table(work.session, after.type).table
        for index in indexes_by_name(table).values():
            create_index(work.session, index)
        work.definitions.add(
            target.name, target.schema_version, target.definition, table.name
        )

    def _evolve(
        self,
        work: UnitOfWork,
        target: StoredDefinition,
        before: Layout,
        evolution: Evolution,
    ) -> int:
        """Have the migrated records, which are in another table, replace the others."""
        migrated = evolution.store(work)
        _, _, number = before.table.name.rpartition("_")
        retire_table(work.session, before.table.name, number)
        work.definitions.add(
            target.name, target.schema_version, target.definition, evolution.table_name
        )
        return migrated

    def _amend(
        self,
        work: UnitOfWork,
        target: StoredDefinition,
        before: Layout,
        after: Layout,
    ) -> None:
        old = indexes_by_name(before.table)
        new = indexes_by_name(after.table)
        for name, index in old.items():
            if name not in new:
                work.session.execute(self._dialect.ddl(DropIndex(index)))
        for name, index in new.items():
            if name in old:
                continue
            if index.unique:
                check_unique(work.session, after, index)
            create_index(work.session, index)
        work.definitions.amend(target.name, target.schema_version, target.definition)
