"""Arrival: the records of a restore come into their tables, inside its transaction.

Those to be overwritten go first, then all come in, so that unique values may have
changed places. No more is kept in memory than a piece.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from itertools import groupby
from typing import NamedTuple

from persist.domain.change import Change, Operation, Origin
from persist.domain.errors import RestoreConflict, UniqueViolation
from persist.domain.record import Record, json_equal
from persist.storage.dialect import Dialect
from persist.storage.dialect import Failure as DriverFailure
from persist.storage.layout import Layout
from persist.storage.savepoint import savepoint
from persist.storage.spool import Spool
from persist.storage.unit_of_work import RecordKey, UnitOfWork

FAULTS = 100
"""Failing records a refusal lists."""

Failure = dict[str, str]


class OnConflict(Enum):
    """What happens to a record that is here already."""

    FAIL = "fail"
    SKIP = "skip"
    OVERWRITE = "overwrite"


class Row(NamedTuple):
    """A record on its way in. ``changed``: a step made other data of it; ``replaced``:
    the revision of the record it replaces, 0 where there is none."""

    collection: str
    workspace: str
    id: str
    revision: int
    created_at: str
    updated_at: str
    text: str
    changed: bool
    replaced: int = 0


class RestoreWriter:
    """``make_room``, then ``bring_in``; then the numbers tell what happened."""

    def __init__(
        self,
        work: UnitOfWork,
        layouts: Mapping[str, Layout],
        on_conflict: OnConflict,
        dialect: Dialect,
    ) -> None:
        self.created = self.skipped = self.overwritten = 0
        self._work = work
        self._layouts = layouts
        self._on_conflict = on_conflict
        self._dialect = dialect
        self._failures: list[Failure] = []

    def make_room(self, pieces: Iterable[list[Row]], incoming: Spool) -> None:
        """Look what is here and take away what is to be overwritten; what comes in is
        put down. Raises ``RestoreConflict`` listing the records that are here
        already."""
        for piece in pieces:
            self._work.read(
                RecordKey(row.collection, row.workspace, row.id) for row in piece
            )
            incoming.put(
                [
                    tuple(kept)
                    for row in piece
                    if (kept := self._decided(row)) is not None
                ]
            )
            self._work.flush_records()
        if self._failures:
            raise RestoreConflict(
                f"{self._failures[0]['id']}: {self._failures[0]['detail']}; nothing was"
                " restored. Choose on_conflict skip or overwrite, or another"
                " workspace",
                failures=self._failures,
            )

    def _decided(self, row: Row) -> Row | None:
        """The row as it comes in, None where it does not."""
        records = self._work.records(row.collection)
        current = records.get(row.workspace, row.id)
        if current is None:
            self.created += 1
            return row
        if self._on_conflict is OnConflict.FAIL:
            self._fail(
                row,
                "",
                f"a record with this id is here, at revision {current.revision}",
            )
            return None
        if self._on_conflict is OnConflict.SKIP:
            self.skipped += 1
            return None
        self.overwritten += 1
        if json_equal(current.text, row.text):
            return None
        records.remove(current)
        return row._replace(replaced=current.revision)

    def bring_in(self, incoming: Spool, snapshot: str, origin: Origin) -> None:
        """Insert what comes in and tell the journal. Raises ``UniqueViolation`` listing
        the records whose unique values others hold."""
        for piece in incoming:
            for record in self._inserted([Row(*row) for row in piece]):
                self._work.journal.append(
                    Change(Operation.RESTORE, record, origin, snapshot=snapshot)
                )
            self._work.journal.flush()
            if len(self._failures) >= FAULTS:
                break
        self._check_unique()

    def _inserted(self, rows: list[Row]) -> Iterator[Record]:
        """Insert a piece; the records the journal is to tell of, as long as none
        fails."""
        for (collection, workspace), group in groupby(rows, key=lambda row: row[:2]):
            records = self._records(collection, workspace, list(group))
            self._insert(self._layouts[collection], records)
            if not self._failures:
                yield from records

    def _records(
        self, collection: str, workspace: str, rows: list[Row]
    ) -> list[Record]:
        """The records as they come in. One keeps its revision where this database never
        knew the id and no step changed it; else it gets the larger of the snapshot's
        and the last here, + 1."""
        version = self._layouts[collection].type.schema_version
        known = self._work.journal.last_revisions(
            collection, workspace, [row.id for row in rows]
        )
        records = []
        for row in rows:
            last = max(row.replaced, known.get(row.id, 0))
            revision = (
                max(row.revision, last) + 1 if last or row.changed else row.revision
            )
            times = row.created_at, row.updated_at
            records.append(
                Record(
                    row.id, collection, workspace, revision, version, *times, row.text
                )
            )
        return records

    def _insert(self, layout: Layout, records: list[Record]) -> None:
        """Insert a piece; where a unique value is held, find out by whom of it, one by
        one."""
        if self._stored(layout, records):
            return
        for record in records:
            if (
                len(self._failures) < FAULTS
                and (violated := self._violated(layout, [record])) is not None
            ):
                self._fail_unique(layout, record, violated)

    def _stored(self, layout: Layout, records: list[Record]) -> bool:
        return self._violated(layout, records) is None

    def _violated(self, layout: Layout, records: list[Record]) -> str | None:
        """Insert records, all or none; the constraint where one of them violates it."""
        cursor = self._work.cursor
        try:
            with savepoint(cursor, self._dialect):
                layout.writer.insert(cursor, [layout.row(record) for record in records])
        except Exception as error:
            if self._dialect.failure(error) is not DriverFailure.UNIQUE:
                raise
            return self._dialect.violated_constraint(error)
        return None

    def _fail_unique(self, layout: Layout, record: Record, violated: str) -> None:
        paths = layout.unique.get(violated)
        if paths is None:
            self._fail(
                record,
                "",
                "the snapshot holds this id twice for the workspace it is restored"
                " into",
            )
            return
        place = "/" + paths[0].replace(".", "/")
        self._fail(
            record, place, f"another record holds this value of {' and '.join(paths)}"
        )

    def _fail(self, record: Row | Record, place: str, detail: str) -> None:
        if len(self._failures) < FAULTS:
            named = {"collection": record.collection, "id": record.id}
            self._failures.append({**named, "pointer": place, "detail": detail})

    def _check_unique(self) -> None:
        if not self._failures:
            return
        first = self._failures[0]
        detail = f"{first['id']}: {first['detail']}; nothing was restored. "
        if any(not failure["pointer"] for failure in self._failures):
            raise RestoreConflict(
                detail + "Restore it where it was taken, or one workspace at a time",
                failures=self._failures,
            )
        raise UniqueViolation(
            detail
            + "Change or delete the records that hold these values, or restore into"
            " another workspace",
            failures=self._failures,
        )
