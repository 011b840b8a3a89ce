"""Bulk delete: the deletions of all records that match are staged, then stored at
once."""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from persist.domain.batch_size import BatchSize
from persist.domain.change import Change, Origin
from persist.domain.query import Query
from persist.domain.wording import too_many
from persist.storage.dialect import Dialect
from persist.storage.layout import Layout
from persist.storage.long_operations.catch_up import CatchUp
from persist.storage.long_operations.staged_changes import STAGED_CHANGES
from persist.storage.long_operations.staging import Staging
from persist.storage.queries import query_sql
from persist.storage.queries.result_size import of_records
from persist.storage.sql import Compiled, Connection, Row, Session, SqlCondition
from persist.storage.writes.records import BATCH_ROWS, count_statement, page_statement
from persist.storage.writes.unit_of_work import UnitOfWork


class BulkDelete:
    """The deletion of what matches in some collections of a workspace: ``stage`` in a
    thread, ``store`` in a transaction on the connection of the staging. It is exclusive
    if there are several: others lock them in another order.

    ``max_affected`` is None if any number may be deleted.
    """

    def __init__(
        self,
        staging: Staging,
        layouts: Iterable[Layout],
        workspace: str,
        query: Query,
        max_affected: int | None,
        origin: Origin,
    ) -> None:
        self._staging = staging
        self._layouts = {layout.type.name: layout for layout in layouts}
        self._workspace = workspace
        self._query = query
        self._max_affected = max_affected
        self._origin = origin
        self._catch_up = CatchUp(staging, self._stage_again, self._layouts)

    def stage(self) -> None:
        """Stage the deletion of what matches. Raises ``TooManyAffected``."""
        with self._catch_up.reading() as reader:
            self._check_count(reader)
            # After the count, which is the cheap way to refuse.
            self._staging.open()
            for layout in self._layouts.values():
                self._stage_collection(reader.cursor.connection, layout)

    def _stage_collection(self, connection: Connection, layout: Layout) -> None:
        statement = page_statement(layout, self._query)
        cursor = layout.dialect.stream_cursor(connection)
        statement.run(cursor, self._values(layout))
        size = BatchSize(BATCH_ROWS)
        while rows := cursor.fetchmany(size.records):
            size.note(len(rows), of_records(rows))
            changes = self._deletions(layout, rows)
            self._staging.add_changes(changes)
        cursor.close()

    def _values(self, layout: Layout) -> dict[str, object]:
        return query_sql.values(
            layout,
            self._workspace,
            self._query,
        )

    def _check_count(self, reader: Session[Dialect]) -> None:
        if self._max_affected is None:
            return
        count = 0
        for layout in self._layouts.values():
            statement = count_statement(layout, self._query)
            values = self._values(layout)
            cursor = statement.run(reader.cursor, values)
            ((found,),) = cursor.fetchall()
            count += found
        if count > self._max_affected:
            raise too_many(count, self._max_affected)

    def _deletions(
        self,
        layout: Layout,
        rows: Iterable[Row],
    ) -> list[Change]:
        """Return the changes that delete records, given as rows of a page."""
        changes = []
        for row in rows:
            record = layout.record(self._workspace, row)
            change = Change.deletion(record, self._origin, self._staging.at)
            changes.append(change)
        return changes

    def _stage_again(
        self,
        reader: Session[Dialect],
        collection: str,
        workspace: str,
        ids: Sequence[str],
    ) -> None:
        """Stage records of a collection again, if they are of the workspace."""
        # The journal is asked for a collection in all of its workspaces.
        if workspace != self._workspace:
            return
        layout = self._layouts[collection]
        among = reader.dialect.bound_list(ids)
        values = self._values(layout)
        values["among"] = among
        statement = self._matching_among(layout)
        cursor = statement.run(reader.cursor, values)
        rows = cursor.fetchall()
        changes = self._deletions(layout, rows)
        self._staging.replace_changes(
            collection,
            workspace,
            ids,
            changes,
        )

    def _matching_among(self, layout: Layout) -> Compiled:
        """Return the statement that selects what matches among some ids."""
        shape = query_sql.shape(self._query)
        key = ("among", *shape)
        one_of = layout.dialect.one_of(layout.table.c.id, "among")

        def write() -> sa.Select[tuple[object, ...]]:
            page = query_sql.page(layout, self._query)
            return page.where(one_of)

        return layout.statements.get(key, write)

    def store(self, work: UnitOfWork) -> int:
        """Delete the records and return how many there were.

        Raises ``TooManyAffected``, what ``UnitOfWork.collection`` raises, and ``Stale``
        if a transaction before this one failed.
        """
        for layout in self._layouts.values():
            # Raises if the type or the workspace has changed since the request was
            # parsed.
            work.collection(layout.type, self._workspace)
            layout.dialect.lock_table(work.session.cursor, layout.table.name)
        self._catch_up.finish(work.session)
        # What was created meanwhile may match too.
        self._check_count(work.session)
        session = work.session
        for name, layout in self._layouts.items():
            conditions = self._is_staged(layout)
            delete = sa.delete(layout.table).where(*conditions)
            compiled = session.dialect.compile(delete)
            values = {
                "workspace": self._workspace,
                "collection": name,
            }
            compiled.run(session.cursor, values)
        self._staging.store(work.journal, {})
        return self._staging.changes.count

    def _is_staged(self, layout: Layout) -> Sequence[SqlCondition]:
        columns = layout.table.c
        changes = STAGED_CHANGES.c
        of_collection = changes.collection == sa.bindparam("collection")
        staged = sa.select(changes.id).where(of_collection)
        in_workspace = columns.workspace == sa.bindparam("workspace")
        is_staged = columns.id.in_(staged)
        return (in_workspace, is_staged)
