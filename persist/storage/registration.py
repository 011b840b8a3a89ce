"""Registration: a definition becomes a collection, or the next version of one.

It is planned from a read and prepared outside of the transaction: definitions are
compiled and new data is computed. The transaction does the rest if nothing changed in
between.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable, DropIndex, DropTable

from persist.domain.change import Origin
from persist.domain.errors import (
    CollectionIsTyped,
    CollectionNotEmpty,
    EntityTypeNotFound,
    InvalidSchema,
    PersistError,
    UniqueViolation,
    Violation,
)
from persist.domain.identifiers import COLLECTION_NAME
from persist.entity_types.definition import refuse
from persist.storage.catalog import Stale, registered_layout
from persist.storage.database import Database
from persist.storage.definitions import StoredDefinition, current_of, plan_steps
from persist.storage.dialect import Dialect
from persist.storage.evolution import Evolution
from persist.storage.layout import Layout, layout_of
from persist.storage.record_reader import refusal
from persist.storage.registration_plan import (
    Action,
    RegistrationPlan,
    Source,
    plan_registration,
)
from persist.storage.staging import Staging
from persist.storage.unit_of_work import UnitOfWork

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
            return await asyncio.to_thread(self._prepare, plan, staging, origin)
        except PersistError:
            raise
        except Exception as error:
            raise refusal(self._database.dialect, error) from error

    def _check_name(self, name: str, definition: object) -> None:
        if not COLLECTION_NAME.fullmatch(name):
            raise InvalidSchema(
                f"{name[:80]!r} cannot name a collection: {COLLECTION_NAME.pattern}"
            )
        if self._database.catalog.is_typed(name):
            raise CollectionIsTyped(f"{name} is defined in code; choose another name")
        if isinstance(definition, dict) and definition.get("name", name) != name:
            raise refuse(("name",), f"the definition is of another name than {name}")

    def _prepare(
        self, plan: RegistrationPlan, staging: Staging, origin: Origin
    ) -> "Prepared":
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
        evolution = None
        if plan.action is Action.EVOLVE and before is not None:
            evolution = Evolution(staging, before, after, origin)
            evolution.stage()
        return Prepared(dialect, plan, before, after, evolution)

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
        evolution: Evolution | None = None,
    ) -> None:
        self.plan = plan
        self._dialect = dialect
        self._before = before
        self._after = after
        self._evolution = evolution

    def run(self, work: UnitOfWork) -> Registered:
        """Do it. Raises ``Stale`` if the definitions changed since it was prepared."""
        target = self.plan.target
        if work.definitions.versions(target.name) != self.plan.versions:
            raise Stale
        migrated = 0
        match self.plan.action, self._before, self._after:
            case Action.CREATE, _, Layout() as after:
                self._create(work, target, after)
            case Action.EVOLVE, _, Layout() as after if self._evolution:
                migrated = self._evolve(work, target, after, self._evolution)
            case Action.AMEND, Layout() as before, Layout() as after:
                self._amend(work, target, before, after)
        return Registered(self.plan, migrated)

    def _create(
        self,
        work: UnitOfWork,
        target: StoredDefinition,
        after: Layout,
    ) -> None:
        name = work.definitions.next_table()
        table = layout_of(after.type, self._dialect, table_name=name).table
        self._ddl(work, CreateTable(table), *map(CreateIndex, _sorted(table)))
        work.definitions.add(
            target.name, target.schema_version, target.definition, name
        )

    def _evolve(
        self,
        work: UnitOfWork,
        target: StoredDefinition,
        after: Layout,
        evolution: Evolution,
    ) -> int:
        """Store the migrated records in a table of another name.

        A process that reads by the old version then gets an error and no wrong data.
        """
        name = work.definitions.next_table()
        new = layout_of(after.type, self._dialect, table_name=name)
        self._ddl(work, CreateTable(new.table))
        migrated = evolution.store(work, new.table)
        self._create_indexes(work, new, _sorted(new.table))
        work.session.execute(f"DROP TABLE {target.table_name}")
        work.definitions.add(
            target.name, target.schema_version, target.definition, name
        )
        return migrated

    def _amend(
        self,
        work: UnitOfWork,
        target: StoredDefinition,
        before: Layout,
        after: Layout,
    ) -> None:
        old = _named(before.table)
        new = _named(after.table)
        self._ddl(
            work, *(DropIndex(index) for name, index in old.items() if name not in new)
        )
        self._create_indexes(
            work, after, [index for name, index in new.items() if name not in old]
        )
        work.definitions.amend(target.name, target.schema_version, target.definition)

    def _create_indexes(
        self,
        work: UnitOfWork,
        after: Layout,
        indexes: Sequence[sa.Index],
    ) -> None:
        for index in indexes:
            if index.unique:
                self._check_unique(work, after, index)
            self._ddl(work, CreateIndex(index))

    def _check_unique(
        self,
        work: UnitOfWork,
        after: Layout,
        index: sa.Index,
    ) -> None:
        """Raise ``UniqueViolation`` with samples if stored records share a value."""
        table = after.table
        expressions = list(index.expressions)
        present = [
            sa.type_coerce(expression, sa.Text()).is_not(None)
            for expression in expressions
        ]
        ids = (sa.func.min(table.c.id), sa.func.max(table.c.id))
        shared = sa.select(*ids).where(*present).group_by(*expressions)
        shared = shared.having(sa.func.count() > sa.literal_column("1")).limit(
            sa.literal_column("10")
        )
        statement = self._dialect.compile(shared)
        found = statement.run(work.session.cursor, {}).fetchall()
        if found:
            named = " and ".join(after.unique[str(index.name)])
            samples = [
                Violation("/unique", f"{one} and {other} have the same {named}")
                for one, other in found
            ]
            raise UniqueViolation(
                f"stored records share values of {named}", errors=samples
            )

    def _ddl(self, work: UnitOfWork, *elements: Any) -> None:
        for element in elements:
            work.session.execute(self._dialect.ddl(element))


def _sorted(table: sa.Table) -> list[sa.Index]:
    return sorted(table.indexes, key=lambda index: str(index.name))


def _named(table: sa.Table) -> dict[str, sa.Index]:
    return {str(index.name): index for index in _sorted(table)}
