"""Start `persist serve` as its own process, the way a user does, and stop or kill
it."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import httpx

from tests.support import forked, program
from tests.support.bystander import resident_kilobytes
from tests.support.forked import ROOT
from tests.support.ports import free_port

DEPLOYMENT = "tests.deployment"
TIMEOUT_SECONDS = 60.0


class _Patient(httpx.HTTPTransport):
    """Sends a request again that a busy service refused before it stored anything, as
    its `Retry-After` asks: a slow machine is no reason to fail."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            response = super().handle_request(request)
            seconds = response.headers.get("retry-after", "")
            if (
                response.status_code != 503
                or not seconds.isdigit()
                or not isinstance(request.stream, httpx.ByteStream)
                or time.monotonic() > deadline
            ):
                return response
            response.read()  # The connection stays, and with it the process behind it.
            time.sleep(int(seconds))


@dataclass
class Server:
    """A running service: its address, its process group and what it wrote."""

    url: str
    process: forked.Process
    log: Path

    def client(self) -> httpx.Client:
        """A client of its own, for a thread of its own."""
        # Plain HTTP: reading the certificate store would cost each client 25 ms.
        return httpx.Client(base_url=self.url, timeout=TIMEOUT_SECONDS, verify=False)

    def checked_client(self) -> httpx.Client:
        """A client that fails the test on any internal error, and waits as a busy
        service asks."""
        client = httpx.Client(
            base_url=self.url,
            timeout=TIMEOUT_SECONDS,
            transport=_Patient(verify=False),
        )
        client.event_hooks["response"] = [_never_an_internal_error]
        return client

    def is_ready(self) -> bool:
        """Whether it says that it can store and answer."""
        # Asked every 20 ms during a start, for which a new client of httpx is too much.
        connection = HTTPConnection(
            self.url.removeprefix("http://"), timeout=TIMEOUT_SECONDS
        )
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """Kill -9: every process of the service at once, with no chance to tidy up."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(TIMEOUT_SECONDS)

    def stop(self) -> None:
        """Ask the service to end, and insist where it does not."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def resident_kilobytes(self) -> int:
        """The memory of the service's processes."""
        return resident_kilobytes(self.process.pid)


@contextmanager
def serving(
    database_url: str,
    folder: Path,
    *,
    workers: int = 1,
    settings: dict[str, str] | None = None,
    environment: dict[str, str] | None = None,
) -> Iterator[Server]:
    """A service on a free port of 127.0.0.1, stopped afterwards."""
    server = start(
        database_url,
        folder,
        workers=workers,
        settings=settings,
        environment=environment,
    )
    try:
        yield server
    finally:
        server.stop()


def start(
    database_url: str,
    folder: Path,
    *,
    workers: int = 1,
    settings: dict[str, str] | None = None,
    port: int | None = None,
    environment: dict[str, str] | None = None,
) -> Server:
    """Start the service, on a free port unless it is given one, and return when it is
    ready."""
    port = port or free_port()
    log = folder / f"persist-{port}.log"
    given = {
        "DATABASE_URL": database_url,
        "MODELS": DEPLOYMENT,
        "WORKERS": str(workers),
        "PORT": str(port),
    }
    given |= settings or {}
    with log.open("ab") as output:
        process = forked.start(
            ["serve"],
            folder,
            _environment(given) | (environment or {}),
            stdout=output.fileno(),
            stderr=output.fileno(),
        )
    server = Server(f"http://127.0.0.1:{port}", process, log)
    _wait_until_ready(server)
    return server


def run(
    command: list[str], database_url: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run another command of `persist` on the same database to its end."""
    environment = _environment({"DATABASE_URL": database_url, "MODELS": DEPLOYMENT})
    return program.run(command, folder, environment)


def _never_an_internal_error(response: httpx.Response) -> None:
    if response.status_code >= 500 and not response.request.url.path.endswith(
        "/commands/explode"
    ):
        response.read()
        raise AssertionError(
            f"{response.request.method} {response.request.url}: {response.text}"
        )


def _environment(settings: dict[str, str]) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PERSIST_")
    }
    named = {f"PERSIST_{name}": value for name, value in settings.items()}
    return inherited | named | {"PYTHONPATH": str(ROOT)}


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        if server.is_ready():
            return
        time.sleep(0.02)
    if server.process.poll() is None:
        server.kill()
    raise RuntimeError(
        f"the service did not start:\n{server.log.read_text(errors='replace')[-3000:]}"
    )
