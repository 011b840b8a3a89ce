"""Access: every route of the application, asked by those who may not (contract 12)."""

import json
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from persist.api import routes as table
from persist.application import Persist, create_app
from persist.domain.access import OPEN, scope_of
from persist.settings import Settings
from persist.storage.access.keys import Keys
from persist.storage.dialect import dialect_of
from tests.conftest import NewDatabase
from tests.contract.test_keys import EVERYWHERE, bearer, becomes, keys_in
from tests.support.problems import Json, assert_problem
from tests.support.server import Server, serving

NAME, ABSENT = "secret-notes", "absent-notes"
TEAM = "secret-team"
NOWHERE = "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70"
DEFINITION = {"schema": {"type": "object", "properties": {"text": {"type": "string"}}}}
UNLOCKED = re.compile(r"/(docs|console)(/.*)?|/health/.*|/problems/.*")
SHARED = re.compile(
    r"/|/openapi.json|/collections|/entity-types|/migration-plans|/migrations|/snapshots|/workspaces|/changes(/head|/seals)?"
)
"""What answers everyone who has a key, with what is for them."""


@dataclass(frozen=True)
class Resource:
    """What fills the gaps of a path."""

    name: str
    workspace: str
    record: str
    snapshot: str
    migration: str


@dataclass(frozen=True)
class Locked:
    """A service that demands keys, with a collection to be hidden: a record in the
    default workspace and one in another, a snapshot, a migration."""

    server: Server
    admin: httpx.Client
    keys: dict[str, str]
    there: Resource

    def ask(
        self, key: str | None, method: str, path: str, body: Any = None
    ) -> httpx.Response:
        with self.server.client() as client:
            return client.request(
                method, path, json=body, headers=bearer(self.keys[key]) if key else {}
            )


KEYS = {
    "reader": [f"{NAME}:read"],
    "writer": [f"{NAME}:write"],
    "owner": [f"{NAME}:admin"],
    "other": ["samples:admin"],
    "elsewhere": [f"{NAME}:admin@elsewhere"],
    "member": [f"{NAME}:admin@{TEAM}"],
    "tenant": ["*:write@tenancy"],
    "revoked": ["*:admin"],
}


@pytest.fixture(scope="module")
def locked(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Locked]:
    folder, url = tmp_path_factory.mktemp("locked"), new_database()
    with serving(url, folder, settings=EVERYWHERE) as server, server.client() as admin:
        admin.headers.update(bearer(keys_in(server)[0]))
        stored = Keys(dialect_of(url))
        keys = {
            name: stored.create(name, map(scope_of, scopes)).secret
            for name, scopes in KEYS.items()
        }
        stored.revoke("revoked")
        becomes({401}, server, keys["revoked"])
        yield Locked(server, admin, keys | {"wrong": keys["owner"][:-1]}, filled(admin))


def filled(admin: httpx.Client) -> Resource:
    assert admin.put(f"/entity-types/{NAME}", json=DEFINITION).status_code == 201
    assert (
        admin.put(f"/workspaces/{TEAM}", json={"collections": [NAME]}).status_code
        == 201
    )
    record = admin.post(f"/api/{NAME}", json={"text": "hush"}).json()["id"]
    inside = admin.put(f"/workspaces/{TEAM}/api/{NAME}/{record}", json={"text": "hush"})
    assert inside.status_code == 201
    snapshot = admin.post(f"/api/{NAME}/snapshots", json={"note": "hush"}).json()["id"]
    restored = admin.post(
        "/migrations", json={"snapshot": snapshot, "on_conflict": "skip"}
    )
    assert restored.status_code == 201
    return Resource(NAME, TEAM, record, snapshot, restored.json()["id"])


def routes() -> list[tuple[str, str]]:
    """Every method and path of the service, and two more of each collection's path."""
    plain = {(route.method, route.path) for route in table.ROUTES}
    collections = {path for _, path in plain if "/api/" in path}
    return sorted(
        plain | {(m, p) for m in ("OPTIONS", "PROPFIND") for p in collections}
    )


