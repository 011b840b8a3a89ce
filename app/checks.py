"""Checks: what must hold before a deployment can serve; each says in a sentence what does not."""

import logging
import re

from app.domain.entity_type import EntityType
from app.entity_types.registry import InvalidModels, load_models
from app.storage.dialect import Dialect, dialect_of
from app.storage.migrator import MigrationStopped
from app.storage.schema import SchemaMismatch, drift, due, prepare

logger = logging.getLogger(__name__)


class NotReady(Exception):
    """The deployment cannot serve as it is; the message says why and what to do."""


def entity_types(models: str) -> list[EntityType]:
    """The entity types of a module. Raises ``NotReady``."""
    try:
        return load_models(models)
    except InvalidModels as error:
        raise NotReady(f"PERSIST_MODELS={models}: {error}") from error


def database(url: str) -> Dialect:
    """The database at a URL, once it has been reached. Raises ``NotReady``."""
    try:
        dialect = dialect_of(url)
    except ValueError as error:
        raise NotReady(f"PERSIST_DATABASE_URL: {error}") from None
    try:
        dialect.connect().close()
    except ModuleNotFoundError as error:
        raise NotReady(f"{error.name} is not installed: pip install 'persist[postgres]'") from None
    except Exception as error:
        if not dialect.owns(error):
            raise
        raise NotReady(f"PERSIST_DATABASE_URL={without_secrets(url)}: {error}") from None
    return dialect


def without_secrets(url: str) -> str:
    """A database URL as it may be shown."""
    return re.sub("//[^/]*@", "//", url.partition("?")[0])


def prepare_tables(dialect: Dialect, types: list[EntityType], *, auto_migrate: bool) -> None:
    """Make the tables that are missing, bring those up to date that are behind. Raises ``NotReady``."""
    try:
        prepare(dialect, types, auto_migrate=auto_migrate, progress=_told)
    except (SchemaMismatch, MigrationStopped) as error:
        raise NotReady(str(error)) from error


def _told(title: str, done: int, rows: int) -> None:
    logger.info("%s: %d of %d records", title, done, rows)


def compare_tables(dialect: Dialect, types: list[EntityType]) -> None:
    """Raise ``NotReady`` with every difference between the tables and the models."""
    behind = [
        f"{work.type.name} is at schema version {work.stored_version}, the code at {work.type.schema_version}"
        for work in due(dialect, types)
    ]
    if differences := [*behind, *drift(dialect, types)]:
        raise NotReady("; ".join(differences))
