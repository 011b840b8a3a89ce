"""Conflicts: what a client learns whose precondition failed, and merges.

A client read an earlier revision (the base) and sends a change of it (mine), while the
record has been changed (theirs).
"""

from dataclasses import dataclass
from typing import NamedTuple

from persist.domain.json_diff import Merge, changed_pointers, merge
from persist.domain.record import Data

MAX_CHANGES = 100
"""Changes since the base that a refusal lists."""


class ChangeSummary(NamedTuple):
    """Who changed a record, when, and how."""

    revision: int
    at: str
    actor: str | None
    operation: str
    command: str | None


@dataclass(frozen=True, slots=True)
class StaleBase:
    """The data that a client's change was made from, and the changes since.

    ``data`` is that of the earlier revision, brought forward to the present schema
    version. ``changes`` are at most ``MAX_CHANGES``, newest first. In the methods
    ``theirs`` is the present data, ``ABSENT`` where the record was deleted.
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
