"""Lane: one thread that takes what is waiting, goes to the database once and answers
all."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from persist.domain.errors import Unavailable

Task = TypeVar("Task")

TOGETHER = 256
"""Jobs done at once."""


@dataclass(slots=True, eq=False)
class Job(Generic[Task]):
    """Something to do, and where its outcome goes."""

    task: Task
    future: "asyncio.Future[Any]"
    result: Any = None
    error: BaseException | None = field(default=None)

    def settle(self) -> None:
        if self.future.done():
            return  # the caller is gone
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class BatchWorker(Generic[Task]):
    """``work`` gets the jobs that wait, in order, and sets each one's ``result`` or
    ``error``. Past ``most`` that wait the caller is told to come back."""

    def __init__(
        self, name: str, work: Callable[[list[Job[Task]]], None], most: int
    ) -> None:
        self._work = work
        self._most = most
        self._queue: SimpleQueue[Job[Task] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, task: Task) -> "asyncio.Future[Any]":
        """Queue a task; the future belongs to the running event loop. Raises
        ``Unavailable``."""
        if self.waiting >= self._most:
            raise Unavailable("too many requests wait for the database; try again")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.put(Job(task, future))
        return future

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return self._queue.qsize()

    def close(self) -> None:
        """Finish what waits, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            jobs, open_ = self._waiting(job)
            try:
                self._work(jobs)
            except BaseException as error:  # noqa: BLE001 - the lane lives on, the callers are told
                for job in jobs:
                    job.error = job.error or error
            jobs[0].future.get_loop().call_soon_threadsafe(_settle, jobs)
            if not open_:
                return

    def _waiting(self, first: Job[Task]) -> tuple[list[Job[Task]], bool]:
        jobs = [first]
        try:
            while len(jobs) < TOGETHER:
                job = self._queue.get_nowait()
                if job is None:
                    return jobs, False
                jobs.append(job)
        except Empty:
            pass
        return jobs, True


def _settle(jobs: list[Job[Any]]) -> None:
    for job in jobs:
        job.settle()
