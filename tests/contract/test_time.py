"""Time: earlier revisions come back, are compared and merged; the journal is sealed."""

import hashlib
import json
from typing import Any

import httpx
import pytest

from persist.domain.seal import MAX_SEAL_CHANGES
from tests.support.collection import Collection
from tests.support.problems import assert_problem

MERGE = {"Prefer": "merge"}


def canonical(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def sha256(value: Any) -> str | None:
    return None if value is None else hashlib.sha256(canonical(value)).hexdigest()


def leaf_hash(change: dict[str, Any]) -> str:
    """The hash of a change, as the contract describes it."""
    names = (
        "at",
        "workspace",
        "collection",
        "id",
        "revision",
        "schema_version",
        "operation",
        "command",
        "actor",
        "request_id",
    )
    leaf = {name: change[name] for name in names}
    erased = change.get("erased", False)
    for name in ("payload", "data"):
        hashed = change[f"{name}_sha256"] if erased else sha256(change[name])
        leaf[f"{name}_sha256"] = hashed
    return hashlib.sha256(b"\0" + canonical(leaf)).hexdigest()


def head(client: httpx.Client) -> int:
    last: int = client.get("/changes", params={"after": "now"}).json()["last_seq"]
    return last


def changes_after(client: httpx.Client, seq: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/changes", params={"after": seq}).json()[
        "items"
    ]
    return found


# revert


def test_a_record_gets_the_data_of_an_earlier_revision(counters: Collection) -> None:
    record = counters.created(value=1)
    path = counters.at(record["id"])
    counters.client.patch(path, json={"value": 2}).raise_for_status()
    reverted = counters.client.post(f"{path}/revert", json={"to_revision": 1})
    assert (reverted.status_code, reverted.headers["etag"]) == (200, '"3"')
    assert reverted.json()["data"] == record["data"]
    change = counters.client.get(f"{path}/history").json()["items"][0]
    assert (change["operation"], change["payload"]) == ("revert", {"to_revision": 1})
    again = counters.client.post(f"{path}/revert", json={"to_revision": 1}).json()
    assert again["revision"] == 3


def test_a_deleted_record_comes_back_with_its_time_of_creation(
    counters: Collection,
) -> None:
    record = counters.created(value=7)
    path = counters.at(record["id"])
    counters.client.delete(path).raise_for_status()
    stale = counters.client.post(
        f"{path}/revert", json={"to_revision": 1}, headers={"If-Match": '"2"'}
    )
    assert_problem(stale, 412, "precondition-failed")
    back = counters.client.post(
        f"{path}/revert", json={"to_revision": 1}, headers={"If-None-Match": "*"}
    ).json()
    assert (back["revision"], back["data"]) == (3, record["data"])
    assert back["created_at"] == record["created_at"]
    assert counters.client.get(path).json() == back


@pytest.mark.parametrize("revision", [2, 9, 2**63 - 1])
def test_a_revision_without_data_cannot_come_back(
    counters: Collection, revision: int
) -> None:
    path = counters.at(counters.created()["id"])
    counters.client.delete(path).raise_for_status()
    refused = counters.client.post(f"{path}/revert", json={"to_revision": revision})
    assert_problem(refused, 404, "revision-not-found")


def test_an_erased_revision_cannot_come_back(counters: Collection) -> None:
    path = counters.at(counters.created(value=1)["id"])
    counters.client.patch(path, json={"value": 2}).raise_for_status()
    counters.client.delete(f"{path}/history").raise_for_status()
    refused = counters.client.post(f"{path}/revert", json={"to_revision": 1})
    assert_problem(refused, 404, "revision-not-found")
    present = counters.client.post(f"{path}/revert", json={"to_revision": 2})
    assert present.json()["revision"] == 2


@pytest.mark.parametrize(
    "body", [{}, {"to_revision": 0}, {"to_revision": "1"}, {"to": 1}, []]
)
def test_a_revert_names_one_revision(counters: Collection, body: Any) -> None:
    path = counters.at(counters.created()["id"])
    refused = counters.client.post(f"{path}/revert", json=body)
    assert_problem(refused, 422, "invalid-payload")


def test_a_dry_run_of_a_revert_changes_nothing(counters: Collection) -> None:
    path = counters.at(counters.created(value=1)["id"])
    counters.client.patch(path, json={"value": 2}).raise_for_status()
    rehearsed = counters.client.post(
        f"{path}/revert?dry_run=true", json={"to_revision": 1}
    ).json()
    assert (rehearsed["revision"], rehearsed["data"]["value"]) == (3, 1)
    assert counters.client.get(path).json()["revision"] == 2


def test_a_revert_cannot_take_the_unique_value_of_another(
    accounts: Collection, marker: str
) -> None:
    first = accounts.created(owner=marker)
    path = accounts.at(first["id"])
    accounts.client.patch(path, json={"owner": f"{marker}-2"}).raise_for_status()
    accounts.created(owner=marker)
    refused = accounts.client.post(f"{path}/revert", json={"to_revision": 1})
    assert_problem(refused, 409, "unique-violation")


# diff


def test_two_revisions_are_compared(counters: Collection) -> None:
    record = counters.created(value=1, name="a")
    path = counters.at(record["id"])
    counters.client.patch(path, json={"value": 2}).raise_for_status()
    diff = counters.client.get(f"{path}/history/diff", params={"from": 1, "to": 2})
    assert diff.json() == {
        "from": 1,
        "to": 2,
        "patch": [{"op": "replace", "path": "/value", "value": 2}],
    }
    backwards = counters.client.get(f"{path}/history/diff?from=2&to=1").json()
    assert backwards["patch"][0]["value"] == 1


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "invalid-query"),
        ("from=1", 400, "invalid-query"),
        ("from=1&to=x", 400, "invalid-query"),
        ("from=1&to=9", 404, "revision-not-found"),
    ],
)
def test_a_diff_takes_two_known_revisions(
    counters: Collection, query: str, status: int, code: str
) -> None:
    path = counters.at(counters.created()["id"])
    refused = counters.client.get(f"{path}/history/diff?{query}")
    assert_problem(refused, status, code)


