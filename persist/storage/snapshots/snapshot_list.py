"""Snapshot list: which snapshots a caller sees, read without their manifests."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from persist.domain.access import EVERY, Access, Level, Scope
from persist.domain.snapshot import manifest_text
from persist.storage.dialect import Dialect
from persist.storage.queries.result_size import PAGE_CHARACTERS
from persist.storage.snapshots.snapshot_chunks import HEAD
from persist.storage.sql import Session, SqlCondition, Statement
from persist.storage.tables import SNAPSHOT_CONTENTS, SNAPSHOTS

_listed = SNAPSHOTS.c
_part = SNAPSHOT_CONTENTS.c
_OF_SNAPSHOT = _part.store == _listed.store

CONTENTS = Statement(
    sa.select(_part.collection, _part.workspace)
    .join(SNAPSHOTS, _OF_SNAPSHOT)
    .where(_listed.id == sa.bindparam("snapshot_id"))
)
"""Select what a snapshot contains."""

AUTOMATIC = Statement(
    sa.select(_listed.id)
    .where(
        _listed.automatic == 1,
        sa.exists().where(_OF_SNAPSHOT),
        ~sa.exists().where(
            _OF_SNAPSHOT,
            _part.collection != sa.bindparam("collection"),
        ),
    )
    .order_by(_listed.seq.desc(), _listed.id.desc())
)
"""Select the automatic snapshots of a collection, the newest first.

The journal's ``seq`` orders them: a clock may go back, and ids go by the clock.
"""


@dataclass(frozen=True, slots=True)
class SnapshotQuery:
    """Which snapshots are wanted: those with a ``collection``, and those with anything
    of a ``workspace``, if they are named. The caller administers all of each."""

    access: Access
    collection: str | None = None
    workspace: str | None = None
    before: str | None = None
    limit: int = 50


def snapshot_page(
    session: Session[Dialect],
    query: SnapshotQuery,
) -> tuple[list[str], str | None]:
    """Return manifests as JSON texts, the newest first, and the id of the last one
    if more follow.

    They have as many characters as a page, but for a single one.
    """
    statement = _ids(query)
    compiled = session.dialect.compile(statement)
    rows = compiled.run(session.cursor, {}).fetchall()
    texts: list[str] = []
    room = PAGE_CHARACTERS
    last = None
    for (snapshot_id,) in rows[: query.limit]:
        head, *_ = session.rows(HEAD, snapshot_id=snapshot_id)[0]
        room -= len(head)
        if texts and room < 0:
            return texts, last
        text = manifest_text(head)
        texts.append(text)
        last = snapshot_id
    more = len(rows) > query.limit
    return texts, last if more else None


def _ids(query: SnapshotQuery) -> sa.Select[Any]:
    rows = str(query.limit + 1)
    return (
        sa.select(_listed.id)
        .where(*_conditions(query))
        .order_by(_listed.id.desc())
        .limit(sa.literal_column(rows))
    )


def _conditions(query: SnapshotQuery) -> Iterator[SqlCondition]:
    if query.before is not None:
        yield _listed.id < query.before
    wanted = []
    if query.workspace is not None:
        wanted.append(_part.workspace == query.workspace)
    if query.collection is not None:
        wanted.append(_part.collection == query.collection)
    if wanted:
        yield sa.exists().where(_OF_SNAPSHOT, *wanted)
    if not query.access.allows(Level.ADMIN):
        allowed = _within(query.access.scopes)
        yield sa.exists().where(_OF_SNAPSHOT)
        yield ~sa.exists().where(
            _OF_SNAPSHOT,
            ~allowed,
        )


def _within(scopes: Sequence[Scope]) -> SqlCondition:
    """Return the test that a collection is one that a caller administers."""
    tests: list[SqlCondition] = []
    for scope in scopes:
        if scope.level < Level.ADMIN:
            continue
        test: SqlCondition = sa.true()
        if scope.collection != EVERY:
            test = _part.collection == scope.collection
        if scope.workspace is not None:
            test = sa.and_(test, _part.workspace == scope.workspace)
        tests.append(test)
    return sa.or_(sa.false(), *tests)
