"""Brief limit: how long a read may run on the event loop, where all requests wait for
it."""

import threading
import time
from collections.abc import Callable
from time import perf_counter

BRIEF_SECONDS = 0.005
"""Seconds of processor time that a read may take on the event loop.

By the clock, brief reads would count as long ones while the processor is busy.
"""

BRIEF_WAIT_SECONDS = 0.05
"""Seconds that it may take in all, waiting for the disk included."""

LOOK_SECONDS = 0.0025
"""Seconds between two looks at the read that runs."""

IDLE_LOOKS = 400
"""Looks without another read after which nobody looks until the next one."""


class ReadInterrupter:
    """Interrupts the read on the event loop that takes too long, from a thread.

    SQLite would ask by itself at every so many steps. But a step over a large document
    takes a millisecond, and each question waits for the interpreter's lock.
    """

    def __init__(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt
        self._began = 0.0
        self._is_running = False
        # Acquired by whoever ends the read or interrupts it: what runs after it is not
        # interrupted.
        self._ending = threading.Lock()
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False

    def begin(self) -> None:
        """Begin a read that is limited; the event loop calls it."""
        self._began = perf_counter()
        self._is_running = True
        if not self._awake.is_set():
            self._wake()

    def end(self) -> None:
        """End the read: what follows is not limited."""
        with self._ending:
            self._is_running = False

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._awake.set()
        if self._thread is not None:
            self._thread.join()

    def _wake(self) -> None:
        self._awake.set()
        if self._thread is None:
            event_loop = time.pthread_getcpuclockid(threading.get_ident())
            self._thread = threading.Thread(
                target=self._watch, args=(event_loop,), name="brief reads", daemon=True
            )
            self._thread.start()

    def _watch(self, event_loop: int) -> None:
        while not self._closed:
            self._awake.wait()
            self._look_until_idle(event_loop)
            self._awake.clear()
            if self._is_running or self._closed:
                self._awake.set()  # it began a moment ago

    def _look_until_idle(self, event_loop: int) -> None:
        began = 0.0
        busy = 0.0
        idle = 0
        while idle < IDLE_LOOKS and not self._closed:
            time.sleep(LOOK_SECONDS)
            if self._began != began:
                began = self._began
                busy = time.clock_gettime(event_loop)
                idle = 0
            elif not self._is_running:
                idle += 1
            elif (
                time.clock_gettime(event_loop) - busy > BRIEF_SECONDS
                or perf_counter() - began > BRIEF_WAIT_SECONDS
            ):
                self._interrupt_read(began)

    def _interrupt_read(self, began: float) -> None:
        """Interrupt the read that began at a time, unless it has ended."""
        with self._ending:
            if self._is_running and self._began == began:
                self._interrupt()