# a 412 that helps, and merges


def test_a_stale_patch_learns_what_changed_and_what_conflicts(
    counters: Collection,
) -> None:
    path = counters.at(counters.created(value=1, name="a")["id"])
    counters.client.patch(path, json={"value": 2}).raise_for_status()
    stale = counters.client.patch(path, json={"value": 3}, headers={"If-Match": '"1"'})
    problem = assert_problem(stale, 412, "precondition-failed")
    assert (problem["revision"], problem["changed"]) == (2, ["/value"])
    assert problem["conflicts"] == ["/value"]
    (change,) = problem["changes"]
    assert (change["revision"], change["operation"], change["command"]) == (
        2,
        "patch",
        None,
    )


def test_a_command_and_a_deletion_learn_what_changed(counters: Collection) -> None:
    path = counters.at(counters.created(value=1)["id"])
    counters.client.patch(path, json={"value": 2}).raise_for_status()
    stale = {"If-Match": '"1"'}
    for refused in (
        counters.client.post(f"{path}/commands/set", json={"value": 3}, headers=stale),
        counters.client.delete(path, headers=stale),
    ):
        problem = assert_problem(refused, 412, "precondition-failed")
        assert problem["changed"] == ["/value"]
        assert "conflicts" not in problem


def test_a_write_to_a_deleted_record_learns_who_deleted_it(
    counters: Collection,
) -> None:
    record = counters.created(value=1)
    path = counters.at(record["id"])
    counters.client.delete(path).raise_for_status()
    stale = MERGE | {"If-Match": '"1"'}
    for refused, conflicts in (
        (counters.client.put(path, json={"value": 3}, headers=stale), [""]),
        (counters.client.put(path, json=record["data"], headers=stale), []),
    ):
        problem = assert_problem(refused, 412, "precondition-failed")
        assert (problem["revision"], problem["changed"]) == (None, [""])
        assert [change["operation"] for change in problem["changes"]] == ["delete"]
        assert problem["conflicts"] == conflicts
    body = {"to_revision": 1}
    refused = counters.client.post(f"{path}/revert", json=body, headers=stale)
    problem = assert_problem(refused, 412, "precondition-failed")
    assert (problem["changed"], "conflicts" in problem) == ([""], False)


