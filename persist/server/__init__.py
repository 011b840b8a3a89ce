"""The server: uvicorn as this service runs it, in one process or in several on one
socket.

The application puts into the state of its lifespan what the protocol reads there:
``connections`` and ``refused_connections``, which may be open in one process, and
``stopping``, an event that is set when the server begins to stop.
"""

import os
import resource
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from persist.server.protocol import BoundedHttpProtocol

IDLE_SECONDS = 30
"""Seconds that a connection without a request stays open."""

OTHER_FILES = 1_000
"""Files that a process has open at most in addition to its connections."""


class CannotListen(Exception):
    """The address cannot be listened on; the message says why."""


class AnnouncingServer(Server):
    """One process that calls ``announce`` once it answers. A signal ends it when the
    requests in progress are done, a second signal ends it at once."""

    def __init__(self, config: Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True


class AnnouncingSupervisor(Multiprocess):
    """Several processes; calls ``announce`` once all of them answer. Signals have the
    same effect as on one process."""

    announced = False

    def __init__(
        self, config: Config, sockets: list[socket.socket], announce: Callable[[], None]
    ) -> None:
        super().__init__(config, sockets)
        self._announce = announce
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._signalled)

    def _signalled(self, number: int, _: FrameType | None) -> None:
        if self.should_exit.is_set():
            for process in self.processes:
                process.process.kill()
            os._exit(128 + number)
        self.should_exit.set()

    def join_all(self) -> None:
        """Wait for each process twice as long as it takes to stop, then kill it: one
        that hangs keeps to no limit of its own."""
        for process in self.processes:
            process.process.join(2 * (self.config.timeout_graceful_shutdown or 0) + 5)
            process.process.kill()

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        if not self.announced and all(process.is_ready() for process in self.processes):
            self.announced = True
            self._announce()

    @property
    def failed(self) -> bool:
        """Whether a process could not start."""
        return any(process.exitcode == STARTUP_FAILURE for process in self.processes)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address; port 0 takes a free one. Raises
    ``CannotListen``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise CannotListen(
            f"cannot listen on {host}:{port}: {error.strerror}"
        ) from None
    bound.set_inheritable(True)
    return bound


def address(bound: socket.socket) -> str:
    """Return the URL of what listens on a socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    application: Any,
    bound: socket.socket,
    *,
    seconds: int,
    log: dict[str, Any],
    announce: Callable[[], None],
) -> bool:
    """Serve an ASGI application in this process until a signal, after which requests in
    progress have ``seconds`` to finish. Return False where it could not start."""
    server = AnnouncingServer(
        configuration(application, seconds=seconds, log=log), announce
    )
    server.run(sockets=[bound])
    return server.started


def serve_in_processes(
    factory: str,
    bound: socket.socket,
    *,
    workers: int,
    seconds: int,
    log: dict[str, Any],
    announce: Callable[[], None],
) -> bool:
    """Serve the application that ``factory`` ("module:function") returns in several
    processes. Return False where one could not start."""
    config = configuration(
        factory, seconds=seconds, log=log, factory=True, workers=workers
    )
    supervisor = AnnouncingSupervisor(config, [bound], announce)
    supervisor.run()
    return not supervisor.failed


def allow_files(connections: int) -> bool:
    """Raise the limit of open files so that a process can have that many connections,
    and as many more to refuse. Return whether the system allows it."""
    wanted = 2 * connections + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        return allowed == wanted
    return True


def configuration(
    application: Any,
    *,
    seconds: int = 10,
    log: dict[str, Any] | None = None,
    **more: Any,
) -> Config:
    """Return how uvicorn serves. Proxy headers are not believed. A line in the log for
    each request would cost two thirds of the throughput."""
    return Config(
        application,
        http=BoundedHttpProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=log,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=seconds,
        timeout_worker_healthcheck=30,
        **more,
    )
