"""Sessions of browsers, and the one-time codes that begin one.

A session and a code are secrets of 256 bits, of which the SHA-256 is stored. Each
belongs to a key: it allows what the key allows, and ends with it.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from persist.domain.errors import Unauthenticated
from persist.storage.access.keys import sha256_of
from persist.storage.clock import now, timestamp
from persist.storage.dialect import Dialect
from persist.storage.long_operations.exclusive import exclusive_connection
from persist.storage.sql import Inserter, Session, Statement
from persist.storage.tables import CONSOLE_CODES, CONSOLE_SESSIONS, KEYS

SESSION_LIFETIME = timedelta(hours=12)
CODE_LIFETIME = timedelta(seconds=60)

MAX_SESSIONS = 100
"""Sessions of one key; one more ends the oldest. All are read again and again."""

_SECRET_BYTES = 32
"""Random bytes of a secret."""

_OF_KEY = CONSOLE_SESSIONS.c.key == sa.bindparam("key")

ALL_SESSIONS = Statement(sa.select(CONSOLE_SESSIONS))
"""Select every session; some may have expired."""

_INSERT = Inserter(CONSOLE_SESSIONS)

_DELETE = Statement(
    sa.delete(CONSOLE_SESSIONS).where(
        CONSOLE_SESSIONS.c.sha256 == sa.bindparam("sha256")
    )
)
"""Delete one session."""

_DELETE_EXPIRED = Statement(
    sa.delete(CONSOLE_SESSIONS).where(
        CONSOLE_SESSIONS.c.expires_at <= sa.bindparam("now")
    )
)
"""Delete the sessions that have ended by themselves."""

_NEWEST = (
    sa.select(CONSOLE_SESSIONS.c.sha256)
    .where(_OF_KEY)
    .order_by(CONSOLE_SESSIONS.c.expires_at.desc())
    .limit(sa.literal_column(str(MAX_SESSIONS - 1)))
)

_DELETE_OLDEST = Statement(
    sa.delete(CONSOLE_SESSIONS).where(
        _OF_KEY, CONSOLE_SESSIONS.c.sha256.not_in(_NEWEST)
    )
)
"""Delete sessions of a key, so that there is room for one more."""

_SPEND_CODE = Statement(
    sa.delete(CONSOLE_CODES)
    .where(
        CONSOLE_CODES.c.sha256 == sa.bindparam("sha256"),
        CONSOLE_CODES.c.expires_at > sa.bindparam("now"),
    )
    .returning(CONSOLE_CODES.c.key)
)
"""Delete a code that is valid, and return its key: a code can be used once."""

_ACTIVE_KEY = Statement(
    sa.select(KEYS.c.name).where(
        KEYS.c.name == sa.bindparam("key"), KEYS.c.revoked_at.is_(None)
    )
)
"""Select a key if it is in use."""


@dataclass(frozen=True)
class StoredSession:
    """A session as it is stored; ``key`` is the name of its key."""

    sha256: str
    key: str
    expires_at: str


class NewSession(NamedTuple):
    """A new session: its secret, which is not stored, and when it ends."""

    secret: str
    expires_at: str


def begin_session(session: Session[Dialect], key: str) -> NewSession:
    """Store a new session of a key inside a transaction."""
    session.run(_DELETE_EXPIRED, now=now())
    session.run(_DELETE_OLDEST, key=key)
    begun = NewSession(
        secrets.token_urlsafe(_SECRET_BYTES),
        _after(SESSION_LIFETIME),
    )
    row = (sha256_of(begun.secret), key, begun.expires_at)
    session.insert(_INSERT, [row])
    return begun


def begin_session_by_code(session: Session[Dialect], code: str) -> NewSession:
    """Store a new session of the key that a code belongs to, inside a transaction.

    Raises ``Unauthenticated`` if the code is not known, was used or has expired, or if
    its key was revoked.
    """
    found = session.row(_SPEND_CODE, sha256=sha256_of(code), now=now())
    key = None if found is None else session.row(_ACTIVE_KEY, key=found[0])
    if key is None:
        raise Unauthenticated(
            "the code is not known, was used, or is older than a minute; `persist"
            " console` prints a link with a new one"
        )
    return begin_session(session, key[0])


def end_session(session: Session[Dialect], secret: str) -> None:
    """Delete a session inside a transaction."""
    session.run(_DELETE, sha256=sha256_of(secret))


def create_code(dialect: Dialect, key: str) -> str:
    """Store a one-time code that begins a session of a key, and return it."""
    code = secrets.token_urlsafe(_SECRET_BYTES)
    row = {
        "sha256": sha256_of(code),
        "key": key,
        "expires_at": _after(CODE_LIFETIME),
    }
    expired = CONSOLE_CODES.c.expires_at <= now()
    engine = dialect.engine()
    with exclusive_connection(engine, dialect) as connection:
        CONSOLE_CODES.create(connection, checkfirst=True)
        connection.execute(CONSOLE_CODES.delete().where(expired))
        connection.execute(CONSOLE_CODES.insert().values(row))
    return code


def _after(lifetime: timedelta) -> str:
    moment = datetime.now(UTC) + lifetime
    return timestamp(moment)
