"""Sessions of browsers: begun by a key or a code, known by a cookie (contract 16)."""

import asyncio
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from persist.domain.access import scope_of
from persist.storage.access.keys import Keys
from persist.storage.access.sessions import MAX_SESSIONS, create_code
from persist.storage.dialect import dialect_of
from persist.storage.tables import CONSOLE_CODES, CONSOLE_SESSIONS
from tests.conftest import NewDatabase
from tests.contract.test_keys import bearer, becomes
from tests.support.events import EVENTS
from tests.support.problems import assert_problem
from tests.support.server import Server, run, serving

COOKIE = "persist_session"
SAME_ORIGIN = {"sec-fetch-site": "same-origin"}
LINK = re.compile(r"http://127\.0\.0\.1:(\d+)/console#code=([\w-]{43})\n")


@dataclass(frozen=True)
class Locked:
    """A service that demands keys, and four of them."""

    server: Server
    url: str
    folder: Path
    admin: str
    reader: str
    passing: str
    busy: str

    @property
    def keys(self) -> Keys:
        return Keys(dialect_of(self.url))

    def post(self, **request: Any) -> httpx.Response:
        with self.server.client() as client:
            return client.post("/sessions", **request)

    def code(self, key: str = "admin") -> str:
        return create_code(dialect_of(self.url), key)

    @contextmanager
    def signed_in(self, key: str) -> Iterator[httpx.Client]:
        """Give a browser with a session of a key."""
        with self.server.client() as client:
            answer = client.post("/sessions", headers=bearer(key))
            assert answer.status_code == 204, answer.text
            yield client


@pytest.fixture(scope="module")
def locked(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Locked]:
    url, folder = new_database(), tmp_path_factory.mktemp("sessions")
    stored = Keys(dialect_of(url))
    stored.prepare()
    admin = stored.create("admin", [scope_of("*:admin")]).secret
    reader, passing, busy = (
        stored.create(name, [scope_of("counters:read")]).secret
        for name in ("reader", "passing", "busy")
    )
    settings = {
        "CONSOLE_NAME": "production",
        "CONSOLE_COLOR": "crimson",
        "CORS_ORIGINS": "https://app.example.com",
    }
    with serving(url, folder, settings=settings) as server:
        yield Locked(server, url, folder, admin, reader, passing, busy)


def cookie_of(answer: httpx.Response) -> Any:
    return SimpleCookie(answer.headers["set-cookie"])[COOKIE]


def test_a_key_begins_a_session_that_a_script_cannot_read(locked: Locked) -> None:
    answer = locked.post(headers=bearer(locked.reader))
    assert (answer.status_code, answer.content) == (204, b"")
    cookie = cookie_of(answer)
    assert len(cookie.value) == 43
    assert cookie["httponly"]
    assert not cookie["secure"]
    assert (cookie["samesite"], cookie["path"]) == ("Strict", "/")
    assert cookie["max-age"] == "43200"
    assert answer.headers["cache-control"] == "no-store"


def test_over_tls_the_cookie_is_secure(locked: Locked) -> None:
    headers = bearer(locked.reader) | {"x-forwarded-proto": "https"}
    assert cookie_of(locked.post(headers=headers))["secure"]


def test_a_session_may_what_its_key_may(locked: Locked) -> None:
    with locked.signed_in(locked.reader) as browser:
        who = browser.get("/sessions").json()
        assert who["open"] is False
        assert (who["name"], who["scopes"]) == ("reader", ["counters:read"])
        assert who["environment"] == {"name": "production", "color": "crimson"}
        ends = datetime.fromisoformat(who["expires_at"]) - datetime.now(UTC)
        assert timedelta(hours=11, minutes=58) < ends <= timedelta(hours=12)
        listed = browser.get("/api/counters")
        assert listed.status_code == 200
        assert listed.headers["cache-control"] == "private, no-cache"
        assert_problem(browser.get("/api/samples"), 403, "forbidden")
        refused = browser.post("/api/counters", json={}, headers=SAME_ORIGIN)
        assert_problem(refused, 403, "forbidden")


