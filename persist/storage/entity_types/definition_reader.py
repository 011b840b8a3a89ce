"""Definition reads: whether the definitions changed, and those that did, in a thread of
their own: every request that shows definitions, and readiness, waits for it."""

from persist.storage.dialect import Dialect
from persist.storage.entity_types.catalog import Catalog
from persist.storage.entity_types.definitions import Definitions
from persist.storage.kept_connection import KeptConnection
from persist.storage.sql import Session
from persist.storage.writes.batch_worker import Job


class DefinitionReader:
    """Brings the catalog up to date, on its own connection."""

    def __init__(self, dialect: Dialect, catalog: Catalog) -> None:
        self._dialect = dialect
        self._catalog = catalog
        self._connection = KeptConnection(dialect.connect)

    def work(self, jobs: list[Job[None]]) -> None:
        """Load the definitions once for all jobs if they changed; each job's result
        is whether they did."""
        known = self._catalog.epoch
        try:
            self._refresh()
        except BaseException:
            self._connection.discard()
            raise
        for job in jobs:
            job.result = self._catalog.epoch != known

    def _refresh(self) -> None:
        connection = self._connection.get()
        session = Session(self._dialect, connection.cursor())
        if Definitions(session).epoch() == self._catalog.epoch:
            return
        session.execute(self._dialect.begin_read)
        try:
            self._catalog.refresh(session)
        finally:
            if self._dialect.in_transaction(connection):
                session.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
