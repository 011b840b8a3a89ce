"""Authentication: who the caller is.

If keys are required, a request must send a key, or the cookie of a session that began
with a key. As long as no key has ever been created, every program on this machine may
do everything.
"""

import asyncio
import ipaddress
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from time import monotonic
from typing import NamedTuple
from urllib.parse import urlsplit

from persist.api.requests import Request
from persist.api.routes import is_open_to_all, is_sign_in
from persist.domain.access import ANONYMOUS, OPEN, Access
from persist.domain.errors import Forbidden, Unauthenticated, Unavailable
from persist.storage.access.credentials import Credentials
from persist.storage.access.keys import sha256_of
from persist.storage.clock import now

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 0.4
"""Seconds after which the keys are read again, while requests continue."""

MAX_AGE_SECONDS = 0.9
"""Seconds for which the keys that were read decide: a change takes effect within one
second."""

UNKNOWN_KEY_SECONDS = 0.05
"""Seconds between two reads because of unknown keys."""

WAIT_SECONDS = 5.0
"""Seconds that a request waits for the keys if they have to be read."""


NO_KEY = "send a key as `Authorization: Bearer <key>`; `persist keys create` makes one"

COOKIE = "persist_session"
"""The cookie that has the secret of a session."""

SESSION = re.compile(rf"(?:^|[;,])\s*{COOKIE}=([\w-]+)", re.ASCII)


class ActiveSession(NamedTuple):
    """A session: what its key allows, and when it ends."""

    access: Access
    expires_at: str


class Keyring:
    """The keys and sessions of the database as of a moment ago.

    ``required``: keys are required even if none has ever been created.
    """

    def __init__(
        self, read: Callable[[], Awaitable[Credentials]], *, required: bool
    ) -> None:
        self._read = read
        self._required = required
        self._known: Mapping[str, Access] = {}
        # By the header, so that a key is hashed once.
        self._by_header: dict[str, Access] = {}
        self._sessions: Mapping[str, ActiveSession] = {}
        self._as_of = float("-inf")
        self._reading: asyncio.Task[bool] | None = None

    def admit_at_once(self, request: Request) -> Access | None:
        """Return what the caller may do, None if that takes longer.

        Raises ``Forbidden`` for a foreign ``Host`` while access is open.
        """
        age = monotonic() - self._as_of
        # Early, so that requests need not wait for it: the known keys count a little
        # longer.
        if age > REFRESH_SECONDS:
            self._renewal()
            if age > MAX_AGE_SECONDS and not is_open_to_all(request.path):
                return None
        return self._known_access(request)

    async def admit(self, request: Request) -> Access:
        """Return what the caller may do.

        Raises what ``admit_at_once`` does, ``Unauthenticated``, and ``Unavailable`` if
        the keys cannot be read.
        """
        is_old = monotonic() - self._as_of > MAX_AGE_SECONDS
        if is_old and not is_open_to_all(request.path):
            await self._renewed()
        return self._known_access(request) or await self._caller(request)

    def _known_access(self, request: Request) -> Access | None:
        """Return what the caller may do, None if it is not known here."""
        if not self._required:
            check_host(request.headers.get(b"host"))
            return OPEN
        if is_open_to_all(request.path):
            return ANONYMOUS
        return self._by_header.get(request.header(b"authorization") or "")

    async def _caller(self, request: Request) -> Access:
        authorization = request.header(b"authorization")
        if authorization:
            return await self._access(authorization)
        if is_sign_in(request.method, request.path):
            return ANONYMOUS
        session = await self.session(request)
        if session is None:
            raise Unauthenticated(NO_KEY)
        return session.access

    async def session(self, request: Request) -> ActiveSession | None:
        """Return the session of a request's cookie, None if it has no cookie or has a
        key. Raises ``Unauthenticated`` if the session has ended."""
        secret = session_secret(request)
        if secret is None:
            return None
        sha256 = sha256_of(secret)
        if sha256 not in self._sessions:
            asked = monotonic()
            # Whoever sends unknown secrets must not make the database read all the
            # time.
            await asyncio.sleep(max(0, self._as_of + UNKNOWN_KEY_SECONDS - asked))
            await self.read_since(asked)  # it may have begun a moment ago
        session = self._sessions.get(sha256)
        if session is None or session.expires_at <= now():
            raise Unauthenticated("the session has ended; sign in again")
        return session

    async def read_since(self, moment: float) -> None:
        """Wait until the keys and sessions were read at a moment or later. Raises
        ``Unavailable``."""
        while self._as_of < moment:
            await self._renewed()

    async def _access(self, authorization: str) -> Access:
        scheme, _, sent = authorization.partition(" ")
        key = sent.strip()
        # The name of a scheme has no case (RFC 9110, section 11.1).
        if scheme.lower() != "bearer":
            raise Unauthenticated(NO_KEY)
        # Found by its hash: the time that takes says nothing about the keys.
        sha256 = sha256_of(key)
        if (
            sha256 not in self._known
            and monotonic() - self._as_of > UNKNOWN_KEY_SECONDS
        ):
            await self._renewed()  # it may have been made a moment ago
        if sha256 not in self._known:
            raise Unauthenticated(
                "the key is not known here, or was revoked; `persist keys list` lists"
                " the keys"
            )
        access = self._by_header[authorization] = self._known[sha256]
        return access

    def _renewal(self) -> "asyncio.Task[bool]":
        """Return the read of the keys that is in progress; start one if there is
        none."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._renew())
        return self._reading

    async def _renew(self) -> bool:
        began = monotonic()
        try:
            keys, sessions = await self._read()
        except Exception as error:  # noqa: BLE001 - the requests that wait are refused
            logger.warning("the keys cannot be read: %s", error)
            return False
        # Revoked keys must not be found there.
        self._by_header = {}
        self._known = {key.sha256: key.access for key in keys if key.revoked_at is None}
        by_name = {access.actor: access for access in self._known.values()}
        self._sessions = {
            each.sha256: ActiveSession(by_name[each.key], each.expires_at)
            for each in sessions
            if each.key in by_name
        }
        # For good: a service that was closed once does not open when its keys are
        # deleted.
        self._required = self._required or bool(keys)
        # When the read began: what was committed after that is not in it.
        self._as_of = began
        return True

    async def _renewed(self) -> None:
        """Wait for the keys. Raises ``Unavailable`` if they cannot be read, because
        a key may be revoked."""
        renewal = self._renewal()
        await asyncio.wait([renewal], timeout=WAIT_SECONDS)
        if not renewal.done() or not renewal.result():
            raise Unavailable("the keys cannot be read now; try again")


def session_secret(request: Request) -> str | None:
    """Return the secret of the session by which a request comes; a key comes first. Of
    several cookies the one of the longest path is the first (RFC 6265)."""
    if b"cookie" not in request.headers or b"authorization" in request.headers:
        return None
    found = SESSION.search(request.header(b"cookie") or "")
    return None if found is None else found[1]


def is_loopback(host: str) -> bool:
    """Return whether a host name or address means this machine."""
    host = host.lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=1024)
def _is_ours(host: bytes) -> bool:
    """Return whether a ``Host`` is this machine; clients send the same few again and
    again."""
    return is_loopback(_name(f"//{host.decode('latin-1')}"))


def check_host(host: bytes | None) -> None:
    """Raise ``Forbidden`` for a ``Host`` that is not this machine: a page of another
    site reaches a service on this machine by DNS rebinding."""
    if host is not None and not _is_ours(host):
        raise Forbidden(
            f"the Host {host[:80].decode('latin-1')!r} is not this machine; without API"
            " keys only loopback hosts are answered"
        )


def _name(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""
