"""Watch what an attack does to others: how long another client's read takes meanwhile,
and how much memory the service takes."""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.server import Server

QUIET = "QUIET_MACHINE"
"""The environment variable that says that nothing else runs on this machine."""

ALLOWED_SECONDS = 0.1 if QUIET in os.environ else 3.0
"""How long a read of another client may take during an attack. Where other tests run too,
what keeps others waiting is noticed only if it does so for seconds."""

ALLOWED_KILOBYTES = 100_000
"""How much larger the service may be while it is attacked."""

EVERY_SECONDS = 0.01


@dataclass
class Watch:
    """What was measured so far: the slowest read, their number, and the growth of the
    service at its largest."""

    seconds: float = 0.0
    reads: int = 0
    kilobytes: int = 0


@contextmanager
def unharmed(
    server: Server, path: str, headers: Mapping[str, str], kilobytes: int | None = None
) -> Iterator[Watch]:
    """Read a path again and again during the block. Fail where a read took too long, or
    the service grew by more than ``kilobytes``."""
    watch, stop = Watch(), threading.Event()
    before = server.resident_kilobytes()

    def look() -> None:
        with server.client() as client:
            while not stop.wait(EVERY_SECONDS):
                began = time.monotonic()
                assert client.get(path, headers=headers).status_code == 200
                watch.seconds = max(watch.seconds, time.monotonic() - began)
                watch.reads += 1
                grown = server.resident_kilobytes() - before
                watch.kilobytes = max(watch.kilobytes, grown)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        time.sleep(5 * EVERY_SECONDS)
        stop.set()
        thread.join()
    assert watch.reads, "the other client read nothing"
    assert watch.seconds <= ALLOWED_SECONDS, watch
    assert watch.kilobytes <= (kilobytes or ALLOWED_KILOBYTES), watch
