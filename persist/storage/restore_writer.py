"""Writing a restore: records of a snapshot or an export go into their tables.

Records to be overwritten are removed first, then all are inserted, so that unique
values may have changed places. One batch at a time is in memory.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from itertools import groupby
from typing import Any, NamedTuple

from persist.domain.change import Origin
from persist.domain.collection import Collection
from persist.domain.errors import (
    PersistError,
    RecordExists,
    RestoreConflict,
    UniqueViolation,
    Violation,
)
from persist.domain.record import Record, json_equal
from persist.storage.dialect import Failure
from persist.storage.layout import Layout
from persist.storage.record_migration import RecordFailures, batched, bring_forward
from persist.storage.spool import Spool
from persist.storage.unit_of_work import RecordKey, UnitOfWork

LISTED_FAULTS = 100
"""Faults that a refusal lists."""


class OnConflict(Enum):
    """What happens to a record whose id exists already."""

    FAIL = "fail"
    SKIP = "skip"
    OVERWRITE = "overwrite"


class Row(NamedTuple):
    """A record on its way into the database.

    ``changed`` tells whether a migration step made other data of it. ``replaced`` is
    the revision of the record that it overwrites, 0 if there is none.
    """

    collection: str
    workspace: str
    id: str
    revision: int
    created_at: str
    updated_at: str
    text: str
    changed: bool
    replaced: int = 0


def spool_forward(
    records: Iterable[Mapping[str, Any]],
    convert: Callable[[Mapping[str, Any]], Row],
    name: Callable[[Mapping[str, Any]], tuple[str, str]],
    spool: Spool,
) -> RecordFailures:
    """Put each record with its new data on the disk, and return those that fail.

    ``name`` returns the collection and id of a record.
    """
    failures = RecordFailures(LISTED_FAULTS)
    converted = bring_forward(records, convert, name, failures)
    for batch in batched(converted, _characters_of):
        rows = [tuple(row) for _, row in batch]
        spool.put(rows)
    return failures


def _characters_of(item: tuple[Any, Row]) -> int:
    """Return the characters of the data that a record was converted to."""
    _, row = item
    return len(row.text)


class RestoreWriter:
    """``remove_overwritten``, then ``insert``; then the counts say what happened."""

    def __init__(
        self,
        work: UnitOfWork,
        layouts: Mapping[str, Layout],
        on_conflict: OnConflict,
        snapshot: str | None,
        origin: Origin,
    ) -> None:
        self.created = self.skipped = self.overwritten = 0
        self._work = work
        self._layouts = layouts
        self._on_conflict = on_conflict
        self._snapshot = snapshot
        self._origin = origin
        self._failures = RecordFailures(LISTED_FAULTS)

    def remove_overwritten(self, batches: Iterable[list[Row]], incoming: Spool) -> None:
        """Remove the records to be overwritten and put aside what will be inserted.

        Raises ``RestoreConflict`` with the records that exist already.
        """
        for batch in batches:
            self._work.lock(
                RecordKey(row.collection, row.workspace, row.id) for row in batch
            )
            kept = [decided for row in batch if (decided := self._decide(row))]
            incoming.put([tuple(row) for row in kept])
            self._work.release_records()
        if self._failures.failed:
            first = self._failures.listed[0]
            raise RestoreConflict(
                f"{first.id}: {first.detail}; nothing was restored. Choose on_conflict"
                " skip or overwrite, or another workspace",
                failures=self._failures.as_json(),
            )

    def _decide(self, row: Row) -> Row | None:
        """Return the row as it will be inserted, None if it will not."""
        current = self._work.records(row.collection).get(row.workspace, row.id)
        if current is None:
            self.created += 1
            return row
        if self._on_conflict is OnConflict.FAIL:
            exists = RecordExists(
                f"a record with this id exists, at revision {current.revision}"
            )
            self._failures.add(row.collection, row.id, exists)
            return None
        if self._on_conflict is OnConflict.SKIP:
            self.skipped += 1
            return None
        self.overwritten += 1
        if json_equal(current.text, row.text):
            return None
        self._collection(row.collection, row.workspace).make_room(current)
        return row._replace(replaced=current.revision)

    def insert(self, incoming: Spool) -> None:
        """Insert the records with their changes.

        Raises ``UniqueViolation`` with the records whose unique values others have, and
        ``RestoreConflict`` if one id comes twice.
        """
        for batch in incoming:
            rows = [Row(*row) for row in batch]
            for (collection, workspace), group in groupby(
                rows, key=lambda row: row[:2]
            ):
                self._insert(collection, workspace, list(group))
            # The transaction is exclusive: nobody waits for the journal's counter.
            self._work.journal.flush()
            if self._failures.full:
                break
        self._check_inserted()

    def _insert(self, collection: str, workspace: str, rows: list[Row]) -> None:
        """Insert the rows at once; if one is refused, find each that is."""
        last = self._work.journal.last_revisions(
            collection, workspace, [row.id for row in rows]
        )
        if self._restored(rows, last) is None:
            return
        for row in rows:
            if self._failures.full:
                break
            error = self._restored([row], last)
            if error is not None:
                self._failures.add(row.collection, row.id, error)

    def _restored(
        self, rows: Sequence[Row], last: Mapping[str, int]
    ) -> PersistError | None:
        """Restore the rows, all or none, and return what refused one of them."""
        first = rows[0]
        records = self._work.records(first.collection)
        collection = self._collection(first.collection, first.workspace)
        version = collection.type.schema_version
        try:
            with self._work.savepoint():
                # All that existed was removed before.
                records.load(first.workspace, [row.id for row in rows], ())
                for row in rows:
                    collection.restore(
                        _record(row, version),
                        self._snapshot,
                        last_revision=max(row.replaced, last.get(row.id, 0)),
                        changed=row.changed,
                    )
            records.forget()
        except UniqueViolation as error:
            pointer = error.errors[0].pointer
            return UniqueViolation(
                error.detail, errors=[Violation(pointer, error.detail)]
            )
        except Exception as error:
            # The key of the table is unique too, and no fault of a member.
            by_database = self._work.session.dialect.failure(error) is Failure.UNIQUE
            if not by_database and not isinstance(error, RecordExists):
                raise
            return RecordExists(
                "this id comes twice for the workspace it is restored into"
            )
        return None

    def _collection(self, name: str, workspace: str) -> Collection:
        return self._work.collection(self._layouts[name].type, workspace, self._origin)

    def _check_inserted(self) -> None:
        if not self._failures.failed:
            return
        first = self._failures.listed[0]
        detail = f"{first.id}: {first.detail}; nothing was restored. "
        listed = self._failures.as_json()
        if any(not failure.pointer for failure in self._failures.listed):
            raise RestoreConflict(
                detail + "Restore it where it was taken, or one workspace at a time",
                failures=listed,
            )
        raise UniqueViolation(
            detail
            + "Change or delete the records that have these values, or restore into"
            " another workspace",
            failures=listed,
        )


def _record(row: Row, schema_version: int) -> Record:
    return Record(
        row.id,
        row.collection,
        row.workspace,
        row.revision,
        schema_version,
        row.created_at,
        row.updated_at,
        row.text,
    )
