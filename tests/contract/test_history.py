"""History: one change for each accepted write, readable for good (contract 3 and
10)."""

import uuid
from datetime import datetime

import httpx
import pytest

from tests.support.collection import JSON_PATCH, Collection
from tests.support.problems import assert_problem

CHANGE = {
    "seq",
    "at",
    "workspace",
    "collection",
    "id",
    "revision",
    "schema_version",
    "operation",
    "command",
    "payload",
    "actor",
    "request_id",
    "data",
    "hash",
}

HASHES = ("payload_sha256", "data_sha256")
ERASED = {"data": None, "payload": None, "erased": True} | dict.fromkeys(HASHES)
"""What an erasure makes of a change, apart from the hashes it keeps."""


def test_every_kind_of_write_is_one_change(counters: Collection) -> None:
    record_id = counters.created(value=0)["id"]
    counters.replace(record_id, {"value": 1})
    counters.patch(record_id, {"value": 2})
    counters.patch(
        record_id, [{"op": "replace", "path": "/value", "value": 3}], type=JSON_PATCH
    )
    counters.command(record_id, "increment", {"by": 2})
    counters.delete(record_id)
    counters.replace(record_id, {"value": 9})
    changes = counters.history(record_id)
    assert [
        (change["revision"], change["operation"]) for change in reversed(changes)
    ] == [
        (1, "create"),
        (2, "replace"),
        (3, "patch"),
        (4, "patch"),
        (5, "command"),
        (6, "delete"),
        (7, "create"),
    ]
    values = [
        change["data"] and change["data"]["value"] for change in reversed(changes)
    ]
    assert values == [0, 1, 2, 3, 5, None, 9]


def test_a_change_tells_all_the_contract_says(counters: Collection) -> None:
    record = counters.created(value=1)
    response = counters.command(
        record["id"], "increment", {"by": 2}, headers={"x-request-id": "a-request-1"}
    )
    change = counters.history(record["id"])[0]
    assert change.keys() == CHANGE
    expected = {
        "workspace": counters.workspace,
        "collection": counters.name,
        "id": record["id"],
        "revision": 2,
        "schema_version": 1,
        "operation": "command",
        "command": "increment",
        "payload": {"by": 2},
        "request_id": "a-request-1",
        "data": response.json()["record"]["data"],
    }
    assert {name: change[name] for name in expected} == expected
    assert change["at"] == response.json()["record"]["updated_at"]
    assert datetime.fromisoformat(change["at"]).utcoffset() is not None
    assert change["at"].endswith("Z")


def test_only_commands_have_a_name_and_a_payload(counters: Collection) -> None:
    record = counters.created(value=1)
    (change,) = counters.history(record["id"])
    assert change["command"] is None
    assert change["payload"] is None


def test_seq_grows_with_every_change(counters: Collection) -> None:
    first, second = counters.created(), counters.created()
    for _ in range(3):
        for record in (second, first):
            assert counters.command(record["id"], "increment").status_code == 200
    changes = [*counters.history(first["id"]), *counters.history(second["id"])]
    for record in (first, second):
        own = [change["seq"] for change in counters.history(record["id"])]
        assert own == sorted(own, reverse=True)
    assert len({change["seq"] for change in changes}) == 8


def test_a_deleted_record_keeps_its_history(counters: Collection) -> None:
    record = counters.created(value=5)
    counters.delete(record["id"])
    deletion, creation = counters.history(record["id"])
    assert (deletion["operation"], deletion["revision"], deletion["data"]) == (
        "delete",
        2,
        None,
    )
    assert (creation["operation"], creation["data"]) == ("create", record["data"])


def test_refused_writes_leave_no_trace(tickets: Collection) -> None:
    record = tickets.created(title="Slow", severity=20)
    tickets.patch(record["id"], {"severity": 99})
    tickets.command(record["id"], "escalate")
    tickets.patch(record["id"], {"severity": 40}, headers={"if-match": '"7"'})
    assert len(tickets.history(record["id"])) == 1


def test_history_is_paged_like_a_list(counters: Collection) -> None:
    record_id = counters.created(value=0)["id"]
    for _ in range(6):
        counters.command(record_id, "increment")
    address = f"{counters.at(record_id)}/history"
    revisions: list[int] = []
    response = counters.client.get(address, params={"limit": 3})
    while True:
        body = response.json()
        revisions += [change["revision"] for change in body["items"]]
        assert len(body["items"]) <= 3
        if body["next_cursor"] is None:
            break
        assert response.links["next"]["url"]
        counters.command(record_id, "increment")
        response = counters.client.get(
            address, params={"limit": 3, "cursor": body["next_cursor"]}
        )
    assert revisions == [7, 6, 5, 4, 3, 2, 1]


def test_the_last_page_of_a_history_has_no_cursor(counters: Collection) -> None:
    record_id = counters.created()["id"]
    body = counters.client.get(
        f"{counters.at(record_id)}/history", params={"limit": 1}
    ).json()
    assert len(body["items"]) == 1
    assert body["next_cursor"] is None


def test_a_cursor_of_one_history_does_not_open_another(counters: Collection) -> None:
    first, second = counters.created()["id"], counters.created()["id"]
    for record_id in (first, second):
        counters.command(record_id, "increment")
    body = counters.client.get(
        f"{counters.at(first)}/history", params={"limit": 1}
    ).json()
    foreign = {"limit": 1, "cursor": body["next_cursor"]}
    response = counters.client.get(f"{counters.at(second)}/history", params=foreign)
    assert_problem(response, 400, "invalid-query")


