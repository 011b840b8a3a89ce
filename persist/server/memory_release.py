"""Memory: what is no longer used is given back to the system.

The allocator of glibc keeps it. After large bodies, which are read and stored by many
threads, that is some 50 MB.
"""

import asyncio
import ctypes
import gc

EVERY_SECONDS = 30.0
"""Seconds between two releases."""


async def release() -> None:
    """Give back what is no longer used, again and again."""
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        await asyncio.to_thread(_release)


def _release() -> None:
    gc.collect()
    _trim()


def _trim() -> None:
    # Only glibc has it. The interpreter's lock is free during the call.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
