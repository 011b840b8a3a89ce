"""Problems: one shape for every refusal, the framework's own included (contract 11 and
12)."""

import re
import uuid
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import Service
from tests.support import raw
from tests.support.collection import Collection
from tests.support.problems import assert_problem, assert_shape

CODES = [
    "invalid-query",
    "invalid-json",
    "malformed-request",
    "unauthenticated",
    "forbidden",
    "not-found",
    "collection-not-found",
    "record-not-found",
    "revision-not-found",
    "command-not-found",
    "entity-type-not-found",
    "snapshot-not-found",
    "migration-not-found",
    "workspace-not-found",
    "collection-not-in-workspace",
    "method-not-allowed",
    "request-timeout",
    "record-exists",
    "unique-violation",
    "command-unavailable",
    "command-failed",
    "patch-test-failed",
    "migration-required",
    "restore-conflict",
    "undo-conflict",
    "too-many-affected",
    "idempotency-in-progress",
    "collection-not-empty",
    "collection-is-typed",
    "workspace-not-empty",
    "changes-gone",
    "precondition-failed",
    "too-large",
    "unsupported-media-type",
    "invalid-data",
    "invalid-payload",
    "invalid-patch",
    "invalid-schema",
    "invalid-snapshot",
    "migration-failed",
    "idempotency-mismatch",
    "precondition-required",
    "internal-error",
    "unavailable",
]


@pytest.mark.parametrize("code", CODES)
def test_the_type_of_every_problem_answers(client: httpx.Client, code: str) -> None:
    response = client.get(f"/problems/{code}")
    assert response.status_code == 200
    assert code in response.text


def test_the_type_of_a_commands_own_problem_answers(client: httpx.Client) -> None:
    assert client.get("/problems/insufficient-funds").status_code == 200


