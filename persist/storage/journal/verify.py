"""Verification: recompute every leaf and seal of the journal and compare them."""

import json
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

import sqlalchemy as sa

from persist.domain.seal import Seal, leaf_hash, merkle_root, root_from_path, seal_hash
from persist.storage.dialect import Dialect
from persist.storage.journal.changes import JOURNAL_ENDS
from persist.storage.journal.rows import HASH, LEAF_COLUMNS, leaf_of
from persist.storage.journal.seals import (
    CHANGES_TO_SEAL,
    LAST_SEAL,
    SEALS_AFTER,
    seal_of,
)
from persist.storage.long_operations.progress import OnProgress
from persist.storage.sql import Row, Session, Statement, big_integer
from persist.storage.tables import JOURNAL, JOURNAL_BASES

SEALS_PER_READ = 1_000
"""Seals that are read at once."""

CHANGES_PER_READ = 500
"""Changes that are in memory at a time."""

BASES_PER_READ = 1_000
"""Bases that are in memory at a time."""

BASES = Statement(
    sa.select(
        JOURNAL_BASES.c.seq,
        JOURNAL_BASES.c.seal,
        JOURNAL_BASES.c.path,
        *LEAF_COLUMNS,
    )
    .join_from(
        JOURNAL_BASES,
        JOURNAL,
        JOURNAL.c.seq == JOURNAL_BASES.c.seq,
        isouter=True,
    )
    .where(JOURNAL_BASES.c.seq > big_integer("after"))
    .order_by(JOURNAL_BASES.c.seq)
    .limit(big_integer("limit"))
)
"""Select the next bases with their seals and inclusion paths."""

UNSEALED = Statement(
    sa.select(sa.func.min(JOURNAL.c.seq)).where(
        sa.or_(
            JOURNAL.c.seq > big_integer("head"),
            sa.and_(
                JOURNAL.c.seq < big_integer("first"),
                JOURNAL.c.seq.not_in(sa.select(JOURNAL_BASES.c.seq)),
            ),
        )
    )
)
"""Select the first change that is neither in the journal nor a base."""


class JournalAltered(Exception):
    """The journal is not as it was sealed; the message names the first fault."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified.

    ``changes`` is how many, ``first_seq`` where the journal begins, ``has_noted``
    whether the noted seal is in the chain.
    """

    changes: int
    first_seq: int
    last_seal: Seal | None
    has_noted: bool


def verify_journal(
    dialect: Dialect, noted: str | None, on_progress: OnProgress
) -> Verified:
    """Recompute the journal from its first seal to its end.

    ``noted`` is the hash of a seal that must be in the chain, None for none. Raises
    ``JournalAltered``.
    """
    try:
        return _verify(dialect, noted, on_progress, any_text=False)
    except Exception as error:
        if not dialect.is_driver_error(error):
            raise
    # A text may no longer be UTF-8. Reading all texts in this way is slower.
    return _verify(dialect, noted, on_progress, any_text=True)


def _verify(
    dialect: Dialect, noted: str | None, on_progress: OnProgress, *, any_text: bool
) -> Verified:
    with closing(dialect.connect()) as connection:
        if any_text:
            dialect.read_any_text(connection)
        session = Session(dialect, connection.cursor())
        session.execute(dialect.begin_read)
        verified = _verify_seals(session, noted, on_progress)
        _check_counter(session, verified.last_seal)
        _check_bases(session, verified.first_seq)
        _, head = session.rows(JOURNAL_ENDS)[0]
        unsealed = session.value(UNSEALED, first=verified.first_seq, head=head)
        if unsealed is not None:
            raise JournalAltered(f"change {unsealed} has no seal")
        session.execute("ROLLBACK")
    return verified


def _verify_seals(
    session: Session[Dialect], noted: str | None, on_progress: OnProgress
) -> Verified:
    """Recompute the seals and their changes. Raises ``JournalAltered``."""
    first, head = session.rows(JOURNAL_ENDS)[0]
    changes = 0
    last: Seal | None = None
    has_noted = False
    for seals in _seals(session):
        start = max(first, seals[0].first_seq)
        # Ended before the next seals are read: a connection runs one query at a time.
        with closing(_changes(session, start, seals[-1].seq)) as stored:
            for seal in seals:
                _check_link(seal, last, first)
                if seal.first_seq >= first:
                    changes += _check_changes(stored, seal)
                    on_progress(
                        "verifying the journal", seal.seq - first + 1, head - first + 1
                    )
                has_noted = has_noted or seal.hash == noted
                last = seal
    _check_end(last, first, head)
    return Verified(changes, first, last, has_noted)