@pytest.mark.parametrize(
    ("name", "value"),
    [("limit", "0"), ("limit", "x"), ("cursor", "x"), ("lmit", "5"), ("value", "1")],
)
def test_a_bad_query_of_a_history_is_refused(
    counters: Collection, name: str, value: str
) -> None:
    record_id = counters.created()["id"]
    response = counters.client.get(
        f"{counters.at(record_id)}/history", params={name: value}
    )
    assert_problem(response, 400, "invalid-query")


def test_a_record_that_never_was_has_no_history(
    counters: Collection, samples: Collection
) -> None:
    response = counters.client.get(f"{counters.at(str(uuid.uuid4()))}/history")
    assert_problem(response, 404, "record-not-found")
    elsewhere = samples.created()["id"]
    response = counters.client.get(f"{counters.at(elsewhere)}/history")
    assert_problem(response, 404, "record-not-found")


def test_a_long_payload_and_odd_text_come_back_from_history(
    samples: Collection,
) -> None:
    data = {
        "name": "é😀\u2028\x7f",
        "payload": {"x": [1e22, 0.1, 2**63 - 1, None, True, {"": "\\"}]},
    }
    record = samples.created(**data)
    samples.command(record["id"], "set", data | {"amount": 2})
    change = samples.history(record["id"])[0]
    assert change["payload"] == data | {"amount": 2}
    assert change["data"] == record["data"] | {"amount": 2}


# --- erasure
# -------------------------------------------------------------------------------------


def erase(collection: Collection, record_id: str, **headers: str) -> httpx.Response:
    return collection.client.delete(
        f"{collection.at(record_id)}/history", headers=headers
    )


def test_an_erased_history_keeps_the_envelopes_of_its_changes(
    counters: Collection,
) -> None:
    record_id = counters.created(value=1)["id"]
    record = counters.command(record_id, "increment", {"by": 2}).json()["record"]
    before = counters.history(record_id)
    response = erase(counters, record_id)
    assert (response.status_code, response.content) == (204, b"")
    erased = counters.history(record_id)
    assert [change | ERASED for change in before] == [
        change | dict.fromkeys(HASHES) for change in erased
    ]
    assert [change["data_sha256"] is not None for change in erased] == [True, True]
    assert counters.record(record_id) == record
    seqs = [change["seq"] for change in before]
    feed = counters.client.get("/changes", params={"after": seqs[-1] - 1}).json()
    assert [(change["seq"], change["data"]) for change in feed["items"]] == [
        (seq, None) for seq in reversed(seqs)
    ]


def test_an_erased_revision_is_not_found_and_the_present_one_is(
    counters: Collection,
) -> None:
    record_id = counters.created(value=1)["id"]
    record = counters.command(record_id, "increment").json()["record"]
    erase(counters, record_id)
    assert_problem(counters.read(record_id, revision=1), 404, "revision-not-found")
    assert counters.read(record_id, revision=2).json() == record
    assert_problem(counters.read(record_id, revision=3), 404, "revision-not-found")


def test_what_happens_after_an_erasure_is_kept(counters: Collection) -> None:
    record_id = counters.created(value=1)["id"]
    erase(counters, record_id)
    counters.command(record_id, "increment", {"by": 4})
    assert [
        (change["revision"], change["payload"])
        for change in counters.history(record_id)
    ] == [
        (2, {"by": 4}),
        (1, None),
    ]
    assert counters.read(record_id, revision=2).json()["data"]["value"] == 5


def test_the_history_of_a_deleted_record_can_be_erased(counters: Collection) -> None:
    record_id = counters.created(name="secret")["id"]
    counters.delete(record_id)
    assert erase(counters, record_id).status_code == 204
    assert erase(counters, record_id).status_code == 204
    assert [change["data"] for change in counters.history(record_id)] == [None, None]
    assert_problem(counters.read(record_id, revision=1), 404, "revision-not-found")
    assert counters.replace(record_id, {}).json()["revision"] == 3


def test_the_history_of_one_record_is_erased_and_no_other(
    counters: Collection, record_id: str
) -> None:
    other = counters.created(name="other")
    erase(counters, counters.created()["id"])
    assert counters.history(other["id"])[0]["data"] == other["data"]
    assert_problem(erase(counters, record_id), 404, "record-not-found")


def test_an_erasure_is_rehearsed_repeated_and_conditional_like_any_write(
    counters: Collection, marker: str
) -> None:
    record_id = counters.created(value=1)["id"]
    response = counters.client.delete(
        f"{counters.at(record_id)}/history", params={"dry_run": "true"}
    )
    assert (response.status_code, response.json()) == (200, {"erased": 1})
    assert_problem(
        erase(counters, record_id, **{"if-match": '"7"'}), 412, "precondition-failed"
    )
    assert counters.history(record_id)[0]["data"] is not None
    key = {"idempotency-key": marker, "if-match": '"1"'}
    assert erase(counters, record_id, **key).status_code == 204
    counters.command(record_id, "increment")
    again = erase(counters, record_id, **key)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (204, "true")
    assert counters.history(record_id)[0]["data"] is not None
