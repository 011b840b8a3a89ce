"""Ports nobody listens on."""

import fcntl
import random
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

PORTS = range(10_000, 32_000)
"""Below those that the kernel gives to connections."""

BLOCK = 100
"""Ports that one process of tests takes for itself at once."""

_blocks: list[IO[bytes]] = []
"""The lock files that this process has opened; an open one keeps its lock."""


def _ports() -> Iterator[int]:
    """Yield ports that no other process of tests is given.

    Two processes that ask the kernel for a free port may be given the same one, since
    both only use it later: the client of one would be answered by the service of the
    other.
    """
    firsts = list(PORTS[::BLOCK])
    random.shuffle(firsts)
    for first in firsts:
        if _take(first):
            yield from range(first, first + BLOCK)


def _take(first: int) -> bool:
    """Take the block of ports that begins with ``first`` until this process ends;
    return False where another process has it."""
    path = Path(tempfile.gettempdir(), f"persist-tests-ports-{first}")
    # The file may be another user's.
    with suppress(OSError):
        lock = path.open("ab")
        _blocks.append(lock)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


_untried = _ports()
_trying = threading.Lock()


def free_port() -> int:
    """A port of 127.0.0.1 that is free, and that no other process of tests is given."""
    with _trying:
        return next(port for port in _untried if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
