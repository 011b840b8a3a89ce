"""Collection: the one place where a stored record changes.

Replace, patch and command are ``transition`` with another ``change``: read,
precondition, change, nothing changed? stop, next revision, put, journal.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from persist.domain.change import Change, Operation, Origin
from persist.domain.command import Command
from persist.domain.entity_type import EntityType
from persist.domain.errors import (
    CommandUnavailable,
    PersistError,
    RecordExists,
    RecordNotFound,
    TooManyAffected,
)
from persist.domain.precondition import NO_PRECONDITION, Precondition
from persist.domain.query import Query
from persist.domain.record import INT64, Data, Record, dumps, json_equal
from persist.domain.stores import Journal, Records

logger = logging.getLogger(__name__)

PIECE = 500
"""Records that are read at once."""


class Invocation(NamedTuple):
    """What a command gave: its result, and the record after it."""

    result: Any
    record: Record


@dataclass(frozen=True, slots=True)
class Collection:
    """The records of one entity type in one workspace, inside one unit of work.

    Data that comes in here is valid: validation belongs to whoever made it (it may be
    slow and then has no place inside a transaction), or to the ``change`` that computes
    it.
    """

    type: EntityType
    workspace: str
    records: Records
    journal: Journal
    origin: Origin
    now: str

    def create(self, data: Data, id: str, *, known: bool = False) -> Record:
        """Store a new record. ``known``: the id may have been here before; its
        revisions go on.

        Raises ``RecordExists``.
        """
        if known and self.records.get(self.workspace, id) is not None:
            raise RecordExists(
                f"a record with the id {id} exists already; replace or patch it"
            )
        last = (
            self.journal.last_revision(self.type.name, self.workspace, id)
            if known
            else 0
        )
        record = Record(
            id,
            self.type.name,
            self.workspace,
            last + 1,
            self.type.schema_version,
            self.now,
            self.now,
            dumps(data),
            data,
        )
        self.records.put(record)
        self.journal.append(Change(Operation.CREATE, record, self.origin))
        return record

    def create_all(self, drafts: Iterable[tuple[str, Data]]) -> int:
        """Store many new records, each a new id and valid data; how many."""
        type, workspace, now = self.type, self.workspace, self.now
        created = 0
        for id, data in drafts:
            record = Record(
                id,
                type.name,
                workspace,
                1,
                type.schema_version,
                now,
                now,
                dumps(data),
                data,
            )
            self.records.put(record)
            self.journal.append(Change(Operation.CREATE, record, self.origin))
            created += 1
        return created

    def replace(
        self, id: str, data: Data, precondition: Precondition
    ) -> tuple[Record, bool]:
        """Store ``data`` under ``id``; also tells whether the record was created."""
        current = self.records.get(self.workspace, id)
        if current is None:
            precondition.check(None)
            return self.create(data, id, known=True), True
        return (
            self.transition(id, Operation.REPLACE, lambda _: data, precondition),
            False,
        )

    def patch(
        self, id: str, change: Callable[[Data], Data], precondition: Precondition
    ) -> Record:
        """Store what ``change`` makes of the data, once valid."""
        return self.transition(
            id,
            Operation.PATCH,
            lambda data: self.type.validate(change(data)),
            precondition,
        )

    def run(
        self,
        id: str,
        command: Command,
        payload: Data,
        precondition: Precondition = NO_PRECONDITION,
    ) -> Invocation:
        """Run a command with its parsed payload. Raises ``CommandUnavailable``,
        ``Refused``, ``InvalidData`` where it leaves invalid data behind."""
        result: Any = None

        def change(data: Data) -> Data:
            nonlocal result
            data, result = self._ran(command, data, payload)
            return self.type.validate(data)

        record = self.transition(
            id,
            Operation.COMMAND,
            change,
            precondition,
            command=command.name,
            payload=dumps(payload),
        )
        return Invocation(result, record)

    def _ran(self, command: Command, data: Data, payload: Data) -> tuple[Data, Any]:
        """What a command makes of data. Whatever its code raises is a refusal of this
        record only."""
        try:
            if (reason := command.refusal(data)) is not None:
                raise CommandUnavailable(reason)
            return command.run(data, payload)
        except PersistError:
            raise
        except Exception:
            told = {
                "request_id": self.origin.request_id,
                "actor": self.origin.actor or None,
            }
            logger.exception(
                "the command %s of %s failed", command.name, self.type.name, extra=told
            )
            raise PersistError(
                "the command failed on this record; the log has the request_id"
            ) from None

    def transition(
        self,
        id: str,
        operation: Operation,
        change: Callable[[Data], Data],
        precondition: Precondition = NO_PRECONDITION,
        *,
        command: str | None = None,
        payload: str | None = None,
    ) -> Record:
        """Change one record. ``change`` gives valid data; the same data again is no
        change."""
        current = self._existing(id)
        precondition.check(current)
        data = change(current.data)
        text = dumps(data)
        if json_equal(current.text, text, data):
            return current
        record = Record(
            id,
            current.collection,
            current.workspace,
            current.revision + 1,
            self.type.schema_version,
            current.created_at,
            self.now,
            text,
            data,
        )
        self.records.put(record)
        self.journal.append(Change(operation, record, self.origin, command, payload))
        return record

    def delete(self, id: str, precondition: Precondition = NO_PRECONDITION) -> Record:
        """Take a record away; the answer carries the deletion's own revision."""
        current = self._existing(id)
        precondition.check(current)
        return self._remove(current)

    def delete_matching(self, query: Query, max_affected: int) -> int:
        """Delete what matches, unless it is more than ``max_affected``
        (``TooManyAffected``)."""
        chosen = [id for id, _ in self.chosen(query, max_affected)]
        if len(chosen) > max_affected:
            raise too_many(self.count(query), max_affected)
        for start in range(0, len(chosen), PIECE):
            self.delete_all(chosen[start : start + PIECE])
        return len(chosen)

    def delete_all(self, ids: Sequence[str]) -> None:
        """Delete records that are there."""
        self.records.read(self.workspace, ids)
        for id in ids:
            self._remove(self._existing(id))

    def chosen(self, query: Query, most: int) -> list[tuple[str, int]]:
        """The ids and revisions of what matches, locked: one more than ``most`` where
        there are more."""
        return self.records.chosen(
            self.workspace, replace(query, limit=min(most, INT64[-2]) + 1)
        )

    def count(self, query: Query) -> int:
        """How many records match."""
        return self.records.count(self.workspace, query)

    def erase_history(
        self, id: str, precondition: Precondition = NO_PRECONDITION
    ) -> int:
        """Take data and payloads out of all changes of a record, a deleted one too; of
        how many. The record stays as it is, and this is no change of it."""
        current = self.records.get(self.workspace, id)
        precondition.check(current)
        if current is None and not self.journal.last_revision(
            self.type.name, self.workspace, id
        ):
            raise RecordNotFound(f"{self.type.name} never had a record {id}")
        return self.journal.erase(self.type.name, self.workspace, id)

    def _existing(self, id: str) -> Record:
        current = self.records.get(self.workspace, id)
        if current is None:
            raise RecordNotFound(f"{self.type.name} has no record {id}")
        return current

    def _remove(self, current: Record) -> Record:
        gone = replace(current, revision=current.revision + 1, updated_at=self.now)
        self.records.remove(current)
        self.journal.append(Change(Operation.DELETE, gone, self.origin))
        return gone


def too_many(matching: int, max_affected: int) -> TooManyAffected:
    """The refusal where more records match than a client foresaw."""
    return TooManyAffected(
        f"{matching} records match and max_affected is {max_affected}; nothing was"
        " changed. Narrow the filter or raise max_affected",
        matching=matching,
    )
