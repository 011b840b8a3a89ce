"""Admission control: how many requests one process answers at once, and how much memory
their bodies take."""

from typing import Protocol

from persist.domain.errors import Unavailable

ALWAYS_ANSWERED = "/health/"
"""The prefix of paths that are answered however busy the process is."""


class Admitted(Protocol):
    """What is limited of a request: ``body_bytes`` its body takes in memory; ``waits``
    where it waits for something to happen."""

    path: str
    body_bytes: int
    waits: bool


class InFlightLimiter:
    """Counts the requests in progress and the bytes of their bodies, and refuses what
    is over the limits."""

    def __init__(self, max_requests: int, max_body_bytes: int) -> None:
        self._max_requests = max_requests
        self._max_body_bytes = max_body_bytes
        self.requests = 0
        self.body_bytes = 0

    def enter(self, request: Admitted, *, over_capacity: bool) -> None:
        """Count a request; ``leave`` follows in any case. ``over_capacity``: too many
        connections are open. Raises ``Unavailable``."""
        self.requests += 1
        if not over_capacity and self.requests <= self._max_requests:
            return
        if not request.path.startswith(ALWAYS_ANSWERED):
            reason = (
                "connections are open" if over_capacity else "requests are in progress"
            )
            raise Unavailable(f"too many {reason}; try again")

    def wait(self, request: Admitted) -> None:
        """Count a request no longer: it waits for something to happen."""
        if not request.waits:
            request.waits = True
            self.requests -= 1

    def reserve(self, request: Admitted, size: int) -> None:
        """Count bytes of a body that stay in memory. Raises ``Unavailable``."""
        if self.body_bytes + size > self._max_body_bytes:
            raise Unavailable("too many large bodies are arriving; try again")
        self.body_bytes += size
        request.body_bytes += size

    def leave(self, request: Admitted) -> None:
        """Release what a request took."""
        if not request.waits:
            self.requests -= 1
        self.body_bytes -= request.body_bytes
