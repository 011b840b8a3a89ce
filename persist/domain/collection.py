"""Collection: the only place where a stored record changes.

Replace, patch and command are ``transition`` with another ``change``: read the record,
check the precondition, change the data, stop if nothing changed, take the next
revision, store, journal. Creation, deletion, migration and restore have methods of
their own.
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

DELETE_BATCH_RECORDS = 500
"""Records that a deletion by filter keeps in memory."""


class Invocation(NamedTuple):
    """The result of a command and the record after it."""

    result: Any
    record: Record


@dataclass(frozen=True, slots=True)
class Collection:
    """The records of one entity type in one workspace, inside one transaction.

    Data that comes in here is valid. Validation may be slow and then has no place in a
    transaction, so it belongs to the caller, or to the ``change`` that computes data.
    """

    type: EntityType
    workspace: str
    records: Records
    journal: Journal
    origin: Origin
    now: str

    def create(self, data: Data, record_id: str) -> Record:
        """Store a new record under an id that the service has just made."""
        return self._create(data, record_id, revision=1)

    def create_with_id(self, data: Data, record_id: str) -> Record:
        """Store a new record under an id that the client chose.

        The revisions of a deleted record go on. Raises ``RecordExists``.
        """
        if self.records.get(self.workspace, record_id) is not None:
            raise RecordExists(
                f"a record with the id {record_id} exists already; replace or patch it"
            )
        last = self.journal.last_revision(self.type.name, self.workspace, record_id)
        return self._create(data, record_id, revision=last + 1)

    def create_all(self, new: Iterable[tuple[str, Data]]) -> int:
        """Store many new records of (id, data) and return how many."""
        created = 0
        for record_id, data in new:
            self._create(data, record_id, revision=1)
            created += 1
        return created

    def _create(self, data: Data, record_id: str, *, revision: int) -> Record:
        record = Record.first(
            self.type.name,
            self.type.schema_version,
            self.workspace,
            record_id,
            data,
            self.now,
            revision=revision,
        )
        self._store(Change(Operation.CREATE, record, self.origin))
        return record

    def replace(
        self, record_id: str, data: Data, precondition: Precondition
    ) -> tuple[Record, bool]:
        """Store ``data`` under an id and return whether that created the record."""
        current = self.records.get(self.workspace, record_id)
        if current is None:
            precondition.check(None)
            return self.create_with_id(data, record_id), True
        replaced = self.transition(
            record_id, Operation.REPLACE, lambda _: data, precondition
        )
        return replaced, False

    def patch(
        self, record_id: str, change: Callable[[Data], Data], precondition: Precondition
    ) -> Record:
        """Store what ``change`` returns for the data, once it is valid."""
        return self.transition(
            record_id,
            Operation.PATCH,
            lambda data: self.type.validate(change(data)),
            precondition,
        )

    def run(
        self,
        record_id: str,
        command: Command,
        payload: Data,
        precondition: Precondition = NO_PRECONDITION,
    ) -> Invocation:
        """Run a command with its parsed payload.

        Raises ``CommandUnavailable``, ``Refused``, and ``InvalidData`` if the command
        leaves invalid data.
        """
        result: Any = None

        def change(data: Data) -> Data:
            nonlocal result
            data, result = self._run(command, data, payload)
            return self.type.validate(data)

        record = self.transition(
            record_id,
            Operation.COMMAND,
            change,
            precondition,
            command=command.name,
            payload=dumps(payload),
        )
        return Invocation(result, record)

    def _run(self, command: Command, data: Data, payload: Data) -> tuple[Data, Any]:
        """Return the data and result of a command.

        An exception of its code is a refusal of this record only.
        """
        try:
            reason = command.refusal(data)
            if reason is not None:
                raise CommandUnavailable(reason)
            return command.run(data, payload)
        except PersistError:
            raise
        except Exception:
            context = {
                "request_id": self.origin.request_id,
                "actor": self.origin.actor or None,
            }
            logger.exception(
                "the command %s of %s failed",
                command.name,
                self.type.name,
                extra=context,
            )
            raise PersistError(
                "the command failed on this record; the log has the request_id"
            ) from None

    def transition(
        self,
        record_id: str,
        operation: Operation,
        change: Callable[[Data], Data],
        precondition: Precondition = NO_PRECONDITION,
        *,
        command: str | None = None,
        payload: str | None = None,
    ) -> Record:
        """Change one record.

        ``change`` returns valid data. Equal data is no change and takes no revision.
        """
        current = self._existing(record_id)
        precondition.check(current)
        data = change(current.data)
        text = dumps(data)
        if json_equal(current.text, text, data):
            return current
        record = current.next(self.type.schema_version, self.now, text, data)
        self._store(Change(operation, record, self.origin, command, payload))
        return record

    def migrate(self, current: Record, text: str, parsed: Data | None = None) -> Record:
        """Store the data of a record as the present schema version has it.

        It takes a revision even if the data stayed the same.
        """
        record = current.next(self.type.schema_version, self.now, text, parsed)
        self._store(Change(Operation.MIGRATE, record, self.origin))
        return record

    def make_room(self, current: Record) -> None:
        """Remove a record that ``restore`` will replace; that adds the change."""
        self.records.remove(current)

    def restore(
        self, taken: Record, snapshot: str | None, *, last_revision: int, changed: bool
    ) -> Record:
        """Store a record of a snapshot with its times.

        It keeps its revision if this database never knew the id (``last_revision`` is
        0) and no migration step ``changed`` its data. Otherwise it gets the larger of
        the two revisions, + 1. Raises ``RecordExists``.
        """
        if self.records.get(self.workspace, taken.id) is not None:
            raise RecordExists(f"a record with the id {taken.id} exists already")
        revision = taken.revision
        if last_revision or changed:
            revision = max(taken.revision, last_revision) + 1
        record = replace(taken, revision=revision)
        self._store(Change(Operation.RESTORE, record, self.origin, snapshot=snapshot))
        return record

    def delete(
        self, record_id: str, precondition: Precondition = NO_PRECONDITION
    ) -> Record:
        """Delete a record and return it with the revision of the deletion."""
        current = self._existing(record_id)
        precondition.check(current)
        return self._delete(current)

    def delete_matching(self, query: Query, max_affected: int) -> int:
        """Delete what matches and return how many records that were.

        Raises ``TooManyAffected`` if more than ``max_affected`` match.
        """
        found = self.select_for_update(query, max_affected)
        if len(found) > max_affected:
            raise too_many(self.count(query), max_affected)
        ids = [record_id for record_id, _ in found]
        for start in range(0, len(ids), DELETE_BATCH_RECORDS):
            self.delete_all(ids[start : start + DELETE_BATCH_RECORDS])
        return len(ids)

    def delete_all(self, ids: Sequence[str]) -> None:
        """Delete records that exist, and keep none of them in memory."""
        self.records.lock(self.workspace, ids)
        for record_id in ids:
            self._delete(self._existing(record_id))
        self.records.release()
        self.journal.release()

    def select_for_update(self, query: Query, limit: int) -> list[tuple[str, int]]:
        """Lock what matches and return ids and revisions.

        There is one more than ``limit`` if more match.
        """
        limited = replace(query, limit=min(limit, INT64[-2]) + 1)
        return self.records.select_for_update(self.workspace, limited)

    def count(self, query: Query) -> int:
        """Return how many records match."""
        return self.records.count(self.workspace, query)

    def erase_history(
        self, record_id: str, precondition: Precondition = NO_PRECONDITION
    ) -> int:
        """Erase data and payloads of all changes of a record, a deleted one too.

        Returns how many changes had any. The record itself does not change. Raises
        ``RecordNotFound``.
        """
        current = self.records.get(self.workspace, record_id)
        precondition.check(current)
        key = self.type.name, self.workspace, record_id
        if current is None and not self.journal.last_revision(*key):
            raise RecordNotFound(f"{self.type.name} never had a record {record_id}")
        return self.journal.erase(*key)

    def _existing(self, record_id: str) -> Record:
        current = self.records.get(self.workspace, record_id)
        if current is None:
            raise RecordNotFound(f"{self.type.name} has no record {record_id}")
        return current

    def _delete(self, current: Record) -> Record:
        deleted = replace(
            current,
            revision=current.revision + 1,
            updated_at=max(self.now, current.updated_at),
        )
        self.records.remove(current)
        self.journal.append(Change(Operation.DELETE, deleted, self.origin))
        return deleted

    def _store(self, change: Change) -> None:
        self.records.put(change.record)
        self.journal.append(change)


def too_many(matching: int, max_affected: int) -> TooManyAffected:
    """Return the refusal if more records match than the client expected."""
    return TooManyAffected(
        f"{matching} records match and max_affected is {max_affected}; nothing was"
        " changed. Narrow the filter or raise max_affected",
        matching=matching,
    )
