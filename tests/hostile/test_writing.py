"""Writes (F7, F9, F10, F14, F16): batches are bounded in bytes, an operation in the writer in what
it makes, and lines that are nothing stop nobody."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.hostile.conftest import Target, created
from tests.support.watchdog import QUIET

LENGTH = 900_000
RECORDS = 40
JSON_PATCH = {"content-type": "application/json-patch+json"}
NDJSON = {"content-type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def writer(target: Target) -> Iterator[httpx.Client]:
    with target.client("writer") as client:
        yield client
    with target.client() as admin:
        query = {"n__isnull": "false", "max_affected": "100000"}
        assert admin.delete("/api/large", params=query).status_code == 200


def lines(count: int) -> bytes:
    text = "a" * LENGTH
    return "\n".join(json.dumps({"s": text, "n": n}) for n in range(count)).encode()


def test_large_lines_are_imported_and_changed_in_batches(
    target: Target, writer: httpx.Client
) -> None:
    body = lines(RECORDS)
    with target.unharmed():
        answer = writer.post("/api/large/import", content=body, headers=NDJSON)
        assert answer.json() == {"created": RECORDS}
        invoked = writer.post("/api/large/commands/set?n__gte=0", json={"n": 1})
        assert invoked.json()["invoked"] >= RECORDS
        query = {"n__gte": "0", "max_affected": "1000"}
        assert writer.delete("/api/large", params=query).status_code == 200


def test_heavy_patterns_of_definitions_are_not_kept(target: Target) -> None:
    """The engine takes 2 MiB for each."""
    with target.client() as admin, target.unharmed():
        for number in range(100 if QUIET in os.environ else 5):
            pattern = f"^(a{number}b\\p{{L}}{{1,6}}){{1,8}}$"
            schema = {"type": "object", "patternProperties": {pattern: True}}
            definition = {"schema": schema, "indexes": [[f"a{number}bc"]]}
            answer = admin.put("/entity-types/patterns?dry_run=true", json=definition)
            assert answer.status_code == 200, answer.text


def test_many_large_patches_at_once_take_little_memory(
    target: Target, writer: httpx.Client
) -> None:
    ids = [created(writer, "large", {"n": number}) for number in range(12)]

    def patch(record_id: str) -> int:
        with target.client("writer") as client:
            text = {"s": "x" * LENGTH}
            return client.patch(f"/api/large/{record_id}", json=text).status_code

    with target.unharmed(), ThreadPoolExecutor(12) as pool:
        assert set(pool.map(patch, ids)) <= {200, 429}


OPERATIONS: dict[str, list[dict[str, Any]]] = {
    "copies": [
        {"op": "copy", "from": "/o", "path": f"/o{number}"} for number in range(100)
    ],
    "copies that are removed": [
        {"op": "copy", "from": "/o", "path": "/p"},
        {"op": "remove", "path": "/p"},
    ]
    * 50,
    "tests": [{"op": "test", "path": "", "value": {}}] * 100,
    "copies that double the depth": [
        {"op": "copy", "from": "/d", "path": "/d" + "/d" * (2**number)}
        for number in range(8)
    ],
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_patch_of_many_large_operations_lets_others_write(
    target: Target, writer: httpx.Client, name: str
) -> None:
    members: dict[str, list[int]] = {f"m{number}": [] for number in range(40_000)}
    data = {"n": 1, "o": members, "d": {"d": {}}}
    record_id = created(writer, "large", data)
    with target.unharmed(), ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            writer.patch,
            f"/api/large/{record_id}",
            json=OPERATIONS[name],
            headers=JSON_PATCH,
        )
        with target.client("admin") as other:
            created(other, "plain", {"n": 2})
        assert running.result().status_code in (200, 409, 422)


def test_large_manifests_are_refused_and_kept_nowhere(
    target: Target, writer: httpx.Client
) -> None:
    members = {"id": "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70", "note": "n" * 8_000_000}
    body = json.dumps({"manifest": members}).encode()

    def upload(_: int) -> int:
        with target.client() as admin:
            return admin.post("/snapshots", content=body, headers=NDJSON).status_code

    with target.unharmed(), ThreadPoolExecutor(4) as pool:
        assert set(pool.map(upload, range(4))) <= {422, 429}
    with target.client() as admin:
        assert len(admin.get("/snapshots?limit=500").content) < 1_000_000


COMMANDS = {
    "longer": "size(data.l + data.l + data.l + data.l)",
    "member": " || ".join(f"-{number} in data.l" for number in range(1, 40))
    + " ? 1 : 0",
}


def test_the_worst_commands_in_cel_let_others_read(target: Target) -> None:
    numbers = {"type": "array", "items": {"type": "integer"}}
    definition = {
        "schema": {
            "type": "object",
            "properties": {"l": numbers, "n": {"type": "integer"}},
        },
        "commands": {name: {"set": {"n": text}} for name, text in COMMANDS.items()},
    }
    with target.client() as admin:
        made = admin.put("/entity-types/numbers", json=definition)
        assert made.status_code == 201, made.text
        record = created(admin, "numbers", {"l": list(range(60_000))})
        with target.unharmed(), ThreadPoolExecutor(4) as pool:
            paths = [f"/api/numbers/{record}/commands/{name}" for name in COMMANDS]
            for answer in pool.map(admin.post, paths * 2):
                assert answer.status_code in (200, 422), answer.text


def test_an_import_of_blank_lines_stops_nobody(
    target: Target, writer: httpx.Client
) -> None:
    body = b"\n" * 5_000_000
    with target.unharmed():
        answer = writer.post("/api/plain/import", content=body, headers=NDJSON)
    assert answer.json() == {"created": 0}
