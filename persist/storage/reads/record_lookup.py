"""Reads of records by key: reads that wait at the same time share one statement."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from persist.storage.dialect import Dialect
from persist.storage.kept_connection import KeptConnection
from persist.storage.layout import Layout
from persist.storage.reads.past_reader import PastFind, PastJob, answer_past
from persist.storage.reads.read_error import read_error
from persist.storage.sql import Row
from persist.storage.writes.batch_worker import Job


@dataclass(frozen=True, slots=True)
class Find:
    """A read by key."""

    layout: Layout
    workspace: str
    id: str


FindJobs = list[Job[Find]]
AnyFind = Find | PastFind

Jobs = TypeVar("Jobs", bound=list[Any])


class RecordLookup:
    """Answers reads by key; a ``BatchWorker`` calls it with all jobs that wait."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._connection = KeptConnection(dialect.connect)

    def work(self, jobs: list[Job[AnyFind]]) -> None:
        """Answer the jobs."""
        present: list[Any] = []
        past: list[Any] = []
        for job in jobs:
            is_past = isinstance(job.task, PastFind)
            some = past if is_past else present
            some.append(job)
        for group in _by_table_and_workspace(present):
            self._try(self._answer, group)
        if past:
            self._try(self._answer_past, past)

    def _try(
        self,
        answer: Callable[[Jobs], None],
        jobs: Jobs,
    ) -> None:
        """Answer jobs that share what goes wrong."""
        try:
            answer(jobs)
        except Exception as error:  # noqa: BLE001 - every caller gets it
            refused = read_error(self._dialect, error)
            for job in jobs:
                job.error = refused
            self._connection.discard()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _answer(self, jobs: FindJobs) -> None:
        """Answer jobs of one table and one workspace with one statement."""
        task = jobs[0].task
        ids = {job.task.id for job in jobs}
        rows = self._read(task.layout, task.workspace, ids)
        for job in jobs:
            job.result = rows.get(job.task.id)

    def _answer_past(self, jobs: list[PastJob]) -> None:
        answer_past(self._dialect, self._connection.get(), jobs)

    def _read(
        self,
        layout: Layout,
        workspace: str,
        ids: set[str],
    ) -> dict[str, Row]:
        """Return the rows of the records that exist, by id."""
        connection = self._connection.get()
        values = {
            "workspace": workspace,
            "ids": self._dialect.bound_list(list(ids)),
        }
        cursor = connection.cursor()
        rows = layout.by_ids.run(cursor, values).fetchall()
        return {row[0]: row for row in rows}


def _by_table_and_workspace(jobs: FindJobs) -> list[FindJobs]:
    groups: dict[tuple[int, str], FindJobs] = {}
    for job in jobs:
        task = job.task
        # By identity: requests may have found different versions of one collection.
        key = id(task.layout), task.workspace
        groups.setdefault(key, []).append(job)
    return list(groups.values())
