"""Metrics: the whole service in Prometheus' form, in few series whatever clients send
(contract 12)."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import NewDatabase
from tests.support.collection import Collection
from tests.support.databases import sqlite_only
from tests.support.server import serving

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


def scrape(client: httpx.Client) -> Samples:
    """Every value, by name and labels."""
    response = client.get("/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples: Samples = {}
    for family in text_string_to_metric_families(response.text):
        assert family.documentation
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in samples.setdefault(sample.name, {})
            samples[sample.name][labels] = sample.value
    return samples


def of(samples: Samples, name: str, **labels: str) -> float:
    """The sum of what has at least these labels."""
    wanted = labels.items()
    return sum(
        value
        for found, value in samples.get(name, {}).items()
        if wanted <= dict(found).items()
    )


def eventually(client: httpx.Client, holds: Callable[[Samples], bool]) -> Samples:
    deadline = time.monotonic() + 20
    while not holds(samples := scrape(client)):
        assert time.monotonic() < deadline, samples
    return samples


def test_requests_are_counted_by_the_template_of_their_path_and_by_status(
    client: httpx.Client, counters: Collection, record_id: str
) -> None:
    place = (
        "/workspaces/{workspace}" if counters.path.startswith("/workspaces/") else ""
    )
    labels = {"method": "GET", "route": place + "/api/{collection}/{id}"}
    before = scrape(client)
    record = counters.created(name="counted")
    for _ in range(3):
        counters.record(record["id"])
    assert counters.read(record_id).status_code == 404
    assert client.get("/entity-types/none/versions/7").status_code == 404
    after = scrape(client)
    for status, times in (("200", 3), ("404", 1)):
        for name in ("persist_requests_total", "persist_request_seconds_count"):
            counted = of(after, name, status=status, **labels) - of(
                before, name, status=status, **labels
            )
            assert counted == times, (name, status)
    assert of(
        after,
        "persist_requests_total",
        route="/entity-types/{name}/versions/{number}",
        status="404",
    )
    seconds = of(after, "persist_request_seconds_sum", **labels)
    assert seconds > of(before, "persist_request_seconds_sum", **labels)


def test_hostile_paths_and_methods_make_no_series_of_their_own(
    client: httpx.Client, marker: str
) -> None:
    def touch(name: str) -> None:
        for path in (
            f"/{name}",
            f"/{name}/a/b",
            f"/api/{name}",
            f"/api/{name}/{name}",
            f"/api/{name}/{name}/x",
        ):
            client.get(path)
        client.post(f"/api/counters/{name}/commands/{name}")
        client.post(f"/api/counters/commands/{name}?name=x")
        client.get(f"/workspaces/{name}/api/counters")
        client.get(f"/problems/{name}")
        client.request("REPORT", f"/{name}")
        client.request("PURGE", f"/{name}")

    touch(marker)
    scrape(client)
    before = scrape(client)
    for number in range(20):
        touch(f"{marker}{number}")
    after = scrape(client)
    assert (
        after["persist_requests_total"].keys() - before["persist_requests_total"].keys()
        == set()
    )
    assert marker not in client.get("/metrics").text


def test_what_is_stored_and_committed_can_be_seen(
    client: httpx.Client, counters: Collection
) -> None:
    before = scrape(client)
    record = counters.created(name="stored")
    after = scrape(client)
    assert of(after, "persist_journal_seq") == counters.history(record["id"])[0]["seq"]
    assert (
        of(after, "persist_commit_writes_sum") - of(before, "persist_commit_writes_sum")
        >= 1
    )
    assert (
        of(after, "persist_commit_writes_count")
        >= of(before, "persist_commit_writes_count") + 1
    )
    assert of(after, "persist_database_up") == 1
    assert of(after, "persist_resident_memory_bytes") > 1_000_000
    assert of(after, "persist_wal_bytes") >= 0
    assert of(after, "persist_failed_checkpoints") == 0
    assert of(after, "persist_requests_in_progress") == 1  # this one
    for name in ("writes_waiting", "finds_waiting", "reads_in_threads", "bodies_bytes"):
        assert len(after[f"persist_{name}"]) == 1


def test_records_and_the_age_of_the_newest_snapshot_are_reported(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    with serving(new_database(), tmp_path) as server, server.client() as client:
        counters = Collection(client, "counters")
        counters.import_lines('{"name": "many"}\n' * 30)
        first = scrape(client)
        assert of(first, "persist_records", collection="counters") == 30
        assert of(first, "persist_records", collection="tickets") == 0
        assert "persist_snapshot_age_seconds" not in first
        assert client.post("/api/counters/snapshots").status_code == 201
        assert 0 <= of(scrape(client), "persist_snapshot_age_seconds") < 60


@sqlite_only
def test_the_processes_of_a_service_are_counted_as_one(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    with serving(new_database(), tmp_path, workers=2) as server:
        for _ in range(40):
            with (
                server.client() as client
            ):  # a new connection: either process may take it
                Collection(client, "counters").created(name="one of forty")
        with server.client() as client:
            labels = {"method": "POST", "route": "/api/{collection}", "status": "201"}

            def complete(now: Samples) -> bool:
                counts = (
                    of(now, "persist_requests_total", **labels),
                    of(now, "persist_commit_writes_sum"),
                )
                return (
                    len(now["persist_resident_memory_bytes"]) == 2
                    and counts[0] == 40
                    and counts[1] >= 40
                )

            assert complete(eventually(client, complete))
