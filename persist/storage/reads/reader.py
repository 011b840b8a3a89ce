"""Reading: what one read transaction answers."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import sqlalchemy as sa

from persist.domain.query import Query
from persist.storage.dialect import Dialect
from persist.storage.entity_types.definitions import Definitions
from persist.storage.journal.change_feed import (
    ChangeSlice,
    WantedChanges,
    read_slice,
    read_slice_before,
)
from persist.storage.journal.changes import (
    HISTORY_PAGE,
    LAST_REVISION,
    REVISION,
)
from persist.storage.layout import Layout
from persist.storage.queries import query_sql
from persist.storage.queries.record_source import RecordSource
from persist.storage.queries.result_size import (
    BRIEF_CHARACTERS,
    FEW_ROWS,
    FIRST_ROWS,
    PAGE_CHARACTERS,
    Characters,
    NotBrief,
    fetch,
    of_changes,
    of_records,
    of_reports,
)
from persist.storage.reads.moments import Moment, last_change
from persist.storage.reads.past_reader import PastCollection, past_change
from persist.storage.sql import Compiled, Row, Session, Statement, Values
from persist.storage.tables import MIGRATIONS
from persist.storage.writes.records import count_statement, page_statement

TABLES_PER_STATEMENT = 100
"""Tables that one statement reads; SQLite takes 500."""

LAST_ID = "~"
"""Text that sorts after every id."""

LocatedRow = tuple[str, str, Row]
"""The id, the collection and the row of a record."""

MIGRATION_RUNS = Statement(
    sa.select(MIGRATIONS.c.id, MIGRATIONS.c.report)
    .where(MIGRATIONS.c.id < sa.bindparam("before"))
    .order_by(MIGRATIONS.c.id.desc())
    .limit(sa.bindparam("limit", type_=sa.Integer()))
)
"""Select completed migrations and their reports, the newest first."""

MIGRATION_RUN = Statement(
    sa.select(MIGRATIONS.c.report).where(
        MIGRATIONS.c.id == sa.bindparam("migration_id")
    )
)
"""Select the report of one completed migration."""


class Reader:
    """The reads of one transaction, which all see the same moment."""

    def __init__(self, session: Session[Dialect], *, brief: bool = False) -> None:
        self.session = session
        self.definitions = Definitions(session)
        self._brief = brief

    def last_change(self, moment: Moment) -> int:
        """Return the ``seq`` that a moment means.

        Raises ``InvalidQuery`` and ``ChangesGone``.
        """
        return last_change(self.session, moment)

    def page(
        self,
        source: RecordSource,
        workspace: str,
        query: Query,
    ) -> list[Row]:
        """Return rows of (the envelope columns…, data as text, the sort values…).

        Rows that have too many characters for a page end with the first that is too
        much (``result_size.fitting``). Raises ``NotBrief``.
        """
        statement = page_statement(source, query)
        values = query_sql.values(source, workspace, query)
        if query.limit is None:
            return statement.run(self.session.cursor, values).fetchall()
        rows, _ = self._fetch(statement, values, of_records)
        return rows

    def _fetch(
        self,
        statement: Compiled,
        values: Values,
        characters: Characters,
        key: int = 0,
        known: object = None,
    ) -> tuple[list[Row], bool]:
        """Return the rows of a query up to the weight of a page, and whether there may
        be more.

        More than ``result_size.FEW_ROWS`` are read a few at a time.
        """
        session = self.session
        connection = session.cursor.connection
        maximum = BRIEF_CHARACTERS if self._brief else PAGE_CHARACTERS
        cursor = session.cursor
        first = FIRST_ROWS
        if values["limit"] > FEW_ROWS:
            cursor = session.dialect.stream_cursor(connection)
        elif session.dialect.buffers_rows:
            first = FEW_ROWS + 1
        statement.run(cursor, values)
        rows, ended = fetch(
            cursor,
            characters,
            first=first,
            maximum=maximum,
            key=key,
            known=known,
        )
        if ended or cursor is not session.cursor:
            # A query that is not read to its end holds its snapshot.
            cursor.close()
            session.cursor = connection.cursor()
        if ended and self._brief:
            raise NotBrief
        return rows, ended

    def merged_page(
        self,
        sources: Sequence[RecordSource],
        workspace: str,
        query: Query,
    ) -> tuple[list[LocatedRow], bool]:
        """Return what matches in several collections, by id, then collection, and
        whether more follows.

        ``query.after`` is (id, collection). A statement may end among the records of
        one id, which therefore count only if more was read.
        """
        if not sources:
            return [], False
        limit = query.limit or 0
        after = query.after or ("", "")
        query = replace(query, after=query.after and (after[0],))
        complete: list[LocatedRow] = []
        more = False
        # Collections rarely share ids, so the first attempt nearly always suffices.
        for extra in (2, 2 * len(sources)):
            limited = replace(query, limit=limit + extra)
            found, end, is_full = self._merged(sources, workspace, limited)
            complete = _between(found, after, end)
            more = len(complete) > limit
            if more or is_full or end == LAST_ID:
                break
        return complete[:limit], more or end != LAST_ID

    def merged_erased_count(
        self,
        layouts: Sequence[Layout],
        workspace: str,
        query: Query,
        until: tuple[str, str] | None,
    ) -> int:
        """Return how many erased records a page of several collections leaves out.

        ``until`` is the id and collection of its last record, None on the last page.
        """
        after = query.after or ("", "")
        last = until or (LAST_ID, "")
        unpaged = Query(query.where, query.values, as_of=query.as_of)
        count = 0
        for layout in layouts:
            rows = self.page(layout.past.erased, workspace, unpaged)
            keys = [(record_id, layout.type.name) for record_id, *_ in rows]
            count += sum(after < key <= last for key in keys)
        return count

    def _merged(
        self,
        sources: Sequence[RecordSource],
        workspace: str,
        query: Query,
    ) -> tuple[list[LocatedRow], str, bool]:
        """Return the rows of each statement, the id from which on some may be missing,
        and whether that is because the rows are large."""
        found: list[LocatedRow] = []
        end = LAST_ID
        is_full = False
        for start in range(0, len(sources), TABLES_PER_STATEMENT):
            some = sources[start : start + TABLES_PER_STATEMENT]
            statement = _merged_statement(some, query)
            values = query_sql.values(some[0], workspace, query)
            known = query.after and query.after[0]
            rows, ended = self._fetch(statement, values, _of_located, 1, known)
            is_full = is_full or ended
            names = [source.type.name for source in some]
            found += [(row[1], names[row[0]], row[1:]) for row in rows]
            if ended or len(rows) == query.limit:
                _, last_id, *_ = rows[-1]
                end = min(end, last_id)
        return found, end, is_full

    def erased_count(
        self,
        layout: Layout,
        workspace: str,
        query: Query,
        until: tuple[object, ...] | None,
    ) -> int:
        """Return how many erased records a page of a past moment leaves out.

        ``until`` has the sort values of its last record, None on the last page.
        """
        erased = layout.past.erased
        shape = query_sql.shape(query)
        ends = until and tuple(value is None for value in until)
        statement = erased.statements.get(
            ("erased", *shape, ends),
            lambda: query_sql.erased_count(erased, query, until),
        )
        values = query_sql.values(erased, workspace, query)
        bindable = self.session.dialect.bound_value
        values |= {f"b{n}": bindable(value) for n, value in enumerate(until or ())}
        ((count,),) = statement.run(self.session.cursor, values).fetchall()
        return int(count)

    def past_change(self, past: PastCollection, record_id: str) -> Row | None:
        """Return the last change of a record until a moment.

        ``journal.changes.last_changes`` selects it after the ends of the journal.
        """
        return past_change(self.session, past, record_id)

    def count(
        self,
        source: RecordSource,
        workspace: str,
        query: Query,
    ) -> int:
        """Return how many records match, whatever the page."""
        statement = count_statement(source, query)
        values = query_sql.values(source, workspace, query)
        ((count,),) = statement.run(self.session.cursor, values).fetchall()
        return int(count)

    def history(
        self,
        collection: str,
        workspace: str,
        record_id: str,
        before: int,
        limit: int,
    ) -> list[Row]:
        """Return changes of a record below a revision, newest first.

        They are rows of ``journal.rows.CHANGE_COLUMNS``, as many as make a page by
        their weight.
        """
        statement = HISTORY_PAGE.on(self.session.dialect)
        values = {
            "collection": collection,
            "workspace": workspace,
            "id": record_id,
            "before": before,
            "limit": limit,
        }
        rows, _ = self._fetch(statement, values, of_changes)
        return rows

    def revision(
        self,
        collection: str,
        workspace: str,
        record_id: str,
        revision: int,
    ) -> Row | None:
        """Return a record as it was at a revision, for ``changes.past_record``."""
        return self.session.row(
            REVISION,
            collection=collection,
            workspace=workspace,
            id=record_id,
            revision=revision,
        )

    def knows(
        self,
        collection: str,
        workspace: str,
        record_id: str,
    ) -> bool:
        """Return whether the journal ever had a change of the record."""
        found = self.session.row(
            LAST_REVISION,
            collection=collection,
            workspace=workspace,
            id=record_id,
        )
        return found is not None

    def changes(
        self,
        after: int | None,
        limit: int,
        wanted: WantedChanges,
    ) -> ChangeSlice:
        """Return the next wanted changes of the journal. Raises ``ChangesGone``."""
        return read_slice(self.session, after, limit, wanted)

    def changes_before(
        self,
        before: int | None,
        limit: int,
        wanted: WantedChanges,
    ) -> ChangeSlice:
        """Return the wanted changes before a ``seq``, the newest first.

        Raises ``ChangesGone``.
        """
        return read_slice_before(self.session, before, limit, wanted)

    def migrations(self, before: str, limit: int) -> list[Row]:
        """Return the ids of completed runs and their reports as JSON text, the newest
        first, as many as make a page by their weight."""
        statement = MIGRATION_RUNS.on(self.session.dialect)
        values = {"before": before, "limit": limit}
        rows, _ = self._fetch(statement, values, of_reports)
        return rows

    def migration(self, migration_id: str) -> str | None:
        """Return the report of one completed run as JSON text."""
        row = self.session.row(MIGRATION_RUN, migration_id=migration_id)
        return row[0] if row else None

    def versions(self, layout: Layout) -> dict[int, int]:
        """Return how many stored records are at each schema version."""
        column = layout.table.c.schema_version

        def write() -> sa.Select[Any]:
            return sa.select(column, sa.func.count()).group_by(column)

        statement = layout.statements.get("versions", write)
        rows = statement.run(self.session.cursor, {}).fetchall()
        return dict(rows)


def _of_located(rows: Sequence[Row]) -> int:
    return sum([len(row[6]) for row in rows])


def _between(
    rows: list[LocatedRow], after: tuple[str, ...], end: str
) -> list[LocatedRow]:
    """Return the rows that follow ``after`` and come before an id, in order."""
    # An id and its collection are in one row only, so that no row is compared.
    return sorted([row for row in rows if after < row[:2] and row[0] < end])


def _merged_statement(sources: Sequence[RecordSource], query: Query) -> Compiled:
    """Return the statement of a page of several tables."""
    types = tuple(source.type for source in sources)
    key = ("merged", types, *query_sql.shape(query))
    write = partial(query_sql.merged_page, sources, query)
    return sources[0].statements.get(key, write)
