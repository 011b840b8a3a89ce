"""One service that demands keys, for all attacks of a run."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from persist.domain.access import scope_of
from persist.storage.access.keys import Keys
from persist.storage.dialect import dialect_of
from tests.conftest import NewDatabase
from tests.contract.test_keys import EVERYWHERE, bearer, becomes
from tests.support.server import Server, serving
from tests.support.watchdog import unharmed

SETTINGS = {
    "BODY_TIMEOUT_SECONDS": "1",
    "MAX_READ_SECONDS": "2",
    "MAX_REQUESTS": "100",
    "MAX_RESPONSES_BYTES": "40000000",
    "MAX_SPOOLED_BYTES": "80000000",
}
DEFINITION = {
    "schema": {
        "type": "object",
        "properties": {
            "s": {"type": "string"},
            "n": {"type": "integer"},
            "l": {"type": "array"},
        },
    }
}


@dataclass
class Target:
    """A service under attack. ``victim`` is a record that another client reads."""

    server: Server
    database: str
    database_url: str
    keys: dict[str, str]
    victim: str

    @property
    def url(self) -> str:
        return self.server.url

    def client(self, key: str = "admin") -> httpx.Client:
        client = self.server.client()
        client.headers.update(bearer(self.keys[key]))
        return client

    def unharmed(self, kilobytes: int | None = None) -> AbstractContextManager[None]:
        """Watch the read of the victim during a block."""
        headers = bearer(self.keys["bystander"])
        return unharmed(self.server, self.victim, headers, kilobytes)


@pytest.fixture(scope="session")
def target(
    database: str, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    url = new_database()
    stored = Keys(dialect_of(url))
    folder = tmp_path_factory.mktemp("hostile")
    with serving(url, folder, settings=EVERYWHERE | SETTINGS) as server:
        scopes: dict[str, list[str]] = {
            "admin": ["*:admin"],
            "bystander": ["plain:read"],
            "reader": ["plain:read", "large:read"],
            "writer": ["plain:write", "large:write"],
        }
        keys = {
            name: stored.create(name, map(scope_of, asked)).secret
            for name, asked in scopes.items()
        }
        becomes({200}, server, keys["admin"])
        found = Target(server, database, url, keys, "")
        with found.client() as admin:
            for name in ("plain", "large"):
                made = admin.put(f"/entity-types/{name}", json=DEFINITION)
                assert made.status_code == 201, made.text
            found.victim = f"/api/plain/{created(admin, 'plain', {'n': 1})}"
        yield found


def created(client: httpx.Client, collection: str, data: Any) -> str:
    """Return the id of a new record."""
    response = client.post(f"/api/{collection}", json=data)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])
