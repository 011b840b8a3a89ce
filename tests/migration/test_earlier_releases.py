"""What an earlier release wrote is brought up to date at the start: its journal is
sealed (contract 15), its snapshots are listed."""

import json
from pathlib import Path

import httpx
import pytest

from persist.domain.seal import MAX_SEAL_CHANGES
from tests.conftest import NewDatabase
from tests.contract.test_time import leaf_hash
from tests.support.raw_sql import run_sql
from tests.support.server import run, serving

RECORDS = MAX_SEAL_CHANGES + 10
TRIMMED = 7

EARLIER = (
    "DROP TABLE seals",
    "DROP TABLE journal_bases",
    *(
        f"ALTER TABLE journal DROP COLUMN {name}"
        for name in ("hash", "payload_sha256", "data_sha256")
    ),
    *(
        f"ALTER TABLE journal_head DROP COLUMN {name}"
        for name in ("sealed_seq", "seal_hash", "sealed_at")
    ),
    "DROP TABLE snapshot_contents",
    "DROP INDEX snapshots_listed",
    *(
        f"ALTER TABLE snapshots DROP COLUMN {name}"
        for name in ("created_at", "seq", "automatic")
    ),
)
"""Takes away what the release before seals did not have."""


def changes(client: httpx.Client, after: int) -> list[dict[str, object]]:
    query = {"after": after, "limit": 500}
    items: list[dict[str, object]] = client.get("/changes", params=query).json()[
        "items"
    ]
    return items


@pytest.mark.parametrize("first", [1, TRIMMED + 1])
def test_seals_begin_with_the_first_change_and_snapshots_are_listed(
    new_database: NewDatabase, tmp_path: Path, first: int
) -> None:
    url = new_database()
    with serving(url, tmp_path) as server, server.client() as client:
        lines = "".join(json.dumps({"value": each}) + "\n" for each in range(RECORDS))
        client.post(
            "/api/counters/import",
            content=lines,
            headers={"Content-Type": "application/x-ndjson"},
        ).raise_for_status()
        taken = client.post("/api/counters/snapshots", json={}).json()
        record = client.post("/api/counters", json={"value": 1}).json()["id"]
        client.patch(f"/api/counters/{record}", json={"value": 2}).raise_for_status()
        client.delete(f"/api/counters/{record}/history").raise_for_status()
    run_sql(
        url,
        *EARLIER,
        f"DELETE FROM journal WHERE seq < {first}",
        f"UPDATE journal_first SET seq = {first}",
    )
    last = RECORDS + 2
    with serving(url, tmp_path) as server, server.client() as client:
        assert "sealing the journal" in server.log.read_text()
        seals = client.get("/changes/seals").json()["items"]
        between = first + MAX_SEAL_CHANGES
        assert [(seal["first_seq"], seal["seq"]) for seal in seals] == [
            (first, between - 1),
            (between, last),
        ]
        for change in [*changes(client, first - 1), *changes(client, last - 3)]:
            assert change["hash"] == leaf_hash(change)
        erased = changes(client, last - 2)[0]
        assert (erased["erased"], erased["data_sha256"]) == (True, None)
        assert client.get("/api/counters/snapshots").json()["items"] == [taken]
        assert client.get("/api/accounts/snapshots").json()["items"] == []
        client.post("/api/counters", json={"value": 3}).raise_for_status()
        assert client.get("/changes/head").json()["first_seq"] == last + 1
    outcome = run(["journal", "verify"], url, tmp_path)
    assert outcome.returncode == 0, outcome.stderr
