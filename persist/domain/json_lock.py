"""The lock around long calls that parse or write JSON: calls in C that keep the
interpreter's lock for many milliseconds.

Any waiting thread may get the interpreter's lock next. If several threads made long
calls, the event loop, and all requests with it, could wait for one after the other. So
one thread at a time makes a long call, and lets others run afterwards.
"""

import threading
import time

LONG_CHARACTERS = 65_536
"""Characters of JSON from which parsing or writing it is a long call."""

LONG_SECONDS = 0.002
"""Seconds of a call after which others run first."""

PAUSE_SECONDS = 0.0005


class JsonLock:
    """A block during which no other thread makes a long call.

    The main thread, in which the event loop runs, never waits for it.
    """

    def __init__(self) -> None:
        self._turn = threading.RLock()
        self._began = 0.0

    def __enter__(self) -> None:
        if not _is_main():
            self._turn.acquire()
            self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        if _is_main():
            return
        try:
            if time.perf_counter() - self._began > LONG_SECONDS:
                time.sleep(PAUSE_SECONDS)
        finally:
            self._turn.release()


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


JSON_LOCK = JsonLock()
