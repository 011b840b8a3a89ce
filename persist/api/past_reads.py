"""Reads of an earlier moment: one record, and a page of a collection."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from persist.api.query_params import Listing, cursor_of
from persist.domain.change import Operation
from persist.domain.errors import RecordNotFound
from persist.domain.field import DELETION
from persist.domain.record import Record
from persist.storage.database import Database
from persist.storage.journal.changes import past_record
from persist.storage.layout import Layout
from persist.storage.queries.result_size import fitting, of_records
from persist.storage.reads.moments import Moment
from persist.storage.reads.past_reader import PastCollection
from persist.storage.reads.reader import TABLES_PER_STATEMENT, LocatedRow, Reader
from persist.storage.sql import Row

BRIEF_TABLES = 8
"""Tables of a page whose SQL is written in a few milliseconds."""

SORT_VALUES = 6
"""Where the sort values of a row begin."""


@dataclass(frozen=True, slots=True)
class PastPage:
    """A page of past records, and how many of them were left out as ``erased``."""

    rows: list[Row]
    cursor: str | None
    total: int | None
    erased: int


@dataclass(frozen=True, slots=True)
class LocatedPage:
    """A page of the records of several collections; ``erased`` as in ``PastPage``."""

    rows: list[LocatedRow]
    cursor: str | None
    erased: int | None = None


async def page_as_of(
    database: Database,
    layout: Layout,
    workspace: str,
    asked: Listing,
) -> PastPage:
    """Return a page of a collection as it was at the moment of a list request."""
    moment = asked.as_of
    assert moment is not None
    past = layout.past
    size = asked.query.limit or 0

    def read(reader: Reader) -> PastPage:
        as_of = reader.last_change(moment)
        query = replace(asked.query.one_more(), as_of=as_of)
        rows = reader.page(past.source(query), workspace, query)
        kept = fitting(rows, size, of_records)
        until = None
        cursor = None
        if kept < len(rows):
            until = rows[kept - 1][SORT_VALUES:]
            cursor = cursor_of(asked, until, as_of)
        total = None
        if asked.count:
            total = reader.count(past.at_once, workspace, query)
        erased = reader.erased_count(layout, workspace, query, until)
        return PastPage(rows[:kept], cursor, total, erased)

    return await database.read(read, brief=asked.query.is_brief)


def _end(rows: list[LocatedRow], *, more: bool) -> tuple[str, str] | None:
    """Return where a page of several collections ends; None if it is the last."""
    if not more:
        return None
    record_id, collection, _ = rows[-1]
    return record_id, collection


async def records_page(
    database: Database,
    layouts: Sequence[Layout],
    workspace: str,
    asked: Listing,
) -> LocatedPage:
    """Return a page of the records of a workspace, now or at a moment."""
    query = asked.query
    moment = asked.as_of

    def read_present(reader: Reader) -> LocatedPage:
        rows, more = reader.merged_page(layouts, workspace, query)
        until = _end(rows, more=more)
        cursor = None if until is None else cursor_of(asked, until)
        return LocatedPage(rows, cursor)

    def read_past(reader: Reader, moment: Moment) -> LocatedPage:
        as_of = reader.last_change(moment)
        then = replace(query, as_of=as_of)
        past = [layout.past.by_id for layout in layouts]
        rows, more = reader.merged_page(past, workspace, then)
        until = _end(rows, more=more)
        cursor = None if until is None else cursor_of(asked, until, as_of)
        erased = reader.merged_erased_count(
            layouts,
            workspace,
            then,
            until,
        )
        return LocatedPage(rows, cursor, erased)

    brief = len(layouts) <= BRIEF_TABLES
    if moment is None:
        # One statement sees one moment by itself.
        several = len(layouts) > TABLES_PER_STATEMENT
        return await database.read(read_present, consistent=several, brief=brief)
    return await database.read(lambda reader: read_past(reader, moment), brief=brief)


async def trash_page(
    database: Database,
    layout: Layout,
    workspace: str,
    asked: Listing,
) -> PastPage:
    """Return a page of the deleted records of a collection."""
    trash = layout.past.trash
    size = asked.query.limit or 0
    query = asked.query.one_more()

    def read(reader: Reader) -> PastPage:
        rows = reader.page(trash, workspace, query)
        kept = fitting(rows, size, of_records)
        cursor = None
        if kept < len(rows):
            position = rows[kept - 1][SORT_VALUES + len(DELETION) :]
            cursor = cursor_of(asked, position)
        total = None
        if asked.count:
            total = reader.count(trash, workspace, query)
        return PastPage(rows[:kept], cursor, total, 0)

    return await database.read(
        read,
        consistent=asked.count,
        brief=query.is_brief,
    )


async def record_as_of(
    database: Database,
    collection: str,
    workspace: str,
    record_id: str,
    moment: Moment,
) -> Record | int:
    """Return a record as it was at a moment, or its revision if the data was erased.

    Raises ``RecordNotFound``.
    """
    past = PastCollection(moment, collection, workspace)
    change = await database.find_past(past, record_id)
    if change is None or change[0] == Operation.DELETE.value:
        raise RecordNotFound(f"{collection} had no record {record_id} then")
    _, *row = change
    record = past_record(collection, workspace, tuple(row))
    if record is None:
        _, _, revision, *_ = change
        return int(revision)
    return record
