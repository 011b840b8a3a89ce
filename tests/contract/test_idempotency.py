"""Idempotency-Key: one effect and one stored answer, whatever the network does
(contract 5)."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import httpx
import pytest

from tests.conftest import Service
from tests.support.collection import JSON_PATCH, Collection
from tests.support.problems import assert_problem


@pytest.fixture
def key() -> dict[str, str]:
    """The header with a key nobody used."""
    return {"idempotency-key": uuid.uuid4().hex}


def assert_replayed(again: httpx.Response, first: httpx.Response) -> None:
    assert first.headers.get("idempotency-replayed", "false") == "false"
    assert again.headers["idempotency-replayed"] == "true"
    assert again.status_code == first.status_code
    assert again.content == first.content
    for name in ("etag", "location", "content-type"):
        assert again.headers.get(name) == first.headers.get(name)


def test_a_create_sent_twice_creates_once(
    counters: Collection, marker: str, key: dict[str, str]
) -> None:
    first = counters.create({"name": marker}, headers=key)
    again = counters.create({"name": marker}, headers=key)
    assert first.status_code == 201
    assert_replayed(again, first)
    assert len(counters.items(name=marker)) == 1


Send = Callable[[Collection, str, dict[str, str]], httpx.Response]

WRITES: dict[str, Send] = {
    "put": lambda c, id, headers: c.replace(id, {"value": 5}, headers=headers),
    "merge patch": lambda c, id, headers: c.patch(id, {"value": 5}, headers=headers),
    "json patch": lambda c, id, headers: c.patch(
        id,
        [{"op": "replace", "path": "/value", "value": 5}],
        type=JSON_PATCH,
        headers=headers,
    ),
    "command": lambda c, id, headers: c.command(
        id, "increment", {"by": 2}, headers=headers
    ),
    "delete": lambda c, id, headers: c.delete(id, headers=headers),
    "delete by filter": lambda c, id, headers: c.delete_matching(
        _id=id, max_affected="1", headers=headers
    ),
    "minimal patch": lambda c, id, headers: c.patch(
        id, {"value": 5}, headers={**headers, "prefer": "return=minimal"}
    ),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_write_sent_twice_has_one_effect(
    counters: Collection, write: str, key: dict[str, str]
) -> None:
    record_id = counters.created(value=1)["id"]
    first = WRITES[write](counters, record_id, key)
    again = WRITES[write](counters, record_id, key)
    assert first.status_code in (200, 204)
    assert_replayed(again, first)
    assert len(counters.history(record_id)) == 2


def test_an_import_sent_twice_is_done_once(
    counters: Collection, marker: str, key: dict[str, str]
) -> None:
    content = f'{{"name": "{marker}"}}\n' * 3
    first = counters.import_lines(content, headers=key)
    again = counters.import_lines(content, headers=key)
    assert_replayed(again, first)
    assert again.json() == {"created": 3}
    assert len(counters.items(name=marker)) == 3


def test_an_answer_is_replayed_though_the_record_moved_on(
    counters: Collection, key: dict[str, str]
) -> None:
    record_id = counters.created(value=1)["id"]
    first = counters.command(record_id, "increment", headers=key)
    counters.command(record_id, "increment")
    assert_replayed(counters.command(record_id, "increment", headers=key), first)
    counters.delete(record_id)
    assert_replayed(counters.command(record_id, "increment", headers=key), first)
    assert counters.history(record_id)[0]["revision"] == 4


def test_a_key_is_looked_at_before_preconditions(
    counters: Collection, key: dict[str, str]
) -> None:
    record_id = counters.created(value=1)["id"]
    conditional = key | {"if-match": '"1"'}
    first = counters.patch(record_id, {"value": 2}, headers=conditional)
    assert first.status_code == 200
    assert_replayed(counters.patch(record_id, {"value": 2}, headers=conditional), first)


def test_a_key_does_not_do_for_another_request(
    counters: Collection, samples: Collection, key: dict[str, str]
) -> None:
    record_id, other_id = (
        counters.created(value=1)["id"],
        counters.created(value=1)["id"],
    )
    first = counters.patch(record_id, {"value": 2}, headers=key)
    assert first.status_code == 200
    strangers = [
        counters.patch(record_id, {"value": 3}, headers=key),
        counters.patch(other_id, {"value": 2}, headers=key),
        counters.replace(record_id, {"value": 2}, headers=key),
        counters.patch(record_id, {"value": 2}, headers=key, type="application/json"),
        counters.patch(record_id, {"value": 2}, headers=key | {"if-match": '"2"'}),
        counters.patch(record_id, {"value": 2}, headers=key | {"if-none-match": '"9"'}),
        counters.delete(record_id, headers=key),
        counters.command(record_id, "increment", headers=key),
        samples.create({"amount": 1}, headers=key),
        counters.import_lines('{"value": 1}', headers=key),
        counters.delete_matching(value="2", max_affected="5", headers=key),
    ]
    for response in strangers:
        assert_problem(response, 422, "idempotency-mismatch")
    assert_replayed(counters.patch(record_id, {"value": 2}, headers=key), first)
    assert len(counters.history(record_id)) == 2
    assert len(counters.history(other_id)) == 1


def test_a_mismatch_is_reported_before_the_body_is_judged(
    counters: Collection, key: dict[str, str]
) -> None:
    record_id = counters.created(value=1)["id"]
    counters.patch(record_id, {"value": 2}, headers=key)
    response = counters.patch(record_id, {"value": "x"}, headers=key)
    assert_problem(response, 422, "idempotency-mismatch")


def test_a_refusal_does_not_use_up_the_key(
    tickets: Collection, key: dict[str, str]
) -> None:
    record_id = tickets.created(title="Slow", severity=20)["id"]
    assert_problem(
        tickets.command(record_id, "escalate", headers=key), 409, "command-unavailable"
    )
    tickets.patch(record_id, {"severity": 30})
    response = tickets.command(record_id, "escalate", headers=key)
    assert (response.status_code, response.json()["result"]) == (200, 40)
    assert "idempotency-replayed" not in response.headers
    assert_replayed(tickets.command(record_id, "escalate", headers=key), response)


def test_after_a_refusal_the_key_does_for_another_request(
    counters: Collection, marker: str, key: dict[str, str]
) -> None:
    assert_problem(counters.create({"value": "x"}, headers=key), 422, "invalid-data")
    assert_problem(
        counters.patch(str(uuid.uuid4()), {}, headers=key), 404, "record-not-found"
    )
    assert counters.create({"name": marker}, headers=key).status_code == 201


def test_a_dry_run_stores_no_answer(
    counters: Collection, marker: str, key: dict[str, str]
) -> None:
    tried = counters.create({"name": marker}, headers=key, dry_run="true")
    assert tried.status_code == 200
    done = counters.create({"name": marker}, headers=key)
    assert done.status_code == 201
    assert "idempotency-replayed" not in done.headers
    assert len(counters.items(name=marker)) == 1


def test_a_key_means_nothing_to_a_read(
    counters: Collection, key: dict[str, str]
) -> None:
    record_id = counters.created(value=1)["id"]
    assert counters.read(record_id, headers=key).json()["revision"] == 1
    counters.command(record_id, "increment", headers=key)
    response = counters.read(record_id, headers=key)
    assert (response.status_code, response.json()["revision"]) == (200, 2)
    assert "idempotency-replayed" not in response.headers


@pytest.mark.parametrize(
    "text", ["k", "!~", "a" * 255, '"quoted"', "ключ-нет".encode("punycode").decode()]
)
def test_a_key_is_1_to_255_visible_characters(
    counters: Collection, text: str, marker: str
) -> None:
    unique = (
        (text + uuid.uuid4().hex)[-255:]
        if len(text) < 255
        else uuid.uuid4().hex.ljust(255, "a")
    )
    assert (
        counters.create(
            {"name": marker}, headers={"idempotency-key": unique}
        ).status_code
        == 201
    )


@pytest.mark.parametrize(
    "text", [b"", b"a" * 256, b"a b", b"a\tb", "é".encode(), b"a" * 5000]
)
def test_another_key_is_refused(counters: Collection, text: bytes, marker: str) -> None:
    response = counters.client.post(
        counters.path, json={"name": marker}, headers=[(b"idempotency-key", text)]
    )
    assert_problem(response, 400, "malformed-request")
    assert counters.items(name=marker) == []


def test_the_same_key_sent_by_16_clients_at_once_has_one_effect(
    service: Service, counters: Collection, key: dict[str, str]
) -> None:
    record_id = counters.created(value=0)["id"]
    barrier = Barrier(16)

    def send(_: int) -> httpx.Response:
        with service.server.client() as client:
            client.get("/health/live")
            barrier.wait()
            return counters.by(client).command(record_id, "increment", headers=key)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(16)))
    assert {response.status_code for response in answers} == {200}
    assert len({response.content for response in answers}) == 1
    replayed = [
        response
        for response in answers
        if response.headers.get("idempotency-replayed") == "true"
    ]
    assert len(replayed) == 15
    assert counters.record(record_id)["data"]["value"] == 1
    assert len(counters.history(record_id)) == 2


def test_16_different_requests_under_one_key_at_once_have_one_effect(
    service: Service, counters: Collection, marker: str, key: dict[str, str]
) -> None:
    barrier = Barrier(16)

    def send(number: int) -> httpx.Response:
        with service.server.client() as client:
            client.get("/health/live")
            barrier.wait()
            own = counters.by(client)
            return own.create({"name": marker, "value": number}, headers=key)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(16)))
    assert sorted(response.status_code for response in answers) == [201] + [422] * 15
    for response in answers:
        if response.status_code == 422:
            assert_problem(response, 422, "idempotency-mismatch")
    assert len(counters.items(name=marker)) == 1
