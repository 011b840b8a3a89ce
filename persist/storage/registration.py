"""Registration: a definition becomes a collection, or the next version of one.

Only the schema decides the version. What has to be done is decided from a read,
prepared outside the transaction (compiled, every record walked), and done in it if
nothing changed in between.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
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
from persist.storage.definitions import StoredDefinition
from persist.storage.evolution import Rehearsal, evolve
from persist.storage.layout import Layout, layout_of
from persist.storage.reader import refusal
from persist.storage.registration_plan import Act, Decision, Source, decide
from persist.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True)
class Registered:
    """What a registration came to: ``migrated`` is the number of records it touched."""

    act: Act
    migrated: int


class Registration:
    """Registers, evolves and deletes registered entity types of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self, name: str, definition: Any, source: Source) -> "Prepared":
        """Everything that can be done before the transaction. Raises ``InvalidSchema``,
        ``MigrationRequired``, ``CollectionIsTyped``, and ``Stale`` where another
        registration came in between."""
        self._check_name(name, definition)
        await self._database.refresh()
        versions = await self._database.read(
            lambda reader: reader.definitions.versions(name)
        )
        decision = await asyncio.to_thread(decide, name, definition, versions, source)
        try:
            return await asyncio.to_thread(self._prepared, decision)
        except PersistError:
            raise
        except Exception as error:
            raise refusal(self._database.dialect, error) from error

    def _check_name(self, name: str, definition: Any) -> None:
        if not COLLECTION_NAME.fullmatch(name):
            raise InvalidSchema(
                f"{name[:80]!r} cannot name a collection: {COLLECTION_NAME.pattern}"
            )
        if self._database.catalog.is_typed(name):
            raise CollectionIsTyped(f"{name} is defined in code; choose another name")
        if isinstance(definition, dict) and definition.get("name", name) != name:
            raise refuse(("name",), f"the definition is of another name than {name}")

    def _prepared(self, decision: Decision) -> "Prepared":
        if decision.act is Act.NOTHING:
            return Prepared(self._database, decision, None, None)
        dialect = self._database.dialect
        before = (
            registered_layout(decision.current, dialect) if decision.current else None
        )
        after = registered_layout(_placed(decision.target), dialect)
        with ExitStack() as on_error:
            prepared = on_error.enter_context(
                closing(Prepared(self._database, decision, before, after))
            )
            prepared.rehearse()
            on_error.pop_all()
        return prepared

    def delete(self, name: str) -> Callable[[UnitOfWork], None]:
        """The operation that deletes a type whose collection is empty. Raises
        ``CollectionIsTyped``; the operation ``EntityTypeNotFound`` and
        ``CollectionNotEmpty``."""
        if self._database.catalog.is_typed(name):
            raise CollectionIsTyped(
                f"{name} is defined in code; it cannot be deleted over HTTP"
            )

        def operation(work: UnitOfWork) -> None:
            current = next(
                (
                    version
                    for version in work.definitions.versions(name)
                    if version.current
                ),
                None,
            )
            if current is None:
                raise EntityTypeNotFound(
                    f"there is no registered entity type {name[:80]!r}"
                )
            if work.cursor.execute(
                f"SELECT 1 FROM {current.table_name} LIMIT 1"
            ).fetchall():
                raise CollectionNotEmpty(
                    f"{name} still holds records; delete them first"
                )
            table = sa.Table(current.table_name, sa.MetaData())
            work.cursor.execute(self._database.dialect.ddl(DropTable(table)))
            work.definitions.retire(name)
            for workspace, collections in work.workspaces.items():
                if name in collections:
                    work.definitions.declare(
                        workspace, [other for other in collections if other != name]
                    )

        return operation


def _placed(target: StoredDefinition) -> StoredDefinition:
    return replace(target, table_name=target.table_name or "document_new")


class Prepared:
    """A registration that only has to be done: the layouts are compiled, the records
    walked."""

    def __init__(
        self,
        database: Database,
        decision: Decision,
        before: Layout | None,
        after: Layout | None,
    ) -> None:
        self.decision = decision
        self._rehearsal = Rehearsal()
        self._dialect = database.dialect
        self._before = before
        self._after = after

    def rehearse(self) -> None:
        """Walk what is stored through the migration. Raises ``MigrationRequired``."""
        if (
            self.decision.act is Act.EVOLVE
            and self._before is not None
            and self._after is not None
        ):
            self._rehearsal.run(self._dialect, self._before, self._after)
            self._rehearsal.report.check()

    def close(self) -> None:
        """Let go of what was spooled."""
        self._rehearsal.close()

    def run(self, work: UnitOfWork, origin: Origin) -> Registered:
        """Do it. Raises ``Stale`` where the definitions changed since it was
        prepared."""
        target = self.decision.target
        if work.definitions.versions(target.name) != self.decision.versions:
            raise Stale
        migrated = 0
        match self.decision.act, self._before, self._after:
            case Act.CREATE, _, Layout() as after:
                self._create(work, target, after)
            case Act.EVOLVE, Layout() as before, Layout() as after:
                migrated = self._evolve(work, target, before, after, origin)
            case Act.AMEND, Layout() as before, Layout() as after:
                self._amend(work, target, before, after)
        return Registered(self.decision.act, migrated)

    def _create(
        self, work: UnitOfWork, target: StoredDefinition, after: Layout
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
        before: Layout,
        after: Layout,
        origin: Origin,
    ) -> int:
        """The table gets another name: a process that reads by the old version is told,
        not misled."""
        self._ddl(work, *map(DropIndex, _sorted(before.table)))
        migrated = evolve(work, self._dialect, before, after, self._rehearsal, origin)
        name = work.definitions.next_table()
        work.cursor.execute(f"ALTER TABLE {target.table_name} RENAME TO {name}")
        placed = layout_of(after.type, self._dialect, table_name=name)
        self._index(work, placed, _sorted(placed.table))
        work.definitions.add(
            target.name, target.schema_version, target.definition, name
        )
        return migrated

    def _amend(
        self, work: UnitOfWork, target: StoredDefinition, before: Layout, after: Layout
    ) -> None:
        old, new = _named(before.table), _named(after.table)
        self._ddl(
            work, *(DropIndex(index) for name, index in old.items() if name not in new)
        )
        self._index(
            work, after, [index for name, index in new.items() if name not in old]
        )
        work.definitions.amend(target.name, target.schema_version, target.definition)

    def _index(
        self, work: UnitOfWork, after: Layout, indexes: Sequence[sa.Index]
    ) -> None:
        for index in indexes:
            if index.unique:
                self._check_unique(work, after, index)
            self._ddl(work, CreateIndex(index))

    def _check_unique(self, work: UnitOfWork, after: Layout, index: sa.Index) -> None:
        """Raise ``UniqueViolation`` with samples where stored records share a value."""
        table, expressions = after.table, list(index.expressions)
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
        found = work.cursor.execute(statement.text, statement.arguments({})).fetchall()
        if found:
            paths = after.unique[str(index.name)]
            samples = [
                Violation(
                    "/unique", f"{one} and {other} hold the same {' and '.join(paths)}"
                )
                for one, other in found
            ]
            raise UniqueViolation(
                f"stored records share values of {' and '.join(paths)}", errors=samples
            )

    def _ddl(self, work: UnitOfWork, *elements: Any) -> None:
        for element in elements:
            work.cursor.execute(self._dialect.ddl(element))


def _sorted(table: sa.Table) -> list[sa.Index]:
    return sorted(table.indexes, key=lambda index: str(index.name))


def _named(table: sa.Table) -> dict[str, sa.Index]:
    return {str(index.name): index for index in _sorted(table)}
