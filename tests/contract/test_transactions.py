"""Transactions: operations on any collections that succeed or fail as one (contract
9)."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.conftest import NewDatabase
from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem, pointers
from tests.support.server import run, serving
from tests.support.twins import typed_only


@pytest.fixture
def transact(client: httpx.Client) -> Callable[..., httpx.Response]:
    """Send operations as one transaction."""

    def send(
        *operations: Json, headers: Json | None = None, **query: str
    ) -> httpx.Response:
        body = {"operations": operations}
        return client.post("/transactions", json=body, headers=headers, params=query)

    return send


Transact = Callable[..., httpx.Response]


def results(response: httpx.Response) -> list[Json]:
    assert response.status_code == 200, response.text
    body: Json = response.json()
    assert body.keys() == {"results"}
    given: list[Json] = body["results"]
    return given


def create(collection: Collection, name: str | None = None, /, **data: Any) -> Json:
    operation = at(collection, "create") | {"data": data}
    return operation if name is None else operation | {"as": name}


def on(collection: Collection, op: str, id: Any, **members: Any) -> Json:
    return at(collection, op) | {"id": id} | members


def at(collection: Collection, op: str) -> Json:
    return {"op": op, "collection": collection.name, "workspace": collection.workspace}


def ref(text: str) -> Json:
    return {"$ref": text}


# --- what the operations do
# -----------------------------------------------------------------------


def test_each_operation_does_what_its_own_request_would(
    transact: Transact,
    counters: Collection,
    tickets: Collection,
    record_id: str,
    marker: str,
) -> None:
    kept, deleted = counters.created(value=1), counters.created(value=2)
    merged, stepped = (tickets.created(title=marker, severity=30) for _ in range(2))
    given = results(
        transact(
            create(counters, name=marker),
            create(counters, value=5) | {"id": record_id},
            on(counters, "replace", kept["id"], data={"value": 9}),
            on(counters, "replace", str(uuid.uuid4()), data={"value": 8}),
            on(tickets, "patch", merged["id"], patch={"acknowledged": True}),
            on(
                tickets,
                "patch",
                stepped["id"],
                patch=[{"op": "replace", "path": "/severity", "value": 50}],
            ),
            on(
                tickets,
                "command",
                merged["id"],
                command="escalate",
                payload={"steps": 2},
            ),
            on(tickets, "command", stepped["id"], command="ack"),
            on(counters, "delete", deleted["id"]),
        )
    )
    assert [each["status"] for each in given] == [
        201,
        201,
        200,
        201,
        200,
        200,
        200,
        200,
        204,
    ]
    assert [each.get("result") for each in given] == [None] * 6 + [50, True, None]
    assert ["result" in each for each in given] == [False] * 6 + [True, True, False]
    assert given[8]["record"] is None
    records = [each["record"] for each in given[:8]]
    assert [record["revision"] for record in records] == [1, 1, 2, 1, 2, 2, 3, 3]
    assert records[1]["id"] == record_id
    assert counters.record(records[0]["id"]) == records[0]
    assert counters.record(kept["id"])["data"]["value"] == 9
    assert tickets.record(merged["id"]) == records[6]
    assert tickets.record(stepped["id"]) == records[7]
    assert_problem(counters.read(deleted["id"]), 404, "record-not-found")


def test_the_changes_share_the_request_and_stand_in_the_order_of_the_operations(
    transact: Transact, counters: Collection, tickets: Collection, marker: str
) -> None:
    given = results(
        transact(
            create(tickets, title=marker, severity=30),
            create(counters, value=1),
            create(tickets, title=marker, severity=40),
            headers={"x-request-id": marker},
        )
    )
    places = (tickets, counters, tickets)
    changes = [
        place.history(each["record"]["id"])[0]
        for place, each in zip(places, given, strict=True)
    ]
    assert [change["request_id"] for change in changes] == [marker] * 3
    assert [change["operation"] for change in changes] == ["create"] * 3
    first = changes[0]["seq"]
    assert [change["seq"] for change in changes] == [first, first + 1, first + 2]


def test_an_operation_sees_what_those_before_it_did(
    transact: Transact, counters: Collection
) -> None:
    """One record, created, changed, deleted and created again: each time the next
    revision."""
    record_id = str(uuid.uuid4())
    given = results(
        transact(
            create(counters, value=1) | {"id": record_id},
            on(counters, "command", record_id, command="increment"),
            on(counters, "patch", record_id, patch={"value": 7}),
            on(counters, "delete", record_id),
            create(counters, value=9) | {"id": record_id},
            on(counters, "replace", record_id, data={"value": 9}),
        )
    )
    assert [each["record"] and each["record"]["revision"] for each in given] == [
        1,
        2,
        3,
        None,
        5,
        5,
    ]
    assert [change["revision"] for change in counters.history(record_id)] == [
        5,
        4,
        3,
        2,
        1,
    ]
    assert counters.record(record_id)["data"]["value"] == 9


def test_no_operation_at_all_is_a_transaction(transact: Transact) -> None:
    assert results(transact()) == []


def test_a_unique_value_may_go_from_one_record_to_another(
    transact: Transact, accounts: Collection, marker: str
) -> None:
    first = accounts.created(owner=marker)
    second = accounts.created(owner=f"{marker}-2")
    results(
        transact(
            on(accounts, "patch", first["id"], patch={"owner": f"{marker}-1"}),
            on(accounts, "patch", second["id"], patch={"owner": marker}),
            create(accounts, owner=f"{marker}-2"),
        )
    )
    assert accounts.record(second["id"])["data"]["owner"] == marker


@pytest.mark.parametrize("older", [0, 1])
def test_a_unique_value_may_be_taken_before_it_is_given_up(
    transact: Transact, accounts: Collection, marker: str, older: int
) -> None:
    for number, taken_first in enumerate((True, False, True, False)):
        name = f"{marker}-{number}"
        ids = [accounts.created(owner=f"{name}-{each}")["id"] for each in range(2)]
        holder, other = f"{name}-{older}", ids[1 - older]
        gives_up = (
            on(accounts, "delete", ids[older])
            if number < 2
            else on(accounts, "patch", ids[older], patch={"owner": f"{name}-free"})
        )
        takes = on(accounts, "patch", other, patch={"owner": holder})
        operations = (takes, gives_up) if taken_first else (gives_up, takes)
        results(transact(*operations))
        assert accounts.record(other)["data"]["owner"] == holder
        assert accounts.record(other)["revision"] == 2


@pytest.mark.parametrize("size", [2, 3, 7])
def test_records_may_exchange_unique_values_in_any_order(
    transact: Transact, accounts: Collection, marker: str, size: int
) -> None:
    made = [accounts.created(owner=f"{marker}-{each}") for each in range(size)]
    results(
        transact(
            *(
                on(
                    accounts,
                    "patch",
                    record["id"],
                    patch={"owner": f"{marker}-{(number + 1) % size}"},
                )
                for number, record in enumerate(made)
            )
        )
    )
    for number, record in enumerate(made):
        now = accounts.record(record["id"])
        assert now["data"]["owner"] == f"{marker}-{(number + 1) % size}"
        assert (now["revision"], now["created_at"]) == (2, record["created_at"])
        assert [each["revision"] for each in accounts.history(record["id"])] == [2, 1]


def test_an_exchange_that_leaves_a_value_twice_is_refused_and_named(
    transact: Transact, accounts: Collection, marker: str
) -> None:
    made = [accounts.created(owner=f"{marker}-{each}") for each in range(4)]
    owners = [1, 0, 3]
    operations = [
        on(accounts, "patch", record["id"], patch={"owner": f"{marker}-{owner}"})
        for record, owner in zip(made[:3], owners, strict=True)
    ]
    problem = assert_problem(transact(*operations), 409, "unique-violation")
    assert problem["operation"] == 2
    assert pointers(problem) == {"/owner"}
    for record in made:
        assert accounts.record(record["id"]) == record


def test_a_precondition_may_be_a_reference(
    transact: Transact, counters: Collection, marker: str
) -> None:
    given = results(
        transact(
            create(counters, "made", name=marker),
            on(
                counters,
                "patch",
                ref("made.id"),
                patch={"value": 1},
                if_match=ref("made.revision"),
            ),
        )
    )
    assert [each["record"]["revision"] for each in given] == [1, 2]
    record = given[1]["record"]
    fulfilled = [
        on(counters, "patch", record["id"], patch={"value": 2}) | {"as": "first"},
        on(
            counters,
            "patch",
            record["id"],
            patch={"value": 3},
            if_match=ref("first.data.value"),
        ),
    ]
    problem = assert_problem(transact(*fulfilled), 412, "precondition-failed")
    assert (problem["operation"], problem["revision"]) == (1, 3)
    assert counters.record(record["id"]) == record


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("nobody.revision", 422, "invalid-data"),
        ("made", 422, "invalid-data"),
        ("made.result", 422, "invalid-data"),
        ("made.data", 422, "invalid-data"),
        ("made.data.name", 422, "invalid-payload"),
    ],
)
def test_a_precondition_that_refers_to_nothing_of_use_is_named(
    transact: Transact,
    counters: Collection,
    marker: str,
    text: str,
    status: int,
    code: str,
) -> None:
    operations = [
        create(counters, "made", name=marker),
        on(counters, "patch", ref("made.id"), patch={"value": 1}, if_match=ref(text)),
    ]
    problem = assert_problem(transact(*operations), status, code)
    assert problem["operation"] == 1
    assert counters.items(name=marker) == []


# --- references
# ------------------------------------------------------------------------------------


def test_references_are_replaced_everywhere_in_what_an_operation_stores(
    transact: Transact, samples: Collection, counters: Collection, marker: str
) -> None:
    inner = {"list": [1, {"deep": "x"}], "a": {"b": None}}
    given = results(
        transact(
            create(counters, "c", value=41, name=marker),
            on(counters, "command", ref("c.id"), command="increment") | {"as": "inc"},
            create(samples, "s", marker=marker, payload=inner),
            create(
                samples,
                name=ref("c.id"),
                amount=ref("inc.result"),
                spare_amount=ref("inc.revision"),
                spare_name=ref("s.data.payload.list.1.deep"),
                payload={
                    "whole": ref("s.data.payload"),
                    "many": [ref("c.revision"), ref("c.data.value")],
                    "none": ref("s.data.payload.a.b"),
                },
            ),
            on(samples, "patch", ref("s.id"), patch={"name": ref("c.data.name")}),
            on(
                samples,
                "patch",
                ref("s.id"),
                patch=[
                    {
                        "op": "add",
                        "path": "/payload/more",
                        "value": ref("inc.data.value"),
                    }
                ],
            ),
            on(
                counters,
                "command",
                ref("c.id"),
                command="set",
                payload={"name": ref("s.id")},
            ),
            on(counters, "delete", ref("c.id"), **{"as": "deleted"}),
            create(samples, name=ref("deleted.id"), amount=ref("deleted.revision")),
        )
    )
    counter_id = given[0]["record"]["id"]
    made = given[3]["record"]["data"]
    assert (made["name"], made["amount"], made["spare_amount"], made["spare_name"]) == (
        counter_id,
        42,
        2,
        "x",
    )
    assert made["payload"] == {"whole": inner, "many": [1, 41], "none": None}
    sample = samples.record(given[2]["record"]["id"])
    assert (sample["data"]["name"], sample["data"]["payload"]) == (
        marker,
        inner | {"more": 42},
    )
    assert given[6]["record"]["data"]["name"] == sample["id"]
    last = given[8]["record"]["data"]
    assert (last["name"], last["amount"]) == (counter_id, 4)


def test_a_value_stands_as_it_is(transact: Transact, samples: Collection) -> None:
    given = results(
        transact(
            create(
                samples,
                payload={
                    "ref": {"$value": ref("nobody.id")},
                    "value": {"$value": {"$value": 1}},
                    "two": {"$ref": "x", "more": 1},
                    "number": {"$ref": 5},
                },
            )
        )
    )
    assert given[0]["record"]["data"]["payload"] == {
        "ref": ref("nobody.id"),
        "value": {"$value": 1},
        "two": {"$ref": "x", "more": 1},
        "number": {"$ref": 5},
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "t",
        "t.",
        "t.data",
        "t.data.",
        "t.nothing",
        "t.created_at",
        "t.id.more",
        "nobody.id",
        "later.id",
        "me.id",
        "t.result",
        "deleted.data.value",
        "t.data.nothing",
        "t.data.value.more",
        "t.data.name.0",
        ".id",
        "$ref",
        "t.data.\x01",
    ],
)
def test_a_reference_that_leads_nowhere_is_refused_at_its_pointer(
    transact: Transact,
    counters: Collection,
    samples: Collection,
    marker: str,
    text: str,
) -> None:
    other = counters.created()
    response = transact(
        create(counters, "t", name=marker, value=1),
        on(counters, "delete", other["id"]) | {"as": "deleted"},
        create(samples, "me", payload={"a/b": [0, ref(text)]}),
        create(counters, "later", name=marker),
    )
    problem = assert_problem(response, 422, "invalid-data")
    assert problem["operation"] == 2
    assert pointers(problem) == {"/payload/a~1b/1"}
    assert counters.items(name=marker) == []
    assert counters.record(other["id"]) == other


@pytest.mark.parametrize("op", ["replace", "patch", "command", "delete", "create"])
@pytest.mark.parametrize("text", ["nobody.id", "t.data.value"])
def test_an_id_that_refers_to_no_id_is_refused(
    transact: Transact, counters: Collection, marker: str, op: str, text: str
) -> None:
    more: dict[str, Json] = {
        "replace": {"data": {}},
        "create": {"data": {}},
        "patch": {"patch": {}},
    }
    operation = on(counters, op, ref(text), **more.get(op, {}))
    if op == "command":
        operation["command"] = "increment"
    response = transact(create(counters, "t", name=marker, value=1), operation)
    assert response.status_code in (404, 422)
    problem = assert_problem(response, response.status_code, response.json()["code"])
    assert problem["operation"] == 1
    assert counters.items(name=marker) == []


def test_operations_that_refer_to_each_other_are_refused(
    transact: Transact, counters: Collection
) -> None:
    response = transact(
        create(counters, "a", name=ref("b.id")),
        create(counters, "b", name=ref("a.id")),
    )
    assert assert_problem(response, 422, "invalid-data")["operation"] == 0


def test_what_was_put_into_references_keeps_the_limits_of_a_body(
    transact: Transact, samples: Collection
) -> None:
    """Doubled again and again it would fill the memory, wrapped again and again any
    stack."""
    doubled = [create(samples, "o0", payload={"x": "x" * 1000})]
    doubled += [
        create(samples, f"o{n}", payload={"x": [ref(f"o{n - 1}.data.payload")] * 2})
        for n in range(1, 40)
    ]
    assert assert_problem(transact(*doubled), 413, "too-large")["operation"] == 11
    wrapped = [create(samples, "o0", payload={"x": 1})]
    wrapped += [
        create(samples, f"o{n}", payload={"x": ref(f"o{n - 1}.data.payload")})
        for n in range(1, 100)
    ]
    assert assert_problem(transact(*wrapped), 422, "invalid-data")["operation"] == 63


def test_a_transaction_does_not_fill_the_memory_with_one_large_record(
    transact: Transact, samples: Collection, marker: str
) -> None:
    record = samples.created(marker=marker, payload={"x": "x" * 500_000})
    changes = [
        on(samples, "patch", record["id"], patch={"amount": n}) for n in range(1, 200)
    ]
    refused = transact(*changes)
    # A slow processor reaches the limit of the time before that of the characters.
    if refused.status_code == 422:
        assert "take longer than" in refused.json()["detail"]
    else:
        assert_problem(refused, 413, "too-large")
    assert samples.record(record["id"]) == record
    assert results(transact(*changes[:20]))[19]["record"]["data"]["amount"] == 20


# --- all or nothing
# ---------------------------------------------------------------------------------


def failing(
    accounts: Collection, tickets: Collection, counters: Collection, marker: str
) -> dict[str, Any]:
    """Operations that fail, each with its status, its code and the pointers it
    names."""
    taken = accounts.created(owner=f"{marker}-taken")
    small = tickets.created(title=marker, severity=20)
    test = [{"op": "test", "path": "/severity", "value": 30}]

    def minor(op: str, **members: Any) -> Json:
        return on(tickets, op, small["id"], **members)

    wrong = {"title": "", "severity": "x"}
    unknown_operation, steps = [{"op": "x"}], {"steps": "x"}
    return {
        "unique": (
            create(accounts, owner=f"{marker}-taken"),
            409,
            "unique-violation",
            {"/owner"},
        ),
        "taken id": (
            create(accounts, owner="x") | {"id": taken["id"]},
            409,
            "record-exists",
            None,
        ),
        "data": (
            create(tickets, **wrong),
            422,
            "invalid-data",
            {"/title", "/severity"},
        ),
        "replacement": (
            minor("replace", data=wrong),
            422,
            "invalid-data",
            {"/title", "/severity"},
        ),
        "patched": (
            minor("patch", patch={"severity": 51}),
            422,
            "invalid-data",
            {"/severity"},
        ),
        "patch": (
            minor("patch", patch=unknown_operation),
            422,
            "invalid-patch",
            {"/0"},
        ),
        "patch test": (minor("patch", patch=test), 409, "patch-test-failed", {"/0"}),
        "no record": (
            on(tickets, "delete", str(uuid.uuid4())),
            404,
            "record-not-found",
            None,
        ),
        "no id": (on(tickets, "delete", "nobody"), 404, "record-not-found", None),
        "no command": (minor("command", command="fly"), 404, "command-not-found", None),
        "payload": (
            minor("command", command="escalate", payload=steps),
            *(422, "invalid-payload", {"/steps"}),
        ),
        "guard": (
            minor("command", command="escalate"),
            409,
            "command-unavailable",
            None,
        ),
        "computed": (
            on(accounts, "command", taken["id"], command="overdraw"),
            *(422, "invalid-data", {"/balance"}),
        ),
        "if_match": (minor("delete", if_match=2), 412, "precondition-failed", None),
        "no collection": (
            create(counters) | {"collection": "no", "workspace": None},
            *(404, "collection-not-found", None),
        ),
        "no workspace": (
            create(counters) | {"workspace": "no"},
            404,
            "workspace-not-found",
            None,
        ),
    }


@pytest.mark.parametrize("dry_run", ["false", "true"])
def test_any_failure_stores_nothing_and_names_its_operation(
    transact: Transact,
    accounts: Collection,
    tickets: Collection,
    counters: Collection,
    marker: str,
    dry_run: str,
) -> None:
    changed = counters.created(value=1)
    good = (
        create(accounts, owner=f"{marker}-1"),
        on(counters, "command", changed["id"], command="increment"),
    )
    for name, (operation, status, code, places) in failing(
        accounts, tickets, counters, marker
    ).items():
        for index in (0, 2):
            response = transact(
                *good[:index], operation, *good[index:], dry_run=dry_run
            )
            problem = assert_problem(response, status, code)
            assert problem["operation"] == index, name
            assert places is None or pointers(problem) == places, name
    assert counters.record(changed["id"]) == changed
    assert accounts.items(owner=f"{marker}-1") == []


def test_a_unique_value_used_twice_in_one_transaction_names_the_second(
    transact: Transact, accounts: Collection, marker: str
) -> None:
    many = [create(accounts, owner=f"{marker}-{n % 7}") for n in range(10)]
    problem = assert_problem(transact(*many), 409, "unique-violation")
    assert problem["operation"] == 7
    assert pointers(problem) == {"/owner"}
    assert accounts.items(owner__startswith=marker) == []


@typed_only  # CEL computes; it cannot refuse
def test_a_refusal_from_inside_keeps_its_code(
    transact: Transact, accounts: Collection, marker: str
) -> None:
    account = accounts.created(owner=marker, balance=10)
    withdraw = on(
        accounts, "command", account["id"], command="withdraw", payload={"amount": 6}
    )
    assert (
        assert_problem(transact(withdraw, withdraw), 409, "insufficient-funds")[
            "operation"
        ]
        == 1
    )
    assert accounts.record(account["id"]) == account


@pytest.mark.parametrize("if_match", [1, "1", '"1"', ' "1"', '"7", "1"', "*"])
def test_a_precondition_that_holds(
    transact: Transact, counters: Collection, if_match: Any
) -> None:
    """A revision, or the text of the header."""
    record = counters.created(value=1)
    results(
        transact(
            on(counters, "patch", record["id"], patch={"value": 2}, if_match=if_match)
        )
    )
    assert counters.record(record["id"])["data"]["value"] == 2


@pytest.mark.parametrize("if_match", [2, '"2"', 'W/"1"'])
def test_a_precondition_that_does_not_hold_tells_the_revision(
    transact: Transact, counters: Collection, if_match: Any
) -> None:
    record = counters.created(value=1)
    response = transact(
        on(counters, "replace", record["id"], data={"value": 2}, if_match=if_match)
    )
    problem = assert_problem(response, 412, "precondition-failed")
    assert (problem["operation"], problem["revision"]) == (0, 1)
    assert counters.record(record["id"]) == record


def test_a_precondition_on_what_is_to_be_created_does_not_hold(
    transact: Transact, counters: Collection
) -> None:
    response = transact(create(counters, value=1) | {"if_match": "*"})
    assert assert_problem(response, 412, "precondition-failed")["operation"] == 0


# --- the form of the body
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"op": "upsert"}, "/op"),
        ({"op": None}, "/op"),
        ({"op": ["create"]}, "/op"),
        ({"collection": 5}, "/collection"),
        ({"data": []}, "/data"),
        ({"data": None}, "/data"),
        ({"patch": {}}, "/patch"),
        ({"id": 5}, "/id"),
        ({"id": {"$ref": 5}}, "/id"),
        ({"workspace": 5}, "/workspace"),
        ({"workspace": ""}, "/workspace"),
        ({"if_match": 0}, "/if_match"),
        ({"if_match": 1.5}, "/if_match"),
        ({"if_match": True}, "/if_match"),
        ({"if_match": "one"}, "/if_match"),
        ({"if_match": ""}, "/if_match"),
        ({"as": ""}, "/as"),
        ({"as": "a.b"}, "/as"),
        ({"as": "1"}, "/as"),
        ({"as": "é"}, "/as"),
        ({"as": 5}, "/as"),
        ({"as": "first"}, "/as"),
        ({"unknown": 1}, "/unknown"),
    ],
)
def test_an_operation_of_another_form_is_refused_at_its_pointer(
    transact: Transact, counters: Collection, marker: str, change: Json, place: str
) -> None:
    response = transact(
        create(counters, "first", name=marker), create(counters, name=marker) | change
    )
    problem = assert_problem(response, 422, "invalid-payload")
    assert problem["operation"] == 1
    named = pointers(problem)
    assert {each for each in named if each.startswith(f"/operations/1{place}")} == named
    assert counters.items(name=marker) == []


@pytest.mark.parametrize(
    "operation", [None, 5, "create", [], {}, {"op": "create"}, {"op": "delete"}]
)
def test_what_is_no_operation_is_refused(transact: Transact, operation: Any) -> None:
    problem = assert_problem(transact(operation), 422, "invalid-payload")
    assert problem["operation"] == 0
    assert all(place.startswith("/operations/0") for place in pointers(problem))


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid-json"),
        (b"[]", 422, "invalid-payload"),
        (b"{}", 422, "invalid-payload"),
        (b'{"operations": {}}', 422, "invalid-payload"),
        (b'{"operations": [], "operation": []}', 422, "invalid-payload"),
        (b'{"operations": [], "operations": []}', 400, "invalid-json"),
        (b'{"operations": [NaN]}', 400, "invalid-json"),
        (b'{"operations": ' + b"[" * 80 + b"]" * 80 + b"}", 400, "invalid-json"),
    ],
)
def test_a_body_of_another_form_is_refused(
    client: httpx.Client, body: bytes, status: int, code: str
) -> None:
    response = client.post(
        "/transactions", content=body, headers={"content-type": "application/json"}
    )
    assert_problem(response, status, code)


def test_a_body_is_json_and_within_its_limit(
    client: httpx.Client, counters: Collection
) -> None:
    response = client.post(
        "/transactions", content=b"{}", headers={"content-type": "text/plain"}
    )
    assert_problem(response, 415, "unsupported-media-type")
    large = {"operations": [create(counters, name="x" * 1_048_576)]}
    assert_problem(client.post("/transactions", json=large), 413, "too-large")
    assert_problem(
        client.post("/transactions?atomic=true", json=large), 400, "invalid-query"
    )
    assert_problem(client.get("/transactions"), 405, "method-not-allowed")


def test_1001_operations_are_too_many_and_1000_are_not(
    transact: Transact, counters: Collection, marker: str
) -> None:
    problem = assert_problem(
        transact(*[create(counters, name=marker)] * 1001), 422, "invalid-payload"
    )
    assert pointers(problem) == {"/operations"}
    assert counters.items(name=marker) == []
    assert len(results(transact(*[create(counters, name=marker)] * 1000))) == 1000
    assert counters.find(name=marker, count="true", limit="1").json()["total"] == 1000


def test_1000_operations_on_one_record_are_1000_revisions(
    transact: Transact, counters: Collection
) -> None:
    record = counters.created(value=0)
    increment = on(counters, "command", record["id"], command="increment")
    given = results(transact(*[increment] * 1000))
    assert [each["result"] for each in given] == list(range(1, 1001))
    stored = counters.record(record["id"])
    assert (stored["data"]["value"], stored["revision"]) == (1000, 1001)
    newest = counters.history(record["id"], limit=3)
    assert [(change["revision"], change["data"]["value"]) for change in newest] == [
        (1001, 1000),
        (1000, 999),
        (999, 998),
    ]


# --- what every write has
# ---------------------------------------------------------------------------


def test_a_dry_run_tells_all_results_and_stores_nothing(
    transact: Transact, counters: Collection, marker: str
) -> None:
    record = counters.created(name=marker)
    operations = (
        on(counters, "command", record["id"], command="increment") | {"as": "i"},
        create(counters, name=marker, value=ref("i.result")),
        on(counters, "delete", record["id"]),
    )
    tried = results(transact(*operations, dry_run="true"))
    assert [each["status"] for each in tried] == [200, 201, 204]
    assert tried[1]["record"]["data"]["value"] == 1
    assert counters.items(name=marker) == [record]


def test_one_key_for_the_whole_transaction(
    transact: Transact, counters: Collection, marker: str
) -> None:
    headers = {"idempotency-key": uuid.uuid4().hex}
    operations = [create(counters, name=marker)] * 2
    first, again = (transact(*operations, headers=headers) for _ in range(2))
    assert again.headers["idempotency-replayed"] == "true"
    assert first.content == again.content
    assert len(counters.items(name=marker)) == 2
    other = transact(*operations[:1], headers=headers)
    assert_problem(other, 422, "idempotency-mismatch")


def test_a_refusal_does_not_use_up_the_key(
    transact: Transact, accounts: Collection, marker: str
) -> None:
    headers = {"idempotency-key": uuid.uuid4().hex}
    other = accounts.created(owner=marker)
    operations = [create(accounts, owner=f"{marker}-1"), create(accounts, owner=marker)]
    problem = assert_problem(
        transact(*operations, headers=headers), 409, "unique-violation"
    )
    assert problem["operation"] == 1
    accounts.delete(other["id"])
    assert [
        each["status"] for each in results(transact(*operations, headers=headers))
    ] == [201, 201]
    bad = transact(create(accounts, owner=5), headers=headers)
    assert_problem(bad, 422, "idempotency-mismatch")


def test_a_minimal_answer_has_no_body(
    transact: Transact, counters: Collection, marker: str
) -> None:
    response = transact(
        create(counters, name=marker), headers={"prefer": "return=minimal"}
    )
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["preference-applied"] == "return=minimal"
    assert len(counters.items(name=marker)) == 1


def test_where_if_match_is_demanded_each_change_needs_its_own(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = {"REQUIRE_IF_MATCH": "true"}
    folder = tmp_path_factory.mktemp("demanding")
    with (
        serving(new_database(), folder, settings=settings) as server,
        server.client() as client,
    ):
        counters = Collection(client, "counters")
        made = create(counters, "c", value=1)
        increment = on(counters, "command", ref("c.id"), command="increment")

        def send(*operations: Json) -> httpx.Response:
            return client.post(
                "/transactions", content=json.dumps({"operations": operations}).encode()
            )

        problem = assert_problem(send(made, increment), 428, "precondition-required")
        assert (problem["operation"], problem["revision"]) == (1, 1)
        assert results(send(made, increment | {"if_match": 1}))[1]["result"] == 2


# --- operations on several workspaces
# ------------------------------------------------------------


def test_collections_and_workspaces_mix(
    transact: Transact, client: httpx.Client, marker: str
) -> None:
    """A typed and a registered collection, in the default workspace and in another: one
    transaction."""
    every = [
        Collection(client, name, workspace)
        for name in ("counters", "registered-counters")
        for workspace in (None, "den")
    ]
    given = results(
        transact(
            create(every[0], "first", name=marker, value=7),
            *(
                create(each, name=marker, value=ref("first.data.value"))
                for each in every[1:]
            ),
        )
    )
    for each, result in zip(every, given, strict=True):
        assert each.items(name=marker) == [result["record"]]
        assert (result["record"]["collection"], result["record"]["workspace"]) == (
            each.name,
            each.workspace,
        )
        assert result["record"]["data"]["value"] == 7


def test_a_collection_the_workspace_does_not_hold_is_not_found(
    transact: Transact, client: httpx.Client, marker: str
) -> None:
    client.put("/workspaces/narrow", json={"collections": ["tickets"]})
    counters = Collection(client, "counters", "narrow")
    good = create(Collection(client, "counters"), name=marker)
    problem = assert_problem(
        transact(good, create(counters)), 404, "collection-not-in-workspace"
    )
    assert problem["operation"] == 1
    assert Collection(client, "counters").items(name=marker) == []


def test_every_operation_needs_a_key_for_its_collection_and_workspace(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """And without one nothing is reported, not even what is wrong with the others."""
    url, folder = new_database(), tmp_path_factory.mktemp("keys")
    scopes = ("counters:write", "tickets:write@den", "tickets:read")
    made = run(
        ["keys", "create", "--name", "k", *(f"--scope={each}" for each in scopes)],
        url,
        folder,
    )
    key = {"authorization": f"Bearer {made.stdout.strip()}"}
    with serving(url, folder) as server, server.client() as client:
        counters, tickets, accounts = (
            Collection(client, name) for name in ("counters", "tickets", "accounts")
        )
        wrong = create(counters, value="x") | {"as": "1", "unknown": 1}
        hidden = create(Collection(client, "accounts", "den"))

        def send(*operations: Any) -> httpx.Response:
            return client.post(
                "/transactions", json={"operations": operations}, headers=key
            )

        for operation in (
            create(tickets),
            create(accounts),
            hidden,
            {"collection": "nothing"},
        ):
            again = {"idempotency-key": uuid.uuid4().hex} | key
            body = {"operations": [wrong, operation]}
            for headers in (key, again, again):
                assert_problem(
                    client.post("/transactions", json=body, headers=headers),
                    403,
                    "forbidden",
                )
        assert_problem(send(wrong), 422, "invalid-payload")
        assert_problem(
            send(create(Collection(client, "tickets", "den"))),
            404,
            "workspace-not-found",
        )
        assert len(results(send(create(counters, value=1)))) == 1
        assert_problem(
            client.post("/workspaces/den/commands/ack", headers=key), 403, "forbidden"
        )
        assert_problem(
            client.post("/api/tickets/commands/ack", headers=key), 403, "forbidden"
        )
        assert (
            client.post("/api/counters/commands/increment", headers=key).json()[
                "invoked"
            ]
            == 1
        )
