"""Collection: the writes of records, one at a time, inside a transaction.

Replace, patch, command and revert are one transition with another ``change``: read the
record, check the precondition, change the data, stop if nothing changed, take the next
revision, store, journal. Creation, deletion and undo have separate methods.
Imports, restores, migrations and bulk deletes stage the changes of all their records
first (``storage.long_operations``).
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from persist.domain.canonical_json import same_json_text
from persist.domain.change import Change, Operation, Origin
from persist.domain.command import Command
from persist.domain.conflict import StaleBase, merge_with, stale_base, with_conflict
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
from persist.domain.fast_dataclass import fast_dataclass
from persist.domain.json_diff import ABSENT
from persist.domain.precondition import NO_PRECONDITION, Precondition
from persist.domain.query import Query
from persist.domain.record import INT64, Data, Record, dumps, json_text
from persist.domain.stores import Journal, Records
from persist.domain.undo import RecordToUndo

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


def _already_valid(data: Data) -> Data:
    """Return the data unchanged: the caller has validated it."""
    return data


@fast_dataclass
class Collection:
    """The records of one entity type in one workspace, inside one transaction.

    Data passed to ``create`` and ``replace`` is already valid: callers validate it
    before the transaction, because that may be slow. The results of patches, commands
    and merges are validated here.
    """

    type: EntityType
    workspace: str
    records: Records
    journal: Journal
    origin: Origin
    now: str

    def create(self, data: Data, record_id: str, *, revision: int = 1) -> Record:
        """Store a new record. ``revision`` is above 1 if the id was used before."""
        change = Change.creation(
            self.type,
            self.workspace,
            record_id,
            data,
            self.origin,
            self.now,
            revision=revision,
        )
        self._store(change)
        return change.record

    def create_with_id(self, data: Data, record_id: str) -> Record:
        """Store a new record under an id that the client chose.

        The revisions of a deleted record go on. Raises ``RecordExists``.
        """
        if self.records.get(self.workspace, record_id) is not None:
            raise RecordExists(
                f"a record with the id {record_id} exists already; replace or patch it"
            )
        # A client that still has an ETag of the deleted record must not match the new
        # one.
        last = self.journal.last_revision(self.type.name, self.workspace, record_id)
        return self.create(data, record_id, revision=last + 1)

    def replace(
        self, record_id: str, data: Data, precondition: Precondition
    ) -> Written:
        """Store ``data`` under an id, which may be new."""
        current = self.records.get(self.workspace, record_id)
        if current is None:
            try:
                precondition.check(None)
            except PreconditionFailed as error:
                raise self._deletion_conflict(
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

        invoked = self._transition(
            record_id,
            Operation.COMMAND,
            change,
            precondition,
            command=command.name,
            # As validated, with the defaults of its schema.
            payload=dumps(payload),
        )
        return Invocation(result, invoked.record)

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
                "the command failed on this record; look for the request_id in the log"
            ) from None

    def _transition(
        self,
        record_id: str,
        operation: Operation,
        change: Callable[[Data], Data],
        precondition: Precondition,
        *,
        validate: Callable[[Data], Data] = _already_valid,
        command: str | None = None,
        payload: str | None = None,
    ) -> Written:
        """Change one record.

        ``change`` returns valid data, or data that ``validate`` accepts. Equal data is
        no change and takes no revision.
        """
        current = self._existing(record_id)
        data, merged = self._changed(current, operation, change, precondition, validate)
        text = json_text(data, len(current.text))
        record = self._replace_data(current, operation, text, data, command, payload)
        return Written(record, merged=merged)

    def _replace_data(
        self,
        current: Record,
        operation: Operation,
        text: str,
        data: Data,
        command: str | None,
        payload: str | None,
    ) -> Record:
        """Give a record other data, of which ``text`` is the JSON, unless it is equal:
        a write that is sent twice takes one revision."""
        if same_json_text(current.text, text, data):
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
            # Merge even if the client did not ask for it, so that the refusal can say
            # whether a merge would succeed.
            if merged is None or merged.conflicts or not precondition.merge:
                raise with_conflict(error, base, current.data, merged) from None
            # Two valid documents may merge to one that is not.
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

    def _deletion_conflict(
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
        return with_conflict(error, base, ABSENT, merged)

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
        data = self._in_current_schema(past)
        if current is None:
            try:
                precondition.check_deleted()
            except PreconditionFailed as error:
                raise self._deletion_conflict(error, record_id, precondition) from None
            key = self.type.name, self.workspace, record_id
            last_revision = self.journal.last_revision(*key)
            created_at = self.journal.last_created_at(*key)
            return self._recreate(record_id, data, payload, last_revision, created_at)
        reverted = self._transition(
            record_id,
            Operation.REVERT,
            lambda _: data,
            precondition,
            payload=payload,
        )
        return reverted.record

    def _past(self, current: Record | None, record_id: str, revision: int) -> Record:
        key = self.type.name, self.workspace, record_id
        # The journal has the same data but takes longer to read.
        if current is not None and current.revision == revision:
            return current
        past = self.journal.past_record(*key, revision)
        if past is None:
            if current is None and not self.journal.last_revision(*key):
                raise RecordNotFound(f"{self.type.name} never had a record {record_id}")
            raise RevisionNotFound(
                f"revision {revision} of {self.type.name} {record_id} does not exist,"
                " is a deletion, or its data is no longer stored"
            )
        return past

    def _in_current_schema(self, past: Record) -> Data:
        if past.schema_version == self.type.schema_version:
            return past.data  # valid when it was stored, by the same schema
        try:
            return self.type.bring_forward(past.schema_version, past.data)
        except PersistError as error:
            raise MigrationFailed(
                f"the data of revision {past.revision} does not fit schema version"
                f" {self.type.schema_version}: {error.detail}",
                errors=error.errors,
            ) from None

    def _recreate(
        self,
        record_id: str,
        data: Data,
        payload: str,
        last_revision: int,
        created_at: str,
    ) -> Record:
        """Store a deleted record again, with the time at which it was created."""
        created = Record.first(
            self.type.name,
            self.type.schema_version,
            self.workspace,
            record_id,
            data,
            self.now,
            revision=last_revision + 1,
        )
        record = replace(created, created_at=created_at)
        self._store(Change(Operation.REVERT, record, self.origin, payload=payload))
        return record

    def undo(self, record: RecordToUndo, payload: str) -> Record | None:
        """Undo some changes of a record.

        Returns the record after that, with the revision of the deletion if it is
        deleted, or None if it neither existed before the changes nor exists now. Raises
        ``MigrationFailed``.
        """
        if record.before is None:
            if record.current is None:
                return None
            return self._delete(record.current, payload)
        data = self._in_current_schema(record.before)
        if record.current is None:
            return self._recreate(
                record.id, data, payload, record.revision, record.created_at
            )
        is_current = record.before.schema_version == self.type.schema_version
        return self._replace_data(
            record.current,
            Operation.REVERT,
            record.before.text if is_current else dumps(data),
            data,
            None,
            payload,
        )

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
            raise with_conflict(error, base, current.data) from None
        return self._delete(current)

    def select_for_update(self, query: Query, limit: int) -> list[tuple[str, int]]:
        """Lock what matches and return ids and revisions.

        There is one more than ``limit`` if more match.
        """
        # One more than the client's limit, and still within the 64 bits of a database.
        limited = replace(query, limit=min(limit, INT64[-2]) + 1)
        return self.records.select_for_update(self.workspace, limited)

    def count(self, query: Query) -> int:
        """Return how many records match."""
        return self.records.count(self.workspace, query)

    def erase_history(
        self, record_id: str, precondition: Precondition = NO_PRECONDITION
    ) -> int:
        """Erase the data and payloads of all changes of a record, which may be deleted.

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
        change.record.keep_text_only()
