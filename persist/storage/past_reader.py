"""Reads of past records by key: those that wait at the same time share a transaction,
and a statement where they are of one collection and one moment."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from persist.domain.errors import PersistError
from persist.storage.dialect import Dialect
from persist.storage.journal import last_changes
from persist.storage.moments import Moment, last_change
from persist.storage.sql import Connection, Row, Session
from persist.storage.worker import Job


class PastCollection(NamedTuple):
    """A collection of a workspace at a moment, which one statement reads."""

    moment: Moment
    collection: str
    workspace: str


@dataclass(frozen=True, slots=True)
class PastFind:
    """A read of the last change of a record until a moment."""

    past: PastCollection
    id: str


PastJob = Job[PastFind]


def answer_past(
    dialect: Dialect,
    connection: Connection,
    jobs: Iterable[PastJob],
) -> None:
    """Set the results of jobs: rows of ``journal.LAST_CHANGE``, None where there is
    none. A moment that cannot be seen is the error of its jobs."""
    session = Session(dialect, connection.cursor())
    session.execute(dialect.begin_read)
    try:
        for past, group in _by_collection(jobs):
            _answer(session, past, group)
    finally:
        if dialect.in_transaction(connection):
            session.execute("ROLLBACK")


def _by_collection(
    jobs: Iterable[PastJob],
) -> Iterator[tuple[PastCollection, list[PastJob]]]:
    """Yield the jobs of each collection and moment."""

    def key(job: PastJob) -> tuple[str, ...]:
        return tuple(map(str, job.task.past))

    ordered = sorted(jobs, key=key)
    for _, group in groupby(ordered, key):
        those = list(group)
        yield those[0].task.past, those


def _answer(
    session: Session[Dialect],
    past: PastCollection,
    jobs: list[PastJob],
) -> None:
    try:
        as_of = last_change(session, past.moment)
    except PersistError as error:
        for job in jobs:
            job.error = error
        return
    rows = _rows(session, past, as_of, jobs)
    for job in jobs:
        job.result = rows.get(job.task.id)


def _rows(
    session: Session[Dialect],
    past: PastCollection,
    as_of: int,
    jobs: list[PastJob],
) -> dict[str, Row]:
    """Return the last change of each record, by id."""
    ids = {job.task.id for job in jobs}
    rows = session.rows(
        last_changes,
        collection=past.collection,
        workspace=past.workspace,
        ids=session.dialect.bound_list(list(ids)),
        as_of=as_of,
    )
    return {row[1]: row for row in rows}
