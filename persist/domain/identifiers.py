"""Ids and names: canonical lower-case UUIDs (those made here are UUIDv7, RFC 9562,
section 5.7), names of collections and of commands."""

import os
import random
import re
import threading
import time

COLLECTION_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
COMMAND_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

_random = random.Random(int.from_bytes(os.urandom(32)))  # noqa: S311 - ids are unique, not secret
_lock = threading.Lock()


def _reseed() -> None:
    """Seed the generator again: forked workers must not make the same ids."""
    _random.seed(int.from_bytes(os.urandom(32)))


os.register_at_fork(after_in_child=_reseed)
_last = 0


def new_id() -> str:
    """Return a UUIDv7 that is greater than all that this process made before.

    It has milliseconds, a counter that starts at random in each millisecond (RFC 9562,
    section 6.2, method 1), and random bits.
    """
    global _last  # noqa: PLW0603 - one counter a process is the point
    bits = _random.getrandbits(73)
    with _lock:
        # The counter starts in the lower half, so that it has room to count.
        _last = max(
            _last + 1, (time.time_ns() // 1_000_000 << 12) | (bits >> 62 & 0x7FF)
        )
        stamp = _last
    return (
        f"{stamp >> 28:08x}-{stamp >> 12 & 0xFFFF:04x}-7{stamp & 0xFFF:03x}"
        f"-{0x8000 | bits >> 48 & 0x3FFF:04x}-{bits & 0xFFFF_FFFF_FFFF:012x}"
    )


def is_canonical(text: str) -> bool:
    """Return whether a text is a UUID in its canonical lower-case form."""
    return CANONICAL.fullmatch(text) is not None
