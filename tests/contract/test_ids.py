"""Ids: UUIDv7 in order of creation, canonical ones only, the client's own by PUT
(contract 1 and 3)."""

import uuid
from datetime import datetime

import httpx
import pytest

from tests.support.collection import Collection
from tests.support.problems import assert_problem

NOT_CANONICAL = [
    "abc",
    "1",
    "0198C1D2-7C2F-7D6A-9F1E-2B3C4D5E6F70",
    "0198c1d27c2f7d6a9f1e2b3c4d5e6f70",
    "%7B0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70%7D",
    "urn:uuid:0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70",
    "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f7",
    "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f700",
    "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f7g",
    "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70%20",
    "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70%0A",
    "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70%00",
    "%D9%A0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f7",
    "%FF",
    "'%20or%201=1--",
]


def milliseconds(record_id: str) -> int:
    """The moment inside a UUIDv7 (RFC 9562, section 5.7)."""
    return uuid.UUID(record_id).int >> 80


def test_an_id_the_service_makes_is_a_canonical_uuid_of_version_7(
    counters: Collection,
) -> None:
    record_id = counters.created()["id"]
    parsed = uuid.UUID(record_id)
    assert str(parsed) == record_id
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122


def test_an_id_carries_the_moment_of_creation(counters: Collection) -> None:
    record = counters.created()
    created = datetime.fromisoformat(record["created_at"]).timestamp() * 1000
    assert abs(milliseconds(record["id"]) - created) < 1000


def test_ids_order_by_creation_to_the_millisecond(counters: Collection) -> None:
    ids = [counters.created()["id"] for _ in range(100)]
    moments = [milliseconds(record_id) for record_id in ids]
    assert moments == sorted(moments)
    assert len(set(ids)) == 100


def test_the_default_order_of_a_list_is_that_of_creation(
    counters: Collection, marker: str
) -> None:
    for value in range(20):
        counters.created(name=marker, value=value)
    found = counters.items(name=marker)
    assert [milliseconds(r["id"]) for r in found] == sorted(
        milliseconds(r["id"]) for r in found
    )
    assert [record["id"] for record in found] == sorted(
        record["id"] for record in found
    )


@pytest.mark.parametrize("path_id", NOT_CANONICAL)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_an_id_that_is_no_canonical_uuid_is_not_found(
    counters: Collection, method: str, path_id: str
) -> None:
    body = {"value": 1} if method in ("PUT", "PATCH") else None
    response = counters.client.request(method, counters.at(path_id), json=body)
    assert_problem(response, 404, "record-not-found")


@pytest.mark.parametrize("path_id", NOT_CANONICAL)
def test_no_address_below_an_id_that_is_no_uuid_exists(
    counters: Collection, path_id: str
) -> None:
    assert counters.client.head(counters.at(path_id)).status_code == 404
    assert_problem(
        counters.client.get(f"{counters.at(path_id)}/history"), 404, "record-not-found"
    )
    assert_problem(
        counters.command(path_id, "set", {"value": 1}), 404, "record-not-found"
    )


@pytest.mark.parametrize(
    "chosen",
    [
        str(uuid.uuid4()),
        str(uuid.uuid1()),
        str(uuid.uuid5(uuid.NAMESPACE_DNS, uuid.uuid4().hex)),
    ],
    ids=["v4", "v1", "v5"],
)
def test_a_client_may_choose_any_canonical_uuid(
    counters: Collection, chosen: str
) -> None:
    counters.delete(chosen)
    response = counters.replace(chosen, {"value": 5})
    assert response.status_code == 201
    assert response.json()["id"] == chosen
    assert counters.record(chosen)["data"]["value"] == 5


@pytest.mark.parametrize(
    "chosen", [str(uuid.UUID(int=0)), str(uuid.UUID(int=2**128 - 1))]
)
def test_the_nil_and_the_max_uuid_are_ids_like_any_other(
    counters: Collection, chosen: str
) -> None:
    assert counters.replace(chosen, {"value": 5}).status_code in (200, 201)
    assert counters.record(chosen)["id"] == chosen
    assert counters.delete(chosen).status_code == 204


def test_the_same_id_may_stand_in_two_collections(
    counters: Collection, samples: Collection, record_id: str
) -> None:
    assert counters.replace(record_id, {"value": 5}).status_code == 201
    assert samples.replace(record_id, {"amount": 6}).status_code == 201
    assert counters.delete(record_id).status_code == 204
    assert samples.record(record_id)["data"]["amount"] == 6


def test_an_unknown_collection_is_named(client: httpx.Client, record_id: str) -> None:
    for address in (
        "/api/countrs",
        f"/api/countrs/{record_id}",
        "/api/countrs/not-an-id",
    ):
        problem = assert_problem(client.get(address), 404, "collection-not-found")
        assert "countrs" in problem["detail"]
