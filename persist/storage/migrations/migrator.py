"""Migrator: brings the table of a typed entity up to date in place.

The step's SQL changes an empty copy of the table. Each record passes the step's
function and is stored there, while processes of an older release read and write. What
they change meanwhile is stored again. One exclusive transaction then adds one
``migrate`` change for each record, swaps the names of the tables and records the schema
version. A database is before a step or after it, never between.

A table to which others have attached their own objects stays: its new rows are staged,
and the transaction changes it and copies them (``next_class_table.can_be_swapped``).
"""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from persist.domain.entity_type import EntityType
from persist.domain.errors import MigrationFailed, PersistError
from persist.domain.migration import MigrationStep
from persist.storage.dialect import Dialect
from persist.storage.entity_types.catalog import Stale
from persist.storage.layout import layout_of
from persist.storage.long_operations.exclusive import exclusive_transaction
from persist.storage.long_operations.progress import OnProgress, ignore_progress
from persist.storage.long_operations.staging import Staging
from persist.storage.migrations.next_tables import drop_unused_tables
from persist.storage.migrations.table_step import TableStep, step_statements
from persist.storage.migrations.table_versions import stored_version


class MigrationStopped(Exception):
    """A step failed and was rolled back; the message names it and the record."""


@dataclass(frozen=True)
class Pending:
    """What has to be done to the table of an entity type."""

    type: EntityType
    stored_version: int
    steps: tuple[MigrationStep, ...]
    rows: int

    def sql(self, dialect: Dialect, step: MigrationStep) -> list[str]:
        """Return a step's statements as they will run. Raises ``MigrationStopped``."""
        table = layout_of(self.type, dialect).table.name
        with _stopped(dialect, self.type, step):
            return step_statements(dialect, table, step)


def pending(
    connection: sa.Connection, dialect: Dialect, types: Iterable[EntityType]
) -> list[Pending]:
    """Return the typed entities whose tables are behind the code.

    Raises ``MigrationStopped`` if no plan leads from where they are.
    """
    found = []
    for entity_type in types:
        stored = stored_version(connection, entity_type.name)
        if stored is None or stored >= entity_type.schema_version:
            continue
        table = layout_of(entity_type, dialect).table.name
        count = connection.exec_driver_sql(f"SELECT count(*) FROM {table}")
        steps = _chain(entity_type, stored)
        found.append(Pending(entity_type, stored, steps, count.scalar_one()))
    return found


def _chain(entity_type: EntityType, stored: int) -> tuple[MigrationStep, ...]:
    try:
        return tuple(entity_type.plan.chain(stored))
    except MigrationFailed as error:
        raise MigrationStopped(f"{entity_type.name}: {error.detail}") from error


def migrate(dialect: Dialect, work: Pending, progress: OnProgress) -> None:
    """Run the pending steps, each in its own transaction, while others write.

    One process at a time does so. Raises ``MigrationStopped``.
    """
    with dialect.migration_turn():
        try:
            with staging_connection(dialect) as (staging, connection):
                staging.begin_building()
                for step in work.steps:
                    with _stopped(dialect, work.type, step):
                        _migrate(staging, connection, work.type, step, progress)
                    staging.begin_again()
        finally:
            drop_unused_tables(dialect)


def _migrate(
    staging: Staging,
    connection: sa.Connection,
    entity_type: EntityType,
    step: MigrationStep,
    progress: OnProgress,
) -> None:
    """Run one step unless another process has done it."""
    run = TableStep(staging, connection, entity_type, step, progress)
    try:
        _run(run)
    except Stale:
        # Unique values changed places meanwhile, which a table with indexes refuses.
        staging.begin_again()
        run = TableStep(staging, connection, entity_type, step, progress)
        _run(run, swapped=False)


def _run(step: TableStep, *, swapped: bool = True) -> None:
    with exclusive_transaction(step.connection, step.dialect):
        # Another process may have done it while this one waited for its turn.
        if not step.is_due():
            return
        step.prepare(swapped=swapped)
    step.stage()
    with (
        step.all_staged(),
        exclusive_transaction(step.connection, step.dialect),
    ):
        step.store()


def run_steps(
    connection: sa.Connection, staging: Staging, works: Iterable[Pending]
) -> None:
    """Run all pending steps in the transaction of the connection, which is that of the
    staging.

    Raises ``MigrationStopped``.
    """
    for work in works:
        for step in work.steps:
            with _stopped(staging.dialect, work.type, step):
                run = TableStep(staging, connection, work.type, step, ignore_progress)
                run.prepare(swapped=True)
                run.stage_within()
                run.store()
            staging.begin_again()


@contextmanager
def staging_connection(
    dialect: Dialect,
) -> Iterator[tuple[Staging, sa.Connection]]:
    """Open a staging, and SQLAlchemy's view of its connection for DDL."""
    with closing(Staging(dialect)) as staging:
        engine = dialect.engine(staging.open())
        with closing(engine.connect()) as connection:
            yield staging, connection


@contextmanager
def _stopped(
    dialect: Dialect, entity_type: EntityType, step: MigrationStep
) -> Iterator[None]:
    """Raise ``MigrationStopped`` for the errors of a step inside the block."""
    undone = f"{entity_type.name}: the step {step} was undone"
    try:
        yield
    except PersistError as error:
        # An error of the whole says what the detail says.
        faults = "; ".join(
            f"{pointer} {detail}" for pointer, detail in error.errors if pointer
        )
        raise MigrationStopped(f"{undone}: {error.detail} {faults}".strip()) from error
    except Exception as error:
        cause = getattr(error, "orig", error)  # SQLAlchemy wraps the driver's errors
        if not dialect.is_driver_error(cause):
            raise
        raise MigrationStopped(f"{undone}: {cause}") from error
