"""How long threads keep the interpreter's lock: a second thread measures how long it waits
for its turn, in an interpreter that is prepared as a service prepares it."""

import gc
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from persist.server import interpreter


@dataclass
class Wait:
    """The longest wait so far."""

    seconds: float = 0.0


@contextmanager
def longest_wait() -> Iterator[Wait]:
    """Measure during a block how long another thread waits for the lock at most."""
    wait, stop, begun = Wait(), threading.Event(), threading.Event()

    def turn() -> None:
        last = time.perf_counter()
        while not stop.is_set():
            time.sleep(0.0005)
            now = time.perf_counter()
            wait.seconds = max(wait.seconds, now - last)
            last = now
            begun.set()

    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    interpreter.tune()
    thread = threading.Thread(target=turn)
    thread.start()
    begun.wait()
    wait.seconds = 0.0
    try:
        yield wait
    finally:
        time.sleep(0.002)
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)
        gc.set_threshold(*thresholds)
        gc.unfreeze()
