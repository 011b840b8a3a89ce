"""The contract suite's fixtures: every test that asks for a service runs once on each
database."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.collection import Collection
from tests.support.postgres import create_database, postgres_server
from tests.support.server import Server, serving
from tests.support.twins import named, register_twins
from tests.support.typescript import built

NewDatabase = Callable[[], str]

SETTINGS = {"BODY_TIMEOUT_SECONDS": "1"}

MEMORY = Path("/dev/shm")
NEEDED_MEMORY = 4 << 30


@dataclass(frozen=True)
class Service:
    """A live service and a client of it."""

    server: Server
    client: httpx.Client
    database: str

    @property
    def url(self) -> str:
        return self.server.url


def pytest_configure() -> None:
    """Keep temporary files in memory where there is room: most of them are databases
    whose every commit would wait for the disk. `TMPDIR` overrides it."""
    if "TMPDIR" in os.environ or not MEMORY.is_dir():
        return
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= NEEDED_MEMORY:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what tests reported of themselves, such as the rules of a state machine."""
    for report in terminalreporter.getreports(""):
        for name, text in getattr(report, "user_properties", ()):
            if report.when == "teardown":
                terminalreporter.write_line(f"{report.nodeid}: {name}: {text}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real PostgreSQL, one for the whole run."""
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """The name of the database everything below stands on."""
    name: str = request.param
    return name


@pytest.fixture(scope="module", params=["typed", "registered"])
def kind(request: pytest.FixtureRequest) -> str:
    """Where the entity types under test come from; clients see no difference."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def workspace(database: str, kind: str) -> str | None:
    """Where the records under test are: of any two of database, kind and workspace,
    every pair is run."""
    return None if (database == "sqlite") == (kind == "typed") else "den"


@pytest.fixture(scope="session")
def new_database(
    request: pytest.FixtureRequest,
    database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> NewDatabase:
    """Makes a fresh, empty database and gives its URL."""
    if database == "sqlite":
        return lambda: f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/persist.db"
    server: str = request.getfixturevalue("postgres")
    return lambda: create_database(server)


@pytest.fixture(scope="session")
def service(
    database: str, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The service all tests share; they keep apart by ids and by a marker of their
    own."""
    url = new_database()
    folder = tmp_path_factory.mktemp("service")
    with (
        serving(url, folder, settings=SETTINGS) as server,
        server.checked_client() as client,
    ):
        register_twins(client)
        collections = [
            collection["name"]
            for collection in client.get("/collections").json()["items"]
        ]
        client.put(
            "/workspaces/den", json={"collections": collections}
        ).raise_for_status()
        yield Service(server, client, database)


@pytest.fixture(scope="session")
def client(service: Service) -> httpx.Client:
    """A client that fails the test on any internal error."""
    return service.client


@pytest.fixture(scope="session")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the client for TypeScript and its tests, built."""
    return built(tmp_path_factory)


@pytest.fixture
def marker() -> str:
    """Text no other test uses: tests share tables and keep apart by it."""
    return uuid.uuid4().hex


@pytest.fixture
def record_id() -> str:
    """An id no record has."""
    return str(uuid.uuid4())


@pytest.fixture(scope="module")
def samples(client: httpx.Client, kind: str, workspace: str | None) -> Collection:
    return Collection(client, named("samples", kind), workspace)


@pytest.fixture(scope="module")
def counters(client: httpx.Client, kind: str, workspace: str | None) -> Collection:
    return Collection(client, named("counters", kind), workspace)


@pytest.fixture(scope="module")
def tickets(client: httpx.Client, kind: str, workspace: str | None) -> Collection:
    return Collection(client, named("tickets", kind), workspace)


@pytest.fixture(scope="module")
def accounts(client: httpx.Client, kind: str, workspace: str | None) -> Collection:
    return Collection(client, named("accounts", kind), workspace)


@pytest.fixture(scope="module")
def measures(client: httpx.Client, kind: str, workspace: str | None) -> Collection:
    return Collection(client, named("measures", kind), workspace)


@pytest.fixture(scope="module")
def oddities(client: httpx.Client, kind: str, workspace: str | None) -> Collection:
    return Collection(client, named("oddities", kind), workspace)
