"""What a request had in memory is released with it, and not by the garbage collector,
which looks at all objects rarely."""

import gc
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import httpx
import pytest

from persist import server
from persist.application import create_app
from persist.settings import Settings

JSON_PATCH = {"content-type": "application/json-patch+json"}
NDJSON = {"content-type": "application/x-ndjson"}
FAILING_TEST = [{"op": "test", "path": "/n", "value": 2}]
LARGE = {"n": "x", "s": "x" * 20_000}
TRANSACTION = {"operations": [{"op": "create", "collection": "notes", "data": LARGE}]}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a service in this process."""
    folder = tmp_path_factory.mktemp("garbage")
    settings = Settings(
        database_url=f"sqlite:///{folder}/records.db",
        models="tests.deployment",
        schemas=str(folder),
    )
    socket = str(folder / "socket")
    started = threading.Event()
    app = create_app(settings, private=True)
    configuration = server.configuration(app, uds=socket)
    running = server.AnnouncingServer(configuration, started.set)
    thread = threading.Thread(target=running.run)
    thread.start()
    started.wait()
    transport = httpx.HTTPTransport(uds=socket)
    with httpx.Client(transport=transport, base_url="http://localhost") as found:
        definition = {"schema": {"properties": {"n": {"type": "integer"}}}}
        made = found.put("/entity-types/notes", json=definition)
        assert made.status_code == 201, made.text
        yield found
    running.should_exit = True
    thread.join()


@contextmanager
def collected() -> Iterator[Counter[str]]:
    """Count the frames and objects of the service that only the garbage collector
    releases after a block."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.update(filter(None, map(name_in_service, gc.garbage)))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def name_in_service(found: object) -> str:
    """Return the name of a frame or of a type of the service, nothing for others."""
    if isinstance(found, FrameType):
        return found.f_code.co_name if "/persist/" in found.f_code.co_filename else ""
    kind = type(found)
    return kind.__name__ if kind.__module__.startswith("persist.") else ""


@pytest.mark.parametrize(
    ("status", "method", "path", "more"),
    [
        (422, "POST", "/api/notes", {"json": LARGE}),
        (
            422,
            "POST",
            "/api/notes",
            {"json": LARGE, "headers": {"idempotency-key": "k"}},
        ),
        (409, "PATCH", "", {"json": FAILING_TEST, "headers": JSON_PATCH}),
        (412, "PUT", "", {"json": {"n": 2}, "headers": {"if-match": '"7"'}}),
        (422, "POST", "/api/notes/import", {"json": LARGE, "headers": NDJSON}),
        (422, "POST", "/transactions", {"json": TRANSACTION}),
        (422, "POST", "/api/samples", {"json": {"tags": [1] * 2_000}}),
        (404, "GET", "/entity-types/none", {}),
    ],
    ids=[
        "422",
        "422 under a key",
        "409",
        "412",
        "import",
        "transaction",
        "many faults of a class",
        "404",
    ],
)
def test_a_refused_request_leaves_nothing_to_the_garbage_collector(
    client: httpx.Client, status: int, method: str, path: str, more: dict[str, Any]
) -> None:
    made = client.post("/api/notes", json={"n": 1}).json()
    with collected() as found:
        for _ in range(5):
            answer = client.request(method, path or f"/api/notes/{made['id']}", **more)
            assert answer.status_code == status, answer.text
            del answer
    assert not found
