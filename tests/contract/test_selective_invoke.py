"""Selective invoke: one command on every record that matches, each with its outcome
(contract 4)."""

import uuid
from collections import Counter
from typing import Any

import httpx
import pytest

from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem, pointers
from tests.support.twins import named, typed_only

FULL = 2**63 - 1
NO_OUTCOMES = {"invoked": 0, "skipped": 0, "failed": 0, "outcomes": []}


def invoked(response: httpx.Response) -> Json:
    """The answer, once its counts and its order agree with its outcomes."""
    assert response.status_code == 200, response.text
    body: Json = response.json()
    assert body.keys() == {"invoked", "skipped", "failed", "outcomes"}
    counted = Counter(outcome["status"] for outcome in body["outcomes"])
    assert {name: body[name] for name in ("invoked", "skipped", "failed")} == {
        name: counted[name] for name in ("invoked", "skipped", "failed")
    }
    ids = [outcome["id"] for outcome in body["outcomes"]]
    assert ids == sorted(set(ids))
    return body


def outcome(collection: Collection, record: Json, status: str, **more: Any) -> Json:
    """The outcome reported for one record."""
    reported = {"collection": collection.name, "id": record["id"], "status": status}
    return (
        reported
        | {"reason": None, "result": None, "revision": record["revision"]}
        | more
    )


def test_a_command_runs_where_it_can_and_tells_of_every_record(
    tickets: Collection, marker: str
) -> None:
    major = tickets.created(title=marker, severity=30)
    minor = tickets.created(title=marker, severity=20)
    other = tickets.created(title="another", severity=30)
    body = invoked(tickets.invoke("escalate", title=marker))
    assert body["outcomes"] == [
        outcome(tickets, major, "invoked", result=40, revision=2),
        outcome(tickets, minor, "skipped", reason="unavailable"),
    ]
    assert tickets.record(major["id"])["data"]["severity"] == 40
    assert tickets.record(minor["id"]) == minor
    assert tickets.record(other["id"]) == other


def test_the_changes_share_the_request_and_hold_command_and_payload(
    tickets: Collection, marker: str
) -> None:
    records = [tickets.created(title=marker, severity=30) for _ in range(3)]
    headers = {"x-request-id": marker}
    invoked(tickets.invoke("escalate", {"steps": 2}, title=marker, headers=headers))
    changes = [tickets.history(record["id"])[0] for record in records]
    assert [change["request_id"] for change in changes] == [marker] * 3
    assert {
        (change["operation"], change["command"], change["revision"])
        for change in changes
    } == {("command", "escalate", 2)}
    assert all(change["payload"] == {"steps": 2} for change in changes)
    seqs = [change["seq"] for change in changes]
    assert seqs == list(range(seqs[0], seqs[0] + 3))


def test_every_filter_of_a_list_selects(tickets: Collection, marker: str) -> None:
    records = [
        tickets.created(title=marker, severity=severity) for severity in (30, 31, 40)
    ]
    queries: tuple[dict[str, Any], ...] = (
        {"severity__in": "30,31"},
        {"severity__lt": "40"},
        {"filter": "data.severity == 30 || data.severity == 31"},
        {"_id__in": ",".join(record["id"] for record in records[:2])},
    )
    for query in queries:
        body = invoked(
            tickets.invoke("escalate", title=marker, dry_run="true", **query)
        )
        assert [each["id"] for each in body["outcomes"]] == [
            record["id"] for record in records[:2]
        ]


def test_a_member_named_like_a_control_is_reached_by_its_path(
    oddities: Collection, marker: str
) -> None:
    oddities.created(marker=marker, limit=1)
    kept = oddities.created(marker=marker, limit=2)
    body = invoked(
        oddities.invoke("set", {"limit": 7}, [("data.limit", "1")], marker=marker)
    )
    assert body["invoked"] == 1
    assert oddities.record(kept["id"]) == kept


def test_set_works_on_many(counters: Collection, marker: str) -> None:
    records = [counters.created(name=marker, value=value) for value in (1, 7, 3)]
    body = invoked(counters.invoke("set", {"value": 7}, name=marker))
    assert [(each["status"], each["revision"]) for each in body["outcomes"]] == [
        ("invoked", 2),
        ("invoked", 1),
        ("invoked", 2),
    ]
    assert {counters.record(record["id"])["data"]["value"] for record in records} == {7}


def test_nothing_that_matches_is_no_failure(tickets: Collection, marker: str) -> None:
    assert invoked(tickets.invoke("escalate", title=marker)) == NO_OUTCOMES
    assert (
        invoked(
            tickets.invoke("escalate", title=marker, atomic="true", max_affected="0")
        )
        == NO_OUTCOMES
    )


