"""The fixtures of snapshots and restores: a service with the shop's collections."""

from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import NewDatabase
from tests.fixtures.database import Database, opened
from tests.fixtures.snapshots import SHOP, Snapshots
from tests.support.server import Server, serving


@pytest.fixture(scope="module")
def url(new_database: NewDatabase) -> str:
    """The URL of an empty database."""
    return new_database()


@pytest.fixture(scope="module")
def server(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service on that database."""
    with serving(url, tmp_path_factory.mktemp("service"), settings=SHOP) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of that service."""
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def snapshots(client: httpx.Client) -> Snapshots:
    """The snapshots of that service."""
    return Snapshots(client)


@pytest.fixture
def stored(url: str) -> Iterator[Database]:
    """The database below the service."""
    with opened(url) as database:
        yield database
