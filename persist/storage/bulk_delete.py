"""Bulk delete: the deletions of all records that match are staged, then stored at
once."""

from collections.abc import Iterable, Sequence
from contextlib import closing

import sqlalchemy as sa

from persist.domain.batch_size import BatchSize
from persist.domain.change import Change, Operation, Origin
from persist.domain.collection import too_many
from persist.domain.query import Query
from persist.storage import query_sql
from persist.storage.catch_up import CatchUp
from persist.storage.dialect import Dialect
from persist.storage.layout import Layout
from persist.storage.records import BATCH_ROWS, count_statement, page_statement
from persist.storage.result_size import of_records
from persist.storage.sql import Compiled, Row, Session, SqlCondition
from persist.storage.staged_changes import STAGED_CHANGES
from persist.storage.staging import Staging, refusing
from persist.storage.unit_of_work import UnitOfWork


class BulkDelete:
    """One bulk delete: ``stage`` in a thread, ``store`` in an exclusive transaction on
    the connection of the staging."""

    def __init__(
        self,
        staging: Staging,
        layout: Layout,
        workspace: str,
        query: Query,
        max_affected: int,
        origin: Origin,
    ) -> None:
        self._staging = staging
        self._layout = layout
        self._workspace = workspace
        self._query = query
        self._values = query_sql.values(layout, workspace, query)
        self._max_affected = max_affected
        self._origin = origin
        self._catch_up = CatchUp(staging, self._stage_again, [layout.type.name])

    def stage(self) -> None:
        """Stage the deletion of what matches. Raises ``TooManyAffected``."""
        dialect = self._layout.dialect
        with (
            refusing(dialect),
            closing(dialect.connect()) as connection,
        ):
            reader = Session(dialect, connection.cursor())
            reader.execute(dialect.begin_read)
            self._check_count(reader)
            self._staging.open()
            self._catch_up.begin(reader)
            statement = page_statement(self._layout, self._query)
            cursor = dialect.stream_cursor(connection)
            statement.run(cursor, self._values)
            size = BatchSize(BATCH_ROWS)
            while rows := cursor.fetchmany(size.records):
                size.note(len(rows), of_records(rows))
                changes = self._deletions(rows)
                with self._staging.transaction():
                    self._staging.add_changes(changes)
            cursor.close()
            reader.execute("ROLLBACK")
            self._catch_up.run(reader)

    def _check_count(self, reader: Session[Dialect]) -> None:
        statement = count_statement(self._layout, self._query)
        cursor = statement.run(reader.cursor, self._values)
        ((count,),) = cursor.fetchall()
        if count > self._max_affected:
            raise too_many(count, self._max_affected)

    def _deletions(
        self,
        rows: Iterable[Row],
    ) -> list[Change]:
        """Return the changes that delete records, given as rows of a page."""
        changes = []
        for row in rows:
            record = self._layout.record(self._workspace, row)
            deleted = record.deleted(self._staging.at)
            change = Change(Operation.DELETE, deleted, self._origin)
            changes.append(change)
        return changes

    def _stage_again(
        self,
        reader: Session[Dialect],
        collection: str,
        workspace: str,
        ids: Sequence[str],
    ) -> None:
        """Stage records of the collection again, if they are of the workspace."""
        if workspace != self._workspace:
            return
        bound = {"among": reader.dialect.bound_list(ids)}
        values = {**self._values, **bound}
        statement = self._matching_among()
        cursor = statement.run(reader.cursor, values)
        rows = cursor.fetchall()
        changes = self._deletions(rows)
        self._staging.replace_changes(
            collection,
            workspace,
            ids,
            changes,
        )

    def _matching_among(self) -> Compiled:
        """Return the statement that selects what matches among some ids."""
        shape = query_sql.shape(self._query)
        key = ("among", *shape)
        table = self._layout.table
        one_of = self._layout.dialect.one_of(table.c.id, "among")

        def write() -> sa.Select[tuple[object, ...]]:
            page = query_sql.page(self._layout, self._query)
            return page.where(one_of)

        return self._layout.statements.get(key, write)

    def store(self, work: UnitOfWork) -> int:
        """Delete the records and return how many there were.

        Raises ``TooManyAffected``, what ``UnitOfWork.collection`` raises, and ``Stale``
        if a transaction before this one failed.
        """
        work.collection(self._layout.type, self._workspace)
        self._catch_up.finish(work.session)
        self._check_count(work.session)
        session = work.session
        table = self._layout.table
        delete = sa.delete(table).where(*self._is_staged())
        compiled = session.dialect.compile(delete)
        values = {"workspace": self._workspace}
        compiled.run(session.cursor, values)
        self._staging.store(work, {})
        return self._staging.changes.count

    def _is_staged(self) -> Sequence[SqlCondition]:
        columns = self._layout.table.c
        staged = sa.select(STAGED_CHANGES.c.id)
        in_workspace = columns.workspace == sa.bindparam("workspace")
        is_staged = columns.id.in_(staged)
        return (in_workspace, is_staged)
