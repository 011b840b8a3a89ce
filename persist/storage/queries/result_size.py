"""Result size: how much of a result is read at once, in characters of its text."""

from collections.abc import Callable, Sequence
from operator import itemgetter

from persist.storage.journal.rows import DATA, PAYLOAD
from persist.storage.sql import Cursor, Row

PAGE_CHARACTERS = 8_388_608
"""Characters of a page."""

BRIEF_CHARACTERS = 131_072
"""Characters that are read on the event loop."""

FEW_ROWS = 64
"""Rows that are read as one result, however many characters they have."""

FIRST_ROWS = 16
"""Rows that are fetched before it is known how many characters they have."""

MAX_ROWS = 256
"""Rows that are fetched at once."""

Characters = Callable[[Sequence[Row]], int]
"""Returns the characters that the text of rows has."""


class NotBrief(Exception):
    """A read on the event loop turns out to be a long one."""


def fetch(
    cursor: Cursor,
    characters: Characters,
    *,
    first: int,
    maximum: int,
    key: int,
    known: object,
) -> tuple[list[Row], bool]:
    """Return the rows of a query until they have more than ``maximum`` characters, and
    whether that is why it stopped. The ``first`` are fetched at once.

    A page ends between two values of the column ``key``, and has at least the rows of
    the first value that is not ``known``, with which the page before ended. The row
    that follows is returned too.
    """
    rows: list[Row] = []
    total = 0
    count = first
    while batch := cursor.fetchmany(count):
        rows += batch
        total += characters(batch)
        if total > maximum:
            end = _end(rows, characters, maximum, key, known)
            if end is not None:
                return rows[:end], True
        if len(batch) < count:
            break
        fits = (maximum - total) * len(rows) // (total + 1)
        count = min(MAX_ROWS, max(1, fits))
    return rows, False


def _end(
    rows: Sequence[Row], characters: Characters, maximum: int, key: int, known: object
) -> int | None:
    """Return how many of the rows ``fetch`` returns; None if it goes on."""
    total = 0
    first = known
    for count, row in enumerate(rows, start=1):
        total += characters((row,))
        if first == known:
            first = row[key]
        elif total > maximum and row[key] != first:
            return count
    return None


def fitting(rows: Sequence[Row], size: int, characters: Characters) -> int:
    """Return how many of the rows make a page of at most ``size``: those before the
    one at which ``fetch`` ends."""
    rows = rows[:size]
    if characters(rows) <= PAGE_CHARACTERS:
        return len(rows)
    total = 0
    for count, row in enumerate(rows):
        total += characters((row,))
        if count and total > PAGE_CHARACTERS:
            return count
    return len(rows)


_data = itemgetter(5)


def of_records(rows: Sequence[Row]) -> int:
    """Return the characters of the data of records."""
    return sum(map(len, map(_data, rows)))


def of_reports(rows: Sequence[Row]) -> int:
    """Return the characters of the reports of migrations."""
    return sum([len(report) for _, report in rows])


def of_changes(rows: Sequence[Row]) -> int:
    """Return the characters of the payloads and the data of changes."""
    return sum([len(row[PAYLOAD] or "") + len(row[DATA] or "") for row in rows])
