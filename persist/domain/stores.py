"""What the domain asks of storage; ``storage`` implements these inside a unit of
work."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from persist.domain.change import Change
from persist.domain.query import Query
from persist.domain.record import Record


class Records(Protocol):
    """The records of one entity type inside a transaction."""

    def get(self, workspace: str, id: str) -> Record | None:
        """The record as this transaction sees it, locked against other writers."""

    def put(self, record: Record) -> None:
        """Store the record's new state."""

    def remove(self, record: Record) -> None:
        """Take the record away."""

    def count(self, workspace: str, query: Query) -> int:
        """How many records match."""

    def read(self, workspace: str, ids: Iterable[str]) -> None:
        """Read and lock records that are about to be asked for, all at once."""

    def chosen(self, workspace: str, query: Query) -> list[tuple[str, int]]:
        """The ids and revisions of the records that match, in the query's order,
        locked."""


class Journal(Protocol):
    """Where changes go; it gives them their ``seq`` when the transaction ends."""

    def append(self, change: Change) -> None:
        """Add a change."""

    def last_revision(self, collection: str, workspace: str, id: str) -> int:
        """The last revision an id ever had, deletions included; 0 where it was never
        known."""

    def erase(self, collection: str, workspace: str, id: str) -> int:
        """Take data and payloads out of a record's changes; of how many."""


class Unit(Protocol):
    """A transaction, as an operation on many records sees it."""

    def savepoint(self) -> AbstractContextManager[None]:
        """A part that is undone where something is raised; ``UniqueViolation`` by the
        database."""

    def flush_records(self, *, journal_at: int | None = None) -> None:
        """Send and forget what waits, the journal from the weight ``journal_at``."""
