"""Reading the past: get, list, filter, sort, count and export as of any moment
(contract 14)."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem

States = dict[str, Json]
"""Records by id."""


def head(client: httpx.Client) -> int:
    last: int = client.get("/changes", params={"after": "now"}).json()["last_seq"]
    return last


@pytest.fixture(scope="module")
def marked() -> str:
    return uuid.uuid4().hex


@pytest.fixture(scope="module")
def moments(samples: Collection, marked: str) -> dict[int, States]:
    """A history of creations, patches, deletions and a return, and what there was after
    each of its changes."""
    present: States = {}
    found: dict[int, States] = {head(samples.client): {}}

    def done(record: Json) -> str:
        present[record["id"]] = record
        found[head(samples.client)] = dict(present)
        record_id: str = record["id"]
        return record_id

    def patched(record_id: str, **data: Any) -> None:
        done(samples.patch(record_id, data).json())

    ids = [
        done(samples.created(marker=marked, name=f"n{n}", amount=n, ratio=n / 2))
        for n in range(4)
    ]
    patched(ids[0], amount=10, spare_amount=1)
    patched(ids[1], name="other", ratio=-2.5)
    samples.delete(ids[2])
    del present[ids[2]]
    found[head(samples.client)] = dict(present)
    patched(ids[0], amount=-1, spare_name="x")
    done(
        samples.replace(
            ids[2], {"marker": marked, "name": "again", "amount": 2, "ratio": 0}
        ).json()
    )
    return found


def data(name: str) -> Callable[[Json], Any]:
    return lambda record: record["data"].get(name)


def test_a_record_is_as_it_was(samples: Collection, moments: dict[int, States]) -> None:
    ids = {record_id for states in moments.values() for record_id in states}
    for seq, states in moments.items():
        for record_id in ids:
            answer = samples.read(record_id, as_of=seq)
            if record_id in states:
                assert answer.json() == states[record_id]
                revision = states[record_id]["revision"]
                assert answer.headers["etag"] == f'"{revision}"'
            else:
                assert_problem(answer, 404, "record-not-found")


def test_preconditions_are_about_the_revision_that_is_read(
    samples: Collection, moments: dict[int, States]
) -> None:
    seq, states = max(moments.items())
    record = next(iter(states.values()))
    tag = f'"{record["revision"]}"'
    for query in ({"as_of": seq}, {"revision": record["revision"]}):
        known = samples.read(record["id"], headers={"If-None-Match": tag}, **query)
        assert known.status_code == 304
        wanted = samples.read(record["id"], headers={"If-Match": tag}, **query)
        assert wanted.json() == record
        other = samples.read(record["id"], headers={"If-Match": '"99"'}, **query)
        assert_problem(other, 412, "precondition-failed")


def test_a_list_is_as_it_was_in_every_order_and_page(
    samples: Collection, moments: dict[int, States], marked: str
) -> None:
    orders: dict[str, tuple[Callable[[Json], Any], bool]] = {
        "": (lambda record: record["id"], False),
        "-_id": (lambda record: record["id"], True),
        "amount": (data("amount"), False),
        "-ratio": (data("ratio"), True),
        "name": (data("name"), False),
        "-_updated_at": (lambda record: record["updated_at"], True),
    }
    for seq, states in moments.items():
        for sort, (key, descending) in orders.items():
            query = {"sort": sort} if sort else {}
            pages = list(samples.pages(marker=marked, as_of=seq, limit=2, **query))
            records = [record for page in pages for record in page]
            by_id = sorted(
                states.values(), key=lambda record: record["id"], reverse=descending
            )
            assert records == sorted(by_id, key=key, reverse=descending), sort


def test_filters_see_the_data_of_then(
    samples: Collection, moments: dict[int, States], marked: str
) -> None:
    filters: dict[str, tuple[Json, Callable[[Json], bool]]] = {
        "operator": ({"amount__gte": 2}, lambda found: found["amount"] >= 2),
        "text": ({"name__startswith": "n"}, lambda found: found["name"][0] == "n"),
        "null": ({"spare_amount__isnull": "true"}, lambda f: f["spare_amount"] is None),
        "different": ({"spare_amount__ne": 1}, lambda f: f["spare_amount"] != 1),
        "CEL": (
            {"filter": 'data.ratio < 1.0 || !(data.name == "n2")'},
            lambda found: found["ratio"] < 1 or found["name"] != "n2",
        ),
    }
    for seq, states in moments.items():
        for query, matches in filters.values():
            answer = samples.find(marker=marked, as_of=seq, count="true", **query)
            expected = {id for id, found in states.items() if matches(found["data"])}
            body = answer.json()
            assert {record["id"] for record in body["items"]} == expected
            assert (body["total"], body["erased"]) == (len(expected), 0)


def test_filters_see_the_envelope_of_then(
    samples: Collection, moments: dict[int, States], marked: str
) -> None:
    for seq, states in moments.items():
        found = samples.items(marker=marked, as_of=seq, _revision=1)
        firsts = {id for id, record in states.items() if record["revision"] == 1}
        assert {record["id"] for record in found} == firsts


def test_a_time_is_the_last_seal_until_then(
    samples: Collection, moments: dict[int, States], marked: str
) -> None:
    seals = samples.client.get(
        "/changes/seals", params={"after": min(moments), "limit": 500}
    ).json()["items"]
    at = {seal["seq"]: seal["at"] for seal in seals}
    for seq, states in moments.items():
        if seq not in at:
            continue
        found = samples.items(marker=marked, as_of=at[seq])
        assert {record["id"]: record for record in found} == states
        later = at[seq].replace("Z", "999z")
        assert samples.items(marker=marked, as_of=later) == found
        east = datetime.fromisoformat(at[seq]).astimezone().isoformat()
        assert samples.items(marker=marked, as_of=east) == found


def test_an_export_is_as_it_was(
    samples: Collection, moments: dict[int, States], marked: str
) -> None:
    for seq, states in moments.items():
        for order in ({}, {"sort": "amount"}):
            lines = samples.export(marker=marked, as_of=seq, **order).text.splitlines()
            assert len(lines) == len(states)
        chosen = samples.export(marker=marked, as_of=seq, fields="amount", amount=2)
        assert len(chosen.text.splitlines()) == sum(
            record["data"]["amount"] == 2 for record in states.values()
        )


def test_some_fields_of_then_are_sent(
    samples: Collection, moments: dict[int, States], marked: str
) -> None:
    seq, states = max(moments.items())
    query = {"as_of": seq, "fields": "amount,data.never_declared"}
    found = samples.items(marker=marked, **query)
    assert {record["id"]: record["data"] for record in found} == {
        id: {"amount": record["data"]["amount"]} for id, record in states.items()
    }


def test_members_that_the_schema_does_not_have_can_be_named(
    samples: Collection, moments: dict[int, States], marked: str
) -> None:
    seq, states = max(moments.items())
    assert samples.items([("data.was_there_once", "1")], as_of=seq) == []
    query = {"marker": marked, "as_of": seq}
    found = samples.items([("data.was_there_once__isnull", "true")], **query)
    assert len(found) == len(states)
    found = samples.items(filter="data.was_there_once != 3", **query)
    assert len(found) == len(states)
    assert_problem(samples.find(was_there_once=1, as_of=seq), 400, "invalid-query")


def test_a_cursor_carries_the_moment(samples: Collection, marker: str) -> None:
    for n in range(3):
        samples.created(marker=marker, name=str(n), amount=n)
    now = datetime.now(UTC).isoformat()
    first = samples.find(marker=marker, as_of=now, limit=2, sort="amount")
    cursor = first.json()["next_cursor"]
    samples.created(marker=marker, name="later", amount=9)
    query = {"marker": marker, "sort": "amount", "cursor": cursor}
    for again in ({"as_of": now}, {}):
        found = samples.items(**query, **again)
        assert [record["data"]["amount"] for record in found] == [2]
    for other in (1, "2026-01-01T00:00:00Z"):
        assert_problem(samples.find(**query, as_of=other), 400, "invalid-query")
    present = samples.find(marker=marker, sort="amount", limit=1).json()["next_cursor"]
    refused = samples.find(marker=marker, sort="amount", cursor=present, as_of=now)
    assert_problem(refused, 400, "invalid-query")


def test_erased_data_is_left_out_and_counted(samples: Collection, marker: str) -> None:
    kept, erased, present = (
        samples.created(marker=marker, name=name, amount=1)
        for name in ("kept", "erased", "present")
    )
    seq = head(samples.client)
    samples.patch(erased["id"], {"amount": 2})
    for record in (erased, present):
        path = f"{samples.at(record['id'])}/history"
        samples.client.delete(path).raise_for_status()
    assert samples.read(present["id"], as_of=seq).json() == present
    refused = samples.read(erased["id"], as_of=seq)
    assert_problem(refused, 404, "revision-not-found")
    for sort in ("_id", "amount", "-name"):
        query = {"as_of": seq, "sort": sort, "_id__in": _ids(kept, erased, present)}
        body = samples.find(**query).json()
        assert (len(body["items"]), body["erased"]) == (2, 1)
        first = samples.find(**query, limit=1).json()
        rest = samples.find(**query, limit=1, cursor=first["next_cursor"]).json()
        assert rest["next_cursor"] is None
        assert first["erased"] + rest["erased"] == 1
    exported = samples.export(as_of=seq, marker=marker).text.splitlines()
    assert len(exported) == 2


def _ids(*records: Json) -> str:
    return ",".join(record["id"] for record in records)


@pytest.mark.parametrize(
    "as_of",
    ["", "-1", "yesterday", "1.5", "2026-11-25", "2026-13-01T00:00:00Z", "9" * 30],
)
def test_what_is_no_moment_is_refused(samples: Collection, as_of: str) -> None:
    assert_problem(samples.find(as_of=as_of), 400, "invalid-query")
    record_id = str(uuid.uuid4())
    assert_problem(samples.read(record_id, as_of=as_of), 400, "invalid-query")
    assert_problem(samples.export(as_of=as_of), 400, "invalid-query")


def test_the_future_is_refused(samples: Collection, record_id: str) -> None:
    samples.created(name="any", amount=1)
    beyond = samples.find(as_of=head(samples.client) + 10_000)
    assert_problem(beyond, 400, "invalid-query")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert_problem(samples.find(as_of=tomorrow), 400, "invalid-query")
    both = samples.read(record_id, as_of=1, revision=1)
    assert_problem(both, 400, "invalid-query")


def test_before_the_first_change_there_is_nothing(
    samples: Collection, record_id: str
) -> None:
    for moment in ("0", "1999-01-01T00:00:00Z"):
        body = samples.find(as_of=moment, count="true").json()
        assert body == {"items": [], "next_cursor": None, "total": 0, "erased": 0}
        assert samples.export(as_of=moment).text == ""
        missing = samples.read(record_id, as_of=moment)
        assert_problem(missing, 404, "record-not-found")


def test_records_of_a_workspace_are_as_they_were(
    client: httpx.Client, marker: str
) -> None:
    workspace = f"past-{marker[:8]}"
    path = f"/workspaces/{workspace}"
    names = ["counters", "samples"]
    client.put(path, json={"collections": names}).raise_for_status()
    counters, samples = (Collection(client, name, workspace) for name in names)
    records = [counters.created(value=1), samples.created(name="a", amount=1)]
    records += [counters.created(value=2), samples.created(name="b", amount=2)]
    seq = head(client)
    counters.patch(records[0]["id"], {"value": 5})
    samples.delete(records[1]["id"])
    samples.created(name="c", amount=3)
    expected = sorted(records, key=lambda record: str(record["id"]))
    found: list[Json] = []
    cursor: dict[str, str] = {}
    for _ in range(2):
        query = {"as_of": seq, "limit": 2} | cursor
        body = client.get(f"{path}/records", params=query).json()
        assert body["erased"] == 0
        found += body["items"]
        cursor = {"cursor": body["next_cursor"]}
    assert (found, body["next_cursor"]) == (expected, None)
    history = f"{samples.at(records[1]['id'])}/history"
    client.delete(history).raise_for_status()
    body = client.get(f"{path}/records", params={"as_of": seq}).json()
    assert (len(body["items"]), body["erased"]) == (3, 1)
    client.delete(path, params={"force": "true"}).raise_for_status()
