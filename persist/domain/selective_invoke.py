"""Selective invoke: a command on every record that matches, each all or nothing, with
its outcome."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from persist.domain.collection import Collection, too_many
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

PIECE = 250
"""Records that are held in memory at once, and done anew one by one where one of them
is refused."""

RESULTS = 64_000_000
"""Characters all results may have."""

SECONDS = 60
"""How long other writers may be kept waiting."""

UNSUPPORTED = "unsupported"
UNAVAILABLE = "unavailable"


class Status(StrEnum):
    """What became of one record."""

    INVOKED = "invoked"
    SKIPPED = "skipped"
    FAILED = "failed"


class Outcome(NamedTuple):
    """What became of one record; ``revision`` is the one it is at now."""

    collection: str
    id: str
    status: Status
    reason: str | None
    result: Any
    revision: int


class _Moved(Exception):
    """Unique values moved."""


@dataclass(frozen=True, eq=False)
class InvocationTarget:
    """The records of one collection that match. ``command`` is None where it has no
    such command."""

    collection: Collection
    query: Query
    command: Command | None
    payload: Any


class _Chosen(NamedTuple):
    """A record that matches; they sort by id, then collection."""

    id: str
    collection: str
    revision: int
    target: InvocationTarget


def invoke(
    work: Unit,
    targets: Sequence[InvocationTarget],
    max_affected: int,
    *,
    atomic: bool,
) -> list[Outcome]:
    """Run the command; the outcomes in the order of ids. ``atomic``: all or nothing.

    Raises ``TooManyAffected``, ``CommandFailed`` with the outcomes where one failed and
    it is atomic.
    """
    until = time.monotonic() + SECONDS
    chosen, outcomes, size = _chosen(targets, max_affected), list[Outcome](), 0
    for start in range(0, len(chosen), PIECE):
        done = list(_piece(work, chosen[start : start + PIECE]))
        work.release_records()
        outcomes += done
        size += sum(
            len(dumps(outcome.result)) for outcome in done if outcome.result is not None
        )
        if size > RESULTS or time.monotonic() > until:
            raise TooManyAffected(
                f"{len(chosen)} records match, and their results or the time they take"
                " are too large; nothing was changed. Narrow the filter"
            )
    if atomic and (
        failed := [outcome for outcome in outcomes if outcome.status is Status.FAILED]
    ):
        raise CommandFailed(
            f"the command failed on {len(failed)} of {len(outcomes)} records,"
            f" {failed[0].reason} on {failed[0].id}; nothing was changed",
            outcomes=[outcome._asdict() for outcome in outcomes],
        )
    return outcomes


def _chosen(targets: Sequence[InvocationTarget], max_affected: int) -> list[_Chosen]:
    """All that match, locked before any is changed: whoever else locks them does so in
    this order."""
    found: list[_Chosen] = []
    for target in targets:
        name = target.collection.type.name
        some = target.collection.select_for_update(
            target.query, max_affected - len(found)
        )
        found += [_Chosen(id, name, revision, target) for id, revision in some]
        if len(found) > max_affected:
            raise too_many(
                sum(each.collection.count(each.query) for each in targets), max_affected
            )
    return sorted(found)


def _piece(work: Unit, piece: Sequence[_Chosen]) -> Iterator[Outcome]:
    """Most refusals come before anything is written. Only what the database refuses, a
    unique value, has to be undone; then each record gets a savepoint of its own. So it
    does where unique values move, as one may be free only after another record was
    changed."""
    try:
        with work.savepoint():
            _read(piece)
            before = list(map(_unique, piece))
            done = [_outcome(chosen) for chosen in piece]
            if before != list(map(_unique, piece)):
                raise _Moved
        yield from done
    except (UniqueViolation, _Moved):
        for chosen in piece:
            try:
                with work.savepoint():
                    outcome = _outcome(chosen)
            except UniqueViolation as error:
                outcome = _not_invoked(chosen, Status.FAILED, error.code)
            yield outcome


def _read(piece: Sequence[_Chosen]) -> None:
    for target in {chosen.target for chosen in piece if chosen.target.command}:
        collection = target.collection
        collection.records.lock(
            collection.workspace, [one.id for one in piece if one.target is target]
        )


def _unique(chosen: _Chosen) -> list[Any]:
    """What a record that may change has in the members of its data that unique values
    lie in."""
    collection = chosen.target.collection
    if chosen.target.command is None or not collection.type.unique:
        return []
    record = collection.records.get(collection.workspace, chosen.id)
    members = [
        path.partition(".")[0] for paths in collection.type.unique for path in paths
    ]
    return [] if record is None else [record.data.get(member) for member in members]


def _outcome(chosen: _Chosen) -> Outcome:
    collection, command = chosen.target.collection, chosen.target.command
    if command is None:
        return _not_invoked(chosen, Status.SKIPPED, UNSUPPORTED)
    try:
        result, record = collection.run(chosen.id, command, chosen.target.payload)
    except PersistError as error:
        if error.code == CommandUnavailable.code:
            return _not_invoked(chosen, Status.SKIPPED, UNAVAILABLE)
        return _not_invoked(chosen, Status.FAILED, error.code)
    return Outcome(
        chosen.collection, chosen.id, Status.INVOKED, None, result, record.revision
    )


def _not_invoked(chosen: _Chosen, status: Status, reason: str) -> Outcome:
    return Outcome(chosen.collection, chosen.id, status, reason, None, chosen.revision)
