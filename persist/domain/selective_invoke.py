"""Selective invoke: a command on every record that matches. Each record is changed
completely or not at all, and has an outcome."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from persist.domain.batch_size import BatchSize
from persist.domain.collection import Collection
from persist.domain.command import Command
from persist.domain.errors import (
    CommandFailed,
    CommandUnavailable,
    PersistError,
    TooManyAffected,
    UniqueViolation,
)
from persist.domain.query import Query
from persist.domain.record import dumps
from persist.domain.stores import Unit
from persist.domain.wording import counted, matching, too_many

BATCH_RECORDS = 250
"""Records that are in memory at once; fewer if they are large. If one of them is
refused, all are changed again, one by one."""

MAX_RESULT_CHARACTERS = 64_000_000
"""Characters that all results may have."""

MAX_SECONDS = 60
"""Seconds for which other writers may have to wait."""

UNSUPPORTED = "unsupported"
UNAVAILABLE = "unavailable"


class Status(StrEnum):
    """What became of one record."""

    INVOKED = "invoked"
    SKIPPED = "skipped"
    FAILED = "failed"


class Outcome(NamedTuple):
    """What became of one record; ``revision`` is its present revision."""

    collection: str
    id: str
    status: Status
    reason: str | None
    result: Any
    revision: int


class _UniqueValuesChanged(Exception):
    """Unique values changed, so that the order of the records decides."""


@dataclass(frozen=True, eq=False)
class InvocationTarget:
    """The records of one collection that match. ``command`` is None if the collection
    has no such command."""

    collection: Collection
    query: Query
    command: Command | None
    payload: Any


class _Selected(NamedTuple):
    """A record that matches. Selected records sort by id, then collection."""

    id: str
    collection: str
    revision: int
    source: InvocationTarget


def invoke(
    work: Unit,
    sources: Sequence[InvocationTarget],
    max_affected: int,
    *,
    atomic: bool,
) -> list[Outcome]:
    """Run a command and return the outcomes in the order of ids. ``atomic``: on all
    records or on none.

    Raises ``TooManyAffected``, and ``CommandFailed`` with the outcomes if the command
    failed on a record and is atomic.
    """
    until = time.monotonic() + MAX_SECONDS
    selected = _select(sources, max_affected)
    outcomes: list[Outcome] = []
    characters = 0
    size = BatchSize(BATCH_RECORDS)
    for some in size.batches(selected):
        batch = list(_invoke_batch(work, some, size))
        work.release_records()
        outcomes += batch
        characters += sum(map(_characters, batch))
        if characters > MAX_RESULT_CHARACTERS:
            fault = f"their results have more than {MAX_RESULT_CHARACTERS:,} characters"
            raise _too_much(selected, fault)
        if time.monotonic() > until:
            fault = f"the command took more than {MAX_SECONDS} s"
            raise _too_much(selected, fault)
    if atomic:
        _check_none_failed(outcomes)
    return outcomes


def _too_much(selected: Sequence[_Selected], fault: str) -> TooManyAffected:
    return TooManyAffected(
        f"{matching(len(selected))}, and {fault}; nothing was changed. Narrow the"
        " filter"
    )


def _characters(outcome: Outcome) -> int:
    return 0 if outcome.result is None else len(dumps(outcome.result))


def _check_none_failed(outcomes: Sequence[Outcome]) -> None:
    failed = [outcome for outcome in outcomes if outcome.status is Status.FAILED]
    if failed:
        raise CommandFailed(
            f"the command failed on {len(failed)} of"
            f" {counted(len(outcomes), 'record')},"
            f" {failed[0].reason} on {failed[0].id}; nothing was changed",
            outcomes=[outcome._asdict() for outcome in outcomes],
        )


def _select(sources: Sequence[InvocationTarget], max_affected: int) -> list[_Selected]:
    """Return all records that match, locked before any is changed: every writer locks
    them in this order."""
    selected: list[_Selected] = []
    for source in sources:
        name = source.collection.type.name
        found = source.collection.select_for_update(
            source.query, max_affected - len(selected)
        )
        selected += [
            _Selected(record_id, name, revision, source)
            for record_id, revision in found
        ]
        if len(selected) > max_affected:
            matching = sum(each.collection.count(each.query) for each in sources)
            raise too_many(matching, max_affected)
    return sorted(selected)


def _invoke_batch(
    work: Unit, batch: Sequence[_Selected], size: BatchSize
) -> Iterator[Outcome]:
    """Yield the outcomes of a batch.

    Most refusals come before anything is written. If the database refuses a unique
    value, the batch is undone and each record gets its own savepoint. The same happens
    if any unique value changed, because a value may become free only when another
    record changes.
    """
    try:
        with work.savepoint():
            size.note(len(batch), _lock(batch))
            before = list(map(_unique_values, batch))
            outcomes = [_outcome(selected) for selected in batch]
            if before != list(map(_unique_values, batch)):
                raise _UniqueValuesChanged
        yield from outcomes
    except (UniqueViolation, _UniqueValuesChanged):
        for selected in batch:
            try:
                with work.savepoint():
                    outcome = _outcome(selected)
            except UniqueViolation as error:
                outcome = _not_invoked(selected, Status.FAILED, error.code)
            yield outcome


def _lock(batch: Sequence[_Selected]) -> int:
    """Lock the records of a batch. Return the characters of their data."""
    characters = 0
    for source in {selected.source for selected in batch if selected.source.command}:
        collection = source.collection
        ids = [selected.id for selected in batch if selected.source is source]
        characters += collection.records.lock(collection.workspace, ids)
    return characters


def _unique_values(selected: _Selected) -> list[object]:
    """Return the members of a record, which may change, that hold unique values."""
    collection = selected.source.collection
    if selected.source.command is None or not collection.type.unique:
        return []
    record = collection.records.get(collection.workspace, selected.id)
    if record is None:
        return []
    members = [
        path.partition(".")[0] for paths in collection.type.unique for path in paths
    ]
    return [record.data.get(member) for member in members]


def _outcome(selected: _Selected) -> Outcome:
    source = selected.source
    if source.command is None:
        return _not_invoked(selected, Status.SKIPPED, UNSUPPORTED)
    try:
        result, record = source.collection.run(
            selected.id, source.command, source.payload
        )
    except PersistError as error:
        if error.code == CommandUnavailable.code:
            return _not_invoked(selected, Status.SKIPPED, UNAVAILABLE)
        return _not_invoked(selected, Status.FAILED, error.code)
    return Outcome(
        selected.collection,
        selected.id,
        Status.INVOKED,
        None,
        result,
        record.revision,
    )


def _not_invoked(selected: _Selected, status: Status, reason: str) -> Outcome:
    return Outcome(
        selected.collection, selected.id, status, reason, None, selected.revision
    )
