"""The trash: deleted records, listed as they were before their deletion (contract
14)."""

from typing import Any

from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem


def trash(samples: Collection, **query: Any) -> Json:
    response = samples.client.get(f"{samples.path}/trash", params=query)
    assert response.status_code == 200, response.text
    body: Json = response.json()
    return body


def deleted(samples: Collection, marker: str, amount: int) -> Json:
    record = samples.created(marker=marker, name=f"n{amount}", amount=amount)
    samples.delete(record["id"]).raise_for_status()
    return record


def test_deleted_records_are_listed_as_they_were(
    samples: Collection, marker: str
) -> None:
    assert trash(samples, marker=marker)["items"] == []
    records = [deleted(samples, marker, amount) for amount in range(3)]
    samples.created(marker=marker, name="kept", amount=5)
    items = trash(samples, marker=marker)["items"]
    for item, record in zip(items, reversed(records), strict=True):
        change = samples.history(record["id"])[0]
        deletion = {"deleted_at": change["at"], "deleted_by": change["actor"]}
        assert item == record | deletion


def test_what_comes_back_leaves_the_trash(samples: Collection, marker: str) -> None:
    record = deleted(samples, marker, 1)
    path = f"{samples.at(record['id'])}/revert"
    body = {"to_revision": trash(samples, marker=marker)["items"][0]["revision"]}
    samples.client.post(path, json=body).raise_for_status()
    assert trash(samples, marker=marker)["items"] == []
    samples.patch(record["id"], {"amount": 7})
    samples.delete(record["id"])
    items = trash(samples, marker=marker)["items"]
    assert [item["data"]["amount"] for item in items] == [7]


def test_the_trash_is_filtered_sorted_counted_and_paged(
    samples: Collection, marker: str
) -> None:
    for amount in (3, 1, 2):
        deleted(samples, marker, amount)
    query = {"marker": marker, "sort": "amount", "limit": 2, "count": "true"}
    first = trash(samples, **query)
    assert [item["data"]["amount"] for item in first["items"]] == [1, 2]
    assert first["total"] == 3
    rest = trash(samples, **query, cursor=first["next_cursor"])
    assert [item["data"]["amount"] for item in rest["items"]] == [3]
    by_default = trash(samples, marker=marker, limit=1)
    cursor = by_default["next_cursor"]
    following = trash(samples, marker=marker, limit=1, cursor=cursor)["items"]
    assert [item["data"]["amount"] for item in following] == [1]
    at = by_default["items"][0]["deleted_at"]
    choices: list[Json] = [
        {"_deleted_at__gte": at},
        {"filter": f'record.deleted_at >= timestamp("{at}")'},
        {"amount__gte": 2, "name": "n2"},
    ]
    for choice in choices:
        found = trash(samples, marker=marker, fields="amount", **choice)["items"]
        assert [item["data"] for item in found] == [{"amount": 2}]
    oldest = trash(samples, marker=marker, sort="_deleted_at,_deleted_by")["items"]
    assert [item["data"]["amount"] for item in oldest] == [3, 1, 2]


def test_an_erased_record_is_not_in_the_trash(samples: Collection, marker: str) -> None:
    record = deleted(samples, marker, 1)
    path = f"{samples.at(record['id'])}/history"
    samples.client.delete(path).raise_for_status()
    assert trash(samples, _id=record["id"])["items"] == []


def test_the_trash_is_of_the_present_only(samples: Collection) -> None:
    path = f"{samples.path}/trash"
    for query in ("as_of=1", "_deleted=1", "_deleted_at=never"):
        assert_problem(samples.client.get(f"{path}?{query}"), 400, "invalid-query")
    assert_problem(samples.find(_deleted_at__isnull="true"), 400, "invalid-query")
