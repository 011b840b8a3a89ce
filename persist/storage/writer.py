"""Writing: group commit. Operations that wait together run in one transaction and share
its commit; where the database refuses one of them, all run again one by one."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from persist.domain.errors import InvalidData, PersistError, Unavailable
from persist.domain.histogram import Histogram
from persist.storage.catalog import Catalog, Stale
from persist.storage.definitions import Definitions
from persist.storage.dialect import Dialect, Failure
from persist.storage.health import Health
from persist.storage.idempotency import KeyInUse
from persist.storage.layout import unique_violation
from persist.storage.records import WriteLost
from persist.storage.sql import Connection
from persist.storage.unit_of_work import RecordKey, Statements, UnitOfWork
from persist.storage.worker import Job

logger = logging.getLogger(__name__)

ATTEMPTS = 10
"""How often an operation runs when other processes keep changing what it read."""


MANY = 10_000
"""Changes of a collection in one transaction after which its table is analyzed."""


class Mode(Enum):
    """How an operation is run. ``TOGETHER`` changes one record at the most and is all
    or nothing by itself; ``ALONE`` has a transaction of its own, ``EXCLUSIVE`` one that
    no other writer crosses; ``DRY`` has one that is rolled back, ``DRY_EXCLUSIVE``
    both."""

    TOGETHER = "together"
    ALONE = "alone"
    EXCLUSIVE = "exclusive"
    DRY = "dry"
    DRY_EXCLUSIVE = "dry exclusive"


DRY_RUNS = (Mode.DRY, Mode.DRY_EXCLUSIVE)

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Writes in one commit, as they are counted."""


@dataclass(frozen=True, slots=True)
class Write:
    """An operation, the records it is about to ask for, and how it is run."""

    operation: Callable[[UnitOfWork], Any]
    keys: Sequence[RecordKey]
    mode: Mode


Crossed = Callable[[list[str]], None]
"""Told of the collections whose automatic snapshot is due, once what made it due is
committed."""


Committed = Callable[[int], None]
"""Told of the last ``seq`` of each transaction that added changes."""


class CommitFailed(Exception):
    """The database did not confirm the commit: nothing of the batch may be
    acknowledged."""


