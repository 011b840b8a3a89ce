"""Each stored version by itself: what it left behind comes to the present in place and
by restore, to the same data and schema version (contract 7)."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from persist.entity_types.registry import load_models
from persist.storage.dialect import dialect_of
from persist.storage.migrations.database_schema import drift
from tests.conftest import NewDatabase
from tests.fixtures import (
    PRODUCTS_1,
    PRODUCTS_2,
    RECORDS,
    STORED_VERSIONS,
    TICKETS_1,
    StoredVersion,
)
from tests.support.forked import ROOT
from tests.support.problems import Json
from tests.support.server import serving

PRESENT = {"MODELS": "app.models"}
STEPS = {PRODUCTS_1: [(1, 2), (2, 3)], PRODUCTS_2: [(2, 3)], TICKETS_1: [(1, 2)]}
DELETED = "0199c000-0000-7000-8000-0000000000ff"


def brought_up_to_date(version: StoredVersion, data: Json) -> Json:
    """What the present plans are meant to make of data, in words of this test's own."""
    if version is TICKETS_1:
        return {
            **data,
            "severity": {4: 40, 2: 20}[data["severity"]],
            "migration_note": None,
        }
    active = data.get("active", True)
    return {
        **data,
        "price_cents": data["price_cents"] + 500,
        "active": active,
        "pricing_tier": None,
    }


