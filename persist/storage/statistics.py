"""Figures: what a database holds, told at low cost to whoever watches it."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from persist.storage.catalog import Catalog
from persist.storage.dialect import Dialect, Failure
from persist.storage.sql import Connection
from persist.storage.tables import JOURNAL_HEAD, SNAPSHOTS

PAUSE = 60.0
"""Seconds between two counts of all records, at the least."""

SHARE = 100
"""Counting takes one part in so many of the time: a count that takes long is made less
often."""


@dataclass(frozen=True)
class Statistics:
    """``records`` by collection is as of some time ago; ``snapshot_at`` is when the
    newest was taken."""

    seq: int
    snapshot_at: str | None
    records: Mapping[str, int]


class Watch:
    """Looks at a database; call it in a thread, one at a time."""

    def __init__(self, dialect: Dialect, catalog: Catalog) -> None:
        self._dialect = dialect
        self._catalog = catalog
        self._seq = dialect.compile(sa.select(JOURNAL_HEAD.c.seq))
        newest = (
            sa.select(SNAPSHOTS.c.head)
            .order_by(SNAPSHOTS.c.id.desc())
            .limit(sa.literal_column("1"))
        )
        self._newest = dialect.compile(newest)
        self._records: Mapping[str, int] = {}
        self._due = 0.0

    def figures(self) -> Statistics:
        """The figures of now. Raises what the driver raises."""
        connection = self._dialect.connect()
        try:
            if time.monotonic() >= self._due:
                self._count(connection)
            seq = connection.execute(self._seq.text).fetchall()[0][0]
            newest = connection.execute(
                self._newest.text, self._newest.arguments({})
            ).fetchone()
        finally:
            connection.close()
        taken = json.loads(newest[0])["manifest"]["created_at"] if newest else None
        return Statistics(seq, taken, self._records)

    def _count(self, connection: Connection) -> None:
        began = time.monotonic()
        counted = {}
        for name, layout in sorted(self._catalog.layouts.items()):
            try:
                counted[name] = connection.execute(
                    f"SELECT count(*) FROM {layout.table.name}"
                ).fetchall()[0][0]
            except Exception as error:
                if (
                    self._dialect.failure(error) is not Failure.STALE
                ):  # it was deleted just now
                    raise
        self._records = counted
        self._due = time.monotonic() + max(PAUSE, SHARE * (time.monotonic() - began))
