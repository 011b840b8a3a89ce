"""Reads of past records by key: those of one collection and one moment that wait at the
same time share a statement."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from persist.domain.errors import PersistError
from persist.storage.dialect import Dialect
from persist.storage.journal.changes import last_changes
from persist.storage.reads.moments import Moment, check_seq, seq_of
from persist.storage.sql import Connection, Row, Session
from persist.storage.writes.batch_worker import Job


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


def past_change(
    session: Session[Dialect],
    past: PastCollection,
    record_id: str,
) -> Row | None:
    """Return the last change of a record until a moment; None if there is none.

    Raises ``InvalidQuery`` and ``ChangesGone``.
    """
    return _rows(session, past, {record_id}).get(record_id)


def answer_past(
    dialect: Dialect,
    connection: Connection,
    jobs: Iterable[PastJob],
) -> None:
    """Set the results of jobs, as ``past_change`` returns them. A moment that cannot be
    seen is the error of its jobs."""
    session = Session(dialect, connection.cursor())
    for past, group in _by_collection(jobs):
        _answer(session, past, group)


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
        rows = _rows(session, past, {job.task.id for job in jobs})
    except PersistError as error:
        for job in jobs:
            job.error = error
        return
    for job in jobs:
        job.result = rows.get(job.task.id)


def _rows(
    session: Session[Dialect],
    past: PastCollection,
    ids: set[str],
) -> dict[str, Row]:
    """Return the last change of each record, by id.

    One statement has the ends of the journal, too: it needs no transaction.
    """
    as_of = seq_of(session, past.moment)
    rows = session.rows(
        last_changes,
        collection=past.collection,
        workspace=past.workspace,
        ids=session.dialect.bound_list(list(ids)),
        as_of=as_of,
    )
    first, head, *_ = rows[0]
    check_seq(as_of, first, head)
    return {row[3]: row[2:] for row in rows}