def _seals(session: Session[Dialect]) -> Iterator[list[Seal]]:
    """Yield lists of seals, in their order."""
    after = -1
    while rows := session.rows(SEALS_AFTER, after=after, limit=SEALS_PER_READ):
        seals = [seal_of(row) for row in rows]
        yield seals
        after = seals[-1].seq


def _changes(
    session: Session[Dialect], first: int, last: int
) -> Generator[Row, None, None]:
    """Yield the changes of a range as ``LEAF_COLUMNS``."""
    statement = CHANGES_TO_SEAL.on(session.dialect)
    with closing(session.dialect.stream_cursor(session.cursor.connection)) as cursor:
        statement.run(cursor, {"first": first, "last": last})
        while rows := cursor.fetchmany(CHANGES_PER_READ):
            yield from rows


def _check_link(seal: Seal, last: Seal | None, first: int) -> None:
    """Raise ``JournalAltered`` unless a seal follows the one before it."""
    if last is None:
        if _is_kept(seal, first):
            return
    elif seal.first_seq != last.seq + 1:
        raise JournalAltered(f"the seal after {last.seq} is missing")
    previous = "" if last is None else last.hash
    if seal.hash != _expected_hash(seal, previous):
        raise JournalAltered(f"the seal that ends with change {seal.seq} was altered")
    if last is not None and seal.at < last.at:
        raise JournalAltered(
            f"the seal that ends with change {seal.seq} goes back in time"
        )


def _is_kept(seal: Seal, first: int) -> bool:
    """Return whether the first seal is the one that a trim kept.

    Raises ``JournalAltered`` if the journal cannot begin with it.
    """
    if seal.first_seq > first:
        raise JournalAltered(
            f"changes from {first} to {seal.first_seq - 1} have no seal"
        )
    is_kept = seal.first_seq < first
    if is_kept and seal.seq != first - 1:
        raise JournalAltered(f"changes before {first} are missing")
    return is_kept


def _expected_hash(seal: Seal, previous: str) -> str | None:
    """Return the hash of a seal; None if its text is no longer UTF-8."""
    try:
        return seal_hash(previous, seal.first_seq, seal.seq, seal.at, seal.root)
    except ValueError:
        return None


def _check_changes(changes: Iterator[Row], seal: Seal) -> int:
    """Raise ``JournalAltered`` unless the next changes are those that were sealed."""
    leaves = []
    for seq in range(seal.first_seq, seal.seq + 1):
        row = next(changes, None)
        if row is None or row[0] != seq:
            raise JournalAltered(f"change {seq} is missing")
        leaves.append(_checked_leaf(seq, row))
    if merkle_root(leaves).hex() != seal.root:
        raise JournalAltered(
            f"the changes from {seal.first_seq} to {seal.seq} are not those of their"
            " seal"
        )
    return len(leaves)


def _checked_leaf(seq: int, row: Row) -> bytes:
    """Return the hash of a change. Raises ``JournalAltered`` if another is stored."""
    try:
        hashed = leaf_hash(leaf_of(row))
    except ValueError:
        # Its data is no longer JSON, or a text no longer UTF-8.
        hashed = None
    stored = row[HASH]
    if hashed is None or stored is None or bytes(stored) != hashed:
        raise JournalAltered(f"change {seq} was altered")
    return hashed


def _check_bases(session: Session[Dialect], first: int) -> None:
    """Raise ``JournalAltered`` unless what a trim left is as it was sealed."""
    after = -1
    while rows := session.rows(BASES, after=after, limit=BASES_PER_READ):
        for row in rows:
            _check_base(row, first)
        after, *_ = rows[-1]


def _check_base(base: Row, first: int) -> None:
    seq, seal_text, path_text, *change = base
    if change[0] is None or seq >= first:
        raise JournalAltered(f"change {seq} is missing")
    hashed = _checked_leaf(seq, tuple(change))
    path = [(side, bytes.fromhex(text)) for side, text in json.loads(path_text)]
    seal = Seal(**json.loads(seal_text))
    if root_from_path(hashed, path).hex() != seal.root:
        raise JournalAltered(f"change {seq} is not that of its seal")


def _check_counter(session: Session[Dialect], last: Seal | None) -> None:
    """Raise ``JournalAltered`` unless the next seal will follow the last one."""
    noted = session.rows(LAST_SEAL)[0]
    if last is not None and tuple(noted) != (last.seq, last.hash, last.at):
        raise JournalAltered("the counter of the journal does not name the last seal")


def _check_end(last: Seal | None, first: int, head: int) -> None:
    sealed = first - 1 if last is None else last.seq
    if sealed < head:
        raise JournalAltered(f"changes from {sealed + 1} to {head} have no seal")
    if sealed > head:
        raise JournalAltered(f"the changes after {head} are missing")
