"""Stored answers: what a request with an ``Idempotency-Key`` was answered, for 24
hours.

The answer is written in the transaction of its effect, so there is never one without
the other.
"""

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from persist.domain.errors import IdempotencyMismatch
from persist.storage.dialect import Dialect
from persist.storage.sql import Compiled, Cursor, Insert
from persist.storage.tables import ANSWERS


class KeyInUse(Exception):
    """Another process runs a request under this key right now; the caller waits and
    asks again."""


class StoredAnswer(NamedTuple):
    """A 2xx answer as it was given."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str


@dataclass(frozen=True)
class AnswerStatements:
    """The statements of stored answers, written once for a dialect."""

    find: Compiled
    drop: Compiled
    sweep: Compiled
    insert: Insert
    dialect: Dialect


def answer_statements(dialect: Dialect) -> AnswerStatements:
    """Write the statements of stored answers."""
    key = [
        ANSWERS.c.actor == sa.bindparam("actor"),
        ANSWERS.c.key == sa.bindparam("key"),
    ]
    return AnswerStatements(
        find=dialect.compile(
            sa.select(ANSWERS.c.at, ANSWERS.c.fingerprint, ANSWERS.c.answer).where(*key)
        ),
        drop=dialect.compile(sa.delete(ANSWERS).where(*key)),
        sweep=dialect.compile(
            sa.delete(ANSWERS).where(ANSWERS.c.at < sa.bindparam("before"))
        ),
        insert=dialect.inserter(ANSWERS),
        dialect=dialect,
    )


class Answers:
    """The stored answers inside a unit of work."""

    def __init__(
        self, statements: AnswerStatements, cursor: Cursor, now: str, oldest: str
    ) -> None:
        self._statements = statements
        self._cursor = cursor
        self._now = now
        self._oldest = oldest
        self._waiting: dict[tuple[str, str], tuple[str, StoredAnswer]] = {}

    def find(self, actor: str, key: str, fingerprint: str) -> StoredAnswer | None:
        """The answer given under the key. Raises ``IdempotencyMismatch`` where it was
        given to another request, ``KeyInUse`` while another process works on it."""
        given = self._waiting.get((actor, key)) or self._stored(actor, key)
        if given is None:
            return None
        if given[0] != fingerprint:
            raise IdempotencyMismatch(
                "this Idempotency-Key was used for a request with another method,"
                " target, content type, precondition or body; use a new key for a new"
                " request"
            )
        return given[1]

    def _stored(self, actor: str, key: str) -> tuple[str, StoredAnswer] | None:
        if not self._statements.dialect.lock_key(self._cursor, f"{actor}\n{key}"):
            raise KeyInUse
        found = self._run(self._statements.find, actor=actor, key=key).fetchone()
        if found is None:
            return None
        at, fingerprint, text = found
        if at < self._oldest:
            self._run(self._statements.drop, actor=actor, key=key)
            return None
        status, headers, body = json.loads(text)
        return fingerprint, StoredAnswer(
            status, tuple((name, value) for name, value in headers), body
        )

    def keep(
        self, actor: str, key: str, fingerprint: str, answer: StoredAnswer
    ) -> None:
        """Store an answer with the effects of this unit of work."""
        self._waiting[actor, key] = fingerprint, answer

    def sweep(self) -> None:
        """Delete answers that are past their time."""
        self._run(self._statements.sweep, before=self._oldest)

    def flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        rows = [
            (actor, key, self._now, fingerprint, json.dumps(answer))
            for (actor, key), (fingerprint, answer) in waiting.items()
        ]
        if rows:
            self._statements.insert(self._cursor, rows)

    def forget(self) -> None:
        self._waiting.clear()

    def _run(self, statement: Compiled, **values: Any) -> Any:
        return self._cursor.execute(statement.text, statement.arguments(values))
