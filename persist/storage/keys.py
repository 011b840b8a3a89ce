"""Keys: secrets of 256 bits that give access. Only their SHA-256 is stored."""

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from persist.domain.access import OPEN, Access, Scope, scope_of
from persist.domain.identifiers import new_id
from persist.storage.dialect import Dialect
from persist.storage.sql import Connection, Session, Statement
from persist.storage.table_versions import exclusive
from persist.storage.tables import KEYS
from persist.storage.unit_of_work import now
from persist.storage.worker import Job

FIRST = "first"
"""The name of the key that a first start makes."""

_BY_AGE = sa.select(KEYS).order_by(KEYS.c.created_at, KEYS.c.name)

ALL_KEYS = Statement(_BY_AGE)
"""Select every key that was ever created, the oldest first."""


class KeyExists(Exception):
    """A key of this name was created before, and the journal may name it."""


@dataclass(frozen=True)
class StoredKey:
    """A key as it is stored; ``scopes`` is text."""

    name: str
    sha256: str
    scopes: str
    created_at: str
    revoked_at: str | None

    @property
    def access(self) -> Access:
        """What the key allows."""
        return Access(self.name, tuple(map(scope_of, self.scopes.split())))


def sha256_of(key: str) -> str:
    """Return what is stored of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


class Keys:
    """The keys of a database, for commands that work on it directly."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._engine = dialect.engine()

    def prepare(self) -> None:
        """Create the table if it does not exist."""
        if not sa.inspect(self._engine).has_table(KEYS.name):
            with exclusive(self._engine, self._dialect) as connection:
                KEYS.create(connection, checkfirst=True)

    def all(self) -> list[StoredKey]:
        """Return every key that was ever created, the oldest first."""
        if not sa.inspect(self._engine).has_table(KEYS.name):
            return []
        with self._engine.connect() as connection:
            return [StoredKey(*row) for row in connection.execute(_BY_AGE)]

    def create(self, name: str, scopes: Iterable[Scope]) -> str:
        """Create a key and return it, once. Raises ``KeyExists``."""
        key, row = _new(name, scopes)
        try:
            with self._engine.begin() as connection:
                connection.execute(KEYS.insert().values(row))
        except sa.exc.IntegrityError:
            raise KeyExists(name) from None
        return key

    def create_first(self) -> str | None:
        """Create the first key, which allows everything, and return it.

        Returns None if a key was ever created. Of several processes that ask at once
        one creates it.
        """
        key, row = _new(FIRST, OPEN.scopes)
        values = sa.select(*map(sa.literal, row.values())).where(
            ~sa.exists(sa.select(KEYS.c.name))
        )
        try:
            with self._engine.begin() as connection:
                inserted = (
                    KEYS.insert().from_select(list(row), values).returning(KEYS.c.name)
                )
                made = connection.scalar(inserted)
        except sa.exc.IntegrityError:
            return None
        return key if made else None

    def revoke(self, name: str) -> None:
        """Revoke a key: it gives no access any more."""
        with self._engine.begin() as connection:
            active = (KEYS.c.name == name, KEYS.c.revoked_at.is_(None))
            connection.execute(KEYS.update().where(*active).values(revoked_at=now()))

    @contextmanager
    def temporary(self) -> Iterator[str | None]:
        """Create a key that allows everything, for the block.

        It is None if access is open.
        """
        if not self.all():
            yield None
            return
        name = f"temporary-{new_id()}"
        try:
            yield self.create(name, OPEN.scopes)
        finally:
            with self._engine.begin() as connection:
                connection.execute(KEYS.delete().where(KEYS.c.name == name))


def _new(name: str, scopes: Iterable[Scope]) -> tuple[str, dict[str, str]]:
    """Return a key and its row."""
    key = f"persist_{secrets.token_urlsafe(32)}"
    written = " ".join(map(str, scopes))
    return key, {
        "name": name,
        "sha256": sha256_of(key),
        "scopes": written,
        "created_at": now(),
    }


class KeyReader:
    """The keys as the service reads them again and again."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._connection: Connection | None = None

    def work(self, jobs: list[Job[None]]) -> None:
        """Read the keys once for all jobs."""
        try:
            if self._connection is None:
                self._connection = self._dialect.connect()
            session = Session(self._dialect, self._connection.cursor())
            rows = session.rows(ALL_KEYS)
        except BaseException:
            self._connection = None
            raise
        for job in jobs:
            job.result = [StoredKey(*row) for row in rows]

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
