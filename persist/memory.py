"""Memory: what was freed is given back to the system.

The allocator of glibc keeps it. After large bodies, which are read and stored by many
threads, that is some 50 MB.
"""

import asyncio
import ctypes

EVERY_SECONDS = 30.0


async def release() -> None:
    """Give back what was freed, again and again."""
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        await asyncio.to_thread(_trim)


def _trim() -> None:
    # Only glibc has it. The interpreter's lock is free during the call.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
