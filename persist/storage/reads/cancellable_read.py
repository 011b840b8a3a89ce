"""Cancellable reads: a read in a thread that another thread can end, because its client
left or because it takes too long."""

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from persist.storage.dialect import Dialect
from persist.storage.sql import Connection

Result = TypeVar("Result")


class Cancelled(Exception):
    """The read was cancelled: its client left, or it took too long."""


class CancellableRead(Generic[Result]):
    """A read that another thread can cancel."""

    def __init__(
        self, dialect: Dialect, run: Callable[["CancellableRead[Any]"], Result]
    ) -> None:
        self._dialect = dialect
        self._run = run
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self.cancelled = False

    def __call__(self) -> Result:
        """Run the read. Raises ``Cancelled``."""
        try:
            return self._run(self)
        except Exception:
            if self.cancelled:
                raise Cancelled from None
            raise
        finally:
            with self._lock:
                self._connection = None

    def use(self, connection: Connection) -> None:
        """Note the connection of the read, which is cancelled on it."""
        with self._lock:
            if self.cancelled:
                raise Cancelled
            self._connection = connection

    def cancel(self) -> None:
        """End the read wherever it is; this may take a round trip."""
        with self._lock:
            self.cancelled = True
            if self._connection is not None:
                self._dialect.cancel(self._connection)
