import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import NewDatabase, Service
from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem, pointers
from tests.support.registered import an_object, registered, two_replicas
from tests.support.server import serving

COLLECTIONS = ["counters", "tickets"]

Declare = Callable[..., str]


@pytest.fixture
def declare(client: httpx.Client, marker: str) -> Declare:
    """Declares a workspace of this test's own and gives its path."""

    def declared(name: str = "w", *, holding: list[str] = COLLECTIONS) -> str:
        path = f"/workspaces/{name}-{marker}"
        response = client.put(path, json={"collections": holding})
        assert response.status_code == 201, response.text
        return path

    return declared


@pytest.fixture
def inside(client: httpx.Client, declare: Declare) -> Collection:
    """The counters of a fresh workspace."""
    return Collection(client, "counters", declare().rpartition("/")[2])


def home(collection: Collection) -> str:
    return f"/workspaces/{collection.workspace}"


def emptied(client: httpx.Client, path: str) -> None:
    assert client.delete(path, params={"force": "true"}).status_code == 204


# declaring


def test_a_declared_workspace_is_answered_and_found_and_listed(
    client: httpx.Client, marker: str
) -> None:
    path, expected = (
        f"/workspaces/w-{marker}",
        {"name": f"w-{marker}", "collections": COLLECTIONS},
    )
    response = client.put(path, json={"collections": ["tickets", "counters"]})
    assert (response.status_code, response.json(), response.headers["location"]) == (
        201,
        expected,
        path,
    )
    assert client.get(path).json() == expected
    assert expected in client.get("/workspaces").json()["items"]


def test_declaring_it_again_is_no_creation(
    client: httpx.Client, declare: Declare
) -> None:
    path = declare()
    response = client.put(path, json={"collections": COLLECTIONS})
    assert (response.status_code, "location" in response.headers) == (200, False)


def test_a_workspace_may_come_to_hold_more_and_nothing(
    client: httpx.Client, declare: Declare
) -> None:
    path = declare()
    assert (
        client.put(path, json={"collections": [*COLLECTIONS, "samples"]}).status_code
        == 200
    )
    assert client.get(path).json()["collections"] == ["counters", "samples", "tickets"]
    assert client.put(path, json={"collections": []}).status_code == 200
    assert_problem(
        client.get(f"{path}/api/counters"), 404, "collection-not-in-workspace"
    )


def test_a_rehearsed_declaration_declares_nothing(
    client: httpx.Client, marker: str
) -> None:
    path = f"/workspaces/w-{marker}"
    response = client.put(
        path, params={"dry_run": "true"}, json={"collections": COLLECTIONS}
    )
    assert (response.status_code, response.json()["collections"]) == (200, COLLECTIONS)
    assert_problem(client.get(path), 404, "workspace-not-found")


def test_a_declaration_under_a_key_is_repeated_and_needs_no_body(
    client: httpx.Client, marker: str
) -> None:
    path, headers = (
        f"/workspaces/w-{marker}",
        {"idempotency-key": marker, "prefer": "return=minimal"},
    )
    first, again = (
        client.put(path, headers=headers, json={"collections": COLLECTIONS})
        for _ in range(2)
    )
    assert (
        (first.status_code, first.content)
        == (again.status_code, again.content)
        == (201, b"")
    )
    assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({}, {"/collections"}),
        ({"collections": "counters"}, {"/collections"}),
        ({"collections": None}, {"/collections"}),
        ({"collections": [7, "counters"]}, {"/collections/0"}),
        ({"collections": ["counters", "counters"]}, {"/collections/1"}),
        ({"collections": [], "name": "w"}, {"/name"}),
    ],
)
def test_a_body_that_says_something_else_is_refused(
    client: httpx.Client, marker: str, body: Json, places: set[str]
) -> None:
    path = f"/workspaces/w-{marker}"
    assert (
        pointers(assert_problem(client.put(path, json=body), 422, "invalid-payload"))
        == places
    )
    assert_problem(client.get(path), 404, "workspace-not-found")


def test_a_collection_that_nobody_knows_is_named_with_the_nearest(
    client: httpx.Client, marker: str
) -> None:
    response = client.put(f"/workspaces/w-{marker}", json={"collections": ["counterz"]})
    assert (
        "did you mean counters?"
        in assert_problem(response, 404, "collection-not-found")["detail"]
    )


