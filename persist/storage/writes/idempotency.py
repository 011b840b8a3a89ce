"""Stored answers: the answers to requests with an ``Idempotency-Key``, for 24 hours.

An answer is written in the transaction of its effect, so neither exists without the
other.
"""

import json
from datetime import timedelta
from typing import NamedTuple

import sqlalchemy as sa

from persist.domain.errors import IdempotencyMismatch
from persist.storage.dialect import Dialect
from persist.storage.sql import Inserter, Session, Statement
from persist.storage.tables import ANSWERS

LIFETIME = timedelta(hours=24)
"""How long an answer is replayed."""

_OF_KEY = (
    ANSWERS.c.actor == sa.bindparam("actor"),
    ANSWERS.c.key == sa.bindparam("key"),
)

INSERT_ANSWERS = Inserter(ANSWERS)

FIND = Statement(
    sa.select(ANSWERS.c.at, ANSWERS.c.fingerprint, ANSWERS.c.answer).where(*_OF_KEY)
)
"""Select the answer that was given under a key."""

DROP = Statement(sa.delete(ANSWERS).where(*_OF_KEY))
"""Delete the answer that was given under a key."""


SWEEP_ROWS = 1_000
"""Answers that one transaction deletes."""

_OVERDUE = (
    sa.select(ANSWERS.c.actor, ANSWERS.c.key)
    .where(ANSWERS.c.at < sa.bindparam("before"))
    .order_by(ANSWERS.c.at)
)

FIRST_OVERDUE = Statement(_OVERDUE.limit(sa.literal_column("1")))
"""Select one answer that is no longer replayed."""

SWEEP = Statement(
    sa.delete(ANSWERS).where(
        sa.tuple_(ANSWERS.c.actor, ANSWERS.c.key).in_(
            _OVERDUE.limit(sa.literal_column(str(SWEEP_ROWS)))
        )
    )
)
"""Delete answers that are no longer replayed, the oldest first."""


@Statement
def delete_answers_with(dialect: Dialect) -> sa.ClauseElement:
    """Delete the answers that show a record, by its id."""
    # By its text: ids are random, and occur in no other answer by chance.
    answer = sa.cast(ANSWERS.c.answer, sa.Text())
    record_id = sa.bindparam("record_id", type_=sa.Text())
    return sa.delete(ANSWERS).where(dialect.contains(answer, record_id))


class KeyInUse(Exception):
    """Another process runs a request under this key now; the caller asks again."""


class StoredAnswer(NamedTuple):
    """A 2xx answer as it was given."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str


class Answers:
    """The stored answers inside a transaction.

    ``oldest`` is the time from which answers are replayed.
    """

    def __init__(self, session: Session[Dialect], now: str, oldest: str) -> None:
        self._session = session
        self._now = now
        self._oldest = oldest
        self._waiting: dict[tuple[str, str], tuple[str, StoredAnswer]] = {}

    def find(self, actor: str, key: str, fingerprint: str) -> StoredAnswer | None:
        """Return the answer that was given under a key.

        Raises ``IdempotencyMismatch`` if it was given to another request, and
        ``KeyInUse`` while another process works on one.
        """
        given = self._waiting.get((actor, key)) or self._stored(actor, key)
        if given is None:
            return None
        given_fingerprint, answer = given
        if given_fingerprint != fingerprint:
            raise IdempotencyMismatch(
                "this Idempotency-Key was used for a request with another method,"
                " target, content type, precondition or body; use a new key for a new"
                " request"
            )
        return answer

    def _stored(self, actor: str, key: str) -> tuple[str, StoredAnswer] | None:
        session = self._session
        # No key has a line break.
        lock = f"{actor}\n{key}"
        # Without waiting: the request that has it may take long, and a thread would
        # wait for it.
        if not session.dialect.lock_key(session.cursor, lock):
            raise KeyInUse
        found = session.row(FIND, actor=actor, key=key)
        if found is None:
            return None
        at, fingerprint, text = found
        if at < self._oldest:
            session.run(DROP, actor=actor, key=key)
            return None
        status, headers, body = json.loads(text)
        pairs = tuple((name, value) for name, value in headers)
        return fingerprint, StoredAnswer(status, pairs, body)

    def keep(
        self, actor: str, key: str, fingerprint: str, answer: StoredAnswer
    ) -> None:
        """Store an answer with the effects of this transaction."""
        self._waiting[actor, key] = fingerprint, answer

    def flush(self) -> None:
        """Write the waiting answers."""
        if not self._waiting:
            return
        rows = [
            (actor, key, self._now, fingerprint, json.dumps(answer))
            for (actor, key), (fingerprint, answer) in self._waiting.items()
        ]
        self._waiting = {}
        self._session.insert(INSERT_ANSWERS, rows)
