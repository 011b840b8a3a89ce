"""What refusals say of what their caller may not read (F15): a secret is planted in
every name and value of a collection, and every route is asked to fail in every way."""

import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from persist.api.routes import ROUTES
from persist.domain.access import scope_of
from persist.storage.access.keys import Keys
from persist.storage.dialect import dialect_of
from tests.contract.test_keys import bearer, becomes
from tests.hostile.conftest import Target
from tests.support.watchdog import QUIET

PLANTED = "zanzibar"
GUESSED = "zanzibaz"
"""What an attacker who knows a little asks for: the nearest name is the secret one."""

TRIES = 16 if QUIET in os.environ else 2
"""Requests to each path; the ways to fail take turns."""

NOWHERE = "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70"

DEFINITION = {
    "schema": {
        "type": "object",
        "properties": {
            f"{PLANTED}_field": {"type": "string", "enum": [f"{PLANTED}-value", "x"]},
            "n": {"type": "integer"},
        },
    },
    "unique": [[f"{PLANTED}_field"]],
    "commands": {f"{PLANTED}_command": {"set": {"n": "1"}}},
}

SCOPES = {
    "neighbour": ["plain:admin"],
    "guesser": [f"{GUESSED}-notes:admin"],
    "guesser of a workspace": [f"*:admin@{GUESSED}-den"],
    "tenant": ["*:admin@tenancy"],
    "member": ["plain:admin@shared"],
}

NAMES = {
    "collection": ["plain", f"{GUESSED}-notes"],
    "name": ["plain", f"{GUESSED}-notes"],
    "workspace": ["shared", "tenancy", f"{GUESSED}-den"],
    "command": ["set", f"{GUESSED}_command"],
    "number": ["1"],
    "version": ["1"],
    "seq": ["1", "2", "3"],
    "code": [GUESSED],
    "path": [GUESSED],
}

QUERIES = [
    "",
    f"{GUESSED}_field=x",
    f"filter=data.{GUESSED}_field",
    f"sort={GUESSED}_field",
    f"fields={GUESSED}_field",
    f"collection={GUESSED}-notes",
    f"workspace={GUESSED}-den",
    f"request_id={GUESSED}-request",
    f"{GUESSED}=1",
    "cursor=AAAA",
    "as_of=1",
    "revision=1",
    "from=1&to=2",
    "count=true&limit=500",
    "after=0",
    "max_affected=0&n__gt=0",
]


@dataclass(frozen=True)
class Planted:
    """What an attacker may have learned: ids, but no names and no values."""

    record: str
    snapshot: str
    migration: str


@pytest.fixture(scope="module")
def planted(target: Target) -> Planted:
    with target.client() as admin:
        admin.headers["x-request-id"] = f"{PLANTED}-request"
        name = f"{PLANTED}-notes"
        _ok(admin.put(f"/entity-types/{name}", json=DEFINITION))
        for workspace, collections in {
            "shared": ["plain", name],
            "tenancy": ["plain"],
            f"{PLANTED}-den": [name],
        }.items():
            body = {"collections": collections}
            _ok(admin.put(f"/workspaces/{workspace}", json=body))
        data = {f"{PLANTED}_field": f"{PLANTED}-value", "n": 1}
        record = _ok(admin.post(f"/api/{name}", json=data)).json()["id"]
        for workspace in ("shared", f"{PLANTED}-den"):
            path = f"/workspaces/{workspace}/api/{name}/{record}"
            _ok(admin.put(path, json=data))
        note = {"note": f"{PLANTED}-note"}
        snapshot = _ok(admin.post(f"/api/{name}/snapshots", json=note)).json()["id"]
        restore = {"snapshot": snapshot, "on_conflict": "skip"}
        migration = _ok(admin.post("/migrations", json=restore)).json()["id"]
    return Planted(record, snapshot, migration)


@pytest.fixture(scope="module")
def attackers(target: Target, planted: Planted) -> Iterator[dict[str, httpx.Client]]:
    keys = Keys(dialect_of(target.database_url))
    clients = {"nobody": target.server.client()}
    for name, scopes in SCOPES.items():
        secret = keys.create(f"leak {name}", map(scope_of, scopes)).secret
        becomes({403}, target.server, secret)
        clients[name] = target.server.client()
        clients[name].headers.update(bearer(secret))
    yield clients
    for client in clients.values():
        client.close()


def _ok(response: httpx.Response) -> httpx.Response:
    assert response.is_success, response.text
    return response


