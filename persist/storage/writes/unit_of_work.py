"""Unit of work: what the writes of one transaction share.

Everything waits here until ``flush``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from persist.domain.change import SERVICE_ORIGIN, Origin
from persist.domain.collection import Collection
from persist.domain.entity_type import EntityType
from persist.domain.fast_dataclass import fast_dataclass
from persist.domain.workspace import DEFAULT, Workspaces, check_in_workspace
from persist.storage.clock import timestamp
from persist.storage.dialect import Dialect, Failure
from persist.storage.entity_types.catalog import Stale
from persist.storage.entity_types.definitions import Definitions
from persist.storage.entity_types.workspaces import DeclaredWorkspaces
from persist.storage.journal.changes import JournalWriter
from persist.storage.layout import Layout, unique_violation
from persist.storage.sql import Session, Statement
from persist.storage.tables import SNAPSHOT_MARKS
from persist.storage.writes.idempotency import LIFETIME, Answers
from persist.storage.writes.records import TableRecords
from persist.storage.writes.savepoint import savepoint

RunInTransaction = Callable[[Callable[[Session[Dialect]], Any]], Any]
"""Runs a function in its own write transaction and waits for it."""


@Statement
def count_changes(dialect: Dialect) -> sa.ClauseElement:
    """Add to the number of changes of a collection and return the sum."""
    return dialect.count_changes(SNAPSHOT_MARKS)


@fast_dataclass
class RecordKey:
    """Names a record that an operation will ask for."""

    collection: str
    workspace: str
    id: str


class UnitOfWork:
    """The collections, the journal and the stored answers inside one transaction."""

    def __init__(
        self,
        layouts: Mapping[str, Layout],
        session: Session[Dialect],
        workspaces: Workspaces = MappingProxyType({}),
    ) -> None:
        moment = datetime.now(UTC)
        self.now = timestamp(moment)
        self.session = session
        self.workspaces = workspaces
        # Expired answers are ignored here and deleted later, so that no write waits for
        # that.
        oldest = timestamp(moment - LIFETIME)
        self.answers = Answers(session, self.now, oldest)
        self.journal = JournalWriter(session, self.now)
        self._layouts = layouts
        self._records: dict[str, TableRecords] = {}

    @cached_property
    def definitions(self) -> Definitions:
        """The definitions of registered types."""
        return Definitions(self.session, self.now)

    @cached_property
    def declared_workspaces(self) -> DeclaredWorkspaces:
        """The declarations of workspaces."""
        return DeclaredWorkspaces(self.session)

    def collection(
        self,
        entity_type: EntityType,
        workspace: str = DEFAULT,
        origin: Origin = SERVICE_ORIGIN,
    ) -> Collection:
        """Return a collection in a workspace; its changes carry ``origin``.

        Raises ``Stale`` if the entity type is no longer the current one of its name,
        ``WorkspaceNotFound`` and ``CollectionNotInWorkspace``.
        """
        if not self.is_current(entity_type):
            raise Stale
        check_in_workspace(self.workspaces, workspace, entity_type.name)
        records = self.records(entity_type.name)
        return Collection(
            entity_type, workspace, records, self.journal, origin, self.now
        )

    def declare_workspace(self, workspace: str, collections: Iterable[str]) -> None:
        """Have a workspace contain these collections and no others."""
        names = tuple(sorted(collections))
        self.declared_workspaces.declare(workspace, names)
        self.workspaces = {**self.workspaces, workspace: names}

    def is_current(self, entity_type: EntityType) -> bool:
        """Return whether an entity type is the current one of its name."""
        layout = self._layouts.get(entity_type.name)
        # By identity: each change of a definition compiles another one.
        return layout is not None and layout.type is entity_type

    def adopt(self, layout: Layout) -> None:
        """Note the layout of a collection that this transaction created or changed."""
        name = layout.type.name
        self._records.pop(name, None)
        self._layouts = {**self._layouts, name: layout}

    def lock(self, keys: Iterable[RecordKey]) -> int:
        """Read and lock the records that will be asked for, with one statement per
        collection. Return how many characters they have."""
        wanted: dict[tuple[str, str], list[str]] = {}
        for key in keys:
            group = (key.collection, key.workspace)
            wanted.setdefault(group, []).append(key.id)
        # Sorted, because transactions that lock in the same order never deadlock. The
        # rows of one collection are sorted, too (``records``).
        characters = 0
        for (collection, workspace), ids in sorted(wanted.items()):
            # A type may have been deleted; the operation will find that out.
            if collection in self._layouts:
                records = self.records(collection)
                characters += records.lock(workspace, ids)
        return characters

    def flush(self) -> None:
        """Send all waiting rows, the journal last: its counter orders the commits."""
        self._send_records()
        self.answers.flush()
        self.journal.flush()
        self.journal.seal()

    def collections_due(self, every: int) -> list[str]:
        """Return the collections whose number of changes passed a multiple of
        ``every``; none if that is 0.

        Their counters are locked with the journal's, so that exactly one transaction
        passes each multiple.
        """
        found: list[str] = []
        if not every:
            return found
        for collection, count in sorted(self.journal.written.items()):
            changes = self.session.value(
                count_changes, collection=collection, changes=count
            )
            before = changes - count
            if changes // every > before // every:
                found.append(collection)
        return found

    def release_records(self) -> None:
        """Send the records that wait and forget them, so that memory stays flat.

        Changes that wait go to the disk if they are many. No savepoint may be open.
        """
        self._send_records()
        self._forget_records()
        self.journal.release()

    @contextmanager
    def savepoint(self, *, exchanging: bool = False) -> Iterator[None]:
        """Open a block that is sent at its end, and undone if it raises.

        ``exchanging``: the records of the block may exchange unique values. Raises
        ``UniqueViolation`` if the database refuses it. The journal is not written
        inside.
        """
        self._send_records()
        # The journal is taken back in memory: its rows are written at the end of the
        # transaction.
        mark = len(self.journal)
        try:
            with savepoint(self.session):
                yield
                if exchanging:
                    self._exchange_records()
                self._send_records()
        except Exception as error:
            self.journal.forget(mark)
            self._forget_records()
            dialect = self.session.dialect
            if dialect.failure(error) is not Failure.UNIQUE:
                raise
            constraint = dialect.violated_constraint(error)
            violation = unique_violation(self._layouts.values(), constraint)
            raise (violation or error) from None

    def records(self, collection: str) -> TableRecords:
        """Return the records of a collection, for what is not one workspace's."""
        found = self._records.get(collection)
        if found is None:
            layout = self._layouts[collection]
            found = TableRecords(layout, self.session.cursor)
            self._records[collection] = found
        return found

    def close(self) -> None:
        """Delete what was put on the disk."""
        self.journal.close()

    def refused_record(self) -> RecordKey | None:
        """Return the record whose unique value was taken, if records exchanged
        theirs."""
        for collection, records in self._records.items():
            if records.refused is not None:
                return RecordKey(collection, *records.refused)
        return None

    def _exchange_records(self) -> None:
        for _, records in sorted(self._records.items()):
            records.flush_exchanging()

    def _send_records(self) -> None:
        for _, records in sorted(self._records.items()):
            records.flush()

    def _forget_records(self) -> None:
        for records in self._records.values():
            records.forget()
