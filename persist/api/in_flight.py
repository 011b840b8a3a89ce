"""Admission control: how many connections and requests one process answers at once, and
how much memory and disk their bodies and responses take."""

from typing import Protocol

from persist.storage.operation.spool import share_of_disk
from persist.storage.sharing.shares import SERVICE, Shares

SMALL_RESPONSE_BYTES = 65_536
"""Bytes of a response that are not counted: a connection has as many at any time."""

ALWAYS_ANSWERED = "/health/"
"""The prefix of paths that are answered however busy the process is."""


class Admitted(Protocol):
    """The parts of a request that are limited: ``body_bytes`` are the bytes of its body
    in memory, ``spooled_bytes`` those on the disk, and ``response_bytes`` the bytes of
    its response in memory.

    ``counted_in`` are the shares in which the request counts as one of ``caller``.
    """

    path: str
    caller: str
    counted_in: Shares | None
    body_bytes: int
    spooled_bytes: int
    response_bytes: int


def is_always_answered(request: Admitted) -> bool:
    """Return whether a request is answered however busy the process is."""
    return request.path.startswith(ALWAYS_ANSWERED)


class InFlightLimiter:
    """Counts the requests, bodies and responses of callers, and refuses those that
    exceed the limits."""

    def __init__(
        self,
        *,
        connections: int,
        requests: int,
        body_bytes: int,
        spooled_bytes: int,
        response_bytes: int,
    ) -> None:
        self.connections = Shares("open connections", connections)
        # As many as may be accepted: a refused connection stays open until the client
        # has read the refusal.
        self.refused_connections = Shares("refused connections", connections)
        self.requests = Shares("requests in progress", requests)
        self.waiting = Shares("requests waiting for changes", connections)
        self.body_bytes = Shares("bytes of request bodies in memory", body_bytes)
        self.response_bytes = Shares("bytes of responses in memory", response_bytes)
        self._spool_limit = spooled_bytes
        self.spooled_bytes = Shares("bytes in the temporary folder", spooled_bytes)

    def enter(self, request: Admitted) -> None:
        """Count a request whose caller is not known yet; ``leave`` follows in any case.
        Raises ``Unavailable``."""
        self.assign(request, SERVICE)

    def assign(self, request: Admitted, caller: str) -> None:
        """Count a request as one of its caller; ``leave`` follows in any case. Raises
        ``TooManyRequests``, and ``Unavailable`` if others have too much."""
        if request.counted_in is not None:
            self._move(request, request.counted_in, caller)
            return
        request.caller = caller
        if not request.path.startswith(ALWAYS_ANSWERED):
            self.requests.take(caller)
            request.counted_in = self.requests

    def wait(self, request: Admitted) -> None:
        """Count a request no longer as in progress: it waits for changes.
        Raises ``TooManyRequests`` and ``Unavailable``."""
        counted_in = request.counted_in
        if counted_in is not None and counted_in is not self.waiting:
            self._move(request, self.waiting, request.caller)

    def reserve(self, request: Admitted, size: int) -> None:
        """Count bytes of a body that stay in memory. Raises ``TooManyRequests`` and
        ``Unavailable``."""
        self.body_bytes.take(request.caller, size)
        request.body_bytes += size

    def spool(self, request: Admitted, size: int) -> None:
        """Count bytes of a body that go to the disk, which all bodies share.
        Raises ``TooManyRequests`` and ``Unavailable``."""
        shares = self.spooled_bytes
        # Each time, because others fill the disk as well.
        shares.limit = min(self._spool_limit, share_of_disk(shares.taken))
        shares.take(request.caller, size)
        request.spooled_bytes += size

    def respond(self, request: Admitted, size: int) -> None:
        """Count a response of a size until the client has taken it. Raises
        ``TooManyRequests`` and ``Unavailable``."""
        more = size - request.response_bytes
        if size > SMALL_RESPONSE_BYTES and more > 0:
            self.response_bytes.take(request.caller, more)
            request.response_bytes = size

    def count_response(self, request: Admitted, size: int) -> None:
        """Count a response of a size that can no longer be refused."""
        more = size - request.response_bytes
        if size > SMALL_RESPONSE_BYTES and more > 0:
            self.response_bytes.count(request.caller, more)
            request.response_bytes = size

    def end_response(self, request: Admitted) -> None:
        """Count no longer the part of a response that the client has taken."""
        if request.response_bytes:
            self.response_bytes.give_back(request.caller, request.response_bytes)
            request.response_bytes = 0

    def leave(self, request: Admitted) -> None:
        """Release what a request took."""
        caller = request.caller
        if request.counted_in is not None:
            request.counted_in.give_back(caller)
        if request.body_bytes:
            self.body_bytes.give_back(caller, request.body_bytes)
        if request.spooled_bytes:
            self.spooled_bytes.give_back(caller, request.spooled_bytes)
        if request.response_bytes:
            self.response_bytes.give_back(caller, request.response_bytes)

    def _move(self, request: Admitted, shares: Shares, caller: str) -> None:
        if request.counted_in is not None:
            # Given back first: a caller at its limit may move.
            request.counted_in.give_back(request.caller)
        request.counted_in = None
        request.caller = caller
        shares.take(caller)
        request.counted_in = shares
