"""A process forked from this one, which ends when this one is killed."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from threading import Thread

_FORK = multiprocessing.get_context("fork")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_open_ends: set[Connection] = set()
"""The connections of this process to those that it has forked."""


class ForkedProcess:
    """Runs ``run`` in a process, and asks it for ``state`` over a connection.

    The signals that end a process have their default effect until ``run`` sets another.
    """

    def __init__(
        self, run: Callable[[], None], state: Callable[[], bool] = lambda: True
    ) -> None:
        self._connection, other_end = _FORK.Pipe()
        _open_ends.add(self._connection)
        self._process = _FORK.Process(target=_run, args=(run, state, other_end))
        with _signals_blocked():
            self._process.start()
        other_end.close()

    @property
    def pid(self) -> int | None:
        """The process id."""
        return self._process.pid

    @property
    def sentinel(self) -> int:
        """What is ready when the process has ended."""
        return self._process.sentinel

    @property
    def exit_status(self) -> int | None:
        """The exit status, None while the process runs; the number of the signal that
        ended it is negative."""
        status = self._process.exitcode
        if status is not None:
            self._close()
        return status

    def ask(self) -> None:
        """Ask for the state."""
        with suppress(BrokenPipeError):  # it is ending
            self._connection.send_bytes(b"?")

    def answer(self) -> bool | None:
        """Return the state, None while there is no answer."""
        try:
            return bool(self._connection.recv()) if self._connection.poll() else None
        except (EOFError, ConnectionResetError):  # it is ending
            return None

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def join(self, seconds: float | None = None) -> None:
        """Wait until the process has ended."""
        self._process.join(seconds)

    def _close(self) -> None:
        self._connection.close()
        _open_ends.discard(self._connection)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Keep signals from a forked process while it has the handlers of this one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(
    run: Callable[[], None], state: Callable[[], bool], connection: Connection
) -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    # A process sees the end of its parent only if no sibling keeps the other end open.
    for each in _open_ends:
        each.close()
    Thread(target=_answer, args=(state, connection), daemon=True).start()
    run()


def _answer(state: Callable[[], bool], connection: Connection) -> None:
    with suppress(EOFError, OSError):
        while connection.recv_bytes():
            connection.send(state())
    os.kill(os.getpid(), signal.SIGTERM)