@typed_only  # CEL computes; it cannot refuse
def test_a_refusal_with_a_code_of_its_own_is_a_failure_with_that_code(
    accounts: Collection, marker: str
) -> None:
    poor = accounts.created(owner=f"{marker}-1", balance=1)
    rich = accounts.created(owner=f"{marker}-2", balance=10)
    body = invoked(accounts.invoke("withdraw", {"amount": 5}, owner__startswith=marker))
    assert body["outcomes"] == [
        outcome(accounts, poor, "failed", reason="insufficient-funds"),
        outcome(accounts, rich, "invoked", result=5, revision=2),
    ]
    assert accounts.record(poor["id"]) == poor


def test_a_result_that_is_no_valid_data_fails_that_record(
    counters: Collection, marker: str
) -> None:
    full = counters.created(name=marker, value=FULL)
    counters.created(name=marker, value=1)
    body = invoked(counters.invoke("increment", name=marker))
    assert [each["reason"] for each in body["outcomes"]] == ["invalid-data", None]
    assert counters.record(full["id"]) == full
    assert len(counters.history(full["id"])) == 1


@typed_only  # CEL cannot break in a way nobody foresaw
def test_a_command_that_breaks_fails_that_record_and_says_nothing_of_the_inside(
    accounts: Collection, marker: str
) -> None:
    record = accounts.created(owner=marker)
    response = accounts.invoke("explode", owner=marker)
    assert invoked(response)["outcomes"] == [
        outcome(accounts, record, "failed", reason="internal-error")
    ]
    assert "the-inside-of-the-service" not in response.text
    problem = assert_problem(
        accounts.invoke("explode", owner=marker, atomic="true"), 409, "command-failed"
    )
    assert problem["outcomes"] == [
        outcome(accounts, record, "failed", reason="internal-error")
    ]


def test_a_unique_value_goes_to_the_first_and_fails_the_others(
    accounts: Collection, marker: str
) -> None:
    """In the middle of many: what the others do is stored."""
    records = [accounts.created(owner=f"{marker}-{n}", balance=1) for n in range(5)]
    body = invoked(
        accounts.invoke(
            "set", {"owner": marker, "balance": 2}, owner__startswith=marker
        )
    )
    assert body["outcomes"][0] == outcome(accounts, records[0], "invoked", revision=2)
    assert body["outcomes"][1:] == [
        outcome(accounts, record, "failed", reason="unique-violation")
        for record in records[1:]
    ]
    assert accounts.record(records[0]["id"])["data"] == {"owner": marker, "balance": 2}
    assert [accounts.record(record["id"]) for record in records[1:]] == records[1:]
    assert [len(accounts.history(record["id"])) for record in records] == [
        2,
        1,
        1,
        1,
        1,
    ]


def test_what_the_database_refuses_fails_by_itself_among_hundreds(
    accounts: Collection, marker: str
) -> None:
    """More than are written at once; every record is all or nothing all the same."""
    accounts.import_lines(
        "".join(f'{{"owner": "{marker}-{n:03}"}}\n' for n in range(300))
    )
    body = invoked(accounts.invoke("set", {"owner": marker}, owner__startswith=marker))
    assert (body["invoked"], body["failed"], body["outcomes"][0]["status"]) == (
        1,
        299,
        "invoked",
    )
    assert {each["reason"] for each in body["outcomes"][1:]} == {"unique-violation"}
    owners = [
        record["data"]["owner"]
        for record in accounts.items(owner__startswith=marker, limit="500")
    ]
    assert sorted(owners) == [marker, *(f"{marker}-{n:03}" for n in range(1, 300))]
    revisions = [
        record["revision"]
        for record in accounts.items(owner__startswith=marker, limit="500")
    ]
    assert sorted(revisions) == [1] * 299 + [2]


@pytest.mark.parametrize(("ranks", "able"), [(range(20), 1), (range(20, 0, -1), 20)])
def test_a_unique_value_is_taken_only_after_it_was_given_up(
    client: httpx.Client, marker: str, ranks: range, able: int
) -> None:
    """One after the other by id, however the records lie in the database."""
    name = f"ranks-{marker}"
    schema = {"type": "object", "properties": {"rank": {"type": "integer"}}}
    up = {"set": {"rank": "data.rank + 1"}}
    definition = {"schema": schema, "unique": ["rank"], "commands": {"up": up}}
    assert client.put(f"/entity-types/{name}", json=definition).status_code == 201
    placed = list(zip(sorted(str(uuid.uuid4()) for _ in ranks), ranks, strict=True))
    for id, rank in reversed(placed):
        assert client.put(f"/api/{name}/{id}", json={"rank": rank}).status_code == 201
    body = invoked(client.post(f"/api/{name}/commands/up"))
    assert (body["invoked"], body["failed"], body["outcomes"][-1]["status"]) == (
        able,
        20 - able,
        "invoked",
    )
    for path in (f"/api/{name}?rank__gte=0&max_affected=20", f"/entity-types/{name}"):
        assert client.delete(path).is_success