class GroupCommitWriter:
    """Runs writes on a connection of its own, which belongs to the lane's thread."""

    def __init__(
        self,
        dialect: Dialect,
        catalog: Catalog,
        statements: Statements,
        every: int,
        crossed: Crossed,
        committed: Committed,
    ) -> None:
        self._every = every
        self._crossed = crossed
        self._committed = committed
        self._dialect = dialect
        self._catalog = catalog
        self._statements = statements
        self._connection: Connection | None = None
        self.sizes = Histogram(SIZES)
        self.health = Health(dialect)

    def work(self, jobs: list[Job[Write]]) -> None:
        """Run the jobs in order, neighbours that may go together in one transaction."""
        together: list[Job[Write]] = []
        for job in jobs:
            if job.task.mode is Mode.TOGETHER:
                together.append(job)
                continue
            self._together(together)
            together = []
            self._alone(job)
        self._together(together)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _together(self, jobs: list[Job[Write]]) -> None:
        if not jobs:
            return
        try:
            with self._transaction() as work:
                work.read(key for job in jobs for key in job.task.keys)
                for job in jobs:
                    self._attempt(job, work)
            self._stored(len(jobs))
        except CommitFailed:
            for job in jobs:
                job.error = _not_now()
        except Exception:  # noqa: BLE001 - each one alone tells what it was
            for job in jobs:
                job.result = job.error = None
                self._alone(job)

    def _attempt(self, job: Job[Write], work: UnitOfWork) -> None:
        """Run one operation of a batch; what the database refused concerns the whole
        batch."""
        try:
            job.result = job.task.operation(work)
        except (PersistError, KeyInUse, Stale) as error:
            job.error = error
        except Exception as error:
            if isinstance(error, WriteLost) or self._dialect.is_driver_error(error):
                raise
            job.error = error

    def _alone(self, job: Job[Write]) -> None:
        for _ in range(ATTEMPTS):
            try:
                with self._transaction(job.task.mode) as work:
                    work.read(job.task.keys)
                    job.result = job.task.operation(work)
                if job.task.mode not in DRY_RUNS:
                    self._stored(1)
                return
            except (PersistError, KeyInUse, Stale) as error:
                job.error = error
                return
            except CommitFailed:
                job.error = _not_now()
                return
            except Exception as error:  # noqa: BLE001 - the caller is told
                job.error = self._refusal(error)
                if job.error is not None:
                    return
        job.error = Unavailable(
            "other writers keep changing the same records; try again"
        )

    def _refusal(self, error: Exception) -> Exception | None:
        """What the caller is told of an error; None where the operation should run
        again."""
        if isinstance(error, WriteLost):
            return None
        match self._dialect.failure(error):
            case Failure.RETRY:
                return None
            case Failure.UNIQUE:
                # None for a key of the service's own: two processes made the same one,
                # look again
                return unique_violation(
                    self._catalog.layouts.values(),
                    self._dialect.violated_constraint(error),
                )
            case Failure.TOO_LONG:
                return InvalidData(
                    "a member with an index or a unique value is too long; shorten it"
                )
            case Failure.UNAVAILABLE | Failure.BUSY | Failure.STALE:
                self._failed("the database refused a write: %s", error)
                self.close()  # the next one may find a server that takes it
                return _not_now()
        return error

    def _stored(self, count: int) -> None:
        self.sizes.observe(count)
        self.health.stored()

    def _failed(self, told: str, error: Exception) -> None:
        logger.warning(told, error)
        self.health.failed(error)

    @contextmanager
    def _transaction(self, mode: Mode = Mode.TOGETHER) -> Iterator[UnitOfWork]:
        connection = self._connection = self._connection or self._dialect.connect()
        cursor = connection.cursor()
        try:
            exclusive = mode in (Mode.EXCLUSIVE, Mode.DRY_EXCLUSIVE)
            cursor.execute(
                self._dialect.begin_exclusive
                if exclusive
                else self._dialect.begin_write
            )
            self._catalog.refresh(Definitions(self._statements.definitions, cursor))
            work = UnitOfWork(
                self._catalog.layouts,
                self._statements,
                cursor,
                self._catalog.workspaces,
            )
            yield work
            work.flush()
            if mode in DRY_RUNS:
                cursor.execute("ROLLBACK")
                return
            crossed = work.crossed(self._every) if self._every else []
            self._commit(cursor)
            self._analyze(cursor, work.journal.written)
            if work.journal.last_seq:
                self._committed(work.journal.last_seq)
            if crossed:
                self._crossed(crossed)
        except BaseException:
            self._roll_back(cursor)
            raise
        finally:
            cursor.close()

    def _commit(self, cursor: Any) -> None:
        try:
            cursor.execute("COMMIT")
        except Exception as error:
            self._failed("the database did not commit: %s", error)
            raise CommitFailed from error

    def _analyze(self, cursor: Any, written: Mapping[str, int]) -> None:
        """Tell the planner of many new rows: left to itself it hears of them a minute
        later, and until then reads by key and pages may go by the wrong index."""
        names = [name for name, count in written.items() if count >= MANY]
        if not names:
            return
        try:
            # an evolution has given its table another name
            self._catalog.refresh(Definitions(self._statements.definitions, cursor))
            known = self._catalog.layouts
            tables = [known[name].table.name for name in names if name in known]
            for statement in self._dialect.analyze_statements(tables):
                cursor.execute(statement)
        except Exception as error:  # noqa: BLE001 - what was written is stored, and autovacuum comes
            logger.warning(
                "the database did not analyze %s: %s", ", ".join(names), error
            )

    def _roll_back(self, cursor: Any) -> None:
        """End the transaction if it is still there; a connection that cannot is
        dropped."""
        try:
            if self._connection and self._dialect.in_transaction(self._connection):
                cursor.execute("ROLLBACK")
        except Exception:  # noqa: BLE001 - the connection is of no use any more
            self.close()


def _not_now() -> Unavailable:
    return Unavailable(
        "the database cannot store anything now; nothing was changed, try again"
    )