@pytest.mark.parametrize("how", ["merge patch", "JSON Patch", "PUT"])
def test_changes_of_other_members_are_merged(counters: Collection, how: str) -> None:
    record = counters.created(value=1, name="a")
    path = counters.at(record["id"])
    counters.client.patch(path, json={"value": 2}).raise_for_status()
    headers = MERGE | {"If-Match": '"1"'}
    if how == "PUT":
        mine = record["data"] | {"name": "b"}
        merged = counters.client.put(path, json=mine, headers=headers)
    elif how == "merge patch":
        merged = counters.client.patch(path, json={"name": "b"}, headers=headers)
    else:
        headers["Content-Type"] = "application/json-patch+json"
        steps = [
            {"op": "test", "path": "/value", "value": 1},
            {"op": "replace", "path": "/name", "value": "b"},
        ]
        merged = counters.client.patch(path, content=json.dumps(steps), headers=headers)
    assert merged.status_code == 200, merged.text
    assert merged.headers["preference-applied"] == "merge"
    assert merged.json()["revision"] == 3
    data = merged.json()["data"]
    assert (data["value"], data["name"]) == (2, "b")


def test_a_conflict_is_not_merged(counters: Collection) -> None:
    path = counters.at(counters.created(value=1)["id"])
    counters.client.patch(path, json={"value": 2}).raise_for_status()
    refused = counters.client.patch(
        path, json={"value": 3}, headers=MERGE | {"If-Match": '"1"'}
    )
    problem = assert_problem(refused, 412, "precondition-failed")
    assert problem["conflicts"] == ["/value"]


@pytest.mark.parametrize("preferred", [{}, MERGE])
def test_a_json_patch_that_the_base_refuses_conflicts_with_what_changed(
    counters: Collection, preferred: dict[str, str]
) -> None:
    path = counters.at(counters.created(value=1)["id"])
    counters.client.patch(path, json={"value": 2}).raise_for_status()
    headers = {"If-Match": '"1"', "Content-Type": "application/json-patch+json"}
    for step in (
        {"op": "test", "path": "/value", "value": 2},
        {"op": "remove", "path": "/nothing"},
    ):
        refused = counters.client.patch(
            path, content=json.dumps([step]), headers=headers | preferred
        )
        problem = assert_problem(refused, 412, "precondition-failed")
        assert (problem["changed"], problem["conflicts"]) == (["/value"], ["/value"])


def test_a_merge_is_validated_as_a_whole(counters: Collection) -> None:
    path = counters.at(counters.created(value=1)["id"])
    counters.client.patch(path, json={"value": 2}).raise_for_status()
    stale = {"If-Match": '"1"'}
    invalid = {"name": 5}
    merged = counters.client.patch(path, json=invalid, headers=MERGE | stale)
    assert_problem(merged, 422, "invalid-data")
    refused = counters.client.patch(path, json=invalid, headers=stale)
    problem = assert_problem(refused, 412, "precondition-failed")
    assert (problem["changed"], problem["conflicts"]) == (["/value"], [])


def test_a_preference_for_merging_is_not_named_where_nothing_was_merged(
    counters: Collection,
) -> None:
    path = counters.at(counters.created(value=1)["id"])
    patched = counters.client.patch(
        path, json={"value": 2}, headers=MERGE | {"If-Match": '"1"'}
    )
    assert patched.status_code == 200
    assert "preference-applied" not in patched.headers


# seals


