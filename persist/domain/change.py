"""Change: one accepted write, in the journal."""

from dataclasses import dataclass
from enum import StrEnum

from persist.domain.record import Record


class Operation(StrEnum):
    """What a change did."""

    CREATE = "create"
    REPLACE = "replace"
    PATCH = "patch"
    COMMAND = "command"
    DELETE = "delete"
    RESTORE = "restore"
    MIGRATE = "migrate"


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asked for a change and in which request; ``actor`` is ``""`` where access is
    open."""

    actor: str = ""
    request_id: str = ""


NOBODY = Origin()
"""The service itself."""


@dataclass(frozen=True, slots=True)
class Change:
    """A write on its way into the journal, which gives it its ``seq``.

    ``record`` is the record after the change; after a deletion it carries the last data
    and the deletion's own revision, and the journal stores no data. ``payload`` is JSON
    text.
    """

    operation: Operation
    record: Record
    origin: Origin
    command: str | None = None
    payload: str | None = None
    snapshot: str | None = None
