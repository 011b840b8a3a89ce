"""Cycle collection: collects reference cycles at the end of a block that creates many
of them."""

import gc
import threading


class CycleCollection:
    """A block whose garbage is collected at its end.

    A collection during the block would move objects in use to the old generation, which
    is collected twice a minute while all threads stop.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._was_enabled = False

    def __enter__(self) -> None:
        with self._lock:
            if not self._running:
                self._was_enabled = gc.isenabled()
                gc.disable()
            self._running += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._running -= 1
            is_last = not self._running
            if is_last and self._was_enabled:
                gc.enable()
        if is_last:
            gc.collect(0)
