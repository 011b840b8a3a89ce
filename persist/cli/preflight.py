"""Checks: what must hold before a deployment can serve; each says in a sentence what
does not."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from persist.domain.entity_type import EntityType
from persist.entity_types.registry import InvalidModels, load_models
from persist.storage.dialect import BackupFailed, Dialect, Failure, dialect_of
from persist.storage.journal_trim import trim
from persist.storage.keys import Keys
from persist.storage.migrator import MigrationStopped, Pending, Progress
from persist.storage.schema import SchemaMismatch, ahead, drift, due, prepare


class NotReady(Exception):
    """The deployment cannot serve as it is; the message says why and what to do."""


def entity_types(models: str) -> list[EntityType]:
    """The entity types of a module. Raises ``NotReady``."""
    try:
        return load_models(models)
    except InvalidModels as error:
        raise NotReady(f"PERSIST_MODELS={models}: {error}") from error


class NoDatabase(NotReady):
    """The database cannot be reached, read or written."""


def database(url: str, *, made: bool = True) -> Dialect:
    """The database at a URL, once it has been reached. ``made``: a file that is not
    there is made. Raises ``NotReady``, ``NoDatabase``."""
    try:
        dialect = dialect_of(url)
    except ValueError as error:
        raise NotReady(f"PERSIST_DATABASE_URL: {error}") from None
    except ModuleNotFoundError as error:
        raise NotReady(
            f"{error.name} is not installed: pip install 'persist-service[postgres]'"
        ) from None
    if not made and not dialect.exists():
        raise NotReady(
            f"PERSIST_DATABASE_URL={dialect.address}: there is no such file; `persist"
            " serve` makes it"
        )
    try:
        dialect.connect().close()
    except Exception as error:
        if not dialect.is_driver_error(error):
            raise
        raise NoDatabase(f"PERSIST_DATABASE_URL={dialect.address}: {error}") from None
    return dialect


def prepare_tables(
    dialect: Dialect, types: list[EntityType], *, auto_migrate: bool, progress: Progress
) -> list[Pending]:
    """Make the tables that are missing, bring those up to date that are behind; what
    was brought up to date. Raises ``NotReady``."""
    with _told_as_not_ready(dialect):
        return prepare(dialect, types, auto_migrate=auto_migrate, progress=progress)


def tables_behind(dialect: Dialect, types: list[EntityType]) -> list[Pending]:
    """What would have to be brought up to date. Raises ``NotReady`` where tables are
    ahead."""
    with _told_as_not_ready(dialect):
        if newer := ahead(dialect, types):
            raise NotReady("; ".join(newer.values()))
        return due(dialect, types)


def trim_journal(
    dialect: Dialect, before: int | datetime, told: Progress
) -> tuple[int, int]:
    """What ``retention.trim`` does. Raises ``NotReady``."""
    with _told_as_not_ready(dialect):
        return trim(dialect, before, told)


def back_up(dialect: Dialect, file: Path) -> int:
    """Copy a database to a file that is not there, and read the copy whole; the ``seq``
    of the last change in it. Raises ``NotReady``."""
    with _told_as_not_ready(dialect):
        try:
            return dialect.back_up(file)
        except (OSError, BackupFailed) as error:
            raise NotReady(str(error)) from error


@contextmanager
def keys(dialect: Dialect) -> Iterator[Keys]:
    """The keys of a database. Raises ``NotReady`` where it fails inside the block."""
    with _told_as_not_ready(dialect):
        yield Keys(dialect)


@contextmanager
def _told_as_not_ready(dialect: Dialect) -> Iterator[None]:
    try:
        yield
    except (SchemaMismatch, MigrationStopped) as error:
        raise NotReady(str(error)) from error
    except Exception as error:
        cause = getattr(error, "orig", error)  # SQLAlchemy wraps what the driver raised
        if not dialect.is_driver_error(cause):
            raise
        if dialect.failure(cause) is Failure.STALE:
            raise NotReady(
                f"the tables are not of this version ({cause}); run `persist migrate`"
            ) from error
        raise NoDatabase(f"PERSIST_DATABASE_URL={dialect.address}: {cause}") from error


def compare_tables(dialect: Dialect, types: list[EntityType]) -> None:
    """Raise ``NotReady`` with every difference between the tables and the models."""
    newer = ahead(dialect, types)
    behind = {
        work.type.name: (
            f"{work.type.name} is at schema version {work.stored_version}, "
            f"the code at {work.type.schema_version}: run `persist migrate`"
        )
        for work in due(dialect, types)
    }
    told = newer | behind
    # What the columns of an older or newer version differ in is no news.
    current = [type for type in types if type.name not in told]
    if differences := [*told.values(), *drift(dialect, current)]:
        raise NotReady("; ".join(differences))
