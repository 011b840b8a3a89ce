"""Lists: pages of records and of changes."""

import json
from collections.abc import Sequence

from persist.api import pagination
from persist.api.query_params import (
    controls,
    cursor_of,
    listing,
    listing_together,
    natural,
    next_link,
    pairs_of,
)
from persist.api.requests import Request
from persist.api.responses import JSON, Answer, change_text, row_text
from persist.domain.errors import RecordNotFound
from persist.domain.record import INT64, dumps
from persist.storage.database import Database
from persist.storage.layout import Layout
from persist.storage.reader import LocatedRow, Reader
from persist.storage.sql import Row

NEWEST = 2**63 - 1
"""Above every revision."""


async def list_records(
    database: Database, layout: Layout, workspace: str, request: Request
) -> Answer:
    """One page of what matches, in order, and the cursor of the next."""
    type = layout.type
    asked = listing(type, workspace, request.query)
    size = asked.query.limit or 0
    query = asked.query.one_more()

    def read(reader: Reader) -> tuple[list[Row], int | None]:
        rows = reader.page(layout, workspace, query)
        return rows, reader.count(layout, workspace, query) if asked.count else None

    rows, total = await database.read(read, consistent=asked.count)
    more, rows = len(rows) > size, rows[:size]
    cursor = cursor_of(asked, rows[-1][6:]) if more else None
    items = ",".join(
        [row_text(type.name, workspace, selected(row, asked.fields)) for row in rows]
    )
    return _page(items, cursor, total, request)


async def list_together(
    database: Database, layouts: Sequence[Layout], workspace: str, request: Request
) -> Answer:
    """One page of the records of several collections, by id then collection, and the
    cursor of the next."""
    asked = listing_together(workspace, request.query)
    size = asked.query.limit or 0
    query = asked.query.one_more()

    def read(reader: Reader) -> list[LocatedRow]:
        return reader.merged_page(layouts, workspace, query)

    rows = await database.read(read, consistent=False) if layouts else []
    more, rows = len(rows) > size, rows[:size]
    cursor = cursor_of(asked, rows[-1][:2]) if more else None
    items = ",".join(
        [row_text(collection, workspace, row) for _, collection, row in rows]
    )
    return _page(items, cursor, None, request)


def _page(
    items: str, cursor: str | None, total: int | None, request: Request
) -> Answer:
    counted = "" if total is None else f',"total":{total}'
    text = f'{{"items":[{items}],"next_cursor":{dumps(cursor)}{counted}}}'
    headers = [JSON]
    if cursor is not None:
        headers.append(
            (
                b"link",
                f'<{next_link(request.path, request.query, cursor)}>; rel="next"'.encode(),  # noqa: E501
            )
        )
    return Answer(200, text.encode(), headers)


def selected(row: Row, fields: tuple[str, ...] | None) -> Row:
    """A row with only some of its data."""
    if fields is None:
        return row
    data = json.loads(row[5])
    return (*row[:5], dumps({name: data[name] for name in fields if name in data}))


async def list_changes(
    database: Database, layout: Layout, workspace: str, id: str, request: Request
) -> Answer:
    """One page of a record's changes, newest first."""
    collection = layout.type.name
    pairs = pairs_of(request.query)
    control = controls(pairs, ("limit", "cursor"))
    size = min(natural(control, "limit", 50) or 50, 500)
    bound = f"history\n{collection}\n{workspace}\n{id}"
    before = _revision(control["cursor"], bound) if "cursor" in control else NEWEST

    def read(reader: Reader) -> list[Row]:
        rows = reader.history(collection, workspace, id, before, size + 1)
        if not rows and not reader.knows(collection, workspace, id):
            raise RecordNotFound(f"{collection} never had a record {id}")
        return rows

    try:
        rows = await database.read(read)
    except RecordNotFound:
        if await database.find(layout, workspace, id) is None:
            raise
        rows = []  # they were trimmed
    more, rows = len(rows) > size, rows[:size]
    cursor = pagination.encode(bound, [rows[-1][5]]) if more else None
    return _page(",".join(map(change_text, rows)), cursor, None, request)


def _revision(cursor: str, bound: str) -> int:
    held = pagination.decode(cursor, bound)
    if len(held) != 1 or type(held[0]) is not int or held[0] not in INT64:
        raise pagination.foreign()
    return held[0]
