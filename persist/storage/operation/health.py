"""Health: whether the database can be read and written.

It is checked on a separate connection, so that a long queue of requests does not make a
healthy database look unhealthy.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import sqlalchemy as sa

from persist.domain.errors import Unavailable
from persist.storage.dialect import Checkpoint, Dialect, Failure
from persist.storage.sql import Session, Statement
from persist.storage.tables import JOURNAL_HEAD

logger = logging.getLogger(__name__)

FAILURE_SECONDS = 5.0
"""Seconds that a failure counts unless something is stored meanwhile.

A small write may fit into a disk that has no room for another.
"""

LOOK_SECONDS = 1.0
"""Seconds that a look at the database counts."""

WAIT_SECONDS = 2.0
"""Seconds that a check waits until the database is read."""

WRITE_WAIT_SECONDS = 0.05
"""Seconds that a check then waits until it is written.

A write that takes longer waits for another writer, which does not concern a check. If
it fails, the next check tells so.
"""

PROBE_SECONDS = 2.4
"""Seconds without an answer to a read after which the database counts as silent."""

SILENCE_SECONDS = 10.0
"""Seconds without an answer after which the database counts as lost.

A look that takes less may only wait for another writer.
"""

READ = Statement(sa.select(JOURNAL_HEAD.c.seq))
"""Read a little."""

WRITE = Statement(sa.update(JOURNAL_HEAD).values(seq=JOURNAL_HEAD.c.seq))
"""Write a little without changing anything."""


class Health:
    """What is known of a database; any thread may report and ask."""

    def __init__(self, dialect: Dialect) -> None:
        self.wal_bytes = 0
        self.failed_checkpoints = 0
        self.long_operation_runs = False
        self._checkpoint_fault: str | None = None
        self._dialect = dialect
        self._failed: tuple[float, str] | None = None
        self._answered = time.monotonic()
        # Separate threads, one for each kind of look: others may all be busy.
        self._threads = ThreadPoolExecutor(3, thread_name_prefix="health")
        self._reading: asyncio.Future[None] | None = None
        self._writing: asyncio.Future[None] | None = None
        self._probe: Future[None] | None = None
        self._probed = 0.0

    def stored(self) -> None:
        """Note that something was stored."""
        self._failed = None

    def failed(self, error: BaseException) -> None:
        """Note that the database failed an operation."""
        if self._dialect.failure(error) is Failure.UNAVAILABLE:
            self._failed = (time.monotonic(), self._dialect.describe(error))

    def silent(self) -> bool:
        """Return whether a probe of the database has had no answer for
        ``PROBE_SECONDS``.

        Starts a probe if none is running, and does not wait for it. The probe also
        finds out whether a long operation runs.
        """
        if self._probe is None or self._probe.done():
            self._probed = time.monotonic()
            self._probe = self._threads.submit(self._try, self._read)
        return time.monotonic() - self._probed > PROBE_SECONDS

    def checkpointed(self, checkpoint: Checkpoint | None) -> None:
        """Note a checkpoint."""
        self.wal_bytes = checkpoint.wal_bytes if checkpoint else 0
        self._checkpoint_fault = None

    def checkpoint_failed(self, error: BaseException) -> None:
        """Note that a checkpoint failed: the write-ahead log goes on growing."""
        self.failed_checkpoints += 1
        reason = self._dialect.describe(error)
        self._checkpoint_fault = f"the write-ahead log cannot be checkpointed: {reason}"
        logger.error("a checkpoint failed: %s", error)

    async def check(self) -> None:
        """Raise ``Unavailable`` if nothing can be stored or read.

        A database that is only busy with another writer counts as healthy.
        """
        silence = time.monotonic() - self._answered
        if self._fault() is None and (self._reading is None or silence > LOOK_SECONDS):
            await self._examine()
        fault = self._fault()
        if fault is None and time.monotonic() - self._answered > SILENCE_SECONDS:
            fault = "the database does not answer"
        if fault is not None:
            raise Unavailable(f"nothing can be stored now: {fault}")

    def _fault(self) -> str | None:
        """Return what is wrong, as far as is known."""
        fault = self._dialect.fault()
        if fault is not None:
            return fault
        failed = self._failed
        if failed is not None and time.monotonic() - failed[0] < FAILURE_SECONDS:
            return failed[1]
        return self._checkpoint_fault

    async def _examine(self) -> None:
        """Wait for a look; all checks that run at once share one."""
        self._writing = self._look(self._writing, self._write)
        self._reading = self._look(self._reading, self._read)
        for looking, seconds in (
            (self._reading, WAIT_SECONDS),
            (self._writing, WRITE_WAIT_SECONDS),
        ):
            await asyncio.wait([looking], timeout=seconds)
            if looking.done():
                looking.result()

    def _look(
        self,
        looking: asyncio.Future[None] | None,
        look: Callable[[Session[Dialect]], None],
    ) -> asyncio.Future[None]:
        """Return the look that is running, or begin one."""
        if looking is not None and not looking.done():
            return looking
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._threads, self._try, look)

    def _try(self, look: Callable[[Session[Dialect]], None]) -> None:
        """Look at the database on a new connection. It may take long."""
        try:
            with closing(self._dialect.connect()) as connection:
                look(Session(self._dialect, connection.cursor()))
        except Exception as error:
            if not self._dialect.is_driver_error(error):
                raise
            self.failed(error)

    def _read(self, session: Session[Dialect]) -> None:
        session.rows(READ)
        self._answered = time.monotonic()
        connection = session.cursor.connection
        self.long_operation_runs = self._dialect.long_operation_runs(connection)

    def _write(self, session: Session[Dialect]) -> None:
        session.run(WRITE)