def bodies(planted: Planted) -> list[tuple[str, Any]]:
    """What a request sends, with its media type; each fails somewhere."""
    guess = {f"{GUESSED}_field": f"{GUESSED}-value"}
    names = (f"{GUESSED}-notes", "plain")
    workspaces = (None, "shared", "tenancy", f"{GUESSED}-den")
    refused: dict[str, dict[str, Any]] = {
        "create": {"data": {"$ref": f"{GUESSED}.id"}},
        "delete": {"id": planted.record},
        "command": {"id": planted.record, "command": f"{GUESSED}_command"},
    }
    operations: list[dict[str, Any]] = [
        {"op": op, "collection": name, "workspace": workspace, **more}
        for name in names
        for workspace in workspaces
        for op, more in refused.items()
    ]
    values = [
        {},
        [],
        guess,
        {"collections": [names[0]]},
        {"snapshot": planted.snapshot},
        {"snapshot": planted.snapshot, "workspace": f"{GUESSED}-den"},
        {"snapshot": planted.snapshot, "plan": {names[0]: []}},
        {"to_revision": 1},
        {"from_seq": 1, "to_seq": 9, "collection": names[0]},
        {"from_seq": 1, "to_seq": 9, "workspace": "shared"},
        {"request_id": f"{GUESSED}-request"},
        {"schema": {"$ref": f"#/$defs/{GUESSED}"}, f"{GUESSED}": 1},
        {"scope": GUESSED},
        {"code": GUESSED},
        *({"operations": [operation]} for operation in operations),
    ]
    found = [("application/json", json.dumps(value)) for value in values]
    found += [
        ("application/json", "{"),
        ("application/x-ndjson", json.dumps(guess) + "\n{"),
        ("application/x-ndjson", json.dumps({"manifest": {"id": planted.snapshot}})),
        ("application/json-patch+json", '[{"op": "test", "path": "/x", "value": 1}]'),
        ("text/plain", GUESSED),
    ]
    return found


def addresses(path: str, planted: Planted) -> Iterator[str]:
    """The paths of a route, with what fills their gaps."""
    ids = {"snapshots": planted.snapshot, "migrations": planted.migration}
    kind = path.split("/")[1]
    names = NAMES | {"id": [ids.get(kind, planted.record), NOWHERE]}
    gaps = [gap for gap in names if f"{{{gap}}}" in path or f"{{{gap}:" in path]
    for values in itertools.product(*(names[gap] for gap in gaps)):
        filled = path.replace(":path}", "}")
        yield filled.format(**dict(zip(gaps, values, strict=True)))


@pytest.mark.parametrize("who", ["nobody", *SCOPES])
def test_no_answer_has_what_its_caller_may_not_read(
    target: Target,
    planted: Planted,
    attackers: dict[str, httpx.Client],
    who: str,
) -> None:
    client = attackers[who]
    sent = itertools.cycle(bodies(planted))
    queries = itertools.cycle(QUERIES)
    asked = 0
    for route in ROUTES:
        has_body = route.method in ("POST", "PUT", "PATCH")
        for path in addresses(route.path, planted):
            for _ in range(TRIES):
                query = next(queries)
                media_type, body = next(sent) if has_body else ("", "")
                headers = {"content-type": media_type} if body else {}
                response = client.request(
                    route.method,
                    f"{path}?{query}",
                    headers=headers,
                    content=body or None,
                )
                asked += 1
                assert response.status_code < 500, (route, response.text)
                _check(response)
    assert asked > 100 * TRIES


@pytest.mark.parametrize(
    ("who", "listed"),
    [
        ("neighbour", ["plain"]),
        ("guesser", []),
        ("guesser of a workspace", []),
        ("tenant", ["plain"]),
        ("member", ["plain"]),
    ],
)
def test_the_collections_that_are_listed_are_those_the_caller_may_read(
    target: Target, attackers: dict[str, httpx.Client], who: str, listed: list[str]
) -> None:
    with target.client() as admin:  # A tenant may have deleted it.
        _ok(admin.put("/workspaces/tenancy", json={"collections": ["plain"]}))
    items = attackers[who].get("/collections").json()["items"]
    assert [item["name"] for item in items] == listed


def _check(response: httpx.Response) -> None:
    answered = response.text + "\n" + str(response.headers.multi_items())
    request = response.request
    assert PLANTED not in answered, (
        f"{request.method} {request.url} {request.content!r}: {answered}"
    )
