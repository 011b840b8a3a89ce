"""Keys: secrets of 256 bits that give access. Only their SHA-256 is stored."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa

from persist.domain.access import OPEN, Access, Scope, scope_of
from persist.storage.dialect import Dialect
from persist.storage.sql import Connection, Session, Statement
from persist.storage.table_versions import exclusive
from persist.storage.tables import DEFINITIONS, KEYS
from persist.storage.unit_of_work import now
from persist.storage.worker import Job

FIRST = "first"
"""The name of the key that a first start makes."""

_BY_AGE = sa.select(KEYS).order_by(KEYS.c.created_at, KEYS.c.name)

ALL_KEYS = Statement(_BY_AGE)
"""Select every key that was ever created, the oldest first."""


ORDINAL_MARK = "#"
"""Separates a name from its ordinal where an earlier key of the name was revoked."""


class KeyExists(Exception):
    """A key of this name is in use."""


class CreatedKey(NamedTuple):
    """A new key: the name that is stored, and the secret, which is not."""

    name: str
    secret: str


@dataclass(frozen=True)
class StoredKey:
    """A key as it is stored; ``scopes`` is text."""

    name: str
    sha256: str
    scopes: str
    created_at: str
    revoked_at: str | None

    @property
    def given_name(self) -> str:
        """The name without its ordinal."""
        return self.name.partition(ORDINAL_MARK)[0]

    @property
    def is_active(self) -> bool:
        """Whether the key gives access."""
        return self.revoked_at is None

    def is_named(self, name: str) -> bool:
        """Return whether a name, with or without its ordinal, means this key."""
        return name in (self.name, self.given_name)

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

    def collections(self) -> set[str]:
        """Return the names of the collections that this database has."""
        if not sa.inspect(self._engine).has_table(DEFINITIONS.name):
            return set()
        names = sa.select(DEFINITIONS.c.name).where(DEFINITIONS.c.current)
        with self._engine.connect() as connection:
            return set(connection.scalars(names))

    def create(self, name: str, scopes: Iterable[Scope]) -> CreatedKey:
        """Create a key.

        Its name is free again when the key that had it is revoked. The journal keeps
        the old name, so the next key is stored as ``name#2``.
        Raise ``KeyExists`` where a key of this name is in use.
        """
        stored_name = self._free_name(name)
        secret, row = _new(stored_name, scopes)
        try:
            with self._engine.begin() as connection:
                connection.execute(KEYS.insert().values(row))
        except sa.exc.IntegrityError:
            raise KeyExists(name) from None
        return CreatedKey(stored_name, secret)

    def _free_name(self, name: str) -> str:
        former = [key for key in self.all() if key.given_name == name]
        if any(key.is_active for key in former):
            raise KeyExists(name)
        return f"{name}{ORDINAL_MARK}{len(former) + 1}" if former else name

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

    def revoke(self, name: str) -> str | None:
        """Revoke the key in use under a name. Return the name that is stored.

        Return None where no key in use has the name.
        """
        active = [
            key.name for key in self.all() if key.is_active and key.is_named(name)
        ]
        if not active:
            return None
        with self._engine.begin() as connection:
            row = (KEYS.c.name == active[0], KEYS.c.revoked_at.is_(None))
            connection.execute(KEYS.update().where(*row).values(revoked_at=now()))
        return active[0]


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
