"""Traffic: how much this process answers at once, and what it has answered."""

from time import perf_counter
from typing import Protocol

from persist.domain.errors import Unavailable
from persist.domain.histogram import Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))
ALWAYS = "/health/"
"""What is answered however busy the process is begins like this."""


class Counted(Protocol):
    """What is counted of a request. ``seconds`` is how long its answer took to
    begin."""

    method: str
    path: str
    route: str
    status: int
    started: float
    seconds: float
    held: int
    waits: bool


class InFlightLimiter:
    """The requests in progress, within their limits, and every answer by method, route
    and status.

    ``most`` requests may be in progress, whose bodies may take ``most_bytes`` in
    memory.
    """

    def __init__(self, most: int = 2_000, most_bytes: int = 67_108_864) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self.requests = 0
        self.body_bytes = 0
        self.answers: dict[tuple[str, str, int], Histogram] = {}

    def enter(self, request: Counted, *, crowded: bool) -> None:
        """Take a request on, which ``leave`` follows in any case. Raises
        ``Unavailable`` where there are too many; ``crowded``: there are too many
        connections."""
        self.requests += 1
        if (crowded or self.requests > self._most) and not request.path.startswith(
            ALWAYS
        ):
            what = "connections are open" if crowded else "requests are in progress"
            raise Unavailable(f"too many {what}; try again")

    def wait(self, request: Counted) -> None:
        """A request that waits for something to happen takes no place among those in
        progress."""
        if not request.waits:
            request.waits = True
            self.requests -= 1

    def hold(self, request: Counted, size: int) -> None:
        """Count a piece of a body that stays in memory. Raises ``Unavailable``."""
        if self.body_bytes + size > self._most_bytes:
            raise Unavailable("too many large bodies are arriving; try again")
        self.body_bytes += size
        request.held += size

    def answered(self, request: Counted, status: int) -> None:
        """The answer to a request begins."""
        request.status = status
        request.seconds = perf_counter() - request.started

    def leave(self, request: Counted) -> None:
        """A request is done."""
        if not request.waits:
            self.requests -= 1
        self.body_bytes -= request.held
        key = (request.method, request.route, request.status)
        histogram = self.answers.get(key)
        if histogram is None:
            histogram = self._first(key)
        histogram.observe(request.seconds)

    def _first(self, key: tuple[str, str, int]) -> Histogram:
        method, route, status = key
        known = (method if method in METHODS else "other", route, status)
        return self.answers.setdefault(known, Histogram(SECONDS))
