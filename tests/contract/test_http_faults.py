"""What clients send that is nearly right: it is taken, or refused with what is wrong
(contract 13)."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import NewDatabase, Service
from tests.contract.test_keys import EVERYWHERE, keys_in
from tests.support.collection import Collection
from tests.support.problems import assert_problem
from tests.support.raw import answer_to, head, status_of
from tests.support.server import Server, serving

MARK = b"\xef\xbb\xbf"
MERGE = {"content-type": "application/merge-patch+json"}
AS_JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def locked(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A service that demands keys."""
    folder = tmp_path_factory.mktemp("locked")
    with serving(new_database(), folder, settings=EVERYWHERE) as server:
        yield server


@pytest.mark.parametrize(
    "written",
    [
        "Bearer  {}",
        "Bearer {} ",
        "Bearer   {}\t",
        "bearer {}",
        "BEARER  {}  ",
        "  Bearer {}",
    ],
)
def test_blanks_around_a_key_do_not_count(locked: Server, written: str) -> None:
    key = written.format(keys_in(locked)[0])
    asked = head("GET", "/collections", locked.url, Authorization=key)
    assert status_of(answer_to(locked.url, asked)) == 200


@pytest.mark.parametrize(
    "written", ["{}", "Basic {}", "Bearer", "Bearer {}x", "Bearer x {}"]
)
def test_what_is_no_bearer_key_is_refused(locked: Server, written: str) -> None:
    key = written.format(keys_in(locked)[0])
    asked = head("GET", "/collections", locked.url, Authorization=key)
    assert status_of(answer_to(locked.url, asked)) == 401


def test_blanks_around_any_header_do_not_count(
    service: Service, counters: Collection, marker: str
) -> None:
    record = counters.created(name=marker)
    body = b'{"value": 7}'
    asked = head(
        "PATCH",
        counters.at(record["id"]),
        service.url,
        Content_Type="  application/merge-patch+json \t",
        Content_Length=str(len(body)),
        If_Match='  "1"  ',
        Idempotency_Key=f" {marker}\t ",
        Prefer="  return=minimal  ",
    )
    answer = answer_to(service.url, asked + body)
    assert status_of(answer) == 204, answer
    again = answer_to(service.url, asked.replace(b"\t ", b"") + body)
    assert b"idempotency-replayed: true" in again.lower()


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://evil.example/collections", 403),
        ("https://evil.example:8000/collections?limit=1", 403),
        ("http://evil.example", 403),
        ("HTTP://LOCALHOST:1/collections", 200),
        ("http://[::1]/collections", 200),
        ("http://127.0.0.1", 200),
        ("http://127.0.0.1?", 200),
        ("ftp://127.0.0.1/collections", 400),
        ("http://me@127.0.0.1/collections", 400),
        ("http:///collections", 400),
        ("http://[::1/collections", 400),
    ],
)
def test_the_host_of_an_absolute_target_counts(
    service: Service, target: str, status: int
) -> None:
    answer = answer_to(service.url, head("GET", target, service.url))
    assert status_of(answer) == status, answer
    if status >= 400:
        assert b"application/problem+json" in answer


def test_the_host_of_an_absolute_target_is_the_services_own_origin(
    service: Service,
) -> None:
    for origin, status in (("http://localhost:1", 200), (service.url, 403)):
        asked = head("GET", "http://localhost:1/", service.url, Origin=origin)
        assert status_of(answer_to(service.url, asked)) == status


SLASHES = [
    ("POST", ""),
    ("GET", ""),
    ("GET", "/{id}"),
    ("PUT", "/{id}"),
    ("PATCH", "/{id}"),
    ("DELETE", "/{id}"),
    ("GET", "/{id}/history"),
    ("POST", "/{id}/commands/set"),
    ("POST", "/commands/set"),
    ("GET", "/commands"),
    ("GET", "/export"),
    ("POST", "/import"),
    ("OPTIONS", ""),
]


@pytest.mark.parametrize(("method", "below"), SLASHES)
def test_a_path_that_ends_in_a_slash_is_not_found(
    counters: Collection, marker: str, method: str, below: str
) -> None:
    record = counters.created(name=marker)
    path = counters.path + below.replace("{id}", record["id"])
    for slashes in ("/", "//"):
        answer = counters.client.request(
            method, path + slashes, json={"name": f"{marker}-new"}
        )
        assert_problem(answer, 404, "not-found")
    assert [item["revision"] for item in counters.items(name__startswith=marker)] == [1]


@pytest.mark.parametrize(
    "path",
    ["/collections/", "/workspaces/", "/changes/", "/health/live/", "/docs/"],
)
def test_no_route_but_the_root_ends_in_a_slash(client: httpx.Client, path: str) -> None:
    assert_problem(client.get(path), 404, "not-found")
    assert client.get("/").status_code == 200


