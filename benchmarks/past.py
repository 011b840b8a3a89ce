"""The past: reads of an earlier moment, undo, seals and their verification."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from benchmarks.databases import on_the_server_core
from benchmarks.load import Measurement, Request, hammer
from benchmarks.peers import PERSIST, Server, ndjson, post_lines, serving
from persist.domain.canonical_json import json_sha256
from persist.domain.seal import MAX_SEAL_CHANGES, leaf_hash, merkle_root
from persist.storage.dialect import dialect_of
from persist.storage.journal.verify import verify_journal

CHANGES = 10
"""Changes of each record, its creation included."""

SEVERITIES = 40
"""Different values of the severity of tickets."""

FEW = 4
"""Of them, those whose tickets are a tenth of all."""

REPEATS = 9
"""Times that a single request is timed."""

UNDOS = 5
"""Times that a tenth of the records is changed and the change undone."""

IMPORTED = 20_000
PAGE_RECORDS = 500
SECONDS = 4
LEAF_SECONDS = 1.0
TIMEOUT_SECONDS = 600

CREATE = Request(
    "POST",
    "/api/{collection}",
    '{"title":"Fault %d","severity":%d,"acknowledged":false,"migration_note":null}',
)
GET = "/api/{collection}/{id}"
DATA = {
    "title": "Fault 123456",
    "severity": 40,
    "acknowledged": False,
    "migration_note": None,
}

Rates = Iterator[tuple[str, Measurement]]


def past(
    make: Callable[[], str], folder: Path, tickets: Iterator[dict[str, Any]]
) -> Rates:
    """Rates of each way, and what they must reach. ``make`` gives the URL of a new,
    empty database."""
    url = make()
    with serving(PERSIST, url, folder, tickets) as server:
        with httpx.Client(base_url=server.url, timeout=TIMEOUT_SECONDS) as client:
            yield from _reads(server, client)
            yield from _undo(client)
        create = hammer(server, CREATE, SECONDS)
        import_cpu = _import_cpu(server)
    yield "leaf and seal", _once_in(_leaf_seconds())
    yield "4 µs", _once_in(4e-6)
    yield "5 % of a create", _once_in(create.cpu * 1e-6 * 0.05)
    yield "15 % of an import", _once_in(import_cpu * 0.15)
    changes, seconds = _verified(url)
    yield "verify", Measurement(changes / seconds)
    yield "80,000 changes/s", Measurement(80_000)


def _once_in(seconds: float) -> Measurement:
    return Measurement(1 / seconds)


def _import_cpu(server: Server) -> float:
    """Seconds of the processor that an import takes for each of its records."""
    lines = ndjson([DATA] * IMPORTED)
    before = server.cpu_seconds()
    imported = post_lines(server, server.peer.collection, lines)
    return (server.cpu_seconds() - before) / imported


def _leaf_seconds() -> float:
    """Seconds that the leaf of a create takes: the hash of the data, and its share of a
    full seal."""
    made = 0
    started = time.perf_counter()
    with on_the_server_core():
        while (taken := time.perf_counter() - started) < LEAF_SECONDS:
            merkle_root([_leaf_hash() for _ in range(MAX_SEAL_CHANGES)])
            made += MAX_SEAL_CHANGES
    return taken / made


def _leaf_hash() -> bytes:
    record_id = "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70"
    at = "2026-11-22T17:00:00.123456Z"
    record = (at, "", "ops-tickets", record_id, 1, 2)
    return leaf_hash(
        (*record, "create", None, "ci", record_id, None, json_sha256(DATA))
    )


def _reads(server: Server, client: httpx.Client) -> Rates:
    path = f"/api/{server.peer.collection}"
    then = 0
    for number in range(1, CHANGES):
        if number == CHANGES // 2:
            then = client.get("/changes/head").json()["seq"]
        for least in range(10, 10 + SEVERITIES, FEW):
            _invoke(client, path, least, f"Change {number}")
    as_of = {"as_of": str(then)}
    yield "get", hammer(server, Request("GET", GET), SECONDS)
    past_get = Request("GET", f"{GET}?as_of={then}")
    yield "get as_of", hammer(server, past_get, SECONDS)
    yield "first page", _once_in(_seconds_of(client, path, as_of | {"limit": "50"}))
    yield "10 ms", _once_in(0.010)
    yield "all pages of now", _once_in(_all_pages(client, path, {}))
    yield "all pages", _once_in(_all_pages(client, path, as_of))
    ordered = as_of | {"sort": "-title,severity", "limit": "50"}
    yield "sorted", _once_in(_seconds_of(client, path, ordered))
    counted = as_of | {"count": "true", "limit": "1"}
    yield "counted", _once_in(_seconds_of(client, path, counted))
    yield "1 s", _once_in(1.0)


def _seconds_of(client: httpx.Client, path: str, query: dict[str, str]) -> float:
    """The median of the seconds that a request takes."""
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        client.get(path, params=query).raise_for_status()
        taken.append(time.perf_counter() - started)
    return median(taken)


def _all_pages(client: httpx.Client, path: str, query: dict[str, str]) -> float:
    started = time.perf_counter()
    cursor: dict[str, str] = {}
    while True:
        asked = query | cursor | {"limit": str(PAGE_RECORDS)}
        body = client.get(path, params=asked).raise_for_status().json()
        if body["next_cursor"] is None:
            return time.perf_counter() - started
        cursor = {"cursor": body["next_cursor"]}


def _undo(client: httpx.Client) -> Rates:
    """The rate of an undo of a selective invoke, and that of the invoke; one of each
    comes first and is not counted."""
    path = f"/api/{PERSIST.collection}"
    invokes, undos = [], []
    for number in range(1 + UNDOS):
        name = f"mistake-{number}"
        started = time.perf_counter()
        invoked = _invoke(client, path, 10, "A mistake", name=name)
        done = time.perf_counter()
        answer = client.post("/changes/undo", json={"request_id": name})
        undone = answer.raise_for_status().json()["undone"]
        if undone != invoked:
            raise RuntimeError(f"{invoked} records were changed, {undone} went back")
        invokes.append((done - started) / invoked)
        undos.append((time.perf_counter() - done) / undone)
    yield "invoke", _once_in(median(invokes[1:]))
    yield "undo", _once_in(median(undos[1:]))


def _invoke(
    client: httpx.Client, path: str, least: int, title: str, *, name: str = "benchmark"
) -> int:
    """Set the title of a tenth of the tickets; gives how many were set."""
    severities = {"severity__gte": str(least), "severity__lt": str(least + FEW)}
    answer = client.post(
        f"{path}/commands/set",
        params=severities | {"max_affected": "10000"},
        json={"title": title},
        headers={"X-Request-ID": name},
    )
    invoked: int = answer.raise_for_status().json()["invoked"]
    return invoked


def _verified(url: str) -> tuple[int, float]:
    with on_the_server_core():
        started = time.perf_counter()
        verified = verify_journal(dialect_of(url), None, lambda *_: None)
        return verified.changes, time.perf_counter() - started
