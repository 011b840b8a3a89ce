"""Batch worker: one thread that runs the jobs that wait for the database, in batches.

Requests that wait share one statement or one transaction and its commit.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from persist.domain.errors import OutcomeUnknown, Unavailable
from persist.storage.sharing.fair_queue import FairQueue
from persist.storage.sharing.shares import SERVICE

Task = TypeVar("Task")

BATCH_JOBS = 256
"""Jobs of one batch at most."""

DEADLINE_SECONDS = 4.5
"""Seconds that a job waits for a database that is locked or silent.

With the time to answer, a request takes at most 5 s.
"""

STALL_SECONDS = 2.0
"""Seconds that the oldest job waits before the state of the database is checked."""

WATCH_SECONDS = 0.1
"""Seconds between two such checks."""


@dataclass(slots=True, eq=False)
class Job(Generic[Task]):
    """Something to do, and the future that its outcome goes to.

    ``loop`` is the event loop of an asyncio future. ``caller`` is the party that
    submitted the job. These are set if:

    - ``separate``: the job does not share a batch.
    - ``postponed``: the job is to run later.
    - ``withdrawn``: the caller has been refused.
    - ``committing``: the job can no longer be withdrawn.
    - ``long``: the job is running and exempt from the deadline.
    """

    task: Task
    future: "asyncio.Future[Any] | Future[Any]"
    loop: asyncio.AbstractEventLoop | None
    caller: str = SERVICE
    separate: bool = False
    submitted: float = field(default_factory=time.monotonic)
    result: Any = None
    error: BaseException | None = None
    postponed: bool = False
    withdrawn: bool = False
    committing: bool = False
    long: bool = False

    def settle(self) -> None:
        """Set the outcome of the future, unless it is done."""
        if not self.future.done():
            if self.error is not None:
                self.future.set_exception(self.error)
            else:
                self.future.set_result(self.result)
        # An error refers to the frames of the operation, and they to this job.
        self.result = None
        self.error = None


def _taken(queue: FairQueue[Job[Task]], count: int) -> list[Job[Task]]:
    """Take at most ``count`` jobs, one of each caller in turn."""
    jobs: list[Job[Task]] = []
    while queue and len(jobs) < count:
        caller = next(queue.callers())
        jobs.append(queue.take(caller))
    return jobs


class _Backlog(Generic[Task]):
    """The jobs that wait: those that share a batch, and separate ones."""

    def __init__(self) -> None:
        self._grouped = FairQueue[Job[Task]]()
        self._separate = FairQueue[Job[Task]]()
        self._separate_is_next = False
        self._group_jobs = BATCH_JOBS

    def __len__(self) -> int:
        return len(self._grouped) + len(self._separate)

    def add(self, job: Job[Task]) -> None:
        """Add a job."""
        self._queue_of(job).add(job.caller, job)

    def _queue_of(self, job: Job[Task]) -> FairQueue[Job[Task]]:
        return self._separate if job.separate else self._grouped

    def take(self) -> list[Job[Task]]:
        """Return the next jobs: a group, then a separate one, and so on."""
        # In turn: a stream of small writes does not delay a long one for ever, and the
        # long writes of one caller do not delay the small writes of all.
        if self._separate and (self._separate_is_next or not self._grouped):
            self._separate_is_next = False
            return _taken(self._separate, 1)
        self._separate_is_next = True
        return _taken(self._grouped, self._group_jobs)

    def put_back(self, jobs: list[Job[Task]]) -> list[Job[Task]]:
        """Put back the postponed jobs of a batch, and return the others."""
        done = [job for job in jobs if not job.postponed]
        if len(done) == len(jobs):
            self._group_jobs = min(2 * self._group_jobs, BATCH_JOBS)
            return jobs
        if done:
            # The part of the group that was done is about as large as a group can be.
            self._group_jobs = len(done)
        for job in reversed(jobs):
            if job.postponed:
                job.postponed = False
                self._queue_of(job).put_back(job.caller, job)
        return done


class BatchWorker(Generic[Task]):
    """Passes waiting jobs to ``work``.

    ``work`` sets each job's ``result``, ``error`` or ``postponed``. While ``stalled``
    returns true, jobs that have waited for too long are withdrawn.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[list[Job[Task]]], None],
        stalled: Callable[[], bool] = lambda: True,
    ) -> None:
        self._work = work
        self._stalled = stalled
        self._backlog = _Backlog[Task]()
        self._queue: SimpleQueue[Job[Task] | None] = SimpleQueue()
        # In the order of submission. A dict, so that a finished job can be removed
        # while an earlier one still runs: its task and its result may be large.
        self._unsettled: dict[Job[Task], None] = {}
        self._watching = False
        self._closed = False
        self._withdrawing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(
        self, task: Task, caller: str = SERVICE, *, separate: bool = False
    ) -> "asyncio.Future[Any]":
        """Queue a task of a caller and return a future of the running event loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        job = Job(task, future, loop, caller, separate)
        self._unsettled[job] = None
        if not self._watching:
            self._watching = True
            # One timer for all jobs: one for each would cost every write a timer that
            # is nearly always cancelled.
            loop.call_later(STALL_SECONDS, self._watch, loop)
        self._queue.put(job)
        return future

    def run(self, task: Task) -> Any:
        """Queue a task from a thread and wait for its outcome, however long.

        Raises ``Unavailable`` if the worker is closed.
        """
        if self._closed:
            raise _stopping()
        future: Future[object] = Future()
        self._queue.put(Job(task, future, None))
        return future.result()

    @property
    def waiting(self) -> int:
        """The number of waiting jobs."""
        return self._queue.qsize() + len(self._backlog)

    def begin_commit(self, jobs: list[Job[Task]]) -> bool:
        """Note that the jobs are being committed, unless one has been withdrawn."""
        with self._withdrawing:
            if any(job.withdrawn for job in jobs):
                return False
            for job in jobs:
                job.committing = True
            return True

    def close(self) -> None:
        """Finish the waiting jobs, then end the thread."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        # The thread ended at the None; jobs behind it came too late.
        with suppress(Empty):
            while True:
                job = self._queue.get_nowait()
                if job is not None:
                    job.error = _stopping()
                    self._settle([job])

    def _run(self) -> None:
        closing = False
        while not closing or self._backlog:
            # Jobs that were submitted before the end still run.
            closing = self._receive(closing)
            if not self._backlog:
                continue
            jobs = self._backlog.take()
            try:
                self._work(jobs)
            except BaseException as error:  # noqa: BLE001 - the thread goes on, every caller gets it
                for job in jobs:
                    # A job that has its own refusal keeps it.
                    job.error = job.error or error
            self._settle(self._backlog.put_back(jobs))
            del jobs  # they may be large, and the next may not come for long

    def _receive(self, closing: bool) -> bool:
        """Add submitted jobs to the backlog; wait for one if there is nothing to do.
        Return whether the worker is being closed."""
        if closing:
            return True
        try:
            job = self._queue.get(block=not self._backlog)
            while job is not None:
                self._backlog.add(job)
                job = self._queue.get_nowait()
        except Empty:
            return False
        return True

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Refuse the jobs that are past their deadline if the database is stalled."""
        oldest = next(iter(self._unsettled), None)
        if oldest is None:
            self._watching = False
            return
        now = time.monotonic()
        wait = oldest.submitted + STALL_SECONDS - now
        if wait <= 0 and self._stalled():
            self._withdraw(now - DEADLINE_SECONDS)
        loop.call_later(max(wait, WATCH_SECONDS), self._watch, loop)

    def _withdraw(self, before: float) -> None:
        for job in list(self._unsettled):
            # In the order of submission: no later job is overdue.
            if job.submitted > before:
                return
            if job.long or job.future.done():
                continue
            with self._withdrawing:
                # Once the commit has begun, the job may be stored.
                job.withdrawn = not job.committing
            refusal = _waited_too_long() if job.withdrawn else outcome_unknown()
            job.future.set_exception(refusal)

    def _settle(self, jobs: list[Job[Task]]) -> None:
        """Settle jobs: here, or on the event loop if they came from there."""
        of_loop = [job for job in jobs if job.loop is not None]
        for job in jobs:
            if job.loop is None:
                job.settle()
        if not of_loop or of_loop[0].loop is None:
            return
        # Nobody waits if the event loop has been closed.
        with suppress(RuntimeError):
            # Once for the batch: waking the event loop costs a system call.
            of_loop[0].loop.call_soon_threadsafe(self._settle_on_loop, of_loop)

    def _settle_on_loop(self, jobs: list[Job[Task]]) -> None:
        for job in jobs:
            job.settle()
            del self._unsettled[job]


def _stopping() -> Unavailable:
    return Unavailable("the service is stopping; nothing was changed, try again")


def _waited_too_long() -> Unavailable:
    return Unavailable(
        f"the database did not become available within {DEADLINE_SECONDS} s; nothing"
        " was changed, try again"
    )


def outcome_unknown() -> OutcomeUnknown:
    """Return the refusal of a write that may be stored."""
    return OutcomeUnknown(
        "the database did not confirm a commit: the write may or may not be stored."
        " Send it again with the same Idempotency-Key, or read what is stored"
    )