@pytest.fixture(scope="module")
def present(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A service of the present on a database that was empty."""
    folder = tmp_path_factory.mktemp("present")
    with (
        serving(new_database(), folder, settings=PRESENT) as server,
        server.client() as client,
    ):
        yield client


@pytest.fixture(scope="module", params=STORED_VERSIONS, ids=str)
def version(request: pytest.FixtureRequest) -> StoredVersion:
    found: StoredVersion = request.param
    return found


@pytest.fixture(scope="module")
def left_behind(version: StoredVersion, new_database: NewDatabase) -> str:
    """The URL of a database as the stored version left it behind."""
    return version.put_into(new_database())


@pytest.fixture(scope="module")
def in_place(
    left_behind: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A service of the present, started on that database."""
    folder = tmp_path_factory.mktemp("upgraded")
    with (
        serving(left_behind, folder, settings=PRESENT) as server,
        server.client() as client,
    ):
        yield client


@pytest.fixture(scope="module")
def restored(version: StoredVersion, present: httpx.Client) -> Json:
    """The report of restoring the snapshot the stored version left behind."""
    uploaded = present.post(
        "/snapshots",
        content=version.snapshot.read_bytes(),
        headers={"content-type": "application/x-ndjson"},
    )
    assert uploaded.status_code == 201, uploaded.text
    response = present.post("/migrations", json={"snapshot": uploaded.json()["id"]})
    assert response.status_code == 201, response.text
    report: Json = response.json()
    return report


def records_of(client: httpx.Client, version: StoredVersion) -> dict[str, Json]:
    """The records by id that the stored version left behind, as they are served now."""
    found = {
        name: client.get(f"/api/{version.collection}/{name}").json()
        for name in RECORDS[version]
    }
    assert all("data" in record for record in found.values()), found
    return found


def test_in_place_and_restored_it_comes_to_the_same(
    version: StoredVersion,
    in_place: httpx.Client,
    present: httpx.Client,
    restored: Json,
) -> None:
    here, there = records_of(in_place, version), records_of(present, version)
    current = STEPS[version][-1][1]
    for id, stored in RECORDS[version].items():
        assert (
            here[id]["data"] == there[id]["data"] == brought_up_to_date(version, stored)
        )
        assert here[id]["schema_version"] == there[id]["schema_version"] == current


def test_in_place_each_step_is_one_change_and_one_revision(
    version: StoredVersion, in_place: httpx.Client
) -> None:
    for number, (id, record) in enumerate(records_of(in_place, version).items()):
        changes = in_place.get(f"/api/{version.collection}/{id}/history").json()[
            "items"
        ]
        steps = [change for change in changes if change["operation"] == "migrate"]
        written = 2 if number == 0 else 1
        assert [change["schema_version"] for change in steps] == [
            to for _, to in reversed(STEPS[version])
        ]
        assert [change["revision"] for change in changes] == list(
            range(written + len(steps), 0, -1)
        )
        assert changes[0]["data"] == record["data"]
        assert changes[0]["revision"] == record["revision"]
        assert changes[0]["at"] == record["updated_at"] > record["created_at"]
        assert changes[-1]["at"] == record["created_at"]


def test_in_place_what_was_deleted_stays_so_and_its_history_readable(
    version: StoredVersion, in_place: httpx.Client
) -> None:
    assert in_place.get(f"/api/{version.collection}/{DELETED}").status_code == 404
    changes = in_place.get(f"/api/{version.collection}/{DELETED}/history").json()[
        "items"
    ]
    assert [change["operation"] for change in changes] == ["delete", "create"]
    past = in_place.get(
        f"/api/{version.collection}/{DELETED}", params={"revision": 1}
    ).json()
    assert past["schema_version"] == version.schema_version
    assert past["data"].keys() == next(iter(RECORDS[version].values())).keys()


def test_in_place_the_plan_tells_that_all_records_are_current(
    version: StoredVersion, in_place: httpx.Client
) -> None:
    plan = in_place.get(f"/migration-plans/{version.collection}").json()
    assert plan["records"] == {str(STEPS[version][-1][1]): len(RECORDS[version])}


def test_in_place_every_step_is_a_run_of_its_own(
    version: StoredVersion, in_place: httpx.Client
) -> None:
    runs = in_place.get("/migrations").json()["items"]
    reported = [(run["kind"], run["migrated"], run["collections"]) for run in runs]
    assert reported == [
        (
            "in-place",
            len(RECORDS[version]),
            [
                {
                    "name": version.collection,
                    "from_versions": {str(start): len(RECORDS[version])},
                    "to_version": to,
                }
            ],
        )
        for start, to in reversed(STEPS[version])
    ]
    for run in runs:
        assert in_place.get(f"/migrations/{run['id']}").json() == run


def test_in_place_the_tables_are_as_the_classes_say(
    left_behind: str, in_place: httpx.Client
) -> None:
    assert drift(dialect_of(left_behind), load_models("app.models")) == []


def test_in_place_the_snapshot_that_was_taken_then_is_restored_through_the_plan(
    version: StoredVersion, in_place: httpx.Client
) -> None:
    (manifest,) = in_place.get("/snapshots").json()["items"]
    assert manifest["collections"][0]["schema_version"] == version.schema_version
    before = records_of(in_place, version)
    again = {"snapshot": manifest["id"], "on_conflict": "overwrite"}
    report = in_place.post("/migrations", json=again).json()
    assert (report["created"], report["overwritten"]) == (0, len(RECORDS[version]))
    assert records_of(in_place, version) == before


def test_restored_it_is_named_in_the_report(
    version: StoredVersion, restored: Json
) -> None:
    count = len(RECORDS[version])
    reported = {
        name: value
        for name, value in restored.items()
        if name not in ("id", "at", "kind", "snapshot")
    }
    assert reported == {
        "created": count,
        "skipped": 0,
        "overwritten": 0,
        "migrated": count,
        "collections": [
            {
                "name": version.collection,
                "from_versions": {str(version.schema_version): count},
                "to_version": STEPS[version][-1][1],
            }
        ],
        "failures": [],
    }


def test_restored_it_keeps_its_times_and_takes_one_revision(
    version: StoredVersion, present: httpx.Client, restored: Json
) -> None:
    for stored in map(json.loads, version.snapshot.read_text().splitlines()[1:-1]):
        record = present.get(f"/api/{version.collection}/{stored['id']}").json()
        assert record["created_at"] == stored["created_at"]
        assert record["updated_at"] == stored["updated_at"]
        assert record["revision"] == stored["revision"] + 1
        (change,) = present.get(
            f"/api/{version.collection}/{stored['id']}/history"
        ).json()["items"]
        assert (change["operation"], change["revision"]) == (
            "restore",
            record["revision"],
        )


def test_the_showcase_carries_the_same_snapshot() -> None:
    carried = Path(ROOT, "app", "showcase", "fixtures", "ops-tickets-v1.ndjson")
    assert carried.read_bytes() == TICKETS_1.snapshot.read_bytes()
