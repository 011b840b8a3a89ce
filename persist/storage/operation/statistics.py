"""Statistics: what a database contains, for metrics, at low cost."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from persist.storage.dialect import Dialect, Failure
from persist.storage.entity_types.catalog import Catalog
from persist.storage.journal.changes import LAST_SEQ
from persist.storage.reads.read_error import read_error
from persist.storage.sql import Session, Statement
from persist.storage.tables import SNAPSHOTS

COUNT_SECONDS = 60.0
"""Seconds between two counts of all records, at least."""

COUNT_SHARE = 100
"""Counting takes at most one part in so many of the time."""

NEWEST_SNAPSHOT = Statement(
    sa.select(SNAPSHOTS.c.created_at)
    .order_by(SNAPSHOTS.c.id.desc())
    .limit(sa.literal_column("1"))
)
"""Select when the newest snapshot was taken."""


@dataclass(frozen=True)
class Statistics:
    """What a database contains.

    ``records`` by collection is as of some time ago. ``snapshot_at`` is when the newest
    snapshot was taken.
    """

    seq: int
    snapshot_at: str | None
    records: Mapping[str, int]


class StatisticsCollector:
    """Collects the statistics of a database, for one caller at a time."""

    def __init__(self, dialect: Dialect, catalog: Catalog) -> None:
        self._dialect = dialect
        self._catalog = catalog
        self._records: Mapping[str, int] = {}
        self._due = 0.0

    async def collect(self) -> Statistics:
        """Return the statistics of now. Raises ``Unavailable``."""
        try:
            return await asyncio.to_thread(self._collect)
        except Exception as error:
            raise read_error(self._dialect, error) from error

    def _collect(self) -> Statistics:
        connection = self._dialect.connect()
        try:
            session = Session(self._dialect, connection.cursor())
            if time.monotonic() >= self._due:
                self._count(session)
            seq = session.value(LAST_SEQ)
            newest = session.row(NEWEST_SNAPSHOT)
        finally:
            connection.close()
        return Statistics(seq, newest[0] if newest else None, self._records)

    def _count(self, session: Session[Dialect]) -> None:
        begun = time.monotonic()
        counted = {}
        for name, layout in sorted(self._catalog.layouts.items()):
            try:
                rows = session.execute(f"SELECT count(*) FROM {layout.table.name}")
                counted[name] = rows.fetchall()[0][0]
            except Exception as error:
                # The table of a type that was just deleted does not count.
                if self._dialect.failure(error) is not Failure.STALE:
                    raise
        self._records = counted
        took = time.monotonic() - begun
        self._due = time.monotonic() + max(COUNT_SECONDS, COUNT_SHARE * took)