def test_addresses_in_answers_are_not_what_the_client_wrote(
    service: Service, counters: Collection, marker: str
) -> None:
    body = json.dumps({"name": marker}).encode()
    written = counters.path.replace("/api/", "/%61pi/")
    asked = head(
        "POST",
        written,
        service.url,
        Content_Type="application/json",
        Content_Length=str(len(body)),
    )
    answer = answer_to(service.url, asked + body).decode()
    location = next(
        line.partition(": ")[2]
        for line in answer.split("\r\n")
        if line.lower().startswith("location")
    )
    assert location.startswith(f"{counters.path}/")
    assert counters.client.get(location).status_code == 200


def test_a_byte_order_mark_before_json_is_ignored(
    counters: Collection, marker: str
) -> None:
    data = MARK + json.dumps({"name": marker}).encode()
    client = counters.client
    made = client.post(counters.path, content=data, headers=AS_JSON)
    assert made.status_code == 201, made.text
    address = counters.at(made.json()["id"])
    put = client.put(address, content=MARK + b'{"name": "x"}', headers=AS_JSON)
    assert put.status_code == 200, put.text
    patched = client.patch(address, content=MARK + b'{"value": 2}', headers=MERGE)
    assert patched.json()["data"]["value"] == 2
    command = client.post(
        f"{address}/commands/set", content=MARK + b'{"value": 3}', headers=AS_JSON
    )
    assert command.json()["record"]["data"]["value"] == 3
    operation = {
        "op": "create",
        "collection": counters.name,
        "workspace": counters.workspace,
        "data": {"name": marker},
    }
    body = MARK + json.dumps({"operations": [operation]}).encode()
    transacted = client.post("/transactions", content=body, headers=AS_JSON)
    assert transacted.status_code == 200, transacted.text


def test_a_byte_order_mark_before_ndjson_is_ignored(
    counters: Collection, marker: str
) -> None:
    lines = f'{{"name": "{marker}"}}\n{{"name": "{marker}"}}\n'.encode()
    imported = counters.import_lines(MARK + lines)
    assert imported.json() == {"created": 2}, imported.text


def test_a_byte_order_mark_in_the_middle_is_not_json(counters: Collection) -> None:
    answer = counters.client.post(
        counters.path, content=b'{"name": ' + MARK + b'"x"}', headers=AS_JSON
    )
    assert_problem(answer, 400, "invalid-json")
    twice = MARK + MARK + b'{"name": "x"}'
    answer = counters.client.post(counters.path, content=twice, headers=AS_JSON)
    assert_problem(answer, 400, "invalid-json")


def test_a_byte_order_mark_before_a_definition_or_a_snapshot_is_ignored(
    client: httpx.Client, counters: Collection, marker: str
) -> None:
    name = f"marked-{marker[:8]}"
    definition = json.dumps({"schema": {"type": "object"}}).encode()
    put = client.put(
        f"/entity-types/{name}", content=MARK + definition, headers=AS_JSON
    )
    assert put.status_code == 201, put.text
    taken = client.post(f"/api/{name}/snapshots", content=MARK + b"{}", headers=AS_JSON)
    assert taken.status_code == 201, taken.text
    content = client.get(f"/snapshots/{taken.json()['id']}/content").content
    headers = {"content-type": "application/x-ndjson"}
    uploaded = client.post("/snapshots", content=MARK + content, headers=headers)
    assert uploaded.status_code == 200, uploaded.text


def test_a_byte_order_mark_before_a_definition_file_is_ignored(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    folder = tmp_path / "schemas"
    folder.mkdir()
    definition = json.dumps({"name": "marked", "schema": {"type": "object"}}).encode()
    (folder / "marked.json").write_bytes(MARK + definition)
    settings = {"SCHEMAS": str(folder)}
    with (
        serving(new_database(), tmp_path, settings=settings) as server,
        server.client() as client,
    ):
        assert client.get("/collections/marked").status_code == 200


def test_a_content_coding_is_refused_in_one_sentence(counters: Collection) -> None:
    answer = counters.create({"value": 1}, headers={"content-encoding": "gzip"})
    problem = assert_problem(answer, 415, "unsupported-media-type")
    assert problem["detail"] == (
        "the content coding 'gzip' is not supported; send the body without"
        " Content-Encoding"
    )
    typed = {"content-type": "application/json; charset=utf-16"}
    answer = counters.create({"value": 1}, headers=typed)
    problem = assert_problem(answer, 415, "unsupported-media-type")
    assert problem["detail"] == "the charset 'utf-16' is not supported; send UTF-8"
    answer = counters.create({"value": 1}, headers={"content-encoding": "Identity"})
    assert answer.status_code == 201, answer.text
