"""Keys: made, listed, revoked; the first one; when they are demanded and how soon
(contract 12)."""

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from psycopg import sql

from tests.conftest import NewDatabase
from tests.support.problems import assert_problem
from tests.support.program import persist, showcase
from tests.support.server import Server, run, serving, start

KEY = re.compile(r"^persist_[A-Za-z0-9_-]{43}$", re.MULTILINE)
EVERYWHERE = {"HOST": "0.0.0.0"}
FOREIGN = {"origin": "https://evil.example"}, {"host": "evil.example"}
DEADLINE = 10.0
"""Seconds; a change counts within one, but the machine may be busy."""
PROCESSES = 12
"""Connections of their own, so that each of two workers is met."""

Made = Callable[..., str]


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    return new_database()


@pytest.fixture
def made(url: str, tmp_path: Path) -> Made:
    """Makes a key on the database: ``made("ci", "ops-tickets:write", …)``."""

    def make(name: str, *scopes: str) -> str:
        given = [word for scope in scopes for word in ("--scope", scope)]
        done = run(["keys", "create", "--name", name, *given], url, tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout.removesuffix("\n")

    return make


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def statuses(server: Server, key: str | None = None) -> set[int]:
    """What many connections of their own are answered."""
    headers = {"Connection": "close"} | (bearer(key) if key else {})
    with server.client() as client:
        return {
            client.get("/api/counters", headers=headers).status_code
            for _ in range(PROCESSES)
        }


def becomes(expected: set[int], server: Server, key: str | None = None) -> None:
    """Every worker comes to answer so."""
    deadline = time.monotonic() + DEADLINE
    while (found := statuses(server, key)) != expected:
        assert time.monotonic() < deadline, found


def keys_in(server: Server) -> list[str]:
    return KEY.findall(server.log.read_text())


def test_a_key_is_the_only_output_and_only_its_hash_is_stored(
    url: str, made: Made, tmp_path: Path
) -> None:
    key = made("ci", "counters:write", "samples:read@team-a")
    assert KEY.fullmatch(key)
    output = run(["keys", "list", "--json"], url, tmp_path).stdout
    assert key not in output
    [stored] = json.loads(output)
    assert stored["sha256"] == hashlib.sha256(key.encode()).hexdigest()
    assert stored["scopes"] == ["counters:write", "samples:read@team-a"]
    assert stored["revoked_at"] is None
    if url.startswith("sqlite"):
        assert all(
            key.encode() not in file.read_bytes()
            for file in tmp_path.rglob("persist.db*")
        )


@pytest.mark.parametrize(
    "scope",
    [
        "counters",
        "counters:delete",
        "*",
        ":read",
        "counters:READ",
        "counters:read@",
        "a b:read",
        "",
    ],
)
def test_what_is_no_scope_is_refused_with_how_one_is_written(
    url: str, tmp_path: Path, scope: str
) -> None:
    refused = run(["keys", "create", "--name", "ci", "--scope", scope], url, tmp_path)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert "write <collection>:<level>" in refused.stderr
    assert run(["keys", "list"], url, tmp_path).stdout == ""


def test_a_name_is_free_again_when_its_key_is_revoked_and_the_journal_tells_them_apart(
    url: str, made: Made, tmp_path: Path
) -> None:
    create = ["keys", "create", "--name", "ci", "--scope", "counters:write"]
    for name in ("ci", "ci#2"):
        assert KEY.fullmatch(run(create, url, tmp_path).stdout.strip())
        refused = run(create, url, tmp_path)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "a key ci is in use" in refused.stderr
        revoked = run(["keys", "revoke", "ci"], url, tmp_path)
        assert revoked.stdout == f"{name} is revoked\n"
    again = run(["keys", "revoke", "ci#2"], url, tmp_path)
    assert (again.returncode, again.stdout) == (0, "ci#2 is revoked\n")
    third = bearer(run(create, url, tmp_path).stdout.strip())
    with serving(url, tmp_path) as server, server.client() as client:
        record = client.post("/api/counters", headers=third, json={}).json()
        path = f"/api/counters/{record['id']}/history"
        [change] = client.get(path, headers=third).json()["items"]
        assert change["actor"] == "ci#3"
    listed = json.loads(run(["keys", "list", "--json"], url, tmp_path).stdout)
    revoked_names = [key["name"] for key in listed if key["revoked_at"]]
    assert ([key["name"] for key in listed], revoked_names) == (
        ["ci", "ci#2", "ci#3"],
        ["ci", "ci#2"],
    )


def test_the_first_key_and_a_scope_without_a_collection_are_pointed_out(
    url: str, tmp_path: Path
) -> None:
    with serving(url, tmp_path):
        pass
    scopes = (
        "--scope",
        "countrs:write",
        "--scope",
        "*:read@nowhere",
        "--scope",
        "counters:read",
    )
    create = ["keys", "create", *scopes, "--name"]
    first = run([*create, "first"], url, tmp_path)
    assert KEY.fullmatch(first.stdout.strip())
    notice, *warnings = first.stderr.splitlines()
    assert notice.startswith(
        "persist: this is the first key: from now on every request"
    )
    assert warnings == [
        "warning: there is no collection 'countrs' yet; did you mean counters?",
        "warning: there is no workspace 'nowhere' yet",
    ]
    second = run(["keys", "create", "--scope", "*:read", "--name", "b"], url, tmp_path)
    assert second.stderr == ""


def test_a_key_that_never_was_cannot_be_revoked(
    url: str, made: Made, tmp_path: Path
) -> None:
    made("ci", "*:read")
    refused = run(["keys", "revoke", "cj"], url, tmp_path)
    assert refused.returncode == 1
    assert "there is no key cj" in refused.stderr


def test_a_service_that_others_reach_makes_the_first_key_once(
    url: str, tmp_path: Path
) -> None:
    with serving(url, tmp_path, workers=2, settings=EVERYWHERE) as server:
        [key] = keys_in(server)
        assert statuses(server) == {401}
        assert statuses(server, key) == {200}
        lines = [line for line in server.log.read_text().splitlines() if key in line]
        assert lines == [key]  # the only text of its line: no record of the log has it
    with serving(url, tmp_path, settings=EVERYWHERE) as server:
        assert keys_in(server) == []
        assert statuses(server, key) == {200}


def test_of_services_that_start_at_once_one_makes_the_first_key(
    url: str, tmp_path: Path
) -> None:
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor() as pool:
        servers = list(
            pool.map(lambda folder: start(url, folder, settings=EVERYWHERE), folders)
        )
    try:
        [key] = [key for server in servers for key in keys_in(server)]
        assert [statuses(server, key) for server in servers] == [{200}] * 3
    finally:
        for server in servers:
            server.stop()


def test_keys_count_at_once_on_every_worker_while_a_service_runs(
    url: str, made: Made, tmp_path: Path
) -> None:
    with serving(url, tmp_path, workers=2) as server:
        assert statuses(server) == {200}  # open: no key was ever made
        first = made("first", "counters:read")
        becomes({401}, server)
        assert statuses(server, first) == {200}
        second = made("second", "counters:write")
        assert statuses(server, second) == {
            200
        }  # a key that is not known yet is looked for
        run(["keys", "revoke", "second"], url, tmp_path)
        becomes({401}, server, second)
        assert statuses(server, first) == {200}
        run(["keys", "revoke", "first"], url, tmp_path)
        becomes({401}, server, first)
        assert statuses(server) == {401}  # the last one is revoked: still demanded
    with serving(url, tmp_path) as server:
        assert statuses(server) == {401}


def test_foreign_pages_are_refused_and_foreign_hosts_need_a_key(
    url: str, made: Made, tmp_path: Path
) -> None:
    with serving(url, tmp_path) as server, server.client() as client:
        for headers in FOREIGN:
            assert_problem(
                client.get("/api/counters", headers=headers), 403, "forbidden"
            )
        key = made("ci", "*:read")
        becomes({401}, server)
        origin, host = FOREIGN
        for headers in (origin, origin | bearer(key)):
            assert_problem(
                client.get("/api/counters", headers=headers), 403, "forbidden"
            )
        assert_problem(
            client.get("/api/counters", headers=host), 401, "unauthenticated"
        )
        answer = client.get("/api/counters", headers=host | bearer(key))
        assert answer.status_code == 200


@pytest.fixture(scope="module")
def locked(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client with the first key of a service that others can reach."""
    folder = tmp_path_factory.mktemp("locked")
    with (
        serving(new_database(), folder, settings=EVERYWHERE) as server,
        server.client() as client,
    ):
        client.headers.update(bearer(keys_in(server)[0]))
        yield client


def test_the_actor_of_a_change_is_the_name_of_the_key(locked: httpx.Client) -> None:
    record = locked.post("/api/counters", json={"value": 1}).json()
    [change] = locked.get(f"/api/counters/{record['id']}/history").json()["items"]
    assert change["actor"] == "first"


def test_every_form_of_the_header_but_the_right_one_is_refused(
    locked: httpx.Client,
) -> None:
    key = locked.headers["Authorization"].removeprefix("Bearer ")
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert (
            locked.get("/", headers={"Authorization": f"{scheme} {key}"}).status_code
            == 200
        )
    for wrong in (
        "",
        "Bearer",
        key,
        f"Basic {key}",
        f"Bearer {key[:-1]}",
        f"Bearer {key}, x",
        "Bearer é",
    ):
        refused = locked.get("/", headers={b"Authorization": wrong.encode()})
        assert_problem(refused, 401, "unauthenticated")
        assert refused.headers["www-authenticate"] == "Bearer"


def test_what_is_open_takes_no_key_and_all_else_does(locked: httpx.Client) -> None:
    page = locked.get("/docs").text
    asset = re.findall(r'src="(docs/assets/[^"]+)"', page)[0]
    without = {"Authorization": ""}
    for path in (
        "/health/live",
        "/health/ready",
        "/docs",
        f"/{asset}",
        "/problems/forbidden",
    ):
        assert locked.get(path, headers=without).status_code == 200, path
    for path in (
        "/",
        "/openapi.json",
        "/collections",
        "/health",
        "/docsx",
        "/no/where",
        "/api/",
        "//api/counters",
    ):
        for method in ("GET", "HEAD", "OPTIONS", "POST", "PROPFIND"):
            assert locked.request(method, path, headers=without).status_code == 401, (
                method,
                path,
            )


def test_nobody_is_let_in_by_an_old_key_while_the_database_is_away(
    request: pytest.FixtureRequest, database: str, url: str, tmp_path: Path
) -> None:
    if database == "sqlite":
        pytest.skip("a file cannot be away")
    name = urlsplit(url).path.removeprefix("/")
    allow = sql.SQL("alter database {} allow_connections {}")
    with (
        serving(url, tmp_path, settings=EVERYWHERE) as server,
        server.client() as client,
        psycopg.connect(request.getfixturevalue("postgres"), autocommit=True) as admin,
    ):
        client.headers.update(bearer(keys_in(server)[0]))
        admin.execute(allow.format(sql.Identifier(name), False))
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
            [name],
        )
        refused = until(503, client)
        assert_problem(refused, 503, "unavailable")
        assert refused.headers["retry-after"]
        assert client.get("/health/live").status_code == 200
        admin.execute(allow.format(sql.Identifier(name), True))
        until(200, client)


def until(status: int, client: httpx.Client) -> httpx.Response:
    """What ``GET /``, which needs nothing of the database but the keys, comes to
    answer."""
    deadline = time.monotonic() + DEADLINE
    while (answer := client.get("/")).status_code != status:
        assert time.monotonic() < deadline, answer.text
    return answer


def test_commands_for_snapshots_show_the_key_of_their_environment(
    locked: httpx.Client, tmp_path: Path
) -> None:
    url, key = (
        str(locked.base_url),
        locked.headers["Authorization"].removeprefix("Bearer "),
    )
    refused = persist(tmp_path, "snapshot", "list", "--url", url)
    assert refused.returncode == 1
    assert "Authorization: Bearer" in refused.stderr
    taken = persist(
        tmp_path,
        "snapshot",
        "take",
        "counters",
        "--json",
        "--url",
        url,
        PERSIST_KEY=key,
    )
    assert taken.returncode == 0, taken.stderr
    assert "warning" not in taken.stderr


@pytest.mark.parametrize("program", ["persist snapshot take", "showcase"])
def test_a_commands_own_service_lets_it_in_and_leaves_no_key(
    url: str, made: Made, tmp_path: Path, program: str
) -> None:
    made("ci", "counters:read")
    with serving(url, tmp_path, settings={"MODELS": "app.models"}):
        pass  # makes the tables
    if program == "showcase":
        done = showcase(tmp_path, "--database-url", url)
    else:
        done = persist(tmp_path, "snapshot", "take", "--database-url", url)
    assert done.returncode == 0, done.stderr + done.stdout
    assert [
        key["name"]
        for key in json.loads(run(["keys", "list", "--json"], url, tmp_path).stdout)
    ] == ["ci"]