@pytest.mark.parametrize(
    "name",
    ["W", "1st", "a_b", "a.b", "a" * 64, "ä", "a b", "'; drop table journal; --"],
)
def test_a_workspace_is_named_like_a_collection(
    client: httpx.Client, name: str
) -> None:
    assert_problem(
        client.put(f"/workspaces/{name}", json={"collections": []}),
        422,
        "invalid-payload",
    )


@pytest.mark.parametrize(
    "path",
    [
        "/workspaces/",
        "/workspaces//api/counters",
        "/workspaces/w/api",
        "/workspaces/w/x",
    ],
)
def test_there_is_nothing_at_paths_like_these(client: httpx.Client, path: str) -> None:
    assert client.get(path, follow_redirects=False).status_code in (307, 404)


# the collections inside


def test_its_collections_are_found_below_it(
    client: httpx.Client, inside: Collection
) -> None:
    response = inside.create({"value": 1})
    record = response.json()
    assert response.headers["location"] == f"{inside.path}/{record['id']}"
    assert record["workspace"] == inside.workspace
    assert client.get(response.headers["location"]).json() == record
    assert inside.history(record["id"])[0]["workspace"] == inside.workspace


def test_pages_lead_on_inside_of_it(client: httpx.Client, inside: Collection) -> None:
    ids = sorted(inside.created(value=n)["id"] for n in range(3))
    first = inside.find(limit=2)
    link = first.headers["link"].partition(">")[0].removeprefix("<")
    assert link.startswith(inside.path + "?")
    items = first.json()["items"] + client.get(link).json()["items"]
    assert [item["id"] for item in items] == ids
    elsewhere = client.get(
        "/api/counters", params={"limit": 2, "cursor": first.json()["next_cursor"]}
    )
    assert_problem(elsewhere, 400, "invalid-query")


def test_one_id_and_one_unique_value_may_be_in_every_workspace(
    client: httpx.Client, declare: Declare, record_id: str, marker: str
) -> None:
    places = [
        "/api",
        *(declare(name, holding=["accounts"]) + "/api" for name in ("a", "b")),
    ]
    account = {"owner": marker, "balance": 0}
    for place in places:
        assert (
            client.put(f"{place}/accounts/{record_id}", json=account).status_code == 201
        )
        assert_problem(
            client.post(f"{place}/accounts", json=account), 409, "unique-violation"
        )


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_workspace_nobody_declared_has_no_collections(
    client: httpx.Client, marker: str, method: str
) -> None:
    for name in ("counters", "nothing"):
        response = client.request(method, f"/workspaces/w-{marker}/api/{name}")
        assert_problem(response, 404, "workspace-not-found")


@pytest.mark.parametrize(
    "rest",
    ["", "/commands", "/export", "/snapshots", "/0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70"],
)
@pytest.mark.parametrize("name", ["samples", "nothing"])
def test_a_collection_it_does_not_hold_is_not_there(
    client: httpx.Client, declare: Declare, name: str, rest: str
) -> None:
    response = client.get(f"{declare()}/api/{name}{rest}")
    assert (
        "counters, tickets in it"
        in assert_problem(response, 404, "collection-not-in-workspace")["detail"]
    )


# changing and deleting


def test_what_still_holds_records_cannot_be_taken_out(
    client: httpx.Client, inside: Collection
) -> None:
    record = inside.created(value=1)
    problem = assert_problem(
        client.put(home(inside), json={"collections": []}), 409, "workspace-not-empty"
    )
    assert "counters" in problem["detail"]
    assert (
        client.put(home(inside), json={"collections": ["counters"]}).status_code == 200
    )
    assert inside.delete(record["id"]).status_code == 204
    assert client.put(home(inside), json={"collections": []}).status_code == 200


def test_a_workspace_is_deleted_only_when_it_is_empty(
    client: httpx.Client, inside: Collection
) -> None:
    record = inside.created(value=1)
    assert_problem(client.delete(home(inside)), 409, "workspace-not-empty")
    assert inside.delete(record["id"]).status_code == 204
    assert client.delete(home(inside)).status_code == 204
    assert_problem(client.delete(home(inside)), 404, "workspace-not-found")
    assert_problem(inside.find(), 404, "workspace-not-found")