def test_every_change_has_the_hash_of_its_leaf(counters: Collection) -> None:
    client, before = counters.client, head(counters.client)
    path = counters.at(counters.created(value=1, name="Zoë 🌍")["id"])
    client.post(f"{path}/commands/increment", json={"by": 2}).raise_for_status()
    client.delete(path).raise_for_status()
    found = changes_after(client, before)
    assert len(found) == 3
    for change in found:
        assert change["hash"] == leaf_hash(change)
        assert "erased" not in change
    client.delete(f"{path}/history").raise_for_status()
    for change, earlier in zip(changes_after(client, before), found, strict=True):
        assert change["hash"] == earlier["hash"] == leaf_hash(change)
    assert changes_after(client, before)[0]["erased"] is True


def test_seals_are_a_chain_without_gaps_over_all_changes(client: httpx.Client) -> None:
    seals: list[dict[str, Any]] = []
    while page := client.get(
        "/changes/seals",
        params={"after": seals[-1]["seq"] if seals else 0, "limit": 500},
    ).json()["items"]:
        seals += page
    assert seals
    previous, last = "", 0
    for seal in seals:
        assert seal["first_seq"] == last + 1
        members = {name: seal[name] for name in ("first_seq", "seq", "at", "root")}
        assert seal["hash"] == sha256({"previous": previous} | members)
        previous, last = seal["hash"], seal["seq"]
    assert [seal["at"] for seal in seals] == sorted(seal["at"] for seal in seals)
    assert client.get("/changes/head").json()["seq"] >= last


def test_a_proof_leads_from_a_change_to_its_seal(counters: Collection) -> None:
    client = counters.client
    before = head(client)
    import_values(counters, 5)
    for change in changes_after(client, before)[:5]:
        proof = client.get(f"/changes/{change['seq']}/proof").json()
        assert proof["change"] == change
        assert root_of(proof) == proof["seal"]["root"]


def test_a_large_import_has_several_seals(counters: Collection) -> None:
    client = counters.client
    before = head(client)
    import_values(counters, MAX_SEAL_CHANGES + 5)
    proofs = [
        client.get(f"/changes/{before + number}/proof").json()
        for number in (1, MAX_SEAL_CHANGES, MAX_SEAL_CHANGES + 1, MAX_SEAL_CHANGES + 5)
    ]
    assert [root_of(proof) for proof in proofs] == [
        proof["seal"]["root"] for proof in proofs
    ]
    assert [proof["seal"]["first_seq"] - before for proof in proofs] == [
        *[1] * 2,
        *[MAX_SEAL_CHANGES + 1] * 2,
    ]


def import_values(counters: Collection, count: int) -> None:
    lines = "".join(json.dumps({"value": value}) + "\n" for value in range(count))
    counters.import_lines(lines).raise_for_status()


def root_of(proof: dict[str, Any]) -> str:
    found = bytes.fromhex(proof["change"]["hash"])
    for step in proof["path"]:
        other = bytes.fromhex(step["hash"])
        pair = other + found if step["side"] == "left" else found + other
        found = hashlib.sha256(b"\1" + pair).digest()
    return found.hex()


@pytest.mark.parametrize("seq", ["0", "999999999", "x", "9" * 400])
def test_there_is_no_proof_of_what_is_no_change(client: httpx.Client, seq: str) -> None:
    assert_problem(client.get(f"/changes/{seq}/proof"), 404, "not-found")


def test_the_manifest_of_a_snapshot_has_its_seal(counters: Collection) -> None:
    counters.created(value=1)
    client = counters.client
    taken = client.post(f"{counters.path}/snapshots", json={}).json()
    seals = client.get("/changes/seals", params={"after": taken["seq"] - 1}).json()
    assert taken["seal"] == seals["items"][0]["hash"]
    assert client.get(f"/snapshots/{taken['id']}").json() == taken
    content = client.get(f"/snapshots/{taken['id']}/content").content
    client.delete(f"/snapshots/{taken['id']}").raise_for_status()
    uploaded = client.post(
        "/snapshots", content=content, headers={"content-type": "application/x-ndjson"}
    )
    assert uploaded.json() == taken
