"""Undo: the records that some changes touched go back to what they were before them."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from persist.domain.record import Json, Record, dumps

MAX_CHANGES = 100_000
"""Changes that one undo takes back at most."""

LISTED_RECORDS = 1_000
"""Records that a report lists."""


class OnConflict(StrEnum):
    """What happens if a record cannot go back."""

    FAIL = "fail"
    SKIP = "skip"


class Outcome(StrEnum):
    """What became of a record."""

    REVERTED = "reverted"
    RECREATED = "recreated"
    DELETED = "deleted"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    CONFLICT = "conflict"


UNDONE = (Outcome.REVERTED, Outcome.RECREATED, Outcome.DELETED)
"""The outcomes of a record that went back."""


class Obstacle(StrEnum):
    """Why a record cannot go back."""

    CHANGED = "changed"
    ERASED = "erased"
    TRIMMED = "trimmed"
    MIGRATED = "migrated"


@dataclass(frozen=True, slots=True)
class SelectedChanges:
    """The changes of a request, or those from one ``seq`` to another.

    ``workspace`` is ``""`` for the default one; ``collection`` and ``workspace`` are
    None for all.
    """

    request_id: str | None
    from_seq: int = 0
    to_seq: int = 0
    collection: str | None = None
    workspace: str | None = None

    @property
    def payload(self) -> str:
        """The payload of the changes that take them back, as JSON text."""
        if self.request_id is not None:
            return dumps({"undo": {"request_id": self.request_id}})
        bounds = {"from_seq": self.from_seq, "to_seq": self.to_seq}
        return dumps({"undo": bounds})


class Conflict(NamedTuple):
    """Why a record cannot go back; ``at`` and ``actor`` are of the change that follows
    the selected ones."""

    conflict: Obstacle
    at: str | None = None
    actor: str | None = None


class RecordToUndo(NamedTuple):
    """A record as it was before the changes to undo, and as it is now.

    ``before`` and ``current`` are None if there was or is no record. ``revision`` is
    the last revision of the id, ``created_at`` the time of its last creation.
    """

    id: str
    before: Record | None
    current: Record | None
    revision: int
    created_at: str


class UndoneRecord(NamedTuple):
    """The outcome for one record. ``to_revision`` is None if the record was not
    changed, ``data_revision`` if it has no data now."""

    collection: str
    workspace: str | None
    id: str
    from_revision: int
    to_revision: int | None
    data_revision: int | None
    outcome: Outcome
    reason: Conflict | None = None

    def as_json(self) -> dict[str, object]:
        """Return the entry of a report."""
        reason = None if self.reason is None else self.reason._asdict()
        return self._asdict() | {"reason": reason}


@dataclass(slots=True)
class UndoReport:
    """What an undo did. The first records of each kind are listed."""

    undone: int = 0
    conflicts: int = 0
    _conflicting: list[UndoneRecord] = field(default_factory=list)
    _others: list[UndoneRecord] = field(default_factory=list)

    def note(self, outcome: Outcome) -> bool:
        """Count a record that could go back, and return whether to list it."""
        self.undone += outcome in UNDONE
        return len(self._others) < LISTED_RECORDS

    def note_conflict(self) -> bool:
        """Count a record that could not, and return whether to list it."""
        self.conflicts += 1
        return len(self._conflicting) < LISTED_RECORDS

    def add(self, record: UndoneRecord) -> None:
        """Add a record to the listed ones."""
        listed = self._others if record.reason is None else self._conflicting
        listed.append(record)

    @property
    def records(self) -> list[Json]:
        """The listed records, conflicts first."""
        listed = [*self._conflicting, *self._others]
        return [record.as_json() for record in listed[:LISTED_RECORDS]]

    def as_json(self) -> dict[str, object]:
        """Return the body of an answer."""
        return {
            "undone": self.undone,
            "skipped": self.conflicts,
            "records": self.records,
        }
