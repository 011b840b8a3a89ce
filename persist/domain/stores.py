"""What the domain needs of storage, which implements it inside a transaction."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from persist.domain.change import Change, ChangeSummary
from persist.domain.query import Query
from persist.domain.record import Record


class Records(Protocol):
    """The records of one entity type inside a transaction."""

    def get(self, workspace: str, record_id: str) -> Record | None:
        """Return the record as this transaction sees it, locked for other writers."""

    def put(self, record: Record) -> None:
        """Store the new state of a record."""

    def remove(self, record: Record) -> None:
        """Remove a record."""

    def count(self, workspace: str, query: Query) -> int:
        """Return how many records match."""

    def lock(self, workspace: str, ids: Iterable[str]) -> int:
        """Read and lock records in one statement, ahead of the calls of ``get``. Return
        how many characters of data were read."""

    def select_for_update(self, workspace: str, query: Query) -> list[tuple[str, int]]:
        """Lock what matches and return ids and revisions in the query's order."""


class Journal(Protocol):
    """Where changes go. They get their ``seq`` when the transaction ends."""

    def append(self, change: Change) -> None:
        """Add a change."""

    def last_revision(self, collection: str, workspace: str, record_id: str) -> int:
        """Return the last revision of an id, deletions included; 0 if never used."""

    def past_record(
        self, collection: str, workspace: str, record_id: str, revision: int
    ) -> Record | None:
        """Return a record as it was at a revision.

        None if there is no such revision, if it is a deletion, or if its data was
        erased or trimmed.
        """

    def last_created_at(self, collection: str, workspace: str, record_id: str) -> str:
        """Return the time of creation of a deleted record's last life."""

    def changes_since(
        self,
        collection: str,
        workspace: str,
        record_id: str,
        revision: int,
        limit: int,
    ) -> list[ChangeSummary]:
        """Return the changes of a record after a revision, newest first."""

    def erase(self, collection: str, workspace: str, record_id: str) -> int:
        """Erase data and payloads of a record's changes and return how many had any.

        Stored answers that show the record are erased too.
        """


class Unit(Protocol):
    """A transaction, as an operation on many records sees it."""

    def savepoint(self) -> AbstractContextManager[None]:
        """Open a block that is undone if it raises.

        Raises ``UniqueViolation`` at its end if the database refuses it.
        """

    def release_records(self) -> None:
        """Send the records that wait and forget them, so that memory stays flat."""
