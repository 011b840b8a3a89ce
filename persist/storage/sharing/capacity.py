"""Capacity: what a database takes on at once, and what callers use of it."""

from dataclasses import dataclass
from typing import Self

from persist.storage.sharing.shares import Shares

READER_THREADS = 4
"""Threads for reads that are neither by key nor brief."""

MAX_JOBS = 16
"""Long work that has begun. Each may have a connection of its own."""

WAITING_READS_SHARE = 4
"""How many times fewer reads may wait for a thread than writes for the writer: each
takes longer."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a database takes on: writes, and reads by key, that wait for it; ``streams``
    that run at once, and the seconds that a read may take."""

    waiting: int = 1_000
    streams: int = 8
    read_seconds: float = 10.0


DEFAULT_CAPACITY = Capacity()


@dataclass(frozen=True, slots=True)
class CapacityInUse:
    """What callers use of a database's capacity: what runs or waits, of each kind."""

    writes: Shares
    finds: Shares
    reads: Shares
    streams: Shares
    jobs: Shares

    @classmethod
    def of(cls, capacity: Capacity) -> Self:
        """Return the shares of a capacity, of which nothing is used yet."""
        waiting = capacity.waiting
        return cls(
            Shares("writes that wait for the database", waiting),
            Shares("reads by key that wait for the database", waiting),
            Shares(
                "reads that wait for the database",
                READER_THREADS + waiting // WAITING_READS_SHARE,
            ),
            Shares("exports that run", capacity.streams),
            Shares("snapshots, restores and imports that run", MAX_JOBS),
        )
