"""A connection that one thread keeps: opened when it is first used, and replaced after
a failure."""

from collections.abc import Callable
from contextlib import suppress

from persist.storage.sql import Connection


class KeptConnection:
    """Keeps the connection that ``connect`` opens. One thread uses it at a time."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None

    def get(self) -> Connection:
        """Return the connection. Raises what ``connect`` raises."""
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def discard(self) -> None:
        """Close a connection that failed; the next use opens another one."""
        # The driver may find that the connection is lost.
        with suppress(Exception):
            self.close()

    def close(self) -> None:
        """Close the connection."""
        connection = self._connection
        self._connection = None
        if connection is not None:
            connection.close()