@pytest.mark.parametrize("dry_run", ["true", "false"])
def test_atomic_undoes_all_at_a_failure(
    counters: Collection, marker: str, dry_run: str
) -> None:
    records = [counters.created(name=marker, value=value) for value in (9, FULL, 8)]
    response = counters.invoke("increment", name=marker, atomic="true", dry_run=dry_run)
    problem = assert_problem(response, 409, "command-failed")
    assert [(each["status"], each["reason"]) for each in problem["outcomes"]] == [
        ("invoked", None),
        ("failed", "invalid-data"),
        ("invoked", None),
    ]
    assert "nothing was changed" in problem["detail"]
    assert [counters.record(record["id"]) for record in records] == records
    assert [len(counters.history(record["id"])) for record in records] == [1, 1, 1]


def test_atomic_undoes_all_where_the_database_refuses(
    accounts: Collection, marker: str
) -> None:
    records = [accounts.created(owner=f"{marker}-{n}") for n in range(3)]
    response = accounts.invoke(
        "set", {"owner": marker}, owner__startswith=marker, atomic="true"
    )
    problem = assert_problem(response, 409, "command-failed")
    assert [each["reason"] for each in problem["outcomes"]] == [
        None,
        "unique-violation",
        "unique-violation",
    ]
    assert [accounts.record(record["id"]) for record in records] == records


def test_atomic_takes_what_is_skipped_for_no_failure(
    tickets: Collection, marker: str
) -> None:
    tickets.created(title=marker, severity=20)
    tickets.created(title=marker, severity=30)
    body = invoked(tickets.invoke("escalate", title=marker, atomic="true"))
    assert (body["invoked"], body["skipped"]) == (1, 1)


def test_a_dry_run_tells_all_outcomes_and_changes_nothing(
    accounts: Collection, marker: str
) -> None:
    records = [accounts.created(owner=f"{marker}-{n}", balance=n) for n in range(3)]
    payload = {"owner": marker, "balance": 9}
    tried = invoked(
        accounts.invoke("set", payload, owner__startswith=marker, dry_run="true")
    )
    assert [accounts.record(record["id"]) for record in records] == records
    assert invoked(accounts.invoke("set", payload, owner__startswith=marker)) == tried


def test_more_matches_than_max_affected_do_nothing(
    counters: Collection, marker: str
) -> None:
    records = [counters.created(name=marker) for _ in range(3)]
    problem = assert_problem(
        counters.invoke("increment", name=marker, max_affected="2"),
        409,
        "too-many-affected",
    )
    assert problem["matching"] == 3
    assert "max_affected" in problem["detail"]
    assert [counters.record(record["id"]) for record in records] == records
    assert (
        invoked(counters.invoke("increment", name=marker, max_affected="3"))["invoked"]
        == 3
    )


def test_a_thousand_may_match_where_nothing_else_is_said(
    counters: Collection, marker: str
) -> None:
    counters.import_lines(f'{{"name": "{marker}"}}\n' * 1001)
    assert_problem(counters.invoke("increment", name=marker), 409, "too-many-affected")
    assert counters.delete_matching(name=marker, max_affected="1001").json() == {
        "deleted": 1001
    }
    counters.import_lines(f'{{"name": "{marker}"}}\n' * 1000)
    body = invoked(counters.invoke("increment", {"by": 2}, name=marker))
    assert body["invoked"] == 1000
    assert {each["result"] for each in body["outcomes"]} == {2}
    assert (
        counters.find(name=marker, value="2", count="true", limit="1").json()["total"]
        == 1000
    )


@pytest.mark.parametrize(
    "query",
    [
        {"max_affected": "10001"},
        {"max_affected": "-1"},
        {"max_affected": "many"},
        {"atomic": "yes"},
        {"dry_run": "1"},
        {"severety": "30"},
        {"severity__gtee": "30"},
        {"filter": "data.severety > 3"},
        {"sort": "severity"},
        {"limit": "3"},
        {"cursor": "abc"},
    ],
)
def test_a_bad_query_is_refused(tickets: Collection, query: dict[str, Any]) -> None:
    assert_problem(tickets.invoke("escalate", **query), 400, "invalid-query")


