"""The past: the records of a collection as they were right after a change.

They are read from the journal, which has every state of every record. If the data of a
change was erased but the record has not changed since, its data is read from the
record.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from persist.domain.change import Operation
from persist.domain.field import DELETION, STORED_ENVELOPE, Field, FieldType, Path
from persist.domain.query import Query
from persist.storage.dialect.columns import DOCUMENT
from persist.storage.queries.record_source import RecordSource
from persist.storage.sql import (
    SqlCondition,
    SqlExpression,
    StatementCache,
    big_integer,
    constant,
)
from persist.storage.tables import JOURNAL

AS_OF = big_integer("as_of")

CHANGE = JOURNAL.alias("change")


class PastSource(RecordSource):
    """A query of past records, whose data is a document of any schema version."""

    def conditions(self) -> list[SqlCondition]:
        """Leave out what was erased."""
        return [*super().conditions(), self.table.c.data.is_not(None)]

    def open_member(
        self,
        document: SqlExpression,
        path: Path,
        kind: FieldType,
    ) -> SqlExpression:
        """Return a member without a test of its type: the guard of its key has it."""
        return self.dialect.member(document, path, kind)

    def guard(
        self,
        field: Field,
        compared_as: FieldType,
    ) -> SqlCondition | None:
        """Return the test that a member has a type."""
        test = super().guard(field, compared_as)
        # A past schema may have had a number where an integer is now.
        if test is None or field.type is not FieldType.INTEGER:
            return test
        document, path = self._document(field)
        return sa.and_(test, self.dialect.is_integer(document, path))

    def fits(self, field: Field) -> SqlCondition | None:
        """Return the test that a member is null or of its declared type."""
        guard = self.guard(field, field.type)
        if guard is None:
            return None
        is_typed = sa.func.coalesce(guard, sa.false())
        return sa.or_(self.is_null(field), is_typed).self_group()


class ErasedSource(PastSource):
    """The past records whose data was erased, which have nothing but an envelope."""

    def conditions(self) -> list[SqlCondition]:
        """Leave out what is known, because the record is still at that revision."""
        in_workspace, _ = super().conditions()
        return [in_workspace, self.table.c.data.is_(None)]


@dataclass(frozen=True)
class PastRecords:
    """The ways to read the records of a moment.

    ``by_id`` finds them in the order of ids, so that a page reads no more than it
    shows. ``at_once`` finds all of them first, which is quicker for any other order.
    ``erased`` has those whose data was erased, ``trash`` the deleted records that have
    not come back.
    """

    by_id: PastSource
    at_once: PastSource
    erased: "ErasedSource"
    trash: PastSource

    def source(self, query: Query) -> PastSource:
        """Return the quicker way for a page of a query."""
        return self.by_id if query.sorts_by_id else self.at_once


def past_records(present: RecordSource) -> PastRecords:
    """Return the past of the records of a table."""
    name = constant(present.type.name)
    change = CHANGE.c
    is_deletion = change.operation == constant(Operation.DELETE.value)
    is_last = _is_last()
    # Only the last change of a record is looked at; the index has all of the others.
    exists = sa.case((is_last, sa.not_(is_deletion)), else_=sa.false())
    by_id = sa.select().where(
        change.collection == name,
        change.seq <= AS_OF,
        exists,
    )
    last = _last_seqs(name).subquery("last")
    # Joined, because PostgreSQL expects few rows of an IN and looks each of them up.
    joined = CHANGE.join(last, change.seq == last.c.seq)
    at_once = sa.select().select_from(joined).where(sa.not_(is_deletion))
    # SQLite would otherwise choose the index of the collection.
    erased = sa.select().where(
        change.collection.concat(constant("")) == name,
        change.seq <= AS_OF,
        change.data.is_(None),
        sa.not_(is_deletion),
        is_last,
    )
    return PastRecords(
        by_id=PastSource(**_source(present, by_id)),
        at_once=PastSource(**_source(present, at_once)),
        erased=ErasedSource(**_source(present, erased)),
        trash=_trash(present),
    )


def _source(
    present: RecordSource,
    changes: sa.Select[Any],
) -> dict[str, Any]:
    """Return the source of the records that changes made."""
    change = CHANGE.c
    updated_at = sa.func.coalesce(change.updated_at, change.at)
    # The change of a record's last revision may have been erased while the record
    # itself is still there.
    data = sa.func.coalesce(change.data, _present_data(present))
    records = changes.with_only_columns(
        change.workspace,
        change.id,
        change.revision,
        change.schema_version,
        change.created_at,
        updated_at.label("updated_at"),
        sa.type_coerce(data, DOCUMENT).label("data"),
    )
    return _members(present, records)


def _members(
    present: RecordSource,
    records: sa.Select[Any],
) -> dict[str, Any]:
    """Return the members of the source of records that a query of the journal gives."""
    table = records.subquery("past")
    envelope = [table.c[name] for name in STORED_ENVELOPE]
    text = sa.cast(table.c.data, sa.Text())
    return {
        "type": present.type.past,
        "table": table,
        # Its members are in the document, those of a typed collection too.
        "columns": {},
        "selected": (*envelope, text.label("data_text")),
        "dialect": present.dialect,
        "statements": StatementCache(present.dialect),
    }


def _trash(present: RecordSource) -> PastSource:
    """Return the source of deleted records, each as it was before its deletion."""
    change = CHANGE.c
    table = JOURNAL.alias("before")
    before = table.c
    updated_at = sa.func.coalesce(before.updated_at, before.at)
    deleted_by = sa.func.nullif(change.actor, constant(""))
    records = sa.select(
        before.workspace,
        before.id,
        before.revision,
        before.schema_version,
        before.created_at,
        updated_at.label("updated_at"),
        before.data,
        change.at.label("deleted_at"),
        deleted_by.label("deleted_by"),
    ).where(
        change.collection == constant(present.type.name),
        change.operation == constant(Operation.DELETE.value),
        _neighbour("later", following=True).is_(None),
        before.collection == change.collection,
        before.workspace == change.workspace,
        before.id == change.id,
        before.revision == _neighbour("earlier", following=False),
    )
    members = _members(present, records)
    deleted = [members["table"].c[name] for name in DELETION]
    members["selected"] = (*members["selected"], *deleted)
    return PastSource(**members | {"type": present.type.trash})


def _neighbour(name: str, *, following: bool) -> sa.ScalarSelect[int]:
    """Return the revision of the change of a record before or after a change."""
    change = CHANGE.c
    table = JOURNAL.alias(name)
    other = table.c
    nearest = sa.func.min if following else sa.func.max
    is_beyond = other.revision < change.revision
    if following:
        is_beyond = other.revision > change.revision
    neighbour = sa.select(nearest(other.revision)).where(
        other.collection == change.collection,
        other.workspace == change.workspace,
        other.id == change.id,
        is_beyond,
    )
    return neighbour.correlate(CHANGE).scalar_subquery()


def _present_data(present: RecordSource) -> SqlExpression:
    """Return the data of the record if it is still at a change."""
    table = present.table
    change = CHANGE.c
    *_, data = present.selected
    stored = sa.select(data).where(
        table.c.workspace == change.workspace,
        table.c.id == change.id,
        table.c.revision == change.revision,
    )
    text = stored.correlate(CHANGE).scalar_subquery()
    return sa.cast(text, DOCUMENT)


def _is_last() -> SqlCondition:
    """Return whether the next change of the record, if there is one, is later."""
    change = CHANGE.c
    table = JOURNAL.alias("later")
    later = table.c
    following = (
        sa.select(later.seq)
        .where(
            later.collection == change.collection,
            later.workspace == change.workspace,
            later.id == change.id,
            later.revision > change.revision,
        )
        .order_by(later.revision)
        .limit(sa.literal_column("1"))
        .correlate(CHANGE)
        .scalar_subquery()
    )
    is_later = following > AS_OF
    return sa.func.coalesce(is_later, sa.true())


def _last_seqs(collection: SqlExpression) -> sa.Select[Any]:
    """Return the last change of every record, which is found in one pass."""
    table = JOURNAL.alias("until")
    until = table.c
    return (
        sa.select(sa.func.max(until.seq).label("seq"))
        .where(
            until.collection == collection,
            until.workspace == sa.bindparam("workspace"),
            until.seq <= AS_OF,
        )
        .group_by(until.id)
    )
