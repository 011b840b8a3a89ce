"""Browsers: pages of other sites, CORS, and the headers that answers have (contract
16)."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import NewDatabase, Service
from tests.contract.test_keys import EVERYWHERE, keys_in
from tests.support.collection import Collection
from tests.support.problems import assert_problem
from tests.support.server import Server, run, serving

APP = "https://app.example.com"
OTHER = "http://localhost:3000"
EXPOSED = (
    "ETag, Link, Location, Retry-After, Accept-Patch, X-Request-ID,"
    " Idempotency-Replayed, Preference-Applied"
)
NAVIGATION = {
    "sec-fetch-site": "cross-site",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
}


@pytest.fixture(scope="module")
def browsed(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A service that demands keys, allows two pages, and is behind a prefix."""
    settings = EVERYWHERE | {
        "CORS_ORIGINS": f"{APP}, {OTHER}",
        "ROOT_PATH": "/persist",
    }
    folder = tmp_path_factory.mktemp("browsed")
    with serving(new_database(), folder, settings=settings) as server:
        yield server


@pytest.fixture(scope="module")
def admin(browsed: Server) -> Iterator[httpx.Client]:
    with browsed.client() as client:
        client.headers["authorization"] = f"Bearer {keys_in(browsed)[0]}"
        yield client


FOREIGN = [
    {"origin": "http://localhost:3000"},
    {"origin": "https://127.0.0.1"},
    {"origin": "null"},
    {"origin": "https://evil.example"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "no-cors",
        "sec-fetch-dest": "object",
    },
    {"sec-fetch-site": "same-origin", "origin": "https://evil.example"},
    {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_page_of_another_site_is_refused(
    counters: Collection, marker: str, headers: dict[str, str]
) -> None:
    record = counters.created(name=marker)
    client = counters.client
    answers = [
        client.post(counters.path, content=b'{"name": "x"}', headers=headers),
        client.get(counters.path, headers=headers),
        client.get(counters.at(record["id"]), headers=headers),
        client.get(
            counters.at("0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70"), headers=headers
        ),
        client.delete(counters.at(record["id"]), headers=headers),
        client.get("/", headers=headers),
        client.get("/openapi.json", headers=headers),
        client.get("/health/live", headers=headers),
        client.post("/transactions", content=b'{"operations": []}', headers=headers),
        client.get("/docs", headers=headers),
    ]
    for answer in answers:
        assert_problem(answer, 403, "forbidden")
    assert counters.record(record["id"]) == record


def test_the_pages_of_the_service_itself_are_answered(
    service: Service, counters: Collection
) -> None:
    own = f"http://{urlsplit(service.url).netloc}"
    for headers in (
        {"origin": own, "sec-fetch-site": "same-origin"},
        {"origin": own},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "same-origin", "sec-fetch-dest": "empty"},
        {},
    ):
        assert counters.client.get(counters.path, headers=headers).status_code == 200
        assert counters.create({"value": 1}, headers=headers).status_code == 201


def test_behind_a_proxy_with_tls_the_origin_says_https(counters: Collection) -> None:
    headers = {"host": "localhost", "x-forwarded-proto": "https"}
    for origin, status in (
        ("https://localhost", 200),
        ("http://localhost", 403),
        ("https://localhost:8443", 403),
    ):
        answer = counters.client.get(
            counters.path, headers=headers | {"origin": origin}
        )
        assert answer.status_code == status, origin


def test_a_link_of_another_site_leads_to_a_page_and_to_nothing_else(
    client: httpx.Client,
) -> None:
    assert client.get("/docs", headers=NAVIGATION).status_code == 200
    for headers in (
        NAVIGATION | {"sec-fetch-dest": "iframe"},
        NAVIGATION | {"sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "cross-site"},
    ):
        assert_problem(client.get("/docs", headers=headers), 403, "forbidden")
    for path in ("/collections", "/openapi.json", "/health/live", "/api/counters"):
        assert_problem(client.get(path, headers=NAVIGATION), 403, "forbidden")
    assert_problem(client.post("/docs", headers=NAVIGATION), 403, "forbidden")


@pytest.mark.parametrize("origin", [APP, OTHER])
@pytest.mark.parametrize(
    "path", ["/api/counters", "/transactions", "/nowhere", "/changes"]
)
def test_a_preflight_of_an_allowed_page_is_answered_without_a_key(
    browsed: Server, origin: str, path: str
) -> None:
    with browsed.client() as client:
        answer = client.options(
            path,
            headers={
                "origin": origin,
                "sec-fetch-site": "cross-site",
                "access-control-request-method": "PATCH",
                "access-control-request-headers": "authorization, if-match",
            },
        )
    assert answer.status_code == 204, answer.text
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-allow-headers"] == (
        "Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Prefer,"
        " Last-Event-ID, X-Request-ID"
    )
    assert "PATCH" in answer.headers["access-control-allow-methods"].split(", ")
    assert "Origin" in answer.headers["vary"]
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://app.example.com:8443"]
)
def test_a_preflight_of_another_page_is_refused(browsed: Server, origin: str) -> None:
    headers = {"origin": origin, "access-control-request-method": "POST"}
    with browsed.client() as client:
        answer = client.options("/api/counters", headers=headers)
    assert_problem(answer, 403, "forbidden")
    assert "access-control-allow-origin" not in answer.headers


