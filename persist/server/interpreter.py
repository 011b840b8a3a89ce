"""The interpreter of a service: when it collects garbage and switches threads, and what
memory it gives back to the system."""

import asyncio
import ctypes
import gc
import sys
from collections.abc import Callable

FULL_COLLECTION_THRESHOLD = 100_000
"""Collections of the middle generation after which all objects are looked at, if
``release_memory`` has not done so before."""

SWITCH_SECONDS = 0.001
"""Seconds after which a thread that computes lets another one run."""

EVERY_SECONDS = 30.0
"""Seconds between two releases of memory."""

MAX_BUSY_ROUNDS = 20
"""Releases after which all objects are looked at, though requests run."""


def tune() -> None:
    """Prepare the interpreter for requests, once everything is loaded."""
    # Objects made at start live as long as the process: collections that pass over
    # them cost writes a seventh of their throughput.
    gc.collect()
    gc.freeze()
    # Decoding 1 MiB of JSON makes half a million objects, and a patch copies them. By
    # default all of them are visited a dozen times meanwhile, for 0.1 s each, and no
    # other thread runs.
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, FULL_COLLECTION_THRESHOLD)
    # A response takes several turns of the event loop, each of which may wait for a
    # thread that computes.
    sys.setswitchinterval(SWITCH_SECONDS)


async def release_memory(is_idle: Callable[[], bool]) -> None:
    """Give back what is no longer used, again and again.

    The allocator of glibc keeps it. After large bodies, which are read and stored by
    many threads, that is some 50 MB.
    """
    busy_rounds = 0
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        busy_rounds += 1
        # No thread runs while all objects are looked at, those of requests included.
        is_full = is_idle() or busy_rounds > MAX_BUSY_ROUNDS
        if is_full:
            busy_rounds = 0
        await asyncio.to_thread(_release, 2 if is_full else 1)


def _release(generation: int) -> None:
    gc.collect(generation)
    # Only glibc has it. The interpreter's lock is free during the call.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
