"""Keys: secrets of 256 bits that give access. Only their SHA-256 is stored."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from persist.domain.access import OPEN, Access, Scope, scope_of
from persist.storage.clock import now
from persist.storage.dialect import Dialect
from persist.storage.long_operations.exclusive import exclusive_connection
from persist.storage.sql import Statement
from persist.storage.tables import DEFINITIONS, KEYS, WORKSPACES

FIRST = "first"
"""The name of the key that a first start makes."""

_BY_AGE = sa.select(KEYS).order_by(KEYS.c.created_at, KEYS.c.name)

ALL_KEYS = Statement(_BY_AGE)
"""Select every key that was ever created, the oldest first."""


ORDINAL_MARK = "#"
"""Separates a name from its ordinal if an earlier key of the name was revoked."""


class KeyExists(Exception):
    """A key of this name is in use."""


class CreatedKey(NamedTuple):
    """A new key: the name that is stored, and the secret, which is not."""

    name: str
    secret: str


@dataclass(frozen=True)
class StoredKey:
    """A row of the keys' table; ``scopes`` are separated by spaces."""

    name: str
    sha256: str
    scopes: str
    created_at: str
    revoked_at: str | None

    @property
    def given_name(self) -> str:
        """The name without its ordinal."""
        given_name, _, _ = self.name.partition(ORDINAL_MARK)
        return given_name

    @property
    def is_active(self) -> bool:
        """Whether the key gives access."""
        return self.revoked_at is None

    def is_named(self, name: str) -> bool:
        """Return whether a name, with or without its ordinal, means this key."""
        names = (self.name, self.given_name)
        return name in names

    @property
    def access(self) -> Access:
        """What the key allows."""
        texts = self.scopes.split()
        scopes = map(scope_of, texts)
        return Access(self.name, tuple(scopes))


def sha256_of(key: str) -> str:
    """Return the hash of a key, which is stored in its place."""
    return hashlib.sha256(key.encode()).hexdigest()


class Keys:
    """The keys of a database, for commands that work on it directly."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._engine = dialect.engine()

    def prepare(self) -> None:
        """Create the table if it does not exist."""
        if not self._has_table(KEYS):
            with exclusive_connection(self._engine, self._dialect) as connection:
                KEYS.create(connection, checkfirst=True)

    def _has_table(self, table: sa.Table) -> bool:
        inspector = sa.inspect(self._engine)
        return inspector.has_table(table.name)

    def all(self) -> list[StoredKey]:
        """Return every key that was ever created, the oldest first."""
        if not self._has_table(KEYS):
            return []
        with self._engine.connect() as connection:
            rows = connection.execute(_BY_AGE).all()
        return [StoredKey(*row) for row in rows]

    def collections(self) -> set[str]:
        """Return the names of the collections that this database has."""
        current = DEFINITIONS.c.current
        return self._names(DEFINITIONS, current)

    def workspaces(self) -> set[str]:
        """Return the names of the workspaces that this database has."""
        return self._names(WORKSPACES, sa.true())

    def _names(self, table: sa.Table, condition: Any) -> set[str]:
        """Return the names in a table; none if there is no such table."""
        if not self._has_table(table):
            return set()
        select = sa.select(table.c.name)
        select = select.where(condition)
        with self._engine.connect() as connection:
            found = connection.scalars(select)
            return set(found)

    def create(self, name: str, scopes: Iterable[Scope]) -> CreatedKey:
        """Create a key.

        Its name is free again when the key that had it is revoked. The journal keeps
        the old name, so the next key is stored as ``name#2``.

        Raises ``KeyExists`` if a key of this name is in use.
        """
        stored_name = self._free_name(name)
        secret, row = _new(stored_name, scopes)
        insert = KEYS.insert().values(row)
        try:
            with self._engine.begin() as connection:
                connection.execute(insert)
        except sa.exc.IntegrityError:
            raise KeyExists(name) from None
        return CreatedKey(stored_name, secret)

    def _free_name(self, name: str) -> str:
        former = [key for key in self.all() if key.given_name == name]
        if not former:
            return name
        if any(key.is_active for key in former):
            raise KeyExists(name)
        ordinal = len(former) + 1
        return f"{name}{ORDINAL_MARK}{ordinal}"

    def create_first(self) -> str | None:
        """Create the first key, which allows everything, and return it.

        Returns None if a key was ever created. Of several processes that ask at once
        one creates it.
        """
        key, row = _new(FIRST, OPEN.scopes)
        keys = sa.select(KEYS.c.name)
        any_key = sa.exists(keys)
        literals = map(sa.literal, row.values())
        row_if_first = sa.select(*literals).where(~any_key)
        insert = KEYS.insert().from_select(list(row), row_if_first)
        try:
            with self._engine.begin() as connection:
                created = connection.scalar(insert.returning(KEYS.c.name))
        except sa.exc.IntegrityError:
            return None  # another process created it at the same moment
        return key if created else None

    def revoke(self, name: str) -> str | None:
        """Revoke the key in use under a name and return the name that is stored.

        Returns None if no key in use has the name.
        """
        stored_name = self._active_name(name)
        if stored_name is None:
            return None
        update = KEYS.update()
        update = update.where(
            KEYS.c.name == stored_name,
            KEYS.c.revoked_at.is_(None),
        )
        with self._engine.begin() as connection:
            connection.execute(update.values(revoked_at=now()))
        return stored_name

    def _active_name(self, name: str) -> str | None:
        for key in self.all():
            if key.is_active and key.is_named(name):
                return key.name
        return None


def _new(name: str, scopes: Iterable[Scope]) -> tuple[str, dict[str, str]]:
    """Return a key and its row."""
    secret = secrets.token_urlsafe(32)
    key = f"persist_{secret}"
    texts = map(str, scopes)
    row = {
        "name": name,
        "sha256": sha256_of(key),
        "scopes": " ".join(texts),
        "created_at": now(),
    }
    return key, row