def test_an_allowed_page_reads_answers_and_refusals_alike(
    browsed: Server, admin: httpx.Client
) -> None:
    headers = {"origin": APP, "sec-fetch-site": "cross-site"}
    made = admin.post("/api/counters", json={"name": "of a page"}, headers=headers)
    answers = [
        (made, 201),
        (admin.get("/collections", headers=headers), 200),
        (admin.get("/api/nowhere", headers=headers), 404),
        (admin.get("/nowhere", headers=headers), 404),
        (admin.get("/collections", headers=headers | {"authorization": ""}), 401),
        (admin.get("/health/live", headers=headers), 200),
        (admin.get("/api/counters/export", headers=headers), 200),
    ]
    for answer, status in answers:
        assert answer.status_code == status, answer.text
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["access-control-expose-headers"] == EXPOSED
        assert "Origin" in answer.headers["vary"]
        assert "access-control-allow-credentials" not in answer.headers
    without = admin.get("/collections")
    assert "access-control-allow-origin" not in without.headers
    assert "Origin" in without.headers["vary"]
    evil = admin.get("/collections", headers={"origin": "https://evil.example"})
    assert_problem(evil, 403, "forbidden")


def test_every_answer_says_that_its_type_is_what_it_says(
    client: httpx.Client, counters: Collection, marker: str
) -> None:
    record = counters.created(name=marker)
    for path in (
        "/",
        "/docs",
        "/openapi.json",
        "/collections",
        "/nowhere",
        "/api/nowhere",
        "/health/live",
        "/metrics",
        "/changes",
        counters.path,
        counters.at(record["id"]),
        f"{counters.path}/export",
    ):
        assert client.get(path).headers["x-content-type-options"] == "nosniff", path
    unchanged = client.get(counters.at(record["id"]), headers={"if-none-match": '"1"'})
    assert unchanged.status_code == 304
    assert unchanged.headers["x-content-type-options"] == "nosniff"


def test_json_that_a_key_was_needed_for_is_kept_by_no_shared_cache(
    browsed: Server, admin: httpx.Client
) -> None:
    made = admin.post("/api/counters", json={"name": "private"})
    for path in (
        "/",
        "/collections",
        "/openapi.json",
        "/api/counters",
        f"/api/counters/{made.json()['id']}",
        "/nowhere",
    ):
        answer = admin.get(path)
        assert answer.headers["cache-control"] == "private, no-cache", path
    assert made.headers["cache-control"] == "private, no-cache"
    assert "cache-control" not in admin.get("/health/live").headers


def test_html_has_a_strict_policy(client: httpx.Client) -> None:
    headers = client.get("/docs").headers
    policy = headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"


def test_addresses_in_answers_begin_with_the_prefix_of_the_proxy(
    admin: httpx.Client,
) -> None:
    made = admin.post("/api/counters", json={"name": "behind a prefix"})
    assert made.headers["location"] == f"/persist/api/counters/{made.json()['id']}"
    other = "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70"
    put = admin.put(f"/api/counters/{other}", json={"name": "behind a prefix"})
    assert put.headers["location"] == f"/persist/api/counters/{other}"
    listed = admin.get("/api/counters", params={"limit": 1})
    assert listed.headers["link"].startswith("</persist/api/counters?limit=1&cursor=")
    assert admin.get(listed.links["next"]["url"].removeprefix("/persist")).json()[
        "items"
    ]
    space = admin.put("/workspaces/prefixed", json={"collections": ["counters"]})
    assert space.headers["location"] == "/persist/workspaces/prefixed"
    inside = admin.post("/workspaces/prefixed/api/counters", json={"name": "inside"})
    assert inside.headers["location"].startswith(
        "/persist/workspaces/prefixed/api/counters/"
    )
    for _ in range(2):
        admin.post("/workspaces/prefixed/api/counters", json={"name": "inside"})
    for below in ("records", "api/counters"):
        path = f"/workspaces/prefixed/{below}"
        link = admin.get(path, params={"limit": 1}).headers["link"]
        assert link.startswith(f"</persist{path}?limit=1&cursor=")
    taken = admin.post("/api/counters/snapshots")
    assert taken.headers["location"] == f"/persist/snapshots/{taken.json()['id']}"
    body = {"snapshot": taken.json()["id"], "on_conflict": "skip"}
    restored = admin.post("/migrations", json=body)
    assert (
        restored.headers["location"] == f"/persist/migrations/{restored.json()['id']}"
    )
    schema = {"schema": {"type": "object"}}
    registered = admin.put("/entity-types/prefixed", json=schema)
    assert registered.headers["location"] == "/persist/entity-types/prefixed"
    for path in ("/openapi.json", "/collections/counters/openapi.json"):
        assert admin.get(path).json()["servers"] == [{"url": "/persist"}]


@pytest.mark.parametrize(
    "origins",
    ["*", "null", "https://a.example, *", "a.example", "https://a.example/", "ftp://a"],
)
def test_an_origin_that_is_not_exact_stops_the_start(
    new_database: NewDatabase, tmp_path: Path, origins: str
) -> None:
    outcome = run(["serve", "--cors-origins", origins], new_database(), tmp_path)
    assert outcome.returncode == 2, outcome.stderr
    assert "PERSIST_CORS_ORIGINS" in outcome.stderr


@pytest.mark.parametrize("prefix", ["persist", "/persist/", "/", "/a//b", "/a?b", "/ä"])
def test_a_prefix_that_is_none_stops_the_start(
    new_database: NewDatabase, tmp_path: Path, prefix: str
) -> None:
    outcome = run(["serve", "--root-path", prefix], new_database(), tmp_path)
    assert outcome.returncode == 2, outcome.stderr
    assert "PERSIST_ROOT_PATH" in outcome.stderr
