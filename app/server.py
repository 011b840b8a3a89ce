"""Server: uvicorn as this service runs it, in one process or several on one socket."""

import contextlib
import socket
from asyncio import TimerHandle, Transport
from collections.abc import Callable
from typing import Any

from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

LARGEST_HEAD = 65_536
HEAD_SECONDS = 10.0
IDLE_SECONDS = 30
GRACE_SECONDS = 10


class CannotListen(Exception):
    """The address cannot be listened on; the message says why."""


class BoundedHead(HttpToolsProtocol):
    """HTTP/1.1 with a bound on the size and the time of a request's head; uvicorn has neither.

    A head that is too large or too slow ends the connection, as does one that never begins.
    """

    _open = False
    _size = 0
    _timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        begun = self._open
        super().data_received(data)
        if self._open:
            self._wait_for_more(len(data) if begun else 0)

    def on_message_begin(self) -> None:
        self._open, self._size = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._open = False
        if self._timer is not None:
            self._stop_timer()
        super().on_headers_complete()

    def _wait_for_more(self, received: int) -> None:
        self._size += received
        if self._size > LARGEST_HEAD:
            self.send_400_response("The head of the request is larger than 64 KiB.")
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class AnnouncingServer(Server):
    """One process that calls ``announce`` once it answers."""

    def __init__(self, config: Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()


class AnnouncingSupervisor(Multiprocess):
    """Several processes; calls ``announce`` once all of them answer."""

    announced = False

    def __init__(self, config: Config, sockets: list[socket.socket], announce: Callable[[], None]) -> None:
        super().__init__(config, sockets)
        self._announce = announce

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
    """A socket bound to the address, port 0 a free one. Raises ``CannotListen``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror}") from None
    bound.set_inheritable(True)
    return bound


def address(bound: socket.socket) -> str:
    """The URL of what listens on the socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    application: Any, bound: socket.socket, *, log: dict[str, Any], announce: Callable[[], None]
) -> bool:
    """Serve an ASGI application in this process until a signal; False where it could not start."""
    server = AnnouncingServer(configuration(application, log=log), announce)
    # Uvicorn raises a signal again once it has shut down; Ctrl+C is no reason for a traceback.
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[bound])
    return server.started


def serve_in_processes(
    factory: str, bound: socket.socket, *, workers: int, log: dict[str, Any], announce: Callable[[], None]
) -> bool:
    """Serve what ``factory`` ("module:function") makes in several processes; False where one could not."""
    config = configuration(factory, log=log, factory=True, workers=workers)
    supervisor = AnnouncingSupervisor(config, [bound], announce)
    supervisor.run()
    return not supervisor.failed


def configuration(application: Any, *, log: dict[str, Any] | None = None, **more: Any) -> Config:
    """How uvicorn serves: proxy headers are not believed, and a line in the log for each request
    would cost two thirds of the throughput."""
    return Config(
        application,
        http=BoundedHead,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=log,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_worker_healthcheck=30,
        **more,
    )
