"""Export lines come back by an import with their envelopes, by the rules of a restore
(contract 13)."""

import json
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import NewDatabase
from tests.contract.test_keys import EVERYWHERE, bearer, keys_in
from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem
from tests.support.server import run, serving

NDJSON = {"content-type": "application/x-ndjson"}


def import_envelopes(
    collection: Collection, content: bytes | str, **query: str
) -> httpx.Response:
    return collection.client.post(
        f"{collection.path}/import",
        content=content,
        headers=NDJSON,
        params={"envelope": "true"} | query,
    )


def exported(collection: Collection, marker: str, field: str = "name") -> list[Json]:
    lines = collection.client.get(
        f"{collection.path}/export", params={f"{field}__startswith": marker}
    ).text.splitlines()
    return [json.loads(line) for line in lines]


def ndjson(records: list[Json]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def counts(response: httpx.Response) -> tuple[int, int, int, int]:
    assert response.status_code == 200, response.text
    body = response.json()
    assert list(body) == ["created", "skipped", "overwritten", "migrated"]
    return tuple(body.values())


def test_deleted_records_come_back_under_their_ids_with_their_times(
    counters: Collection, marker: str
) -> None:
    made = [counters.created(name=f"{marker}-{number}") for number in range(3)]
    lines = exported(counters, marker)
    assert len(lines) == 3
    for record in made:
        counters.delete(record["id"])
    assert counts(import_envelopes(counters, ndjson(lines))) == (3, 0, 0, 0)
    for record in made:
        now = counters.record(record["id"])
        assert now["created_at"] == record["created_at"]
        assert now["updated_at"] == record["updated_at"]
        assert now["data"] == record["data"]
        assert now["revision"] == 3
        assert counters.history(record["id"])[0]["operation"] == "restore"


def test_records_that_this_database_never_knew_keep_their_revision(
    counters: Collection, marker: str
) -> None:
    record = counters.created(name=marker)
    line = exported(counters, marker)[0] | {
        "id": str(uuid.uuid4()),
        "revision": 7,
        "collection": "elsewhere",
        "workspace": "elsewhere",
    }
    assert counts(import_envelopes(counters, json.dumps(line))) == (1, 0, 0, 0)
    now = counters.record(line["id"])
    assert (now["revision"], now["data"]) == (7, record["data"])
    assert (now["collection"], now["workspace"]) == (counters.name, counters.workspace)


@pytest.mark.parametrize("dry_run", ["true", "false"])
def test_an_id_that_exists_is_decided_by_on_conflict(
    counters: Collection, marker: str, dry_run: str
) -> None:
    old = counters.created(name=f"{marker}-old")
    same = counters.created(name=f"{marker}-same")
    lines = exported(counters, marker)
    lines.append(lines[0] | {"id": str(uuid.uuid4())})
    counters.client.patch(counters.at(old["id"]), json={"value": 9})
    for query in ({}, {"on_conflict": "fail"}):
        answer = import_envelopes(counters, ndjson(lines), dry_run=dry_run, **query)
        problem = assert_problem(answer, 409, "restore-conflict")
        assert {each["id"] for each in problem["failures"]} == {old["id"], same["id"]}
    skipped = import_envelopes(
        counters, ndjson(lines), on_conflict="skip", dry_run="true"
    )
    assert counts(skipped) == (1, 2, 0, 0)
    written = import_envelopes(
        counters, ndjson(lines), on_conflict="overwrite", dry_run=dry_run
    )
    assert counts(written) == (1, 0, 2, 0)
    now = counters.record(old["id"])
    if dry_run == "true":
        assert (now["revision"], now["data"]["value"]) == (2, 9)
        return
    assert (now["revision"], now["data"]) == (3, old["data"])
    assert counters.record(same["id"]) == same


def test_unique_values_may_change_their_places(
    accounts: Collection, marker: str
) -> None:
    made = [accounts.created(owner=f"{marker}-{number}") for number in range(2)]
    lines = exported(accounts, marker, "owner")
    operations = [
        {
            "op": "patch",
            "collection": accounts.name,
            "workspace": accounts.workspace,
            "id": record["id"],
            "patch": {"owner": f"{marker}-{1 - number}"},
        }
        for number, record in enumerate(made)
    ]
    swapped = accounts.client.post("/transactions", json={"operations": operations})
    assert swapped.status_code == 200, swapped.text
    answer = import_envelopes(accounts, ndjson(lines), on_conflict="overwrite")
    assert counts(answer) == (0, 0, 2, 0)
    for number, record in enumerate(made):
        now = accounts.record(record["id"])
        assert now["data"]["owner"] == f"{marker}-{number}"
    taken = lines[0] | {"id": str(uuid.uuid4())}
    problem = assert_problem(
        import_envelopes(accounts, ndjson([taken])), 409, "unique-violation"
    )
    assert problem["failures"][0]["id"] == taken["id"]


FAULTS: list[tuple[Any, int, str]] = [
    ("{", 400, "invalid-json"),
    ([1], 422, "invalid-data"),
    ({"name": "no envelope"}, 422, "invalid-data"),
    ({"id": "7"}, 422, "invalid-data"),
    ({"revision": 0}, 422, "invalid-data"),
    ({"revision": True}, 422, "invalid-data"),
    ({"created_at": "yesterday"}, 422, "invalid-data"),
    ({"data": []}, 422, "invalid-data"),
    ({"more": 1}, 422, "invalid-data"),
]


@pytest.mark.parametrize(("fault", "status", "code"), FAULTS)
def test_a_line_that_is_no_exported_record_is_named(
    counters: Collection, marker: str, fault: Any, status: int, code: str
) -> None:
    counters.created(name=marker)
    good = exported(counters, marker)[0] | {"id": str(uuid.uuid4())}
    text = fault if isinstance(fault, str) else json.dumps(fault)
    if isinstance(fault, dict) and "name" not in fault:
        text = json.dumps(good | {"id": str(uuid.uuid4())} | fault)
    answer = import_envelopes(counters, f"{json.dumps(good)}\n{text}\n")
    problem = assert_problem(answer, status, code)
    assert problem["line"] == 2
    assert problem["detail"].startswith("line 2")
    assert len(counters.items(name=marker)) == 1


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"schema_version": 99}, "99"),
        ({"data": {"name": 5}}, ""),
        ({"data": {"unheard_of": 1}}, ""),
    ],
)
def test_data_that_does_not_come_forward_is_listed(
    counters: Collection, marker: str, change: Json, detail: str
) -> None:
    counters.created(name=marker)
    line = exported(counters, marker)[0] | {"id": str(uuid.uuid4())} | change
    problem = assert_problem(
        import_envelopes(counters, ndjson([line])), 422, "migration-failed"
    )
    assert problem["failures"][0]["id"] == line["id"]
    assert detail in problem["detail"]


