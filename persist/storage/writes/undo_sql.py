"""SQL of an undo: the changes that are selected, the records that they touched, and the
changes around them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import sqlalchemy as sa

from persist.domain.change import Operation
from persist.domain.errors import (
    ChangesGone,
    InvalidQuery,
)
from persist.domain.undo import (
    MAX_CHANGES,
    SelectedChanges,
)
from persist.storage.dialect import Dialect
from persist.storage.sql import (
    SqlCondition,
    SqlExpression,
    Statement,
    big_integer,
    constant,
)
from persist.storage.tables import JOURNAL

_MIGRATE = constant(Operation.MIGRATE.value)
_CANDIDATE = JOURNAL.alias("candidate")


class SelectionForm(NamedTuple):
    """The filters that a selection has. Each combination has its own statement, so that
    an index serves it."""

    of_request: bool
    of_collection: bool
    of_workspace: bool


def _in_range(journal: sa.FromClause, *, of_request: bool) -> SqlCondition:
    """Compare changes with the range of a selection, and its request."""
    conditions = [
        journal.c.seq >= big_integer("low"),
        journal.c.seq <= big_integer("high"),
    ]
    if of_request:
        conditions.append(journal.c.request_id == sa.bindparam("request_id"))
    return sa.and_(*conditions)


def _selected(form: SelectionForm) -> SqlCondition:
    conditions = [_in_range(JOURNAL, of_request=form.of_request)]
    if form.of_collection:
        conditions.append(JOURNAL.c.collection == sa.bindparam("collection"))
    if form.of_workspace:
        conditions.append(JOURNAL.c.workspace == sa.bindparam("workspace"))
    return sa.and_(*conditions)


def _neighbour(
    change: sa.FromClause,
    column: SqlExpression,
    *conditions: SqlCondition,
    newest_first: bool,
) -> SqlExpression:
    """Select a column of the first change of the same record that meets the
    conditions.

    Not by a join: for that PostgreSQL would read all of a small journal.
    """
    candidate = _CANDIDATE.c
    revision = candidate.revision
    return (
        sa.select(column)
        .where(
            candidate.collection == change.c.collection,
            candidate.workspace == change.c.workspace,
            candidate.id == change.c.id,
            *conditions,
        )
        .order_by(revision.desc() if newest_first else revision)
        .limit(sa.literal_column("1"))
        .correlate(change)
        .scalar_subquery()
    )


def _touched(form: SelectionForm) -> Statement:
    """Select each record that selected changes touched, as ``TouchedRecord``.

    One change more than an undo takes is looked at.
    """
    changes = sa.select(
        JOURNAL.c.collection,
        JOURNAL.c.workspace,
        JOURNAL.c.id,
        JOURNAL.c.seq,
        JOURNAL.c.revision,
        JOURNAL.c.operation,
    )
    limit = sa.literal_column(str(MAX_CHANGES + 1), sa.Integer())
    change = changes.where(_selected(form)).limit(limit).subquery().c
    key = (change.collection, change.workspace, change.id)
    is_migration = change.operation == _MIGRATE
    touched = (
        sa.select(
            *key,
            sa.func.min(change.seq).label("first_seq"),
            sa.func.min(change.revision).label("revision"),
            sa.func.max(change.revision).label("last_revision"),
            sa.func.count().label("changes"),
            sa.func.sum(sa.case((is_migration, 0), else_=1)).label("others"),
        )
        .group_by(*key)
        .subquery()
    )
    is_before = _CANDIDATE.c.revision < touched.c.revision
    before = _neighbour(touched, _CANDIDATE.c.seq, is_before, newest_first=True)
    return Statement(sa.select(*touched.c, before))


FORMS = [
    SelectionForm(of_request, of_collection, of_workspace)
    for of_request in (False, True)
    for of_collection in (False, True)
    for of_workspace in (False, True)
]


TOUCHED = {form: _touched(form) for form in FORMS}


@Statement
def changes_before(dialect: Dialect) -> sa.ClauseElement:
    """Select the changes of ``seqs`` as ``ChangeBefore``."""
    return sa.select(
        JOURNAL.c.seq,
        JOURNAL.c.revision,
        JOURNAL.c.schema_version,
        JOURNAL.c.operation,
        JOURNAL.c.created_at,
        sa.func.coalesce(JOURNAL.c.updated_at, JOURNAL.c.at),
        JOURNAL.c.data,
    ).where(dialect.one_of(JOURNAL.c.seq, "seqs"))


class ChangeBefore(NamedTuple):
    """The change of a record before the first selected one."""

    seq: int
    revision: int
    schema_version: int
    operation: str
    created_at: str
    updated_at: str
    data: str | None


@Statement
def operations(dialect: Dialect) -> sa.ClauseElement:
    """Select what the changes of ``seqs`` did."""
    return sa.select(JOURNAL.c.seq, JOURNAL.c.operation).where(
        dialect.one_of(JOURNAL.c.seq, "seqs")
    )


def _changes_after(*, of_request: bool) -> Callable[[Dialect], sa.ClauseElement]:
    def write(dialect: Dialect) -> sa.ClauseElement:
        candidate = _CANDIDATE.c
        is_later = sa.and_(
            candidate.revision > JOURNAL.c.revision,
            sa.not_(_in_range(_CANDIDATE, of_request=of_request)),
            # What the plan did to a record is nobody's change of it.
            candidate.operation != _MIGRATE,
        )
        return sa.select(
            JOURNAL.c.seq,
            _neighbour(JOURNAL, candidate.revision, newest_first=True),
            _neighbour(JOURNAL, candidate.created_at, newest_first=True),
            _neighbour(JOURNAL, candidate.at, is_later, newest_first=False),
            _neighbour(JOURNAL, candidate.actor, is_later, newest_first=False),
        ).where(dialect.one_of(JOURNAL.c.seq, "seqs"))

    return write


CHANGES_AFTER = {
    of_request: Statement(_changes_after(of_request=of_request))
    for of_request in (False, True)
}
"""Select the changes of ``seqs`` with the last ones of their records, and the first
later ones that are not selected, as ``ChangesAfter``."""


class ChangesAfter(NamedTuple):
    """A selected change, the last revision of its record, and the first later change
    that is not selected; ``later_at`` is None if there is none."""

    seq: int
    revision: int
    created_at: str
    later_at: str | None
    later_actor: str | None


class TouchedRecord(NamedTuple):
    """A record that selected changes touched, and how many these are.

    ``others`` are those that are not migrations. ``before_seq`` is the change of the
    record before the first selected one, None if the journal has none. Touched records
    sort as writers lock records.
    """

    collection: str
    workspace: str
    id: str
    first_seq: int
    first_revision: int
    last_revision: int
    changes: int
    others: int
    before_seq: int | None

    @property
    def is_continuous(self) -> bool:
        """Whether the selected changes of the record have consecutive revisions."""
        return self.changes == self.last_revision - self.first_revision + 1


def values_of(selected: SelectedChanges, first: int, head: int) -> dict[str, object]:
    """Return the values of a selection. Raises ``ChangesGone``, ``InvalidQuery``."""
    values: dict[str, Any] = {"low": first, "high": head}
    if selected.request_id is None:
        if selected.from_seq < first:
            raise ChangesGone(
                f"the journal was trimmed and begins at seq {first}", first_seq=first
            )
        if selected.to_seq > head:
            raise InvalidQuery(
                f"to_seq={selected.to_seq} is beyond the last change, whose seq is"
                f" {head}",
                last_seq=head,
            )
        values |= {"low": selected.from_seq, "high": selected.to_seq}
    named = {
        "request_id": selected.request_id,
        "collection": selected.collection,
        "workspace": selected.workspace,
    }
    return values | {name: value for name, value in named.items() if value is not None}