def test_by_force_its_records_go_too_and_the_journal_tells(
    client: httpx.Client, inside: Collection, counters: Collection
) -> None:
    lines = "".join(json.dumps({"value": n}) + "\n" for n in range(1201))
    assert inside.import_lines(lines).json() == {"created": 1201}
    record, other = inside.created(value=1), counters.created(value=1)
    emptied(client, home(inside))
    client.put(home(inside), json={"collections": COLLECTIONS}).raise_for_status()
    assert inside.items() == []
    deletion = inside.history(record["id"])[0]
    assert (deletion["operation"], deletion["revision"], deletion["data"]) == (
        "delete",
        2,
        None,
    )
    assert inside.replace(record["id"], {"value": 5}).json()["revision"] == 3
    assert counters.record(other["id"]) == other


def test_a_rehearsed_deletion_deletes_nothing(
    client: httpx.Client, inside: Collection
) -> None:
    record = inside.created(value=1)
    answer = client.delete(home(inside), params={"force": "true", "dry_run": "true"})
    assert answer.status_code == 200
    assert inside.record(record["id"]) == record


@pytest.mark.parametrize("query", ["force=yes", "forse=true"])
def test_a_deletion_takes_no_other_parameters(
    client: httpx.Client, declare: Declare, query: str
) -> None:
    assert_problem(client.delete(f"{declare()}?{query}"), 400, "invalid-query")


def test_a_type_that_is_deleted_leaves_the_workspaces(
    client: httpx.Client, declare: Declare, marker: str
) -> None:
    name = f"note-{marker}"
    registered(client, name, an_object(text={"type": "string"}))
    path = declare(holding=["counters", name])
    notes = Collection(client, name, path.rpartition("/")[2])
    note = notes.created(text="x")
    assert_problem(client.delete(f"/entity-types/{name}"), 409, "collection-not-empty")
    assert notes.delete(note["id"]).status_code == 204
    assert client.delete(f"/entity-types/{name}").status_code == 204
    assert client.get(path).json()["collections"] == ["counters"]
    assert_problem(notes.find(), 404, "collection-not-in-workspace")


# several processes


def test_every_process_knows_at_once_what_there_is_and_what_there_is_not(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    with two_replicas(new_database(), tmp_path) as replicas:
        for number, client in enumerate(replicas.each * 2):
            others = [other for other in replicas.each if other is not client]
            client.put(
                f"/workspaces/w{number}", json={"collections": ["counters"]}
            ).raise_for_status()
            ids = [
                Collection(other, "counters", f"w{number}").created(value=1)["id"]
                for other in others
            ]
            emptied(client, f"/workspaces/w{number}")
            for other, id in zip(others, ids, strict=True):
                _assert_deleted(Collection(other, "counters", f"w{number}"), id)


def _assert_deleted(counters: Collection, id: str) -> None:
    history = counters.client.get(f"{counters.at(id)}/history")
    past = counters.read(id, revision=1)
    for answer in (
        history,
        past,
        counters.read(id),
        counters.find(),
        counters.export(),
        counters.create({"value": 1}),
    ):
        assert_problem(answer, 404, "workspace-not-found")


def test_no_write_slips_into_a_workspace_that_is_being_deleted(
    service: Service, inside: Collection, client: httpx.Client
) -> None:
    def write(_: int) -> int:
        with service.server.client() as own:
            counters, created = Collection(own, "counters", inside.workspace), 0
            while True:
                response: Any = counters.create({"value": 1})
                if response.status_code != 201:
                    assert_problem(response, 404, "workspace-not-found")
                    return created
                created += 1

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, n) for n in range(4)]
        while len(inside.items(limit=20)) < 20:
            assert not any(writer.done() for writer in writers)
        emptied(client, home(inside))
        created = sum(writer.result() for writer in writers)
    client.put(home(inside), json={"collections": COLLECTIONS}).raise_for_status()
    assert created >= 20
    assert inside.items() == []


# the records of all collections


