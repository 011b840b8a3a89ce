"""Access: who asks. With keys they show one; while there are none, whoever is on this
machine may do everything, web pages may not."""

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

LONGEST = 300
"""Characters an address that is looked at may have."""

FRESH = 0.4
"""Seconds after which the keys are read again, while requests go on."""

OLD = 0.9
"""Seconds after which what was read is believed no more: a change counts within one."""

PAUSE = 0.05
"""Seconds between two reads because of keys that are not known."""

PATIENCE = 5.0
"""Seconds a request waits for the keys, when they have to be read."""


class Keyring:
    """The keys of the database as of a moment ago, and the one place that tells who
    asks.

    ``demanded``: keys are demanded even where none was ever made.
    """

    def __init__(
        self, read: Callable[[], Awaitable[list[StoredKey]]], *, demanded: bool
    ) -> None:
        self._read = read
        self._demanded = demanded
        self._held: Mapping[str, Access] = {}
        self._shown: dict[
            str, Access
        ] = {}  # by what was sent, so that the next time costs nothing
        self._as_of = float("-inf")
        self._reading: asyncio.Task[bool] | None = None

    async def admit(self, request: Request) -> Access:
        """What the caller may do. Raises ``Unauthenticated``, ``Forbidden`` for a
        foreign ``Origin`` or ``Host`` while access is open, ``Unavailable`` where the
        keys cannot be read."""
        is_open = is_open_to_all(request.path)
        age = monotonic() - self._as_of
        if age > FRESH:
            self._renewal()
            if age > OLD and not is_open:
                await self._renewed()
        if not self._demanded:
            check_origin(request.header(b"host"), request.header(b"origin"))
            return OPEN
        if is_open:
            return NOBODY
        authorization = request.header(b"authorization") or ""
        return self._shown.get(authorization) or await self._access(authorization)

    async def _access(self, authorization: str) -> Access:
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated(
                "send a key as `Authorization: Bearer <key>`; `persist keys create`"
                " makes one"
            )
        # Found by its hash: how long that takes says nothing of the keys.
        sha256 = hashlib.sha256(key.encode()).hexdigest()
        if sha256 not in self._held and monotonic() - self._as_of > PAUSE:
            await self._renewed()  # it may have been made a moment ago
        if sha256 not in self._held:
            raise Unauthenticated(
                "the key is not known here, or was revoked; `persist keys list` tells"
                " which are"
            )
        access = self._shown[authorization] = self._held[sha256]
        return access

    def _renewal(self) -> "asyncio.Task[bool]":
        """The one read of the keys that is going on."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._renew())
        return self._reading

    async def _renew(self) -> bool:
        began = monotonic()
        try:
            keys = await self._read()
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            logger.warning("the keys cannot be read: %s", error)
            return False
        self._shown = {}
        self._held = {key.sha256: key.access for key in keys if key.revoked_at is None}
        self._demanded = self._demanded or bool(keys)
        self._as_of = began
        return True

    async def _renewed(self) -> None:
        """Wait for the keys. Where they cannot be read nobody is let in: theirs may be
        revoked."""
        renewal = self._renewal()
        await asyncio.wait([renewal], timeout=PATIENCE)
        if not renewal.done() or not renewal.result():
            raise Unavailable("the keys cannot be read now; try again")


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    host = host.lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=1024)
def _is_ours(address: str) -> bool:
    """Whether the host of an address is this machine; clients send the same few again
    and again."""
    return len(address) <= LONGEST and is_loopback(_name(address))


def check_origin(host: str | None, origin: str | None) -> None:
    """Refuse what a browser sends for a foreign page, by a foreign ``Origin`` or, after
    DNS rebinding, a foreign ``Host``. Raises ``Forbidden``."""
    if host is not None and not _is_ours(f"//{host}"):
        raise Forbidden(
            f"the Host {host[:80]!r} is not this machine; without API keys only"
            " loopback hosts are answered"
        )
    if origin is not None and not _is_ours(origin):
        raise Forbidden(
            f"the Origin {origin[:80]!r} is another site; without API keys only pages"
            " of this machine may ask"
        )


def _name(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""
