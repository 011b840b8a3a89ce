"""Credentials: all keys and sessions, which the service reads while requests come."""

from typing import NamedTuple

from persist.storage.access.keys import ALL_KEYS, StoredKey
from persist.storage.access.sessions import ALL_SESSIONS, StoredSession
from persist.storage.dialect import Dialect
from persist.storage.sql import Connection, Session
from persist.storage.writes.batch_worker import Job


class Credentials(NamedTuple):
    """Every key that was ever created, and every session."""

    keys: list[StoredKey]
    sessions: list[StoredSession]


class CredentialReader:
    """Reads the credentials on a connection of its own."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._connection: Connection | None = None

    def work(self, jobs: list[Job[None]]) -> None:
        """Read the credentials once for all jobs."""
        try:
            credentials = self._read()
        except BaseException:
            self._connection = None
            raise
        for job in jobs:
            job.result = credentials

    def _read(self) -> Credentials:
        if self._connection is None:
            self._connection = self._dialect.connect()
        cursor = self._connection.cursor()
        session = Session(self._dialect, cursor)
        # Sessions first: their keys are older and so among the keys.
        sessions = [StoredSession(*row) for row in session.rows(ALL_SESSIONS)]
        keys = [StoredKey(*row) for row in session.rows(ALL_KEYS)]
        return Credentials(keys, sessions)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