def listed(client: httpx.Client, path: str, **query: Any) -> list[Json]:
    """Every record of a workspace, page by page, each page by the link of the one
    before."""
    found: list[Json] = []
    address = str(httpx.URL(f"{path}/records", params=query))
    while address:
        response = client.get(address)
        assert response.status_code == 200, response.text
        page = response.json()
        assert len(page["items"]) <= query.get("limit", 50)
        link = response.headers.get("link", "").partition(">")[0].removeprefix("<")
        assert bool(link) == bool(page["next_cursor"])
        found, address = found + page["items"], link
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 500])
def test_records_of_all_types_come_by_id_then_collection(
    client: httpx.Client, declare: Declare, marker: str, limit: int
) -> None:
    registered(client, f"note-{marker}", an_object(text={"type": "string"}))
    path = declare(holding=["counters", "tickets", f"note-{marker}"])
    ticket = {"title": "t", "severity": 30}
    bodies = {"counters": {"value": 1}, "tickets": ticket, f"note-{marker}": {}}
    stored = [
        client.put(
            f"{path}/api/{name}/0198c1d2-7c2f-7d6a-9f1e-{number:012}", json=bodies[name]
        ).json()
        for number in range(8)
        for name in list(bodies)[: number % 3 + 1]
    ]
    expected = sorted(stored, key=lambda record: (record["id"], record["collection"]))
    assert listed(client, path, limit=limit) == expected


def test_pages_of_all_types_stay_where_they_are_while_others_write(
    client: httpx.Client, declare: Declare
) -> None:
    path = declare()
    for collection, data in (
        ("counters", {"value": 1}),
        ("tickets", {"title": "t", "severity": 30}),
    ):
        for number in range(0, 20, 2):
            id = f"0198c1d2-7c2f-7d6a-9f1e-{number:012}"
            assert (
                client.put(f"{path}/api/{collection}/{id}", json=data).status_code
                == 201
            )
    before = [record["id"] for record in listed(client, path)]
    first = client.get(f"{path}/records", params={"limit": 9}).json()
    for number in (1, 5, 19):
        id = f"0198c1d2-7c2f-7d6a-9f1e-{number:012}"
        assert (
            client.put(f"{path}/api/counters/{id}", json={"value": 1}).status_code
            == 201
        )
    rest = client.get(
        f"{path}/records", params={"cursor": first["next_cursor"]}
    ).json()["items"]
    seen = [record["id"] for record in (*first["items"], *rest)]
    assert [id for id in seen if id in before] == before


def test_they_are_filtered_by_what_they_have_in_common(
    client: httpx.Client, inside: Collection
) -> None:
    record = inside.created(value=1)
    changed = inside.patch(inside.created(value=1)["id"], {"value": 2}).json()
    later = {"_created_at__gt": record["created_at"]}
    for query in ({"_revision": "2"}, {"filter": "record.revision > 1"}, later):
        assert listed(client, home(inside), **query) == [changed]


@pytest.mark.parametrize(
    "query", ["value=1", "sort=_revision", "limit=0", "cursor=a", "filter=data.value>1"]
)
def test_anything_else_is_no_query_over_all_of_them(
    client: httpx.Client, inside: Collection, query: str
) -> None:
    assert_problem(client.get(f"{home(inside)}/records?{query}"), 400, "invalid-query")


def test_a_cursor_belongs_to_its_workspace_and_its_filters(
    client: httpx.Client, declare: Declare
) -> None:
    paths = [declare(name, holding=["counters"]) for name in ("a", "b")]
    for path in (paths[0], *paths):
        client.post(f"{path}/api/counters", json={"value": 1}).raise_for_status()
    cursor = client.get(f"{paths[0]}/records?limit=1").json()["next_cursor"]
    for other in (
        f"{paths[1]}/records?",
        f"{paths[0]}/records?_revision=1&",
        f"{paths[0]}/api/counters?",
    ):
        assert_problem(client.get(f"{other}cursor={cursor}"), 400, "invalid-query")


def test_a_workspace_without_collections_has_no_records(
    client: httpx.Client, declare: Declare, marker: str
) -> None:
    assert client.get(f"{declare(holding=[])}/records").json() == {
        "items": [],
        "next_cursor": None,
    }
    assert_problem(
        client.get(f"/workspaces/x-{marker}/records"), 404, "workspace-not-found"
    )


def test_a_workspace_may_hold_more_types_than_a_statement_takes(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    names = [f"note{number}" for number in range(210)]
    with serving(new_database(), tmp_path) as server, server.client() as client:
        for name in names:
            registered(client, name, an_object())
        client.put("/workspaces/w", json={"collections": names}).raise_for_status()
        made = [
            client.post(f"/workspaces/w/api/{name}", json={}).json()["id"]
            for name in names
        ]
        found = listed(client, "/workspaces/w", limit=60)
        assert [record["id"] for record in found] == made
        assert [record["collection"] for record in found] == names