def test_a_key_comes_before_a_cookie(locked: Locked) -> None:
    with locked.signed_in(locked.reader) as browser:
        who = browser.get("/sessions", headers=bearer(locked.admin)).json()
        assert (who["name"], who["expires_at"]) == ("admin", None)
        # A program that has a key says of no page that it asks for it.
        made = browser.post(
            "/api/counters", json={"value": 1}, headers=bearer(locked.admin)
        )
        assert made.status_code == 201
        wrong = browser.get("/sessions", headers=bearer("wrong"))
        assert_problem(wrong, 401, "unauthenticated")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"origin": "https://app.example.com"}, 403),
        ({"origin": "https://app.example.com", "sec-fetch-site": "same-origin"}, 403),
        ({"sec-fetch-site": "same-origin"}, 201),
        ({"origin": "SELF"}, 201),
        ({"origin": "SELF", "sec-fetch-site": "same-origin"}, 201),
    ],
)
def test_a_write_under_a_cookie_comes_from_a_page_of_the_service(
    locked: Locked, headers: dict[str, str], status: int
) -> None:
    sent = {
        name: locked.server.url if value == "SELF" else value
        for name, value in headers.items()
    }
    with locked.signed_in(locked.admin) as browser:
        answer = browser.post("/api/counters", json={"value": 1}, headers=sent)
        assert answer.status_code == status, answer.text
        assert browser.get("/api/counters").status_code == 200


def test_a_session_ends_when_the_browser_says_so(locked: Locked) -> None:
    with locked.signed_in(locked.reader) as browser:
        secret = browser.cookies[COOKIE]
        refused = browser.delete("/sessions")
        assert_problem(refused, 403, "forbidden")
        ended = browser.delete("/sessions", headers=SAME_ORIGIN)
        assert ended.status_code == 204
        assert cookie_of(ended)["max-age"] == "0"
        assert COOKIE not in browser.cookies
        old = {"cookie": f"{COOKIE}={secret}"}
        assert_problem(browser.get("/sessions", headers=old), 401, "unauthenticated")
        assert_problem(browser.get("/sessions"), 401, "unauthenticated")


def test_a_session_ends_with_its_key(locked: Locked) -> None:
    with locked.signed_in(locked.passing) as browser:
        assert browser.get("/sessions").json()["name"] == "passing"
        locked.keys.revoke("passing")
        becomes({401}, locked.server, locked.passing)
        assert_problem(browser.get("/api/counters"), 401, "unauthenticated")
        locked.keys.create("passing", [scope_of("counters:read")])
        assert_problem(browser.get("/api/counters"), 401, "unauthenticated")


def test_a_code_counts_once(locked: Locked) -> None:
    code = locked.code("reader")
    with locked.server.client() as browser:
        assert browser.post("/sessions", json={"code": code}).status_code == 204
        assert browser.get("/sessions").json()["name"] == "reader"
    assert_problem(locked.post(json={"code": code}), 401, "unauthenticated")


def test_of_many_that_send_a_code_one_begins_a_session(locked: Locked) -> None:
    code = locked.code()

    async def all_at_once() -> list[int]:
        async with httpx.AsyncClient(base_url=locked.server.url) as client:
            answers = await asyncio.gather(
                *(client.post("/sessions", json={"code": code}) for _ in range(8))
            )
        return sorted(answer.status_code for answer in answers)

    assert asyncio.run(all_at_once()) == [204] + [401] * 7


def test_a_code_counts_for_a_minute_and_for_a_key_in_use(locked: Locked) -> None:
    late, orphan = locked.code(), locked.code("nobody")
    engine = dialect_of(locked.url).engine()
    of_late = CONSOLE_CODES.c.sha256 == hashlib.sha256(late.encode()).hexdigest()
    with engine.begin() as connection:
        ends = datetime.fromisoformat(
            connection.scalars(
                sa.select(CONSOLE_CODES.c.expires_at).where(of_late)
            ).one()
        )
        assert ends - datetime.now(UTC) <= timedelta(seconds=60)
        connection.execute(
            CONSOLE_CODES.update()
            .where(of_late)
            .values(expires_at="2026-01-01T00:00:00.000000Z")
        )
    engine.dispose()
    for code in (late, orphan, "wrong", ""):
        assert_problem(locked.post(json={"code": code}), 401, "unauthenticated")