@pytest.mark.parametrize(
    ("given", "known"),
    [("atomc", "atomic"), ("max_afected", "max_affected"), ("dryrun", "dry_run")],
)
def test_a_misspelt_parameter_is_named_with_its_nearest(
    tickets: Collection, given: str, known: str
) -> None:
    detail = assert_problem(
        tickets.invoke("escalate", None, [(given, "1")]), 400, "invalid-query"
    )["detail"]
    assert detail == f"unknown field '{given}'; did you mean {known}?"


def test_no_parameter_is_named_that_would_not_be_taken(tickets: Collection) -> None:
    for name in ("limit", "cursor", "count"):
        detail = assert_problem(
            tickets.invoke("escalate", None, [(name, "1")]), 400, "invalid-query"
        )["detail"]
        assert f"did you mean {name}?" not in detail


@pytest.mark.parametrize("name", ["nothing", "Escalate", "escalate2", "é", "a" * 300])
def test_a_command_nobody_knows_is_not_found(tickets: Collection, name: str) -> None:
    assert_problem(tickets.invoke(name), 404, "command-not-found")


def test_the_payload_is_checked_before_any_record(
    tickets: Collection, marker: str
) -> None:
    record = tickets.created(title=marker, severity=30)
    problem = assert_problem(
        tickets.invoke("escalate", {"steps": "two", "step": 1}, title=marker),
        422,
        "invalid-payload",
    )
    assert pointers(problem) == {"/steps", "/step"}
    assert_problem(tickets.invoke("set", {}, title=marker), 422, "invalid-payload")
    assert tickets.record(record["id"]) == record


def test_an_idempotency_key_replays_the_outcomes(
    counters: Collection, marker: str
) -> None:
    record = counters.created(name=marker)
    headers = {"idempotency-key": uuid.uuid4().hex}
    first = counters.invoke("increment", name=marker, headers=headers)
    again = counters.invoke("increment", name=marker, headers=headers)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == first.content
    assert counters.record(record["id"])["data"]["value"] == 1
    other = counters.invoke("increment", {"by": 2}, name=marker, headers=headers)
    assert_problem(other, 422, "idempotency-mismatch")


def test_an_atomic_failure_does_not_use_up_the_key(
    counters: Collection, marker: str
) -> None:
    record = counters.created(name=marker, value=FULL)
    headers = {"idempotency-key": uuid.uuid4().hex}

    def increment() -> httpx.Response:
        return counters.invoke("increment", name=marker, atomic="true", headers=headers)

    assert_problem(increment(), 409, "command-failed")
    counters.patch(record["id"], {"value": 5})
    assert invoked(increment())["outcomes"][0]["result"] == 6


def test_a_minimal_answer_has_no_body(counters: Collection, marker: str) -> None:
    record = counters.created(name=marker)
    response = counters.invoke(
        "increment", name=marker, headers={"prefer": "return=minimal"}
    )
    assert (response.status_code, response.content) == (204, b"")
    assert counters.record(record["id"])["data"]["value"] == 1


def test_preconditions_say_nothing_of_many_records(
    counters: Collection, marker: str
) -> None:
    """As for deletion by filter: they name one revision of one record."""
    counters.created(name=marker)
    assert (
        invoked(counters.invoke("increment", name=marker, headers={"if-match": '"7"'}))[
            "invoked"
        ]
        == 1
    )
    assert counters.delete_matching(
        name=marker, max_affected="1", headers={"if-match": '"7"'}
    ).is_success


def test_only_post_invokes(counters: Collection) -> None:
    response = counters.client.get(f"{counters.path}/commands/increment")
    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "OPTIONS, POST"
    assert_problem(
        counters.client.post(f"{counters.path}/commands/increment/more"),
        404,
        "not-found",
    )


# --- over all collections of a workspace
# -----------------------------------------------------------


Den = tuple[Collection, Collection, Collection]


@pytest.fixture
def den(client: httpx.Client, marker: str, kind: str) -> Den:
    """A workspace of its own: tickets, counters and accounts."""
    names = [named(name, kind) for name in ("tickets", "counters", "accounts")]
    workspace = f"den-{marker}"
    client.put(
        f"/workspaces/{workspace}", json={"collections": names}
    ).raise_for_status()
    first, second, third = (Collection(client, name, workspace) for name in names)
    return first, second, third


def invoke_across_workspaces(
    den: Den, command: str, payload: Any = None, **query: Any
) -> httpx.Response:
    address = f"/workspaces/{den[0].workspace}/commands/{command}"
    return den[0].client.post(address, json=payload, params=query)