def test_fastapi_has_the_routes_of_the_table_and_no_others() -> None:
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Settings(database_url=f"sqlite:///{folder}/persist.db"))
        assert isinstance(app, Persist)
        found = [route for route in app.routes if isinstance(route, APIRoute)]
        app.database.close()
    assert len(found) == len(app.routes)
    assert {
        (method, route.path) for route in found for method in route.methods or ()
    } == {(route.method, route.path) for route in table.FASTAPI_ROUTES}


ROUTES = routes()


def address(path: str, resource: Resource) -> str:
    kind = path.split("/")[1]
    id = {"snapshots": resource.snapshot, "migrations": resource.migration}.get(
        kind, resource.record
    )
    names = {
        "workspace": resource.workspace,
        "id": id,
        "number": "1",
        "seq": "1",
        "command": "set",
        "code": "forbidden",
    }
    return re.sub(r"{(\w+)}", lambda found: names.get(found[1], resource.name), path)


def body(path: str, resource: Resource) -> Json:
    created = {"op": "create", "collection": resource.name, "data": {"text": "x"}}
    bodies: dict[str, Json] = {
        "/sessions": {"code": "wrong"},
        "/changes/undo": {"from_seq": 1, "to_seq": 1, "on_conflict": "skip"},
        "/migrations": {"snapshot": resource.snapshot, "on_conflict": "overwrite"},
        "/snapshots": {"scope": "all"},
        "/transactions": {"operations": [created]},
        "/workspaces/{workspace}": {"collections": []},
        "/entity-types/{name}": DEFINITION,
    }
    return bodies.get(path, {"text": "x"})


def test_the_routes_are_all_there() -> None:
    assert len(ROUTES) > 60
    assert {
        ("GET", "/workspaces/{workspace}/api/{collection}/export"),
        ("POST", "/migrations"),
    } <= set(ROUTES)


@pytest.mark.parametrize("key", [None, "wrong", "revoked"])
def test_without_a_key_that_counts_every_route_is_closed(
    locked: Locked, key: str | None
) -> None:
    for method, path in ROUTES:
        answer = locked.ask(
            key, method, address(path, locked.there), body(path, locked.there)
        )
        if UNLOCKED.fullmatch(path):
            assert answer.status_code in (200, 404), (method, path)
        else:
            assert answer.status_code == 401, (method, path, answer.text)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert_problem(answer, 401, "unauthenticated") if method != "HEAD" else None


@pytest.mark.parametrize("key", ["other", "elsewhere"])
def test_outside_ones_scopes_nothing_says_whether_it_exists_or_not(
    locked: Locked, key: str
) -> None:
    absent = Resource(ABSENT, "absent-team", *[NOWHERE] * 3)
    for method, path in ROUTES:
        if UNLOCKED.fullmatch(path) or path == "/sessions":
            continue
        answers = [
            locked.ask(key, method, address(path, resource), body(path, resource))
            for resource in (locked.there, absent)
        ]
        texts = [anonymous(answer.text) for answer in answers]
        assert texts[0] == texts[1], (method, path)
        if SHARED.fullmatch(path) and method == "GET":
            assert answers[0].status_code == 200, (method, path, answers[0].text)
            assert key != "other" or NAME not in answers[0].text, (method, path)
            assert f'"/api/{NAME}' not in answers[0].text
            assert locked.there.record not in answers[0].text
            assert "hush" not in answers[0].text
        elif path == "/changes/{seq}/proof":
            # A proof needs read on its change, and says no more than that of another.
            assert answers[0].status_code == 404, (method, path, answers[0].text)
        else:
            assert answers[0].status_code == 403, (method, path, answers[0].text)


def anonymous(text: str) -> str:
    """An answer without what differs between any two: the names that were asked for,
    ids, times."""
    ids = re.compile(
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\"request_id\": ?\"[^\"]*\""
    )
    return ids.sub("", text).replace(NAME, ABSENT).replace(TEAM, "absent-team")


