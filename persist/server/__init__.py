"""The server: uvicorn as this service runs it, in one process or in several on one
address.

The application puts into the state of its lifespan what the protocol reads there:
``connections`` and ``refused_connections``, the shares of those open in one process,
and ``stopping``, an event that is set when the server begins to stop.
"""

import os
import resource
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

from uvicorn import Config, Server

from persist.server.forked_process import ForkedProcess
from persist.server.protocol import BoundedHttpProtocol
from persist.server.supervisor import Supervisor

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
    return bound


def address(bound: socket.socket) -> str:
    """Return the URL of what listens on a socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    application: object,
    bound: socket.socket,
    *,
    seconds: int,
    log: dict[str, Any],
    announce: Callable[[], None],
) -> bool:
    """Serve an ASGI application in this process until a signal, after which requests in
    progress have ``seconds`` to finish. Return False if it could not start."""
    server = AnnouncingServer(
        configuration(application, seconds=seconds, log=log), announce
    )
    server.run(sockets=[bound])
    return server.started


def serve_in_processes(
    factory: Callable[[], object],
    bound: socket.socket,
    *,
    workers: int,
    seconds: int,
    log: dict[str, Any],
    announce: Callable[[], None],
) -> bool:
    """Serve in several processes, each with an application that ``factory`` returns.
    Return False if one could not start."""
    config = configuration(
        factory, seconds=seconds, log=log, factory=True, workers=workers
    )
    return Supervisor(config, bound, announce).run()


def run_in_process(run: Callable[[], None]) -> int:
    """Run in a process forked from this one. Return its exit status."""
    process = ForkedProcess(run)
    process.join()
    return process.exit_status or 0


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
    """Return uvicorn's configuration. Proxy headers are not trusted. A line in the log
    for each request would cost two thirds of the throughput."""
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
        **more,
    )
