"""LocalService: the service in a thread of this process, for one command.

It listens on a Unix socket in a folder that only this user can open, so it needs
neither a port nor a key.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, Self

import httpx

from persist import server
from persist.cli import preflight
from persist.cli.temporary_folder import temporary_folder
from persist.client import Client
from persist.settings import Settings

BASE_URL = "http://localhost"
"""What requests name as the host. The socket decides where they go."""

NO_IMPORT_LIMIT_BYTES = 2**62


class CannotStart(Exception):
    """The service ended before it answered. Its log has the reason."""


class LocalService:
    """A service that only this process uses, within a ``with`` block.

    SIGTERM ends the block like any other exit, so that the service stops in order.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = ExitStack()
        folder = self._stack.enter_context(temporary_folder())
        self._socket = Path(folder) / "socket"
        self._server: server.AnnouncingServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._handler = signal.signal(signal.SIGTERM, _exit_on_signal)
        try:
            self.start()
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self._clean_up()

    def start(self) -> None:
        """Start the service and return when it answers.

        Raise ``NotReady`` and ``CannotStart``.
        """
        application = preflight.application(self._settings, private=True)
        settled = threading.Event()
        configuration = server.configuration(
            application,
            seconds=self._settings.shutdown_seconds,
            uds=str(self._socket),
        )
        self._server = server.AnnouncingServer(configuration, settled.set)
        self._thread = threading.Thread(
            target=_run, args=(self._server, settled), name="service", daemon=True
        )
        self._thread.start()
        settled.wait()
        if not self._server.started:
            raise CannotStart("the service did not start")

    def stop(self) -> None:
        """Stop the service when the requests in progress are done."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
        self._server = None

    def restart(self) -> None:
        """Stop the service and start it on what it stored."""
        self.stop()
        self.start()

    def client(self, timeout_seconds: float | None = None) -> Client:
        """Return a client of the service, whose answers may take any time."""
        transport = httpx.HTTPTransport(uds=str(self._socket))
        http = httpx.Client(transport=transport, timeout=timeout_seconds)
        return Client(BASE_URL, http=http)

    def _clean_up(self) -> None:
        self._stack.close()
        signal.signal(signal.SIGTERM, self._handler)


@contextmanager
def passive_service(settings: Settings) -> Iterator[LocalService]:
    """Run a service on the database of ``settings`` that only answers requests.

    It neither migrates, registers definition files nor takes snapshots.
    Raise ``NotReady`` and ``CannotStart``.
    """
    with temporary_folder() as no_definitions:
        chosen = {
            "host": "127.0.0.1",
            "workers": 1,
            "auto_migrate": False,
            "schemas": no_definitions,
            "snapshot_every": 0,
            "max_import_bytes": NO_IMPORT_LIMIT_BYTES,
        }
        with LocalService(settings.model_copy(update=chosen)) as service:
            yield service


def _run(service: server.AnnouncingServer, settled: threading.Event) -> None:
    try:
        service.run()
    except SystemExit:
        pass  # uvicorn's answer to a start that fails, which it has logged
    finally:
        settled.set()


def _exit_on_signal(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
