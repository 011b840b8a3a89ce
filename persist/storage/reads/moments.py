"""Moments: the change that a time or a ``seq`` means, if the journal still has it."""

from persist.domain.errors import ChangesGone, InvalidQuery
from persist.storage.clock import now
from persist.storage.dialect import Dialect
from persist.storage.journal.changes import JOURNAL_ENDS
from persist.storage.journal.seals import NEWEST_SEAL, SEALED_BY, seal_of
from persist.storage.sql import Session

Moment = int | str
"""The ``seq`` of a change, or a time as the envelope has it."""


def last_change(session: Session[Dialect], moment: Moment) -> int:
    """Return the ``seq`` of the last change until a moment, 0 before the first.

    Raises ``InvalidQuery`` beyond the last change and for a future time, and
    ``ChangesGone`` if the journal was trimmed.
    """
    first, head = session.rows(JOURNAL_ENDS)[0]
    seq = seq_of(session, moment)
    check_seq(seq, first, head)
    return seq


def seq_of(session: Session[Dialect], moment: Moment) -> int:
    """Return the ``seq`` that a moment means, which the journal may not have.

    Raises ``InvalidQuery`` for a future time.
    """
    if isinstance(moment, int):
        return moment
    return _sealed_by(session, moment)


def check_seq(seq: int, first: int, head: int) -> None:
    """Raise ``InvalidQuery`` beyond the last change, and ``ChangesGone`` if the journal
    was trimmed; ``first`` and ``head`` are its ends."""
    if seq > head:
        raise InvalidQuery(
            f"as_of={seq} is beyond the last change, whose seq is {head}",
            last_seq=head,
        )
    if seq < first and first > 1:
        raise ChangesGone(
            f"the journal was trimmed and begins at seq {first}; the earliest as_of is"
            f" {first}",
            first_seq=first,
        )


def _sealed_by(session: Session[Dialect], time: str) -> int:
    """Return the last ``seq`` that was sealed at a time or before, or 0."""
    found = session.row(SEALED_BY, at=time)
    if time > now() and _is_after_last_seal(session, time):
        raise InvalidQuery(f"as_of={time} is in the future")
    if found is None:
        return 0
    seq: int = found[0]
    return seq


def _is_after_last_seal(session: Session[Dialect], time: str) -> bool:
    row = session.row(NEWEST_SEAL)
    if row is None:
        return True
    seal = seal_of(row)
    return time > seal.at
