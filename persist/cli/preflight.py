"""Preflight checks: what must be true before a deployment can serve.

Each function raises ``NotReady`` with one sentence that says what to do.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

# The engine is imported before the current folder joins the import path
# (``deployment.entity_types``), because a module there could replace one of the engine.
from persist import deployment
from persist.application import Persist, create_app
from persist.cli.terminal import reason_of
from persist.deployment.definition_files import check_folder
from persist.domain.entity_type import EntityType
from persist.domain.migration import MigrationStep
from persist.entity_types.registry import InvalidModels
from persist.settings import Settings
from persist.storage.access.keys import Keys
from persist.storage.dialect import BackupFailed, Dialect, Failure, dialect_of
from persist.storage.entity_types.catalog import Catalog
from persist.storage.entity_types.registered_indexes import update_registered_indexes
from persist.storage.journal.trim import trim
from persist.storage.journal.verify import JournalAltered, Verified
from persist.storage.journal.verify import verify_journal as verify
from persist.storage.long_operations.progress import OnProgress
from persist.storage.migrations.class_comparison import ClassChanges
from persist.storage.migrations.database_schema import (
    SchemaMismatch,
    ahead,
    changes_of,
    class_differences,
    drift,
    due,
    prepare,
    rehearse,
)
from persist.storage.migrations.migrator import MigrationStopped, Pending

NO_TABLES = "add table: journal_head"
"""The difference that shows that no service has used the database yet."""


class NotReady(Exception):
    """The deployment cannot be served. The message says why and what to do."""


class NoDatabase(NotReady):
    """The database cannot be reached, read or written."""


def entity_types(settings: Settings) -> list[EntityType]:
    """Return the typed entities of the deployment. Raise ``NotReady``."""
    try:
        return deployment.entity_types(settings)
    except InvalidModels as error:
        raise NotReady(f"PERSIST_MODELS={settings.models}: {error}") from error


def application(settings: Settings, *, private: bool = False) -> Persist:
    """Create the application (``create_app``). Raise ``NotReady``."""
    with _not_ready_errors(_dialect(settings.database_url)):
        return create_app(settings, private=private)


def database(url: str, *, create: bool = True) -> Dialect:
    """Connect to the database at a URL and return its dialect.

    A SQLite file that does not exist is created unless ``create`` is false.
    Raise ``NotReady`` and ``NoDatabase``.
    """
    dialect = _dialect(url)
    if not create and not dialect.exists():
        raise NotReady(
            f"PERSIST_DATABASE_URL={dialect.address}: there is no such file;"
            " `persist serve` creates it"
        )
    try:
        dialect.connect().close()
    except Exception as error:
        if not dialect.is_driver_error(error):
            raise
        raise _no_database(dialect, error) from None
    return dialect


def _dialect(url: str) -> Dialect:
    try:
        return dialect_of(url)
    except ValueError as error:
        raise NotReady(f"PERSIST_DATABASE_URL: {error}") from None
    except ModuleNotFoundError as error:
        raise NotReady(
            f"{error.name} is not installed: pip install 'persist-service[postgres]'"
        ) from None


def prepare_tables(
    dialect: Dialect,
    types: list[EntityType],
    *,
    auto_migrate: bool,
    on_progress: OnProgress,
) -> list[Pending]:
    """Create missing tables and migrate older ones. Return what was migrated.

    Raise ``NotReady``.
    """
    with _not_ready_errors(dialect):
        return prepare(dialect, types, auto_migrate=auto_migrate, progress=on_progress)


def update_indexes(dialect: Dialect, types: list[EntityType]) -> list[str]:
    """Replace the indexes of registered types that another release made. Return the
    names of the types. Raise ``NotReady``."""
    with _not_ready_errors(dialect):
        return update_registered_indexes(dialect, Catalog(dialect, types))


def pending_migrations(dialect: Dialect, types: list[EntityType]) -> list[Pending]:
    """Return the migrations that the tables need.

    Raise ``NotReady`` if a table is of a newer schema version than the code.
    """
    with _not_ready_errors(dialect):
        if newer := ahead(dialect, types):
            raise NotReady("; ".join(newer.values()))
        return due(dialect, types)


def step_sql(dialect: Dialect, work: Pending, step: MigrationStep) -> list[str]:
    """Return the statements of a step as they will run. Raise ``NotReady``."""
    with _not_ready_errors(dialect):
        return work.sql(dialect, step)


def rehearse_migrations(dialect: Dialect, types: list[EntityType]) -> list[str]:
    """Run the migrations that the tables need, and undo them.

    Return a sentence for each index that would be created or dropped. Raise
    ``NotReady``.
    """
    with _not_ready_errors(dialect):
        return rehearse(dialect, types)


def class_changes(dialect: Dialect, entity_type: EntityType) -> ClassChanges:
    """Return what changed in a class since the schema version of its table.

    Raise ``NotReady`` if the database does not know the class, or knows a newer one.
    """
    with _not_ready_errors(dialect):
        if newer := ahead(dialect, [entity_type]):
            raise NotReady("; ".join(newer.values()))
        found = changes_of(dialect, entity_type)
    if found is None:
        raise NotReady(
            f"the database does not know {entity_type.name} yet: the next start creates"
            " its table, and a step is needed when the class changes after that"
        )
    return found


def trim_journal(
    dialect: Dialect, before: int | datetime, on_progress: OnProgress
) -> tuple[int, int]:
    """Delete the oldest changes. Return their number and the first ``seq`` that stays.

    Raise ``NotReady``.
    """
    with _not_ready_errors(dialect):
        return trim(dialect, before, on_progress)


class HeadTooOld(Exception):
    """The noted head is older than the journal, which was trimmed since."""


def verify_journal(
    dialect: Dialect, noted: Mapping[str, Any] | None, on_progress: OnProgress
) -> Verified:
    """Recompute every change and seal; ``noted`` has the ``seq`` and the ``hash`` of a
    seal that must be among them.

    Raise ``NotReady`` if the journal was altered, and ``HeadTooOld``.
    """
    noted_hash = None if noted is None else noted["hash"]
    with _not_ready_errors(dialect):
        try:
            verified = verify(dialect, noted_hash, on_progress)
        except JournalAltered as error:
            raise NotReady(str(error)) from None
    if noted is None or verified.has_noted:
        return verified
    if noted["seq"] < verified.first_seq - 1:
        raise HeadTooOld(
            f"the journal was trimmed and begins at seq {verified.first_seq}; the noted"
            f" head ends with change {noted['seq']}"
        )
    raise NotReady(
        f"the noted head, which ends with change {noted['seq']}, is not among the seals"
    )


def back_up(dialect: Dialect, file: Path) -> int:
    """Copy a database to a new file and verify it. Return its last ``seq``.

    Raise ``NotReady``.
    """
    with _not_ready_errors(dialect):
        try:
            return dialect.back_up(file)
        except (OSError, BackupFailed) as error:
            raise NotReady(reason_of(error)) from error


@contextmanager
def keys(dialect: Dialect) -> Iterator[Keys]:
    """Give the keys of a database. Raise ``NotReady`` for its errors in the block."""
    with _not_ready_errors(dialect):
        yield Keys(dialect)


@contextmanager
def _not_ready_errors(dialect: Dialect) -> Iterator[None]:
    try:
        yield
    except (SchemaMismatch, MigrationStopped) as error:
        raise NotReady(str(error)) from error
    except InvalidModels as error:
        raise NotReady(f"PERSIST_MODELS: {error}") from error
    except Exception as error:
        cause = getattr(error, "orig", error)  # SQLAlchemy wraps the driver's error
        if not dialect.is_driver_error(cause):
            raise
        raise _from_driver(dialect, cause) from error


def _from_driver(dialect: Dialect, error: BaseException) -> NotReady:
    if dialect.failure(error) is Failure.STALE:
        return NotReady(
            f"the tables are not of this version ({error}); run `persist migrate`"
        )
    return _no_database(dialect, error)


def _no_database(dialect: Dialect, error: BaseException) -> NoDatabase:
    reason = " ".join(str(error).split())  # PostgreSQL's has several lines
    return NoDatabase(f"PERSIST_DATABASE_URL={dialect.address}: {reason}")


def definition_faults(settings: Settings) -> dict[str, str]:
    """Return what is wrong with which definition file, by the name of the file."""
    required = "schemas" in settings.model_fields_set
    faults = check_folder(Path(settings.schemas), required=required)
    return dict(sorted(faults.items()))


def differences(dialect: Dialect, types: list[EntityType]) -> list[str]:
    """Return every difference between the tables and the models, one sentence each."""
    newer = ahead(dialect, types)
    older = {
        work.type.name: (
            f"{work.type.name} is at schema version {work.stored_version}, "
            f"the code at {work.type.schema_version}: run `persist migrate`"
        )
        for work in due(dialect, types)
    }
    others = newer | older | class_differences(dialect, types)
    # The columns of another schema version differ as a matter of course.
    current = [each for each in types if each.name not in others]
    found = [*others.values(), *drift(dialect, current)]
    if NO_TABLES in found:
        return ["there are no tables yet; `persist migrate` creates them"]
    return found
