"""Authentication: who the caller is. Where keys are demanded a request has one; while
none was ever made, every program on this machine may do everything."""

import asyncio
import hashlib
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from time import monotonic
from urllib.parse import urlsplit

from persist.api.requests import Request
from persist.api.routes import is_open_to_all
from persist.domain.access import NOBODY, OPEN, Access
from persist.domain.errors import Forbidden, Unauthenticated, Unavailable
from persist.storage.keys import StoredKey

logger = logging.getLogger(__name__)

MAX_HOST_CHARACTERS = 300
"""Characters of a ``Host`` that is parsed."""

REFRESH_SECONDS = 0.4
"""Seconds after which the keys are read again, while requests continue."""

MAX_AGE_SECONDS = 0.9
"""Seconds for which the keys that were read decide: a change counts within one
second."""

UNKNOWN_KEY_SECONDS = 0.05
"""Seconds between two reads because of keys that are not known."""

WAIT_SECONDS = 5.0
"""Seconds that a request waits for the keys where they have to be read."""


class Keyring:
    """The keys of the database as of a moment ago.

    ``demanded``: keys are demanded even where none was ever made.
    """

    def __init__(
        self, read: Callable[[], Awaitable[list[StoredKey]]], *, demanded: bool
    ) -> None:
        self._read = read
        self._demanded = demanded
        self._known: Mapping[str, Access] = {}
        # By the header, so that a key is hashed once.
        self._by_header: dict[str, Access] = {}
        self._as_of = float("-inf")
        self._reading: asyncio.Task[bool] | None = None

    async def admit(self, request: Request) -> Access:
        """Return what the caller may do.

        Raises ``Unauthenticated``, ``Forbidden`` for a foreign ``Host`` while access is
        open, and ``Unavailable`` where the keys cannot be read.
        """
        age = monotonic() - self._as_of
        if age > REFRESH_SECONDS:
            self._renewal()
            if age > MAX_AGE_SECONDS and not is_open_to_all(request.path):
                await self._renewed()
        if not self._demanded:
            check_host(request.headers.get(b"host"))
            return OPEN
        if is_open_to_all(request.path):
            return NOBODY
        authorization = request.header(b"authorization") or ""
        return self._by_header.get(authorization) or await self._access(authorization)

    async def _access(self, authorization: str) -> Access:
        scheme, _, sent = authorization.partition(" ")
        key = sent.strip()
        if scheme.lower() != "bearer":
            raise Unauthenticated(
                "send a key as `Authorization: Bearer <key>`; `persist keys create`"
                " makes one"
            )
        # Found by its hash: the time that takes says nothing about the keys.
        sha256 = hashlib.sha256(key.encode()).hexdigest()
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
        """Return the read of the keys that is in progress; start one where there is
        none."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._renew())
        return self._reading

    async def _renew(self) -> bool:
        began = monotonic()
        try:
            keys = await self._read()
        except Exception as error:  # noqa: BLE001 - the requests that wait are refused
            logger.warning("the keys cannot be read: %s", error)
            return False
        self._by_header = {}
        self._known = {key.sha256: key.access for key in keys if key.revoked_at is None}
        self._demanded = self._demanded or bool(keys)
        self._as_of = began
        return True

    async def _renewed(self) -> None:
        """Wait for the keys. Raises ``Unavailable`` where they cannot be read, because
        a key may be revoked."""
        renewal = self._renewal()
        await asyncio.wait([renewal], timeout=WAIT_SECONDS)
        if not renewal.done() or not renewal.result():
            raise Unavailable("the keys cannot be read now; try again")


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
    if len(host) > MAX_HOST_CHARACTERS:
        return False
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
