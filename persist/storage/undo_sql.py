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


class Form(NamedTuple):
    """What a selection names; each has a statement of its own, for its index."""

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


def _selected(form: Form) -> SqlCondition:
    conditions = [_in_range(JOURNAL, of_request=form.of_request)]
    if form.of_collection:
        conditions.append(JOURNAL.c.collection == sa.bindparam("collection"))
    if form.of_workspace:
        conditions.append(JOURNAL.c.workspace == sa.bindparam("workspace"))
    return sa.and_(*conditions)


def _count_selected(form: Form) -> Statement:
    """Count the selected changes by collection and workspace, to one more than an undo
    takes."""
    limit = sa.literal_column(str(MAX_CHANGES + 1), sa.Integer())
    selected = sa.select(JOURNAL.c.collection, JOURNAL.c.workspace)
    some = selected.where(_selected(form)).limit(limit).subquery()
    key = (some.c.collection, some.c.workspace)
    return Statement(sa.select(*key, sa.func.count()).group_by(*key))


def _touched(form: Form) -> Statement:
    """Select each record with its first selected change, and whether all of them are
    migrations."""
    key = (JOURNAL.c.collection, JOURNAL.c.workspace, JOURNAL.c.id)
    others = sa.func.sum(sa.case((JOURNAL.c.operation == _MIGRATE, 0), else_=1))
    first = sa.func.min(JOURNAL.c.seq)
    selected = sa.select(*key, first, others)
    return Statement(selected.where(_selected(form)).group_by(*key))


FORMS = [
    Form(of_request, of_collection, of_workspace)
    for of_request in (False, True)
    for of_collection in (False, True)
    for of_workspace in (False, True)
]


COUNT_SELECTED = {form: _count_selected(form) for form in FORMS}


TOUCHED = {form: _touched(form) for form in FORMS}


def _neighbour(
    name: str,
    newest_first: bool,
    condition: Callable[[sa.FromClause], SqlCondition],
) -> SqlExpression:
    """Select the ``seq`` of another change of the record of a change."""
    other = JOURNAL.alias(name)
    order = other.c.revision.desc() if newest_first else other.c.revision
    return (
        sa.select(other.c.seq)
        .where(
            other.c.collection == JOURNAL.c.collection,
            other.c.workspace == JOURNAL.c.workspace,
            other.c.id == JOURNAL.c.id,
            condition(other),
        )
        .order_by(order)
        .limit(sa.literal_column("1"))
        .correlate(JOURNAL)
        .scalar_subquery()
    )


def _surroundings(*, of_request: bool) -> Callable[[Dialect], sa.ClauseElement]:
    def write(dialect: Dialect) -> sa.ClauseElement:
        """Select the changes of ``seqs``, each with three others of its record: the one
        before, the last one, and the first later one that is not selected."""

        def unselected(other: sa.FromClause) -> SqlCondition:
            # What the plan did to a record is nobody's change of it.
            return sa.and_(
                other.c.revision > JOURNAL.c.revision,
                sa.not_(_in_range(other, of_request=of_request)),
                other.c.operation != _MIGRATE,
            )

        return sa.select(
            JOURNAL.c.id,
            JOURNAL.c.revision,
            JOURNAL.c.operation,
            _neighbour(
                "earlier", True, lambda other: other.c.revision < JOURNAL.c.revision
            ),
            _neighbour(
                "newest", True, lambda other: other.c.revision >= JOURNAL.c.revision
            ),
            _neighbour("later", False, unselected),
        ).where(dialect.one_of(JOURNAL.c.seq, "seqs"))

    return write


SURROUNDINGS = {
    of_request: Statement(_surroundings(of_request=of_request))
    for of_request in (False, True)
}


@Statement
def changes_of_undo(dialect: Dialect) -> sa.ClauseElement:
    """Select what undo reads of the changes of ``seqs``."""
    return sa.select(
        JOURNAL.c.seq,
        JOURNAL.c.revision,
        JOURNAL.c.schema_version,
        JOURNAL.c.operation,
        JOURNAL.c.at,
        JOURNAL.c.actor,
        JOURNAL.c.created_at,
        sa.func.coalesce(JOURNAL.c.updated_at, JOURNAL.c.at),
        JOURNAL.c.data,
    ).where(dialect.one_of(JOURNAL.c.seq, "seqs"))


class ChangeRow(NamedTuple):
    """A row of ``changes_of_undo``."""

    seq: int
    revision: int
    schema_version: int
    operation: str
    at: str
    actor: str
    created_at: str
    updated_at: str
    data: str | None


class TouchedRecord(NamedTuple):
    """A record that selected changes touched; they sort as writers lock records."""

    collection: str
    workspace: str
    id: str
    first_seq: int
    others: int


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