def test_nothing_of_what_was_refused_was_done(locked: Locked) -> None:
    test_outside_ones_scopes_nothing_says_whether_it_exists_or_not(locked, "other")
    for base in (f"/api/{NAME}", f"/workspaces/{TEAM}/api/{NAME}"):
        record = locked.admin.get(f"{base}/{locked.there.record}").json()
        assert (record["revision"], record["data"]) == (1, {"text": "hush"})
        assert locked.admin.get(base, params={"count": "true"}).json()["total"] == 1
    assert len(locked.admin.get("/snapshots").json()["items"]) == 1


CALLS = [
    ("read", "GET", "/api/{collection}"),
    ("read", "GET", "/api/{collection}/{id}"),
    ("read", "GET", "/api/{collection}/{id}/history"),
    ("read", "GET", "/api/{collection}/export"),
    ("read", "GET", "/api/{collection}/commands"),
    ("read", "OPTIONS", "/api/{collection}"),
    ("read", "GET", "/collections/{collection}"),
    ("write", "PATCH", "/api/{collection}/{id}?dry_run=true"),
    ("write", "POST", "/api/{collection}?dry_run=true"),
    ("write", "POST", "/api/{collection}/{id}/commands/set?dry_run=true"),
    ("write", "POST", "/changes/undo?dry_run=true"),
    ("admin", "GET", "/api/{collection}/snapshots"),
    ("admin", "POST", "/api/{collection}/snapshots?dry_run=true"),
    ("admin", "GET", "/entity-types/{name}"),
    ("admin", "PUT", "/entity-types/{name}?dry_run=true"),
    ("admin", "GET", "/migration-plans/{collection}"),
    ("admin", "GET", "/migrations/{id}"),
    ("admin", "GET", "/snapshots/{id}"),
    ("admin", "GET", "/snapshots/{id}/content"),
    ("admin", "POST", "/migrations?dry_run=true"),
]
LEVELS = {
    "reader": {"read"},
    "writer": {"read", "write"},
    "owner": {"read", "write", "admin"},
}


@pytest.mark.parametrize("key", LEVELS)
def test_each_level_includes_those_below_and_none_above(
    locked: Locked, key: str
) -> None:
    for level, method, call in CALLS:
        path, _, query = call.partition("?")
        sent = {} if path.endswith("/snapshots") else body(path, locked.there)
        answer = locked.ask(key, method, f"{address(path, locked.there)}?{query}", sent)
        if level in LEVELS[key]:
            assert answer.status_code in (200, 204), (method, path, answer.text)
        else:
            assert_problem(answer, 403, "forbidden")


IN_TIME = [
    ("read", "GET", "/api/{collection}?as_of=0"),
    ("read", "GET", "/api/{collection}/export?as_of=0"),
    ("read", "GET", "/api/{collection}/trash"),
    ("read", "GET", "/api/{collection}/{id}/history/diff?from=1&to=1"),
    ("write", "POST", "/api/{collection}/{id}/revert?dry_run=true"),
]


@pytest.mark.parametrize("key", [*LEVELS, "other", "elsewhere"])
@pytest.mark.parametrize("workspace", ["", f"/workspaces/{TEAM}"])
def test_the_past_takes_the_rights_of_the_present(
    locked: Locked, key: str, workspace: str
) -> None:
    for level, method, call in IN_TIME:
        path, _, query = address(call, locked.there).partition("?")
        asked = {"to_revision": 1} if method == "POST" else None
        answer = locked.ask(key, method, f"{workspace}{path}?{query}", asked)
        if level in LEVELS.get(key, ()):
            assert answer.status_code == 200, (call, answer.text)
        else:
            assert_problem(answer, 403, "forbidden")


def test_the_records_of_a_workspace_as_they_were_take_read_access(
    locked: Locked,
) -> None:
    path = f"/workspaces/{TEAM}/records?as_of=0"
    assert locked.ask("member", "GET", path).status_code == 200
    for key in ("other", "elsewhere"):
        assert_problem(locked.ask(key, "GET", path), 403, "forbidden")


