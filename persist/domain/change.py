"""Change: one accepted write, in the journal."""

from enum import StrEnum

from persist.domain.record import Record
from persist.domain.value import value


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


@value
class Origin:
    """Who asked for a change, and in which request.

    ``actor`` is ``""`` if access is open.
    """

    actor: str = ""
    request_id: str = ""


NOBODY = Origin()
"""The origin of what the service does by itself."""


@value
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
