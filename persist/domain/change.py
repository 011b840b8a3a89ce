"""Change: one accepted write, in the journal.

``Change`` also makes the next state of a record, both for writes of one record
(``collection``) and for staged writes of many (``storage.long_operations``).
"""

from enum import StrEnum
from typing import NamedTuple, Self

from persist.domain.entity_type import EntityType
from persist.domain.fast_dataclass import fast_dataclass
from persist.domain.record import Data, Record


class Operation(StrEnum):
    """The kind of write that a change records."""

    CREATE = "create"
    REPLACE = "replace"
    PATCH = "patch"
    COMMAND = "command"
    DELETE = "delete"
    RESTORE = "restore"
    MIGRATE = "migrate"
    REVERT = "revert"


@fast_dataclass
class Origin:
    """Who asked for a change, and in which request.

    ``actor`` is ``""`` if access is open.
    """

    actor: str = ""
    request_id: str = ""


SERVICE_ORIGIN = Origin()
"""The origin of changes that the service makes on its own."""


@fast_dataclass
class Change:
    """A write on its way into the journal, which assigns its ``seq``.

    ``record`` is the record after the change. After a deletion it has the last data and
    the revision of the deletion, and the journal stores no data. ``payload`` is JSON
    text.
    """

    operation: Operation
    record: Record
    origin: Origin
    command: str | None = None
    payload: str | None = None
    snapshot: str | None = None

    @classmethod
    def creation(
        cls,
        entity_type: EntityType,
        workspace: str,
        record_id: str,
        data: Data,
        origin: Origin,
        now: str,
        *,
        revision: int = 1,
    ) -> Self:
        """Return the change that creates a record of valid data."""
        record = Record.first(
            entity_type.name,
            entity_type.schema_version,
            workspace,
            record_id,
            data,
            now,
            revision=revision,
        )
        return cls(Operation.CREATE, record, origin)

    @classmethod
    def deletion(
        cls, record: Record, origin: Origin, now: str, payload: str | None = None
    ) -> Self:
        """Return the change that deletes a record; it takes a revision."""
        deleted = record.deleted(now)
        return cls(Operation.DELETE, deleted, origin, payload=payload)

    @classmethod
    def migration(
        cls,
        record: Record,
        schema_version: int,
        text: str,
        parsed: Data | None,
        origin: Origin,
        now: str,
    ) -> Self:
        """Return the change that stores data as another schema version has it.

        It takes a revision even if the data stayed the same.
        """
        migrated = record.next(schema_version, now, text, parsed)
        return cls(Operation.MIGRATE, migrated, origin)


class ChangeSummary(NamedTuple):
    """Who changed a record, when, and how."""

    revision: int
    at: str
    actor: str | None
    operation: str
    command: str | None
