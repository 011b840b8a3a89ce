"""Server: uvicorn as this service runs it, in one process or several on one socket.

What an application puts into the state of its lifespan: ``connections``, how many may
be open in one process, and ``stopping``, an event that is set when the server begins to
stop.
"""

import math
import os
import resource
import signal
import socket
from asyncio import TimerHandle, Transport
from collections.abc import Callable
from types import FrameType
from typing import Any

from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

LARGEST_HEAD = 65_536
HEAD_SECONDS = 10.0
IDLE_SECONDS = 30
STALLED_SECONDS = 10.0
OTHER_FILES = 1_000
"""Files a process has open beside its connections, at the most."""


class CannotListen(Exception):
    """The address cannot be listened on; the message says why."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 with a bound on the size and the time of a request's head, and on the
    time in which a client takes nothing of its answer; uvicorn has none of them.

    A head that is too large or too slow ends the connection, as does one that never
    begins. On a connection too many one request is answered, with ``crowded`` in its
    state; twice as many are too many to be answered.
    """

    _crowded = False
    _open = False
    _size = 0
    _timer: TimerHandle | None = None
    _unsent = 0
    _stall_timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_SECONDS, transport.close)
        most = self.app_state.get("connections", math.inf)
        self._crowded = len(self.connections) > most
        if len(self.connections) > 2 * most:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_stall_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        begun = self._open
        super().data_received(data)
        if self._open:
            self._wait_for_more(len(data) if begun else 0)

    def on_message_begin(self) -> None:
        self._open, self._size = True, 0
        super().on_message_begin()
        if self._crowded:
            self.scope["state"]["crowded"] = True

    def on_headers_complete(self) -> None:
        self._open = False
        if self._timer is not None:
            self._stop_timer()
        super().on_headers_complete()
        if self._crowded:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        if (stopping := self.app_state.get("stopping")) is not None:
            stopping.set()
        super().shutdown()

    def _wait_for_more(self, received: int) -> None:
        self._size += received
        if self._size > LARGEST_HEAD:
            self.send_400_response("The head of the request is larger than 64 KiB.")
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_unsent()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_stall_timer()

    def _watch_unsent(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        self._stall_timer = self.loop.call_later(STALLED_SECONDS, self._end_if_stalled)

    def _end_if_stalled(self) -> None:
        if self.transport.get_write_buffer_size() < self._unsent:
            self._watch_unsent()
        else:
            self.transport.abort()

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class AnnouncingServer(Server):
    """One process that calls ``announce`` once it answers. A signal ends it when what
    is in progress is done, another one at once."""

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
    """Several processes; calls ``announce`` once all of them answer. Signals as
    above."""

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
        """Wait for each twice its grace, which it keeps to as long as it does anything
        at all."""
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
    """A socket bound to the address, port 0 a free one. Raises ``CannotListen``."""
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
    """The URL of what listens on the socket."""
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
    """Serve an ASGI application in this process until a signal, and for ``seconds``
    longer what is in progress then; False where it could not start."""
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
    """Serve what ``factory`` ("module:function") makes in several processes; False
    where one could not."""
    config = configuration(
        factory, seconds=seconds, log=log, factory=True, workers=workers
    )
    supervisor = AnnouncingSupervisor(config, [bound], announce)
    supervisor.run()
    return not supervisor.failed


def allow_files(connections: int) -> bool:
    """Let each process have that many connections open at once, and as many more to
    refuse; whether the system does."""
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
    """How uvicorn serves: proxy headers are not believed, and a line in the log for
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
