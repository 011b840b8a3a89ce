"""Turnstile: processes that write to one SQLite file take turns.

SQLite's own busy handler sleeps up to 100 ms while the process that holds the lock
takes it again. Here the next process waits with the lock of the entrance, and the one
that has just written queues behind it. The kernel wakes waiters in order and at once.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Turnstile:
    """Two lock files next to the database: the entrance and the turn.

    A process locks the entrance while it waits for the turn, and the turn while it
    writes.

    A block waits for this process's turn and keeps it.

    Waiting has no bound here: ``storage.writes.batch_worker`` refuses the callers in
    time, and the kernel releases the locks of a process that ends.
    """

    def __init__(self, database: Path) -> None:
        self._entrance_path = database.with_name(f"{database.name}-entrance")
        self._turn_path = database.with_name(f"{database.name}-turn")
        self._entrance = self._turn = -1
        # Threads of one process take turns in the same way.
        self._thread_entrance = threading.Lock()
        self._thread_turn = threading.Lock()

    def __enter__(self) -> None:
        # flock belongs to the open file, which all threads of the process share.
        with self._thread_entrance:
            self._thread_turn.acquire()
        try:
            self._take_turn()
        except BaseException:
            self._thread_turn.release()
            raise

    def _take_turn(self) -> None:
        is_first = self._turn < 0
        if is_first:
            self._entrance = _open(self._entrance_path)
            self._turn = _open(self._turn_path)
        fcntl.flock(self._entrance, fcntl.LOCK_EX)
        try:
            # With the lock of the entrance, so that whoever has just written waits
            # behind.
            fcntl.flock(self._turn, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._entrance, fcntl.LOCK_UN)
        if is_first:
            # A process that was killed may have left the mark of a long turn.
            os.ftruncate(self._turn, 0)

    def __exit__(self, *_: object) -> None:
        try:
            fcntl.flock(self._turn, fcntl.LOCK_UN)
        finally:
            self._thread_turn.release()

    @contextmanager
    def long_turn(self) -> Iterator[None]:
        """Wait for a turn that others see to be long: the file of the turn has a
        byte."""
        with self:
            os.ftruncate(self._turn, 1)
            try:
                yield
            finally:
                os.ftruncate(self._turn, 0)

    def long_turn_runs(self) -> bool:
        """Return whether a long turn keeps others waiting."""
        # Nearly always: no lock is needed for that.
        if not self._turn_path.exists() or not self._turn_path.stat().st_size:
            return False
        with self._turn_path.open("rb") as turn:
            try:
                fcntl.flock(turn, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False  # its process was killed


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[None]:
    """Keep a lock file locked for a block. The kernel releases it if the process
    ends.

    Without ``wait``, raises ``BlockingIOError`` if another has it.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    file = _open(path)
    try:
        fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)
        yield
    finally:
        os.close(file)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
