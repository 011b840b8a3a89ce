"""Writer: group commit.

Operations that wait at the same time run in one transaction and share its commit. If
the database refuses one of them, all run again one by one.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from persist.domain.batch_size import BATCH_CHARACTERS
from persist.domain.errors import (
    InvalidData,
    PersistError,
    Unavailable,
)
from persist.storage.dialect import CommitOutcome, Dialect, Failure
from persist.storage.entity_types.catalog import Catalog, Stale
from persist.storage.layout import unique_violation
from persist.storage.operation.health import Health
from persist.storage.sql import Connection, Session
from persist.storage.writes.batch_worker import BatchWorker, Job, outcome_unknown
from persist.storage.writes.idempotency import KeyInUse
from persist.storage.writes.records import WriteLost
from persist.storage.writes.unit_of_work import RecordKey, UnitOfWork

logger = logging.getLogger(__name__)

WRITE_ATTEMPTS = 10
"""Attempts at an operation if other processes keep changing the records that it
read."""

ANALYZE_CHANGES = 10_000
"""Changes of a collection in one transaction after which its table is analyzed."""

TURN_SECONDS = 1.0
"""Seconds after a long operation in which no write is refused that waited for it."""

GROUP_SECONDS = 0.05
"""Seconds after which no more operations join a group: their callers wait for its
commit."""

OUTCOME_SECONDS = 3.5
"""Seconds within which the outcome of an unanswered commit must be found out."""


class Isolation(Enum):
    """The transaction that an operation runs in.

    ``GROUPED`` shares one with other operations; it changes one record at most and is
    all or nothing by itself. ``SEPARATE`` has its own. ``EXCLUSIVE`` has one during
    which no other process writes.
    """

    GROUPED = "grouped"
    SEPARATE = "separate"
    EXCLUSIVE = "exclusive"


@dataclass(slots=True, eq=False)
class WriteTask:
    """An operation and the records that it will ask for.

    A dry run has its own transaction, which is rolled back. An operation that has
    staged rows runs on the ``connection`` that has them.
    """

    operation: Callable[[UnitOfWork], Any]
    keys: Sequence[RecordKey] = ()
    isolation: Isolation = Isolation.GROUPED
    dry_run: bool = False
    connection: Connection | None = None

    @property
    def grouped(self) -> bool:
        """Whether it may share a transaction."""
        return self.isolation is Isolation.GROUPED and not self.dry_run


OnSnapshotsDue = Callable[[list[str]], None]
"""A function that takes the collections whose automatic snapshot is due after a
commit."""

OnCommitted = Callable[[int], None]
"""Is called with the last ``seq`` of each transaction that added changes."""


OnLargeCommit = Callable[[], None]
"""Is called after the commit of an operation that had staged its rows."""


class NotConfirmed(Exception):
    """The database did not confirm a COMMIT; ``refusal`` is what the callers get."""

    def __init__(self, refusal: PersistError) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal


class Withdrawn(Exception):
    """An operation of the transaction was refused while it ran."""


class GroupCommitWriter:
    """Runs writes on its own connection, in the thread of its worker."""

    def __init__(
        self,
        dialect: Dialect,
        catalog: Catalog,
        health: Health,
        snapshot_every: int,
        on_snapshots_due: OnSnapshotsDue,
        on_committed: OnCommitted,
        on_large_commit: OnLargeCommit,
    ) -> None:
        self.observe_commit: Callable[[int], None] | None = None
        self._health = health
        self._dialect = dialect
        self._begin_of = {
            Isolation.GROUPED: dialect.begin_group,
            Isolation.SEPARATE: dialect.begin_write,
            Isolation.EXCLUSIVE: dialect.begin_exclusive,
        }
        self._catalog = catalog
        self._snapshot_every = snapshot_every
        self._on_snapshots_due = on_snapshots_due
        self._on_committed = on_committed
        self._on_large_commit = on_large_commit
        self._connection: Connection | None = None
        self._in_long_operation = False
        self._long_operation_ended = 0.0
        self._worker: BatchWorker[WriteTask] | None = None

    def start(self, name: str) -> BatchWorker[WriteTask]:
        """Start the thread, which has this name."""
        self._worker = BatchWorker(name, self.work, self._stalled)
        return self._worker

    def _stalled(self) -> bool:
        """Return whether the database is locked or silent.

        A long operation of any process does not count as a stall while the database
        answers other connections. Afterwards the writes that waited get
        ``TURN_SECONDS``.
        """
        if self._in_long_operation:
            return self._health.silent()
        if self._health.long_operation_runs:
            self._long_operation_ended = time.monotonic()
        silent = self._health.silent()
        return silent or self._long_operation_ended + TURN_SECONDS < time.monotonic()

    def let_log_grow(self) -> Connection | None:
        """Have commits not copy the write-ahead log until ``limit_log``, and return the
        connection. Any thread may call it."""
        writer = self._connection
        if writer is not None:
            self._dialect.let_log_grow(writer)
        return writer

    def work(self, jobs: list[Job[WriteTask]]) -> None:
        """Run jobs that share a transaction, or one by itself."""
        if jobs[0].separate:
            self._run_separately(jobs[0])
        else:
            self._run_group(jobs)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            connection = self._connection
            self._connection = None
            connection.close()

    def _run_group(self, jobs: list[Job[WriteTask]]) -> None:
        while jobs := [job for job in jobs if not job.withdrawn]:
            try:
                self._share_transaction(jobs)
            except Withdrawn:
                continue  # without those that were refused
            except NotConfirmed as error:
                _refuse(jobs, error.refusal)
            except Exception as error:  # noqa: BLE001 - separate runs find the cause
                if self._waits_for_long_operation(error):
                    continue
                self._give_up_group(jobs, error)
            return

    def _share_transaction(self, jobs: list[Job[WriteTask]]) -> None:
        """Run jobs in one transaction. Jobs that would make it too large are removed
        from ``jobs`` and postponed."""
        with self._transaction(jobs, Isolation.GROUPED) as work:
            # One statement per collection, not per write.
            read = work.lock(key for job in jobs for key in job.task.keys)
            until = time.monotonic() + GROUP_SECONDS
            for count, job in enumerate(jobs, 1):
                self._attempt(job, work)
                is_large = read + work.journal.characters > BATCH_CHARACTERS
                if is_large or time.monotonic() > until:
                    _postpone(jobs[count:])
                    del jobs[count:]
                    break
        self._stored(len(jobs))

    def _give_up_group(self, jobs: list[Job[WriteTask]], error: Exception) -> None:
        """Refuse the jobs if the database is unavailable, else have each run
        separately."""
        # The database refuses a whole transaction because of one write, for example
        # for a unique value. Separate transactions find out which write it was.
        unavailable = self._unavailable(error)
        _refuse(jobs, unavailable)
        if unavailable is not None:
            return
        if len(jobs) == 1:
            self._run_separately(jobs[0])
            return
        for job in jobs:
            job.separate = True
        _postpone(jobs)

    def _attempt(self, job: Job[WriteTask], work: UnitOfWork) -> None:
        """Run one operation of a group. An error of the database concerns them all."""
        job.error = None  # of an attempt that was rolled back
        try:
            job.result = job.task.operation(work)
        except (PersistError, KeyInUse, Stale) as error:
            job.error = error
        except Exception as error:
            # These end the transaction, of which others are part; any other error is a
            # fault of this operation, which has written nothing yet.
            if isinstance(error, WriteLost) or self._dialect.is_driver_error(error):
                raise
            job.error = error

    def _run_separately(self, job: Job[WriteTask]) -> None:
        for _ in range(WRITE_ATTEMPTS):
            # Another process may have changed a record between the read and the UPDATE.
            if job.withdrawn or self._run_once(job):
                return
        job.error = Unavailable(
            "other writers keep changing the same records; nothing was changed, try"
            " again"
        )

    def _run_once(self, job: Job[WriteTask]) -> bool:
        """Run an operation; return False if it should run again."""
        try:
            self._run_in_transaction(job)
        except Withdrawn:
            pass  # the caller has its refusal already
        except NotConfirmed as error:
            job.error = error.refusal
        except (PersistError, KeyInUse, Stale) as error:
            job.error = error
        except Exception as error:  # noqa: BLE001 - the caller gets it
            if self._waits_for_long_operation(error):
                return False
            job.error = self._refusal(error)
            return job.error is not None
        return True

    def _run_in_transaction(self, job: Job[WriteTask]) -> None:
        """Run an operation in its own transaction."""
        task = job.task
        job.error = None  # of an attempt that was rolled back
        with self._transaction([job], task.isolation, dry_run=task.dry_run) as work:
            work.lock(task.keys)
            job.result = task.operation(work)
        if not task.dry_run:
            self._stored(1)

    def _waits_for_long_operation(self, error: Exception) -> bool:
        """Return whether the lock that was not available is a long operation's."""
        busy = self._dialect.failure(error) is Failure.BUSY
        return busy and self._health.long_operation_runs

    def _refusal(self, error: Exception) -> Exception | None:
        """Return the exception for the caller; None if the operation should run
        again."""
        if isinstance(error, WriteLost):
            return None
        match self._dialect.failure(error):
            case Failure.RETRY:
                return None
            case Failure.UNIQUE:
                # None for a key that the service chose: two processes chose the same
                # one, and the next attempt sees that of the other process.
                constraint = self._dialect.violated_constraint(error)
                return unique_violation(self._catalog.layouts.values(), constraint)
            case Failure.TOO_LONG:
                return InvalidData(
                    "a member with an index or a unique value is too long; shorten it"
                )
        return self._unavailable(error) or error

    def _unavailable(self, error: Exception) -> Unavailable | None:
        """Return the refusal if the database cannot be written now."""
        failure = self._dialect.failure(error)
        if failure not in (Failure.UNAVAILABLE, Failure.BUSY, Failure.STALE):
            return None
        self._note_failure("the database refused a write: %s", error)
        self.close()  # another connection may find a server that accepts it
        return _cannot_store()

    def _stored(self, count: int) -> None:
        if self.observe_commit is not None:
            self.observe_commit(count)
        self._health.stored()

    def _note_failure(self, message: str, error: BaseException) -> None:
        logger.warning(message, error)
        self._health.failed(error)

    @contextmanager
    def _transaction(
        self, jobs: list[Job[WriteTask]], isolation: Isolation, *, dry_run: bool = False
    ) -> Iterator[UnitOfWork]:
        """Open a transaction that is committed at the end of the block."""
        staged_on = jobs[0].task.connection
        # The turn before BEGIN: a transaction that waits for the lock inside of SQLite
        # polls, and loses against a process that writes continuously.
        with self._dialect.turn(is_long=staged_on is not None):
            # Callers may have been refused while this waited for its turn.
            if all(job.withdrawn for job in jobs):
                raise Withdrawn
            session = self._begin(isolation, staged_on)
            # Meanwhile waiting writes are refused only if the database is silent, too.
            self._in_long_operation = jobs[0].long = not jobs[0].task.grouped
            if staged_on is not None:
                self._health.long_operation_runs = True  # for the other writer
            try:
                self._catalog.refresh(session)
                work = UnitOfWork(
                    self._catalog.layouts, session, self._catalog.workspaces
                )
                with closing(work):
                    yield work
                    # A dry run, too: the database may refuse the statements.
                    work.flush()
                    if dry_run:
                        session.execute("ROLLBACK")
                        return
                    # Counted before the commit, so that only one of several processes
                    # takes the snapshot.
                    due = work.collections_due(self._snapshot_every)
                    self._commit(jobs, work)
                if staged_on is not None:
                    self._on_large_commit()
                self._analyze(session, work.journal.written)
            except BaseException:
                self._roll_back(session)
                raise
            finally:
                if self._in_long_operation:
                    self._long_operation_ended = time.monotonic()
                self._in_long_operation = False
                if staged_on is not None:
                    self._health.long_operation_runs = False
        if work.journal.last_seq:
            self._on_committed(work.journal.last_seq)
        if due:
            self._on_snapshots_due(due)

    def _begin(
        self, isolation: Isolation, connection: Connection | None
    ) -> Session[Dialect]:
        session = Session(self._dialect, (connection or self._own()).cursor())
        try:
            session.execute(self._begin_of[isolation])
            if connection is not None:
                session.execute(self._dialect.prepare_long)
        except BaseException:
            self._roll_back(session)  # it may have begun, and waited for a lock
            raise
        return session

    def _own(self) -> Connection:
        if self._connection is None:
            self._connection = self._dialect.connect_writer()
        return self._connection

    def _commit(self, jobs: list[Job[WriteTask]], work: UnitOfWork) -> None:
        # A caller that was refused must not find its write stored later.
        if self._worker is not None and not self._worker.begin_commit(jobs):
            raise Withdrawn
        try:
            work.session.execute("COMMIT")
        except Exception as error:
            self._note_failure("the database did not confirm a commit: %s", error)
            outcome = self._outcome(error, work)
            if outcome is CommitOutcome.UNKNOWN:
                raise NotConfirmed(outcome_unknown()) from error
            if outcome is CommitOutcome.NOT_STORED:
                raise NotConfirmed(_cannot_store()) from error

    def _outcome(self, error: Exception, work: UnitOfWork) -> CommitOutcome:
        """Find out whether a transaction is stored, on another connection."""
        self.close()
        # The server may be restarting, and this transaction may still be committing
        # there.
        until = time.monotonic() + OUTCOME_SECONDS
        try:
            return self._dialect.commit_outcome(
                error, work.journal.last_seq, work.journal.transaction_id, until
            )
        except Exception as failed:
            if not self._dialect.is_driver_error(failed):
                raise
            logger.warning("the outcome of a commit is not known: %s", failed)
            return CommitOutcome.UNKNOWN

    def _analyze(self, session: Session[Dialect], written: Mapping[str, int]) -> None:
        """Update the planner's statistics after many changes.

        PostgreSQL itself does so a minute later. Until then reads by key and pages may
        use the wrong index.
        """
        names = [name for name, count in written.items() if count >= ANALYZE_CHANGES]
        if not names:
            return
        try:
            # An evolution has given its table another name.
            self._catalog.refresh(session)
            layouts = self._catalog.layouts
            tables = [layouts[name].table.name for name in names if name in layouts]
            for statement in self._dialect.analyze_statements(tables):
                session.execute(statement)
        except Exception as error:  # noqa: BLE001 - the changes are stored
            logger.warning(
                "the database did not analyze %s: %s", ", ".join(names), error
            )

    def _roll_back(self, session: Session[Dialect]) -> None:
        """End the transaction if it is open; close a connection that cannot."""
        try:
            if self._dialect.in_transaction(session.cursor.connection):
                session.execute("ROLLBACK")
        except Exception:  # noqa: BLE001 - the connection is of no use any more
            self.close()


def _refuse(jobs: list[Job[WriteTask]], refusal: PersistError | None) -> None:
    """Set the outcome of all jobs to one refusal, or clear it if None."""
    for job in jobs:
        job.result = None
        job.error = refusal


def _postpone(jobs: list[Job[WriteTask]]) -> None:
    """Have jobs run later: writes of others may come between them."""
    for job in jobs:
        job.postponed = True


def _cannot_store() -> Unavailable:
    return Unavailable(
        "the database cannot store anything now; nothing was changed, try again"
    )