def test_an_undo_takes_write_access_to_all_that_was_touched(locked: Locked) -> None:
    record = {"text": "hush"}
    operations = [
        {"op": "create", "collection": NAME, "data": record},
        {"op": "create", "collection": NAME, "workspace": TEAM, "data": record},
        {"op": "create", "collection": "samples", "data": {}},
    ]
    request_id = "undone-by-some"
    locked.admin.post(
        "/transactions",
        json={"operations": operations},
        headers={"x-request-id": request_id},
    ).raise_for_status()
    last = locked.admin.get("/changes/head").json()["seq"]
    own: list[tuple[str, Json]] = [
        ("writer", {"collection": NAME}),
        ("other", {"collection": "samples"}),
        ("member", {"collection": NAME, "workspace": TEAM}),
        ("member", {"workspace": TEAM}),
    ]
    others: list[tuple[str, Json]] = [
        ("reader", {"collection": NAME}),
        ("writer", {}),
        ("writer", {"collection": "samples"}),
        ("other", {}),
        ("other", {"collection": NAME}),
        ("member", {"collection": NAME}),
        ("elsewhere", {"collection": NAME, "workspace": TEAM}),
    ]
    for selected in (
        {"request_id": request_id},
        {"from_seq": last - 2, "to_seq": last},
    ):
        path = "/changes/undo?dry_run=true"
        for key, chosen in own:
            answer = locked.ask(key, "POST", path, selected | chosen)
            assert answer.status_code == 200, (key, chosen, answer.text)
            for entry in answer.json()["records"]:
                assert entry["collection"] == chosen.get("collection", NAME)
        for key, chosen in others:
            refused = locked.ask(key, "POST", path, selected | chosen)
            assert_problem(refused, 403, "forbidden")
            if not chosen:
                assert NAME not in refused.text
                assert "samples" not in refused.text
    undone = locked.admin.post("/changes/undo", json={"request_id": request_id})
    assert undone.json()["undone"] == 3


def test_who_may_not_write_a_collection_does_not_learn_whether_it_was_changed(
    locked: Locked,
) -> None:
    last = locked.admin.get("/changes/head").json()["seq"]
    for name in (NAME, ABSENT):
        for asked in ({"request_id": "nobody"}, {"from_seq": 1, "to_seq": last}):
            body = asked | {"collection": name}
            refused = locked.ask("other", "POST", "/changes/undo", body)
            assert_problem(refused, 403, "forbidden")
    nothing = locked.ask("other", "POST", "/changes/undo", {"request_id": "nobody"})
    assert_problem(nothing, 404, "not-found")


def test_a_key_of_a_workspace_opens_that_one_only(locked: Locked) -> None:
    inside, outside = f"/workspaces/{TEAM}/api/{NAME}", f"/api/{NAME}"
    assert locked.ask("member", "GET", inside).json()["items"][0]["data"] == {
        "text": "hush"
    }
    assert (
        locked.ask(
            "member", "POST", f"{inside}?dry_run=true", {"text": "x"}
        ).status_code
        == 200
    )
    for path in (
        outside,
        f"/entity-types/{NAME}",
        f"/snapshots/{locked.there.snapshot}",
    ):
        assert_problem(locked.ask("member", "GET", path), 403, "forbidden")
    restore = {"snapshot": locked.there.snapshot, "workspace": TEAM}
    assert_problem(
        locked.ask("member", "POST", "/migrations", restore), 403, "forbidden"
    )


def test_a_key_of_a_workspace_sees_the_schemas_of_its_collections(
    locked: Locked,
) -> None:
    items = locked.ask("member", "GET", "/collections").json()["items"]
    assert NAME in [item["name"] for item in items]


def test_in_a_workspace_of_ones_own_the_answer_says_that_nobody_declared_it(
    locked: Locked,
) -> None:
    answer = locked.ask("tenant", "POST", "/workspaces/tenancy/commands/set", {})
    assert_problem(answer, 404, "workspace-not-found")
    assert_problem(
        locked.ask("tenant", "POST", f"/workspaces/{TEAM}/commands/set", {}),
        403,
        "forbidden",
    )


