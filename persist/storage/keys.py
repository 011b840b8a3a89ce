"""Keys: who may come in. A secret of 256 bits is shown once; what is stored is its
SHA-256."""

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from persist.domain.access import OPEN, Access, Scope, scope_of
from persist.domain.identifiers import new_id
from persist.storage.dialect import Dialect
from persist.storage.sql import Connection
from persist.storage.table_versions import exclusive
from persist.storage.tables import KEYS
from persist.storage.unit_of_work import now
from persist.storage.worker import Job

FIRST = "first"
EVERY_KEY = sa.select(KEYS).order_by(KEYS.c.created_at, KEYS.c.name)


class KeyExists(Exception):
    """A key of this name was made before; as the journal keeps names, none is given
    twice."""


@dataclass(frozen=True)
class StoredKey:
    """A key as it is stored; ``scopes`` as they are written."""

    name: str
    sha256: str
    scopes: str
    created_at: str
    revoked_at: str | None

    @property
    def access(self) -> Access:
        """What it allows."""
        return Access(self.name, tuple(map(scope_of, self.scopes.split())))


def sha256_of(key: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


class Keys:
    """The keys of a database, for whoever works on it directly."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._engine = dialect.engine()

    def prepare(self) -> None:
        """Make the table where it is missing."""
        if not sa.inspect(self._engine).has_table(KEYS.name):
            with exclusive(self._engine, self._dialect) as connection:
                KEYS.create(connection, checkfirst=True)

    def all(self) -> list[StoredKey]:
        """Every key that was ever made, the oldest first."""
        if not sa.inspect(self._engine).has_table(KEYS.name):
            return []
        with self._engine.connect() as connection:
            return [StoredKey(*row) for row in connection.execute(EVERY_KEY)]

    def create(self, name: str, scopes: Iterable[Scope]) -> str:
        """Make a key; it is told only here. Raises ``KeyExists``."""
        key, row = _new(name, scopes)
        try:
            with self._engine.begin() as connection:
                connection.execute(KEYS.insert().values(row))
        except sa.exc.IntegrityError:
            raise KeyExists(name) from None
        return key

    def create_first(self) -> str | None:
        """Make the first key, which may do everything; None where a key was ever made.
        Of several processes that ask at once, one makes it."""
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
        """Let a key open nothing any more."""
        with self._engine.begin() as connection:
            active = (KEYS.c.name == name, KEYS.c.revoked_at.is_(None))
            connection.execute(KEYS.update().where(*active).values(revoked_at=now()))

    @contextmanager
    def lent(self) -> Iterator[str | None]:
        """A key that may do everything, gone with the block; None where access is
        open."""
        if not self.all():
            yield None
            return
        name = f"lent-{new_id()}"
        try:
            yield self.create(name, OPEN.scopes)
        finally:
            with self._engine.begin() as connection:
                connection.execute(KEYS.delete().where(KEYS.c.name == name))


def _new(name: str, scopes: Iterable[Scope]) -> tuple[str, dict[str, str]]:
    """A key and its row."""
    key = f"persist_{secrets.token_urlsafe(32)}"
    written = " ".join(map(str, scopes))
    return key, {
        "name": name,
        "sha256": sha256_of(key),
        "scopes": written,
        "created_at": now(),
    }


class KeyTable:
    """The keys as the service reads them again and again, on a connection of a lane's
    own."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._statement = dialect.compile(EVERY_KEY)
        self._connection: Connection | None = None

    def work(self, jobs: list[Job[None]]) -> None:
        """Give every job the keys."""
        try:
            connection = self._connection = self._connection or self._dialect.connect()
            rows = connection.execute(
                self._statement.text, self._statement.arguments({})
            ).fetchall()
        except BaseException:
            self._connection = None
            raise
        for job in jobs:
            job.result = [StoredKey(*row) for row in rows]

    def close(self) -> None:
        """Let go of the database."""
        if self._connection is not None:
            self._connection.close()
