"""Turnstile: processes that write to one SQLite file take turns.

SQLite's own busy handler sleeps up to 100 ms while the process that holds the lock
takes it again. Here a process that waits holds the entrance, and the one that has just
written has to queue behind it. The kernel wakes waiters in order and at once.
"""

import fcntl
import os
import threading
from pathlib import Path


class Turnstile:
    """Two lock files next to the database: the entrance, and the room of one writer.

    A block waits for this process's turn and keeps it.

    Waiting has no bound here. Whoever waits for the outcome is refused in time by
    ``storage.worker``, and the kernel releases the locks of a process that ends.
    """

    def __init__(self, database: Path) -> None:
        self._entrance_path = database.with_name(f"{database.name}-entrance")
        self._room_path = database.with_name(f"{database.name}-turn")
        self._entrance = self._room = -1
        self._threads = threading.Lock()

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            self._enter_room()
        except BaseException:
            self._threads.release()
            raise

    def _enter_room(self) -> None:
        if self._room < 0:
            self._entrance = _open(self._entrance_path)
            self._room = _open(self._room_path)
        fcntl.flock(self._entrance, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._room, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._entrance, fcntl.LOCK_UN)

    def __exit__(self, *_: object) -> None:
        try:
            fcntl.flock(self._room, fcntl.LOCK_UN)
        finally:
            self._threads.release()


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
