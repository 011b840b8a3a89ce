"""Credentials: all keys and sessions, which the service reads while requests come."""

from typing import NamedTuple

from persist.storage.access.keys import ALL_KEYS, StoredKey
from persist.storage.access.sessions import ALL_SESSIONS, StoredSession
from persist.storage.dialect import Dialect
from persist.storage.kept_connection import KeptConnection
from persist.storage.sql import Session
from persist.storage.writes.batch_worker import Job


class Credentials(NamedTuple):
    """Every key that was ever created, and every session."""

    keys: list[StoredKey]
    sessions: list[StoredSession]


class CredentialReader:
    """Reads the credentials on its own connection."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._connection = KeptConnection(dialect.connect)

    def work(self, jobs: list[Job[None]]) -> None:
        """Read the credentials once for all jobs."""
        try:
            credentials = self._read()
        except BaseException:
            self._connection.discard()
            raise
        for job in jobs:
            job.result = credentials

    def _read(self) -> Credentials:
        connection = self._connection.get()
        cursor = connection.cursor()
        session = Session(self._dialect, cursor)
        # Sessions first: their keys are older and so among the keys.
        sessions = [StoredSession(*row) for row in session.rows(ALL_SESSIONS)]
        keys = [StoredKey(*row) for row in session.rows(ALL_KEYS)]
        return Credentials(keys, sessions)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