def test_a_problem_that_cannot_be_is_not_found(client: httpx.Client) -> None:
    assert_problem(client.get("/problems/no/such"), 404, "not-found")


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/api",
        "/api/",
        "/apis/counters",
        "/favicon.ico",
        "/%00",
        "/%ff",
        "/..%2f",
        "/a//b",
        "/é",
    ],
)
def test_an_unknown_path_is_a_problem(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert_problem(response, 404, response.json()["code"])


def test_an_unknown_path_below_a_collection_is_not_found(counters: Collection) -> None:
    record_id = counters.created()["id"]
    for path in (
        f"{counters.at(record_id)}/nothing",
        f"{counters.at(record_id)}/history/1",
        f"{counters.at(record_id)}/commands",
        f"{counters.at(record_id)}/commands/increment/now",
        f"{counters.path}/{record_id}/commands/",
    ):
        response = counters.client.get(path)
        assert response.status_code in (404, 405), path
        assert_problem(response, response.status_code, response.json()["code"])


METHODS = [
    ("PATCH", "{path}", {"GET", "POST", "DELETE"}),
    ("PUT", "{path}", {"GET", "POST", "DELETE"}),
    ("POST", "{record}", {"GET", "PUT", "PATCH", "DELETE"}),
    ("POST", "{record}/history", {"GET"}),
    ("DELETE", "{path}/import", {"POST"}),
    ("POST", "{path}/export", {"GET"}),
    ("PUT", "{path}/commands", {"GET"}),
    ("POST", "/collections", {"GET"}),
    ("DELETE", "/collections/counters", {"GET"}),
    ("POST", "/", {"GET"}),
    ("POST", "/health/live", {"GET"}),
    ("DELETE", "/problems/not-found", {"GET"}),
    ("PUT", "/openapi.json", {"GET"}),
    ("TRACE", "{path}", {"GET", "POST"}),
    ("PROPFIND", "{record}", {"GET", "PUT"}),
]


@pytest.mark.parametrize(("method", "target", "allowed"), METHODS)
def test_a_method_the_address_does_not_have_names_those_it_has(
    counters: Collection, method: str, target: str, allowed: set[str]
) -> None:
    path = target.format(
        path=counters.path, record=counters.at(counters.created()["id"])
    )
    response = counters.client.request(method, path)
    assert_problem(response, 405, "method-not-allowed")
    assert allowed <= set(re.split(r",\s*", response.headers["allow"]))
    assert method not in re.split(r",\s*", response.headers["allow"])


def test_a_problem_says_where_it_happened(counters: Collection, record_id: str) -> None:
    problem = assert_problem(counters.read(record_id, fields="x"), 400, "invalid-query")
    assert problem["instance"].startswith(counters.at(record_id))
    assert record_id in problem["instance"]


@pytest.mark.parametrize(
    "path", ["/%00", "/%ff", "/a%0Ab", "/é", "/a%20b", "/%22", "/api/counters/%7B"]
)
def test_where_it_happened_is_a_uri_reference(client: httpx.Client, path: str) -> None:
    """RFC 9457, section 3.1.5; RFC 3986, section 4.1."""
    problem = assert_problem(client.get(path), 404, client.get(path).json()["code"])
    assert re.fullmatch(
        r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", problem["instance"]
    ), problem["instance"]


@pytest.mark.parametrize("value", [[], 5, "text"])
def test_what_is_no_object_is_wrong_as_a_whole(
    counters: Collection, value: Any
) -> None:
    record = counters.created()
    refused = {
        "invalid-data": counters.create(value),
        "invalid-patch": counters.patch(record["id"], value),
    }
    for code, response in refused.items():
        (error,) = assert_problem(response, 422, code)["errors"]
        assert (error["pointer"], error["detail"]) == ("", response.json()["detail"])


def test_a_problem_has_a_title_of_its_kind_and_a_detail_of_its_own(
    counters: Collection,
) -> None:
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    one = assert_problem(counters.read(first), 404, "record-not-found")
    two = assert_problem(counters.read(second), 404, "record-not-found")
    assert one["title"] == two["title"]
    assert first in one["detail"]
    assert second in two["detail"]


def test_the_answer_to_head_has_no_body_even_where_it_is_a_problem(
    client: httpx.Client,
) -> None:
    response = client.head("/nothing")
    assert (response.status_code, response.content) == (404, b"")
    assert response.headers["content-type"].split(";")[0] == "application/problem+json"


# --- request ids
# ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_id", ["a", "abc-123", "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70", "A.b_c:d"]
)
def test_a_sane_request_id_is_taken_and_echoed(
    counters: Collection, request_id: str
) -> None:
    headers = {"x-request-id": request_id}
    created = counters.create({"value": 1}, headers=headers)
    assert created.headers["x-request-id"] == request_id
    (change,) = counters.history(created.json()["id"])
    assert change["request_id"] == request_id
    response = counters.read(str(uuid.uuid4()), headers=headers)
    assert assert_problem(response, 404, "record-not-found")["request_id"] == request_id


@pytest.mark.parametrize(
    "request_id", [b"", b"a b", b"x" * 5000, "é".encode(), b"a\tb", b"\xff"]
)
def test_another_request_id_is_generated(
    counters: Collection, request_id: bytes
) -> None:
    response = counters.client.post(
        counters.path, json={"value": 1}, headers=[(b"x-request-id", request_id)]
    )
    made = response.headers["x-request-id"]
    assert made
    assert made.encode("latin-1", "replace") != request_id
    assert len(made) < 200
    (change,) = counters.history(response.json()["id"])
    assert change["request_id"] == made


def test_every_answer_has_a_request_id_of_its_own(counters: Collection) -> None:
    record_id = counters.created()["id"]
    addresses = [
        counters.path,
        counters.at(record_id),
        "/",
        "/collections",
        "/health/live",
        "/openapi.json",
        "/no",
    ]
    ids = [
        counters.client.get(address).headers["x-request-id"] for address in addresses
    ]
    assert len(set(ids)) == len(addresses)


