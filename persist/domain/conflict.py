"""Conflicts: a write that was made from an earlier revision of the record.

The client read that revision (the base) and sends its change of it (mine); meanwhile
others have changed the record (theirs). The write is refused with what changed since,
or merged.
"""

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass

from persist.domain.change import ChangeSummary, Operation
from persist.domain.entity_type import EntityType
from persist.domain.errors import InvalidData, PersistError, PreconditionFailed
from persist.domain.json_diff import Merge, changed_pointers, merge
from persist.domain.record import Data, Record
from persist.domain.stores import Journal

MAX_CHANGES = 100
"""Changes since the base that a refusal lists."""

ALL_DATA = ""
"""The pointer to all data."""

MERGEABLE = (Operation.REPLACE, Operation.PATCH)
"""The operations whose change can be applied to an earlier revision."""


@dataclass(frozen=True, slots=True)
class StaleBase:
    """The data that a client's change was made from, and the changes since.

    ``data`` is that of the earlier revision, brought forward to the present schema
    version. ``changes`` are at most ``MAX_CHANGES``, newest first. In the methods
    ``theirs`` is the present data, ``ABSENT`` if the record was deleted.
    """

    data: Data
    changes: list[ChangeSummary]

    def describe(self, theirs: object) -> dict[str, object]:
        """Return the members of a refusal: what differs, and who changed it."""
        return {
            "changed": changed_pointers(self.data, theirs),
            "changes": [change._asdict() for change in self.changes],
        }

    def merge(self, theirs: object, mine: Data) -> Merge:
        """Return both changes of the base as one, or their conflicts."""
        return merge(self.data, theirs, mine)


def stale_base(
    entity_type: EntityType,
    journal: Journal,
    workspace: str,
    record_id: str,
    last_revision: int,
    revision: int | None,
) -> StaleBase | None:
    """Return what the client read at a revision before the last; None if unknown."""
    if revision is None or revision >= last_revision:
        return None
    key = entity_type.name, workspace, record_id
    past = journal.past_record(*key, revision)
    if past is None:
        return None
    try:
        data = entity_type.bring_forward(past.schema_version, past.data)
    except PersistError:
        return None
    changes = journal.changes_since(*key, revision, MAX_CHANGES)
    return StaleBase(data, changes)


def merge_with(
    base: StaleBase,
    current: Record,
    operation: Operation,
    change: Callable[[Data], Data],
    validate: Callable[[Data], Data],
) -> Merge | None:
    """Return the merge of the client's change; None for a command, which computes its
    change from the present data.

    A JSON Patch that does not apply to the base conflicts with all that changed since.
    A change that leaves invalid data is merged as it is.
    """
    if operation not in MERGEABLE:
        return None
    try:
        # A JSON Patch changes the data that it is given.
        mine = change(deepcopy(base.data))
    except PersistError:
        changed = changed_pointers(base.data, current.data)
        return Merge(conflicts=changed or [ALL_DATA])
    with suppress(InvalidData):
        mine = validate(mine)
    return base.merge(current.data, mine)


def with_conflict(
    error: PreconditionFailed,
    base: StaleBase,
    theirs: object,
    merged: Merge | None = None,
) -> PreconditionFailed:
    """Return the refusal with what changed since the client's revision.

    ``theirs`` is the present data, ``ABSENT`` for a deleted record.
    """
    members = error.members | base.describe(theirs)
    if merged is not None:
        members["conflicts"] = merged.conflicts
    return PreconditionFailed(error.detail, **members)
