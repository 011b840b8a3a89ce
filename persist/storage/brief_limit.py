"""The limit on reads on the event loop."""

import math
from time import perf_counter, thread_time

BRIEF_SECONDS = 0.005
"""Seconds of the processor that a read may take on the event loop.

Seconds of the clock would make long ones of brief reads on a busy processor.
"""

BRIEF_WAIT_SECONDS = 0.05
"""Seconds that it may take in all, waiting for the disk included."""


class BriefLimit:
    """Says when the read that runs on the event loop has taken too long."""

    def __init__(self) -> None:
        self._until = math.inf
        self._busy_until = math.inf

    def begin(self) -> None:
        """Begin a read that is limited."""
        self._busy_until = thread_time() + BRIEF_SECONDS
        self._until = perf_counter() + BRIEF_WAIT_SECONDS

    def lift(self) -> None:
        """Set no limit to what follows."""
        self._until = self._busy_until = math.inf

    def is_reached(self) -> bool:
        """Return whether the read has taken too long; the event loop asks."""
        return thread_time() > self._busy_until or perf_counter() > self._until
