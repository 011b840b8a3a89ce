"""Capacity: how much a database accepts at once, and how much callers use of it."""

from dataclasses import dataclass
from typing import Self

from persist.storage.sharing.shares import Shares

READER_THREADS = 4
"""Threads for reads that are neither by key nor brief."""

MAX_JOBS = 16
"""Long work that has begun. Each may have its own connection."""

WRITES_PER_WAITING_READ = 4
"""Writes that may wait for each read that may wait for a thread: a read takes
longer."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a database accepts: ``waiting`` writes and as many reads by key, ``streams``
    that run at once, and the seconds that a read may take."""

    waiting: int = 1_000
    streams: int = 8
    read_seconds: float = 10.0


DEFAULT_CAPACITY = Capacity()


@dataclass(frozen=True, slots=True)
class CapacityInUse:
    """What callers use of a database's capacity: the work that runs or waits, by
    kind."""

    writes: Shares
    finds: Shares
    reads: Shares
    streams: Shares
    jobs: Shares

    @classmethod
    def of(cls, capacity: Capacity) -> Self:
        """Return the shares of a capacity that nobody uses yet."""
        waiting = capacity.waiting
        return cls(
            Shares("writes waiting for the database", waiting),
            Shares("reads by key waiting for the database", waiting),
            Shares(
                "reads waiting for the database",
                READER_THREADS + waiting // WRITES_PER_WAITING_READ,
            ),
            Shares("running exports", capacity.streams),
            Shares("running snapshots, restores and imports", MAX_JOBS),
        )
