"""Collection: the writes of records, one at a time, inside a transaction.

Replace, patch and command are ``transition`` with another ``change``: read the record,
check the precondition, change the data, stop if nothing changed, take the next
revision, store, journal. Creation, deletion and migration have methods of their own.
Imports, restores, evolutions and bulk deletes stage the changes of all their records
first (``storage.staging``).
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from persist.domain.change import Change, Operation, Origin
from persist.domain.command import Command
from persist.domain.conflict import StaleBase
from persist.domain.entity_type import EntityType
from persist.domain.errors import (
    CommandUnavailable,
    MigrationFailed,
    PersistError,
    PreconditionFailed,
    RecordExists,
    RecordNotFound,
    RevisionNotFound,
)
from persist.domain.json_diff import ABSENT
from persist.domain.precondition import NO_PRECONDITION, Precondition
from persist.domain.query import Query
from persist.domain.record import INT64, Data, Record, dumps, json_equal
from persist.domain.stale_write import explained, merge_with, stale_base
from persist.domain.stores import Journal, Records
from persist.domain.undo import Past
from persist.domain.value import value

logger = logging.getLogger(__name__)


class Written(NamedTuple):
    """A record that was written: whether that created it, or merged two changes."""

    record: Record
    created: bool = False
    merged: bool = False


class Invocation(NamedTuple):
    """The result of a command and the record after it."""

    result: Any
    record: Record


def _valid(data: Data) -> Data:
    """Return data that is known to be valid."""
    return data


@value
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

    def _create(self, data: Data, record_id: str, *, revision: int) -> Record:
        change = self._creation(data, record_id, revision)
        self._store(change)
        return change.record

    def _creation(self, data: Data, record_id: str, revision: int) -> Change:
        return Change.creation(
            self.type,
            self.workspace,
            record_id,
            data,
            self.origin,
            self.now,
            revision=revision,
        )

    def replace(
        self, record_id: str, data: Data, precondition: Precondition
    ) -> Written:
        """Store ``data`` under an id, which may be new."""
        current = self.records.get(self.workspace, record_id)
        if current is None:
            try:
                precondition.check(None)
            except PreconditionFailed as error:
                raise self._explained_deletion(
                    error, record_id, precondition, data
                ) from None
            return Written(self.create_with_id(data, record_id), created=True)
        return self._transition(
            record_id, Operation.REPLACE, lambda _: data, precondition
        )

    def patch(
        self, record_id: str, change: Callable[[Data], Data], precondition: Precondition
    ) -> Written:
        """Store what ``change`` returns for the data, once it is valid."""
        return self._transition(
            record_id,
            Operation.PATCH,
            change,
            precondition,
            validate=self.type.validate,
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

    def _run(self, command: Command, data: Data, payload: Data) -> tuple[Data, object]:
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
        written = self._transition(
            record_id,
            operation,
            change,
            precondition,
            command=command,
            payload=payload,
        )
        return written.record

    def _transition(
        self,
        record_id: str,
        operation: Operation,
        change: Callable[[Data], Data],
        precondition: Precondition,
        *,
        validate: Callable[[Data], Data] = _valid,
        command: str | None = None,
        payload: str | None = None,
    ) -> Written:
        current = self._existing(record_id)
        changed = self._changed(current, operation, change, precondition, validate)
        data, merged = changed
        record = self._replace_data(current, operation, data, command, payload)
        return Written(record, merged=merged)

    def _replace_data(
        self,
        current: Record,
        operation: Operation,
        data: Data,
        command: str | None,
        payload: str | None,
    ) -> Record:
        """Give a record other data, unless it is equal: a write that is sent twice
        takes one revision."""
        text = dumps(data)
        if json_equal(current.text, text, data):
            return current
        record = current.next(self.type.schema_version, self.now, text, data)
        self._store(Change(operation, record, self.origin, command, payload))
        return record

    def _changed(
        self,
        current: Record,
        operation: Operation,
        change: Callable[[Data], Data],
        precondition: Precondition,
        validate: Callable[[Data], Data],
    ) -> tuple[Data, bool]:
        """Return the new data of a record, and whether it was merged.

        Raises ``PreconditionFailed``, which says what changed since the revision that
        the client read.
        """
        try:
            precondition.check(current)
        except PreconditionFailed as error:
            base = self._stale_base(current.id, current.revision, precondition)
            if base is None:
                raise
            merged = merge_with(base, current, operation, change, validate)
            if merged is None or merged.conflicts or not precondition.merge:
                raise explained(error, base, current.data, merged) from None
            return self.type.validate(merged.value), True
        return validate(change(current.data)), False

    def _stale_base(
        self, record_id: str, last_revision: int, precondition: Precondition
    ) -> StaleBase | None:
        return stale_base(
            self.type,
            self.journal,
            self.workspace,
            record_id,
            last_revision,
            precondition.named_revision,
        )

    def _explained_deletion(
        self,
        error: PreconditionFailed,
        record_id: str,
        precondition: Precondition,
        mine: Data | None = None,
    ) -> PreconditionFailed:
        """Return the refusal of a write to a deleted record with what was deleted."""
        last_revision = self.journal.last_revision(
            self.type.name, self.workspace, record_id
        )
        base = self._stale_base(record_id, last_revision, precondition)
        if base is None:
            return error
        merged = None if mine is None else base.merge(ABSENT, mine)
        return explained(error, base, ABSENT, merged)

    def revert(
        self, record_id: str, revision: int, precondition: Precondition
    ) -> Record:
        """Give a record the data of an earlier revision, as a new revision.

        A deleted record comes back. Raises ``RevisionNotFound`` and
        ``MigrationFailed``.
        """
        current = self.records.get(self.workspace, record_id)
        past = self._past(current, record_id, revision)
        payload = dumps({"to_revision": revision})
        data = self._brought_forward(past)
        if current is None:
            try:
                precondition.check_deleted()
            except PreconditionFailed as error:
                raise self._explained_deletion(error, record_id, precondition) from None
            key = self.type.name, self.workspace, record_id
            last_revision = self.journal.last_revision(*key)
            created_at = self.journal.last_created_at(*key)
            return self._bring_back(record_id, data, payload, last_revision, created_at)
        return self.transition(
            record_id,
            Operation.REVERT,
            lambda _: data,
            precondition,
            payload=payload,
        )

    def _past(self, current: Record | None, record_id: str, revision: int) -> Record:
        key = self.type.name, self.workspace, record_id
        if current is not None and current.revision == revision:
            return current
        past = self.journal.past_record(*key, revision)
        if past is None:
            if current is None and not self.journal.last_revision(*key):
                raise RecordNotFound(f"{self.type.name} never had a record {record_id}")
            raise RevisionNotFound(
                f"{self.type.name} has no revision {revision} of {record_id} to go"
                " back to"
            )
        return past

    def _brought_forward(self, past: Record) -> Data:
        try:
            return self.type.bring_forward(past.schema_version, past.data)
        except PersistError as error:
            raise MigrationFailed(
                f"the data of revision {past.revision} does not fit schema version"
                f" {self.type.schema_version}: {error.detail}",
                errors=error.errors,
            ) from None

    def _bring_back(
        self,
        record_id: str,
        data: Data,
        payload: str,
        last_revision: int,
        created_at: str,
    ) -> Record:
        """Store a deleted record again, with the time at which it was created."""
        created = self._creation(data, record_id, last_revision + 1)
        record = replace(created.record, created_at=created_at)
        self._store(Change(Operation.REVERT, record, self.origin, payload=payload))
        return record

    def take_back(self, past: Past, payload: str) -> Record | None:
        """Undo some changes of a record.

        Returns the record after that, with the revision of the deletion if it is
        deleted, or None if it neither existed before the changes nor exists now. Raises
        ``MigrationFailed``.
        """
        if past.before is None:
            if past.current is None:
                return None
            return self._delete(past.current, payload)
        data = self._brought_forward(past.before)
        if past.current is None:
            return self._bring_back(
                past.id, data, payload, past.revision, past.created_at
            )
        return self._replace_data(
            past.current,
            Operation.REVERT,
            data,
            None,
            payload,
        )

    def migrate(self, current: Record, text: str, parsed: Data | None = None) -> Record:
        """Store the data of a record as the present schema version has it."""
        version = self.type.schema_version
        change = Change.migration(current, version, text, parsed, self.origin, self.now)
        self._store(change)
        return change.record

    def make_room(self, current: Record) -> None:
        """Remove a record that another will replace; that adds the change."""
        self.records.remove(current)

    def delete(
        self, record_id: str, precondition: Precondition = NO_PRECONDITION
    ) -> Record:
        """Delete a record and return it with the revision of the deletion."""
        current = self._existing(record_id)
        try:
            precondition.check(current)
        except PreconditionFailed as error:
            base = self._stale_base(current.id, current.revision, precondition)
            if base is None:
                raise
            raise explained(error, base, current.data) from None
        return self._delete(current)

    def select_for_update(self, query: Query, limit: int) -> list[tuple[str, int]]:
        """Lock what matches and return ids and revisions.

        There is one more than ``limit`` if more match.
        """
        # Databases take a limit of 64 bits, and it is one more than the client's.
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

    def _delete(self, current: Record, payload: str | None = None) -> Record:
        self.records.remove(current)
        change = Change.deletion(current, self.origin, self.now, payload)
        self.journal.append(change)
        return change.record

    def _store(self, change: Change) -> None:
        self.records.put(change.record)
        self.journal.append(change)