# --- who may call a loopback service
# -------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "localhost.evil.example",
    ],
)
def test_a_foreign_host_is_forbidden(counters: Collection, host: str) -> None:
    for response in (
        counters.client.get(counters.path, headers={"host": host}),
        counters.create({"value": 1}, headers={"host": host}),
        counters.client.get("/collections", headers={"host": host}),
    ):
        assert_problem(response, 403, "forbidden")


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://127.0.0.1.evil.example",
        "null",
        "http://localhost.evil.example",
        "file://",
    ],
)
def test_a_foreign_origin_is_forbidden(
    counters: Collection, origin: str, marker: str
) -> None:
    headers = {"origin": origin}
    assert_problem(counters.create({"name": marker}, headers=headers), 403, "forbidden")
    assert_problem(
        counters.client.get(counters.path, headers=headers), 403, "forbidden"
    )
    assert counters.items(name=marker) == []


def test_the_services_own_host_and_origin_are_welcome(
    service: Service, counters: Collection
) -> None:
    port = urlsplit(service.url).port
    for name in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"):
        headers = {"host": name, "origin": f"http://{name}"}
        assert counters.client.get(counters.path, headers=headers).status_code == 200, (
            name
        )
        assert counters.create({"value": 1}, headers=headers).status_code == 201, name


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost", 204),
        (b"GET * HTTP/1.1\r\nHost: localhost", 400),
        (b"GET / HTTP/1.1\r\nAccept: */*", 400),
        (b"GET / HTTP/1.0\r\nAccept: */*", 200),
    ],
)
def test_a_request_that_names_no_resource_or_no_host_is_answered_as_http_says(
    service: Service, head: bytes, status: int
) -> None:
    answer = raw.answer_to(service.url, head + b"\r\nConnection: close\r\n\r\n")
    assert raw.status_of(answer) == status
    assert status != 400 or b'"code":"malformed-request"' in answer


# --- the service itself
# --------------------------------------------------------------------------


def test_the_root_says_what_this_is(client: httpx.Client) -> None:
    body = client.get("/").json()
    assert {"name", "version", "links", "limits"} <= body.keys()


def test_the_service_tells_that_it_is_well(client: httpx.Client) -> None:
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").status_code == 200


def test_the_openapi_document_names_every_collection(
    counters: Collection, samples: Collection, tickets: Collection
) -> None:
    document = counters.client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for collection in (counters, samples, tickets):
        assert {"get", "post", "delete"} <= document["paths"][
            f"/api/{collection.name}"
        ].keys()
    schemas = document["components"]["schemas"]
    assert any("problem" in name.lower() for name in schemas)


def test_a_problem_fits_the_shape_for_a_query_too(counters: Collection) -> None:
    response = counters.find(valeu="1")
    assert response.status_code == 400
    assert_shape(response.json(), response)


@pytest.mark.parametrize(
    "path", ["/collections/", "/entity-types/", "/workspaces/", "/changes/"]
)
def test_a_slash_too_many_is_not_found_rather_than_elsewhere(
    client: httpx.Client, path: str
) -> None:
    assert_problem(client.get(path), 404, "not-found")


@pytest.mark.parametrize(
    "path",
    [
        "/collections",
        "/collections/samples",
        "/workspaces/den",
        "/entity-types",
        "/migration-plans",
        "/changes/head",
        "/sessions",
    ],
)
def test_a_route_without_parameters_refuses_any(
    client: httpx.Client, path: str
) -> None:
    refused = client.get(path, params={"limit": 5})
    problem = assert_problem(refused, 400, "invalid-query")
    assert "limit" in problem["detail"]


@pytest.mark.parametrize("path", ["/", "/health/live", "/docs", "/openapi.json"])
def test_what_other_programs_ask_takes_parameters_of_theirs(
    client: httpx.Client, path: str
) -> None:
    assert client.get(path, params={"probe": 1}).status_code == 200