def test_what_is_no_code_is_refused(locked: Locked) -> None:
    assert_problem(locked.post(), 401, "unauthenticated")
    assert_problem(locked.post(json={"code": 1}), 422, "invalid-payload")
    assert_problem(locked.post(json={"key": "x"}), 422, "invalid-payload")
    assert_problem(locked.post(content=b"{"), 400, "invalid-json")
    with locked.server.client() as browser:
        browser.cookies[COOKIE] = "ended"
        assert_problem(browser.get("/sessions"), 401, "unauthenticated")
        again = browser.post("/sessions", json={"code": locked.code()})
        assert again.status_code == 204, "a cookie that ended is no hindrance"


def test_neither_sessions_nor_codes_are_stored_as_they_are(locked: Locked) -> None:
    code = locked.code()
    with locked.signed_in(locked.admin) as browser:
        secret = browser.cookies[COOKIE]
    engine = dialect_of(locked.url).engine()
    with engine.connect() as connection:
        stored = {
            table: set(connection.scalars(sa.select(table.c.sha256)))
            for table in (CONSOLE_CODES, CONSOLE_SESSIONS)
        }
    engine.dispose()
    for table, text in ((CONSOLE_CODES, code), (CONSOLE_SESSIONS, secret)):
        assert hashlib.sha256(text.encode()).hexdigest() in stored[table]
        assert text not in stored[table]


def test_a_key_has_a_bounded_number_of_sessions(locked: Locked) -> None:
    with locked.server.client() as client:
        for _ in range(MAX_SESSIONS + 3):
            begun = client.post("/sessions", headers=bearer(locked.busy))
            assert begun.status_code == 204
    engine = dialect_of(locked.url).engine()
    of_key = CONSOLE_SESSIONS.c.key == "busy"
    with engine.connect() as connection:
        found = connection.scalars(sa.select(CONSOLE_SESSIONS.c.key).where(of_key))
        assert len(found.all()) == MAX_SESSIONS
    engine.dispose()


def test_events_come_by_cookie(locked: Locked) -> None:
    with locked.signed_in(locked.admin) as browser:
        headers = EVENTS | SAME_ORIGIN
        with browser.stream("GET", "/changes", headers=headers) as stream:
            assert stream.status_code == 200
            assert stream.headers["content-type"].startswith("text/event-stream")


def test_the_command_prints_a_link_that_lets_in_once(locked: Locked) -> None:
    several = run(["console"], locked.url, locked.folder)
    assert several.returncode == 1
    assert "--key" in several.stderr
    printed = run(["console", "--key", "reader"], locked.url, locked.folder)
    link = LINK.fullmatch(printed.stdout)
    assert link is not None, printed
    with locked.server.client() as browser:
        assert browser.post("/sessions", json={"code": link[2]}).status_code == 204
        assert browser.get("/sessions").json()["name"] == "reader"
    unknown = run(["console", "--key", "nobody"], locked.url, locked.folder)
    assert unknown.returncode == 1
    assert "there is no key nobody" in unknown.stderr


def test_where_access_is_open_there_is_nothing_to_begin(
    client: httpx.Client, new_database: NewDatabase, tmp_path: Path
) -> None:
    begun = client.post("/sessions")
    assert begun.status_code == 204
    assert "set-cookie" not in begun.headers
    refused = client.post("/sessions", json={"code": {}})
    assert_problem(refused, 422, "invalid-payload")
    assert client.get("/sessions").json() == {
        "open": True,
        "name": None,
        "scopes": ["*:admin"],
        "expires_at": None,
        "environment": {"name": None, "color": None},
    }
    assert client.delete("/sessions").status_code == 204
    url = new_database()
    Keys(dialect_of(url)).prepare()
    printed = run(["console"], url, tmp_path)
    assert printed.stdout == "http://127.0.0.1:8000/console\n"