def test_a_workspace_invokes_on_those_that_can_and_skips_the_others(
    den: Den, marker: str
) -> None:
    tickets, counters, accounts = den
    outside = Collection(tickets.client, tickets.name).created(
        title=marker, severity=30
    )
    records = [
        (counters, counters.created(), "skipped", "unsupported"),
        (tickets, tickets.created(title="a", severity=30), "invoked", None),
        (accounts, accounts.created(owner=marker), "skipped", "unsupported"),
        (tickets, tickets.created(title="b", severity=20), "skipped", "unavailable"),
    ]
    body = invoked(invoke_across_workspaces(den, "escalate", {"steps": 2}))
    assert body["outcomes"] == [
        outcome(collection, record, status, reason=reason)
        | ({"result": 50, "revision": 2} if status == "invoked" else {})
        for collection, record, status, reason in records
    ]
    assert Collection(tickets.client, tickets.name).record(outside["id"]) == outside


def test_records_of_one_id_stand_in_the_order_of_their_collections(
    den: Den, record_id: str
) -> None:
    tickets, counters, accounts = den
    tickets.replace(record_id, {"title": "a", "severity": 30})
    counters.replace(record_id, {"value": 1})
    accounts.replace(record_id, {"owner": "a"})
    response = invoke_across_workspaces(den, "ack", atomic="true")
    assert response.status_code == 200, response.text
    names = [each["collection"] for each in response.json()["outcomes"]]
    assert names == sorted(each.name for each in den)


def test_a_workspace_filters_by_the_envelope(den: Den) -> None:
    tickets, counters, _ = den
    first, second = (tickets.created(title="a", severity=30) for _ in range(2))
    counters.created()
    assert (
        invoked(invoke_across_workspaces(den, "ack", _id=first["id"]))["invoked"] == 1
    )
    condition = f'record.id == "{second["id"]}" && record.revision == 1'
    assert [
        each["id"]
        for each in invoked(invoke_across_workspaces(den, "ack", filter=condition))[
            "outcomes"
        ]
    ] == [second["id"]]
    assert (
        invoked(invoke_across_workspaces(den, "ack", _revision__gt="5"))["outcomes"]
        == []
    )
    queries: tuple[dict[str, Any], ...] = (
        {"title": "a"},
        {"data.title": "a"},
        {"filter": 'data.title == "a"'},
        {"sort": "_id"},
        {"max_affected": "10001"},
    )
    for query in queries:
        assert_problem(
            invoke_across_workspaces(den, "ack", **query), 400, "invalid-query"
        )


def test_a_workspace_counts_all_that_match_and_undoes_all(den: Den) -> None:
    tickets, counters, _ = den
    ticket, counter = (
        tickets.created(title="a", severity=30),
        counters.created(value=FULL),
    )
    problem = assert_problem(
        invoke_across_workspaces(den, "ack", max_affected="1"), 409, "too-many-affected"
    )
    assert problem["matching"] == 2
    counters.created(value=1)
    problem = assert_problem(
        invoke_across_workspaces(den, "increment", atomic="true"), 409, "command-failed"
    )
    assert [each["status"] for each in problem["outcomes"]] == [
        "skipped",
        "failed",
        "invoked",
    ]
    assert tickets.record(ticket["id"]) == ticket
    assert counters.record(counter["id"]) == counter
    assert [each["data"]["value"] for each in counters.items()] == [FULL, 1]


def test_a_command_that_no_collection_of_the_workspace_knows_is_not_found(
    den: Den,
) -> None:
    assert_problem(invoke_across_workspaces(den, "fly"), 404, "command-not-found")
    response = den[0].client.post("/workspaces/nowhere/commands/ack")
    assert_problem(response, 404, "workspace-not-found")
    assert_problem(
        invoke_across_workspaces(den, "escalate", {"steps": "x"}),
        422,
        "invalid-payload",
    )
    assert_problem(
        den[0].client.get(f"/workspaces/{den[0].workspace}/commands/ack"),
        405,
        "method-not-allowed",
    )


def test_a_workspace_sets_what_each_of_its_collections_understands(
    den: Den, marker: str
) -> None:
    """`set` is a command of all; its payload has to fit each."""
    for each in den:
        each.create(
            {"title": marker, "severity": 30} if each is den[0] else {"owner": marker}
        )
    problem = assert_problem(
        invoke_across_workspaces(den, "set", {"severity": 40}), 422, "invalid-payload"
    )
    assert den[2].name in problem["detail"]
