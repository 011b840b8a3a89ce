"""Unit of work: what the writes of one transaction share. Everything waits here until
``flush``."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import sqlalchemy as sa

from persist.domain.change import NOBODY, Origin
from persist.domain.collection import Collection
from persist.domain.entity_type import EntityType
from persist.domain.workspace import DEFAULT, Workspaces, check_held
from persist.storage.catalog import Stale
from persist.storage.change_feed import FeedStatements, feed_statements
from persist.storage.definitions import (
    Definitions,
    DefinitionStatements,
    definition_statements,
)
from persist.storage.dialect import Dialect, Failure
from persist.storage.idempotency import Answers, AnswerStatements, answer_statements
from persist.storage.journal import JournalStatements, WorkJournal, journal_statements
from persist.storage.layout import Layout, unique_violation
from persist.storage.records import TableRecords
from persist.storage.savepoint import savepoint
from persist.storage.sql import Compiled, Cursor
from persist.storage.tables import MIGRATIONS, SNAPSHOT_MARKS

ANSWER_LIFE = timedelta(hours=24)

JOURNAL = 16_000_000
"""The weight from which a long operation writes its journal as it goes: memory stays
flat, though the journal's counter is held longer."""


@dataclass(frozen=True, slots=True)
class RecordKey:
    """Names a record that an operation is about to ask for."""

    collection: str
    workspace: str
    id: str


@dataclass(frozen=True)
class Statements:
    """All statements that are not a layout's own."""

    dialect: Dialect
    journal: JournalStatements
    feed: FeedStatements
    answers: AnswerStatements
    definitions: DefinitionStatements
    runs: Compiled
    run: Compiled
    mark: Compiled


def statements_of(dialect: Dialect) -> Statements:
    """Write them all."""
    runs = sa.select(MIGRATIONS.c.report).order_by(MIGRATIONS.c.id.desc())
    return Statements(
        dialect,
        journal_statements(dialect),
        feed_statements(dialect),
        answer_statements(dialect),
        definition_statements(dialect),
        runs=dialect.compile(runs),
        mark=dialect.compile(dialect.count_changes(SNAPSHOT_MARKS)),
        run=dialect.compile(
            runs.where(MIGRATIONS.c.id == sa.bindparam("migration_id"))
        ),
    )


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds and ``Z``: its order as text is the order in
    time."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def now() -> str:
    """The present moment as a timestamp."""
    return timestamp(datetime.now(UTC))


class UnitOfWork:
    """The collections, the journal and the stored answers inside one transaction."""

    def __init__(
        self,
        layouts: Mapping[str, Layout],
        statements: Statements,
        cursor: Cursor,
        workspaces: Workspaces = MappingProxyType({}),
    ) -> None:
        moment = datetime.now(UTC)
        self.now = timestamp(moment)
        self.cursor = cursor
        self.journal = WorkJournal(statements.journal, cursor, self.now)
        self.answers = Answers(
            statements.answers, cursor, self.now, timestamp(moment - ANSWER_LIFE)
        )
        self.definitions = Definitions(statements.definitions, cursor, self.now)
        self.workspaces = workspaces
        self._layouts = layouts
        self._mark = statements.mark
        self._dialect = statements.dialect
        self._records: dict[str, TableRecords] = {}

    def collection(
        self, type: EntityType, workspace: str = DEFAULT, origin: Origin = NOBODY
    ) -> Collection:
        """A collection in a workspace; ``origin`` stands in the changes made through
        it.

        Raises ``Stale`` where the entity type is no longer the current one of its name,
        ``WorkspaceNotFound`` and ``CollectionNotInWorkspace``.
        """
        if not self.holds(type):
            raise Stale
        check_held(self.workspaces, workspace, type.name)
        return Collection(
            type, workspace, self.records(type.name), self.journal, origin, self.now
        )

    def holds(self, type: EntityType) -> bool:
        """Whether an entity type is the current one of its name."""
        layout = self._layouts.get(type.name)
        return layout is not None and layout.type is type

    def adopt(self, layout: Layout) -> Layout:
        """Know a collection that this unit of work has made."""
        self._layouts = {**self._layouts, layout.type.name: layout}
        return layout

    def read(self, keys: Iterable[RecordKey]) -> None:
        """Read and lock records that are about to be asked for, a statement a
        collection."""
        wanted: dict[tuple[str, str], list[str]] = {}
        for key in keys:
            wanted.setdefault((key.collection, key.workspace), []).append(key.id)
        for (collection, workspace), ids in sorted(wanted.items()):
            if collection in self._layouts:
                self.records(collection).read(workspace, ids)

    def flush(self) -> None:
        """Send what waits; the journal last, because its counter orders the commits."""
        self._send_records()
        self.answers.flush()
        self.journal.flush()

    def crossed(self, every: int) -> list[str]:
        """The collections that came past a multiple of ``every`` changes in this
        transaction. Their counters are taken with the journal's, so that one
        transaction of all crosses each multiple."""
        found = []
        for collection, count in sorted(self.journal.written.items()):
            values = self._mark.arguments({"collection": collection, "changes": count})
            changes = self.cursor.execute(self._mark.text, values).fetchall()[0][0]
            if changes // every > (changes - count) // every:
                found.append(collection)
        return found

    def flush_records(self, *, journal_at: int | None = None) -> None:
        """Send the records that wait and forget them, and the journal from the weight
        ``journal_at``: a long operation keeps no more in memory. It locks no record
        after that."""
        self._send_records()
        self._forget_records()
        if journal_at is not None and self.journal.weight >= journal_at:
            self.journal.flush()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part that is sent at its end and undone where something is raised, by the
        database too: ``UniqueViolation``. The journal is not flushed inside."""
        self._send_records()
        mark = len(self.journal)
        try:
            with savepoint(self.cursor, self._dialect):
                yield
                self._send_records()
        except Exception as error:
            self.journal.forget(mark)
            self._forget_records()
            if self._dialect.failure(error) is not Failure.UNIQUE:
                raise
            constraint = self._dialect.violated_constraint(error)
            violation = unique_violation(self._layouts.values(), constraint)
            raise (violation or error) from None

    def _send_records(self) -> None:
        for _, records in sorted(self._records.items()):
            records.flush()

    def _forget_records(self) -> None:
        for records in self._records.values():
            records.forget()

    def records(self, collection: str) -> TableRecords:
        """The records of a collection as they lie, for those who write them whole."""
        found = self._records.get(collection)
        if found is None:
            found = self._records[collection] = TableRecords(
                self._layouts[collection], self.cursor
            )
        return found
