"""Pages of a collection: its records and its trash."""

from persist.api.pagination import page_response
from persist.api.parse_threads import parse_query
from persist.api.past_reads import page_as_of, trash_page
from persist.api.query_params import (
    cursor_of,
    listing,
    trash_listing,
)
from persist.api.render_threads import rendered
from persist.api.requests import Request
from persist.api.responses import (
    Response,
    deleted_text,
    row_texts,
    selected,
    with_computed,
)
from persist.api.target import Target
from persist.storage.database import Database
from persist.storage.queries.result_size import fitting, of_records
from persist.storage.reads.reader import Reader
from persist.storage.sql import Row

# Named, because Python builds the annotations of an inner function at each call.
RowsAndTotal = tuple[list[Row], int | None]


class RecordLists:
    """Answers the routes that list records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, target: Target, request: Request) -> Response:
        """Return a page of the records that match, in order."""
        layout = target.layout
        workspace = target.workspace
        asked = await parse_query(
            request.query, lambda: listing(target.type, workspace, request.query)
        )
        if asked.as_of is not None:
            page = await page_as_of(self._database, layout, workspace, asked)

            def render_past() -> Response:
                return page_response(
                    request,
                    target.path,
                    _items(target, page.rows, asked.fields),
                    page.cursor,
                    page.total,
                    page.erased,
                )

            return await rendered(request, render_past, page.rows, of_records)
        size = asked.query.limit or 0
        query = asked.query.one_more()

        def read(reader: Reader) -> RowsAndTotal:
            rows = reader.page(layout, workspace, query)
            total = None
            if asked.count:
                total = reader.count(layout, workspace, query)
            return rows, total

        rows, total = await self._database.read(
            read,
            consistent=asked.count,
            brief=query.is_brief,
        )
        kept = fitting(rows, size, of_records)
        cursor = None
        if kept < len(rows):
            position = rows[kept - 1][6:]
            cursor = cursor_of(asked, position)
        rows = rows[:kept]

        def render() -> Response:
            items = _items(target, rows, asked.fields)
            return page_response(request, target.path, items, cursor, total)

        return await rendered(request, render, rows, of_records)

    async def trash(self, target: Target, request: Request) -> Response:
        """Return a page of the deleted records, the newest deletion first."""
        asked = await parse_query(
            request.query,
            lambda: trash_listing(target.type, target.workspace, request.query),
        )
        page = await trash_page(
            self._database,
            target.layout,
            target.workspace,
            asked,
        )

        def render() -> Response:
            items = _items(target, page.rows, asked.fields)
            deletions = [row[6:8] for row in page.rows]
            texts = [
                deleted_text(item, *deletion)
                for item, deletion in zip(items, deletions, strict=True)
            ]
            return page_response(
                request,
                f"{target.path}/trash",
                texts,
                page.cursor,
                page.total,
            )

        return await rendered(request, render, page.rows, of_records)


def _items(
    target: Target,
    rows: list[Row],
    fields: tuple[str, ...] | None,
) -> list[str]:
    """Return stored rows as the JSON texts of records, or of some of their fields."""
    entity_type = target.type
    complete = rows
    if fields is not None:
        complete = [selected(row, fields) for row in rows]
    elif (computed := entity_type.computed) is not None:
        complete = [with_computed(computed, row) for row in rows]
    return row_texts(entity_type.name, target.workspace, complete)
