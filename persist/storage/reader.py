"""Reading: what one read transaction answers, and reads by key done together."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import sqlalchemy as sa

from persist.domain.errors import Unavailable
from persist.domain.query import Query
from persist.storage import query_sql
from persist.storage.catalog import Stale
from persist.storage.change_feed import ChangeSlice, Wanted, stretch
from persist.storage.definitions import Definitions
from persist.storage.dialect import Dialect, Failure
from persist.storage.layout import Layout
from persist.storage.records import cached, counting, paging
from persist.storage.sql import Compiled, Connection, Cursor, Row
from persist.storage.unit_of_work import Statements
from persist.storage.worker import Job

logger = logging.getLogger(__name__)

TOGETHER = 100
"""Tables one statement reads; SQLite takes 500."""

END = "~"
"""Behind every id."""
Together = tuple[str, str, Row]
"""A row with its place."""


class Reader:
    """The reads of one transaction: all see the same moment."""

    def __init__(self, cursor: Cursor, statements: Statements) -> None:
        self.definitions = Definitions(statements.definitions, cursor)
        self._cursor = cursor
        self._journal = statements.journal
        self._statements = statements

    def page(self, layout: Layout, workspace: str, query: Query) -> list[Row]:
        """Rows of (the envelope columns…, data as JSON text, the sort values…)."""
        values = query_sql.values(layout, workspace, query)
        return self._rows(paging(layout, query), values)

    def together(
        self, layouts: Sequence[Layout], workspace: str, query: Query
    ) -> list[Together]:
        """What matches in several collections behind a place, by id then collection, up
        to the query's limit. A statement may end amid the records of one id: those
        count only if more was read."""
        limit, after = query.limit or 0, query.after or ("", "")
        query = replace(query, after=query.after and (after[0],))
        for spare in (2, 2 * len(layouts)):
            found, end = self._merged(
                layouts, workspace, replace(query, limit=limit + spare)
            )
            whole = sorted(each for each in found if after < each[:2] and each[0] < end)
            if len(whole) >= limit or end == END:
                break
        return whole[:limit]

    def _merged(
        self, layouts: Sequence[Layout], workspace: str, query: Query
    ) -> tuple[list[Together], str]:
        """The rows of each statement up to the limit, and the id from which they may be
        incomplete."""
        found, end = list[Together](), END
        for start in range(0, len(layouts), TOGETHER):
            some = layouts[start : start + TOGETHER]
            shape = (
                "together",
                tuple(layout.type for layout in some),
                *query_sql.shape(query),
            )
            statement = cached(some[0], shape, partial(query_sql.together, some, query))
            rows = self._rows(statement, query_sql.values(some[0], workspace, query))
            found += [(row[1], some[row[0]].type.name, row[1:]) for row in rows]
            end = min(end, rows[-1][1]) if len(rows) == query.limit else end
        return found, end

    def count(self, layout: Layout, workspace: str, query: Query) -> int:
        """How many records match, without regard to a page."""
        values = query_sql.values(layout, workspace, query)
        return int(self._rows(counting(layout, query), values)[0][0])

    def history(
        self, collection: str, workspace: str, id: str, before: int, limit: int
    ) -> list[Row]:
        """The changes of a record below a revision, newest first, as rows of
        ``journal.HISTORY``."""
        values = {
            "collection": collection,
            "workspace": workspace,
            "id": id,
            "before": before,
            "limit": limit,
        }
        return self._rows(self._journal.history, values)

    def revision(
        self, collection: str, workspace: str, id: str, revision: int
    ) -> Row | None:
        """The record as it was at a revision, for ``journal.past_record``."""
        values = {
            "collection": collection,
            "workspace": workspace,
            "id": id,
            "revision": revision,
        }
        rows = self._rows(self._journal.revision, values)
        return rows[0] if rows else None

    def knows(self, collection: str, workspace: str, id: str) -> bool:
        """Whether the journal ever saw the record."""
        return bool(
            self._rows(
                self._journal.last_revision,
                {"collection": collection, "workspace": workspace, "id": id},
            )
        )

    def changes(self, after: int | None, limit: int, wanted: Wanted) -> ChangeSlice:
        """The next changes of the journal that are wanted; see ``feed.stretch``."""
        return stretch(self._rows, self._statements.feed, after, limit, wanted)

    def migrations(self, id: str | None = None) -> list[str]:
        """The reports of completed runs as JSON text, the newest first; or the one of
        an id."""
        statement = self._statements.runs if id is None else self._statements.run
        return [row[0] for row in self._rows(statement, {"migration_id": id})]

    def versions(self, layout: Layout) -> dict[int, int]:
        """How many stored records are at each schema version."""
        column = layout.table.c.schema_version
        counted = sa.select(column, sa.func.count()).group_by(column)
        return dict(self._rows(cached(layout, ("versions",), lambda: counted), {}))

    def _rows(self, statement: Compiled, values: dict[str, Any]) -> list[Row]:
        rows: list[Row] = self._cursor.execute(
            statement.text, statement.arguments(values)
        ).fetchall()
        return rows


@dataclass(frozen=True, slots=True)
class Find:
    """A read by key."""

    layout: Layout
    workspace: str
    id: str


class KeyReader:
    """Reads by key that wait together are one statement, on a connection of the lane's
    own."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._connection: Connection | None = None

    def work(self, jobs: list[Job[Find]]) -> None:
        groups: dict[tuple[int, str], list[Job[Find]]] = {}
        for job in jobs:
            groups.setdefault((id(job.task.layout), job.task.workspace), []).append(job)
        for group in groups.values():
            try:
                self._group(group)
            except Exception as error:  # noqa: BLE001 - every caller is told
                refused = refusal(self._dialect, error)
                for job in group:
                    job.error = refused
                self._connection = None

    def close(self) -> None:
        """Let go of the database."""
        if self._connection is not None:
            self._connection.close()

    def _group(self, jobs: list[Job[Find]]) -> None:
        connection = self._connection = self._connection or self._dialect.connect()
        layout, workspace = jobs[0].task.layout, jobs[0].task.workspace
        ids = list({job.task.id for job in jobs})
        values = {"workspace": workspace, "ids": self._dialect.bound_list(ids)}
        rows = connection.execute(
            layout.by_ids.text, layout.by_ids.arguments(values)
        ).fetchall()
        found = {row[0]: row for row in rows}
        for job in jobs:
            job.result = found.get(job.task.id)


def refusal(dialect: Dialect, error: Exception) -> Exception:
    """What a caller is told of a failed read."""
    match dialect.failure(error):
        case Failure.BUG:
            return error
        case Failure.STALE:
            return Stale()
    logger.warning("the database refused a read: %s", error)
    return Unavailable("the database cannot be read now; try again")
