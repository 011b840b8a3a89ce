"""The supervisor of several processes that serve on one address.

Each process has its own socket, so that the kernel spreads connections over them
and keeps none for a process that has ended. They are forked from the supervisor, which
has imported the engine and none of the deployment's modules: what those start or open
when they are imported would not work in a forked process.
"""

import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from types import FrameType

from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE

from persist.server.forked_process import ForkedProcess

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""Seconds between two looks at the processes."""

SILENT_SECONDS = 30.0
"""Seconds without an answer after which a process is killed."""

FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 15.0
"""Seconds until a process that could not start is started again."""


class Worker:
    """One of the processes, which is started again when it ends."""

    def __init__(self, config: Config, bound: socket.socket) -> None:
        self.has_started = False
        self._config = config
        self._bound = bound
        self._pause = 0.0
        self._start_at = 0.0
        self.start()

    def start(self) -> None:
        """Start the process."""
        listener = _listener_on_address_of(self._bound)
        server = Server(self._config)

        def serve() -> None:
            self._bound.close()
            server.run([listener])

        self._process = ForkedProcess(serve, state=lambda: server.started)
        # Only the process has it, so that it ends with the process.
        listener.close()
        self.has_started = False
        self._is_stopping = False
        self._asked_at: float | None = None

    @property
    def sentinel(self) -> int:
        """What is ready when the process has ended."""
        return self._process.sentinel

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.exit_status is not None

    @property
    def cannot_start(self) -> bool:
        """Whether the application refused to start."""
        return self._process.exit_status == STARTUP_FAILURE

    def look(self) -> None:
        """Ask the process whether it has started; kill it if it does not answer."""
        now = time.monotonic()
        answer = self._process.answer()
        if answer is not None:
            self.has_started = answer
            self._asked_at = None
        if self._asked_at is None:
            self._process.ask()
            self._asked_at = now
        if now - self._asked_at > SILENT_SECONDS:
            logger.error("process %s does not answer; it is killed", self._process.pid)
            self._process.kill()

    def start_again(self) -> None:
        """Start the process, after a pause that grows while it cannot start."""
        now = time.monotonic()
        if not self._start_at:
            growing = min(2 * self._pause, MAX_PAUSE_SECONDS) or FIRST_PAUSE_SECONDS
            self._pause = 0.0 if self.has_started else growing
            self._start_at = now + self._pause
            logger.error(
                "process %s ended with status %s; another is started in %g s",
                self._process.pid,
                self._process.exit_status,
                self._pause,
            )
        if now >= self._start_at:
            self._start_at = 0.0
            self.start()

    def stop(self) -> None:
        """Ask the process to end, once: a second signal would end it at once."""
        if self._is_stopping or self.has_ended:
            return
        self._is_stopping = True
        self._process.terminate()

    def kill(self, after: float = 0.0) -> None:
        """Kill the process unless it ends within some seconds."""
        self._process.join(after)
        self._process.kill()


class Supervisor:
    """Runs processes until a signal, and calls ``announce`` once all of them answer.

    One that cannot start ends the service only before that: later the database may be
    away, and the others answer. Signals have the same effect as on one process.
    """

    def __init__(
        self, config: Config, bound: socket.socket, announce: Callable[[], None]
    ) -> None:
        self._config = config
        self._bound = bound
        self._announce = announce
        self._workers: list[Worker] = []
        self._is_announced = False
        self._is_stopping = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._signalled)

    def run(self) -> bool:
        """Serve, and return whether all processes could start."""
        self._bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # A collection in a process would write to the pages that it shares.
        gc.collect()
        gc.freeze()
        for _ in range(self._config.workers):
            self._workers.append(Worker(self._config, self._bound))
        while not self._is_stopping:
            self._look()
            if self._is_failed():
                break
            running = [each.sentinel for each in self._workers if not each.has_ended]
            wait(running, LOOK_SECONDS)
        for worker in self._workers:
            worker.stop()
        # A worker that hangs ignores its own limit.
        seconds = 2 * (self._config.timeout_graceful_shutdown or 0) + 5
        for worker in self._workers:
            worker.kill(after=seconds)
        return not self._is_failed()

    def _look(self) -> None:
        for worker in self._workers:
            if not worker.has_ended:
                worker.look()
            elif self._is_announced or not worker.cannot_start:
                worker.start_again()
        if not self._is_announced and all(each.has_started for each in self._workers):
            self._is_announced = True
            self._announce()

    def _is_failed(self) -> bool:
        """Return whether a process could not start when the service began."""
        if self._is_announced:
            return False
        return any(worker.cannot_start for worker in self._workers)

    def _signalled(self, number: int, _: FrameType | None) -> None:
        if self._is_stopping:
            for worker in self._workers:
                worker.kill()
            os._exit(128 + number)
        self._is_stopping = True
        for worker in self._workers:
            worker.stop()


def _listener_on_address_of(bound: socket.socket) -> socket.socket:
    """Return a socket that is bound to the same address.

    ``bound`` keeps the address and never listens.
    """
    listener = socket.socket(bound.family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(bound.getsockname())
    return listener