def test_the_parameters_of_an_import_are_checked(counters: Collection) -> None:
    client, path = counters.client, f"{counters.path}/import"
    for query in (
        {"envelope": "yes"},
        {"envelope": "true", "on_conflict": "replace"},
        {"on_conflict": "skip"},
        {"envelopes": "true"},
    ):
        answer = client.post(path, params=query, content=b"", headers=NDJSON)
        assert_problem(answer, 400, "invalid-query")


def test_a_key_replays_an_import_of_envelopes(
    counters: Collection, marker: str
) -> None:
    counters.created(name=marker)
    line = exported(counters, marker)[0] | {"id": str(uuid.uuid4())}
    headers = NDJSON | {"idempotency-key": marker}
    first, again = (
        counters.client.post(
            f"{counters.path}/import",
            params={"envelope": "true"},
            content=json.dumps(line),
            headers=headers,
        )
        for _ in range(2)
    )
    assert first.json()["created"] == 1, first.text
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == first.content


def test_an_import_of_envelopes_needs_admin(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database()
    with (
        serving(url, tmp_path, settings=EVERYWHERE) as server,
        server.client() as client,
    ):
        scopes = ["keys", "create", "--name", "writer", "--scope", "counters:write"]
        writer = bearer(run(scopes, url, tmp_path).stdout.strip())
        path = "/api/counters/import"
        assert (
            client.post(path, content=b"", headers=NDJSON | writer).status_code == 200
        )
        params = {"envelope": "true"}
        refused = client.post(path, params=params, content=b"", headers=NDJSON | writer)
        assert_problem(refused, 403, "forbidden")
        admin = bearer(keys_in(server)[0])
        answer = client.post(path, params=params, content=b"", headers=NDJSON | admin)
        assert answer.status_code == 200, answer.text