def test_lists_hold_what_the_caller_may_use(locked: Locked) -> None:
    assert [
        item["name"]
        for item in locked.ask("reader", "GET", "/collections").json()["items"]
    ] == [NAME]
    assert [
        item["id"] for item in locked.ask("owner", "GET", "/snapshots").json()["items"]
    ] == [locked.there.snapshot]
    for path in ("/entity-types", "/migration-plans", "/migrations", "/snapshots"):
        assert len(locked.ask("owner", "GET", path).json()["items"]) == 1
        assert_problem(locked.ask("writer", "GET", path), 403, "forbidden")


def test_a_snapshot_of_several_collections_is_for_those_who_administer_them_all(
    locked: Locked,
) -> None:
    whole = locked.admin.post("/snapshots", json={"scope": "all"}).json()["id"]
    for method, path in (
        ("GET", ""),
        ("GET", "/content"),
        ("POST", "/verify"),
        ("DELETE", ""),
    ):
        assert_problem(
            locked.ask("owner", method, f"/snapshots/{whole}{path}"), 403, "forbidden"
        )
    content = locked.admin.get(f"/snapshots/{whole}/content").content
    headers = bearer(locked.keys["owner"]) | {"Content-Type": "application/x-ndjson"}
    with locked.server.client() as client:
        refused = client.post("/snapshots", content=content, headers=headers)
    assert_problem(refused, 403, "forbidden")
    assert locked.admin.delete(f"/snapshots/{whole}").status_code == 204


def test_a_caller_sees_the_paths_they_may_use(locked: Locked) -> None:
    def methods(key: str, path: str) -> set[str]:
        return set(
            locked.ask(key, "GET", "/openapi.json").json()["paths"].get(path, {})
        )

    assert methods("reader", f"/api/{NAME}") == {"get"}
    assert methods("writer", f"/api/{NAME}") == {"get", "post", "delete"}
    assert methods("writer", "/entity-types/{name}") == set()
    assert methods("owner", "/entity-types/{name}") == {"get", "put", "delete"}
    assert methods("owner", "/metrics") == set()
    assert methods("member", f"/api/{NAME}") == set()
    assert methods("member", f"/workspaces/{TEAM}/api/{NAME}") == {
        "get",
        "post",
        "delete",
    }
    one = locked.ask("reader", "GET", f"/collections/{NAME}/openapi.json").json()
    assert set(one["paths"][f"/api/{NAME}"]) == {"get"}


def test_a_stored_answer_is_looked_at_after_access_and_for_its_own_caller(
    locked: Locked,
) -> None:
    def create(key: str) -> httpx.Response:
        headers = bearer(locked.keys[key]) | {"Idempotency-Key": "one"}
        with locked.server.client() as client:
            return client.post("/api/samples", json={"name": "mine"}, headers=headers)

    first = create("other")
    assert first.status_code == 201
    assert create("other").json() == first.json()
    assert_problem(create("reader"), 403, "forbidden")
    by_admin = locked.admin.post(
        "/api/samples", json={"name": "mine"}, headers={"Idempotency-Key": "one"}
    )
    assert by_admin.json()["id"] != first.json()["id"]


def test_who_waits_for_changes_receives_nothing_once_their_key_is_revoked(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database()
    stored = Keys(dialect_of(url))
    stored.prepare()
    key, admin = (
        stored.create("one", [scope_of("counters:read")]).secret,
        stored.create("two", OPEN.scopes).secret,
    )
    with (
        serving(url, tmp_path) as server,
        server.client() as client,
        ThreadPoolExecutor() as pool,
    ):
        waiting = [
            pool.submit(follow, server, key, accept)
            for accept in ("application/json", "text/event-stream")
        ]
        stored.revoke("one")
        becomes({401}, server, key)
        created = client.post(
            "/api/counters", json={"value": 4711}, headers=bearer(admin)
        )
        assert created.status_code == 201
        polled, streamed = (each.result() for each in waiting)
    assert json.loads(polled)["code"] == "unauthenticated"
    assert "4711" not in streamed


def follow(server: Server, key: str, accept: str) -> str:
    headers = bearer(key) | {"Accept": accept}
    with server.client() as client:
        return client.get("/changes", params={"wait": 25}, headers=headers).text
