"""Many registered types: a restart finds them all, and nobody waits for them (contract
6)."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.support.collection import Collection
from tests.support.neighbour import Reader
from tests.support.registered import AUDIT_EVENT, an_empty_database, registered
from tests.support.server import start

INDEXES = [["source"], ["payload.user_id", "event_name"]]


@pytest.mark.parametrize("types", [40, pytest.param(1_000, marks=pytest.mark.slow)])
def test_many_types_are_found_again_and_cost_others_little(
    request: pytest.FixtureRequest, database: str, tmp_path: Path, types: int
) -> None:
    url = an_empty_database(request, database, tmp_path)
    server = start(url, tmp_path)
    with server.client() as client:
        register(client, 0)
        before = server.resident_kilobytes()
        for number in range(1, types):
            register(client, number)
    server.stop()
    server = start(url, tmp_path)  # within the time any start has
    try:
        assert (server.resident_kilobytes() - before) / types < 500
        reader = Reader(server)
        reader.assert_never_waits(lambda: every_path(server.client, types))
        with server.client() as client:
            for number in (0, types - 1):
                Collection(client, f"events-{number}").created(event_name="user.login")
        reader.close()
    finally:
        server.stop()


def register(client: httpx.Client, number: int) -> None:
    registered(client, f"events-{number}", AUDIT_EVENT, indexes=INDEXES)


def every_path(connect: Callable[[], httpx.Client], types: int) -> None:
    with connect() as client:
        client.timeout = httpx.Timeout(120)
        register(client, types)  # the document has to be built again
        paths = client.get("/openapi.json").json()["paths"]
        assert (
            sum(
                path.count("/") == 2 and path.startswith("/api/events-")
                for path in paths
            )
            == types + 1
        )
        assert client.delete(f"/entity-types/events-{types}").status_code == 204
