"""No route shows, counts or changes in one workspace what is in another: every one is
tried, from the default workspace and from a declared one, on ids that both have and on
ids that only others have."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.contract.test_access import ROUTES
from tests.support.collection import Collection
from tests.support.problems import Json
from tests.support.registered import an_object, registered

TEXT = {"type": "string"}
SHARED, FOREIGN = (
    "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70",
    "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f71",
)
ANY = "_revision__gte=1"
NDJSON = "application/x-ndjson"
VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")
COUNTED = ("total", "deleted", "invoked")


@dataclass(frozen=True)
class World:
    """One collection in three workspaces. What its own workspace holds says ``own``,
    what is in the others says ``secret``."""

    own: Collection
    others: tuple[Collection, ...]
    secret: str

    def count(self) -> int:
        return len(self.own.items())

    def elsewhere(self) -> list[Json]:
        """Everything the others hold, with all that was ever done to it."""
        found: list[Json] = []
        for other in self.others:
            found += other.items()
            found += [
                change for id in (SHARED, FOREIGN) for change in other.history(id)
            ]
        return found


@pytest.fixture(params=["from the default workspace", "from a declared one"])
def world(request: pytest.FixtureRequest, client: httpx.Client, marker: str) -> World:
    name = f"hush-{marker}"
    registered(client, name, an_object(text=TEXT))
    workspaces = [f"a-{marker}", f"b-{marker}"]
    for workspace in workspaces:
        client.put(
            f"/workspaces/{workspace}", json={"collections": [name]}
        ).raise_for_status()
    places = [Collection(client, name, workspace) for workspace in (None, *workspaces)]
    own = places.pop(0 if request.param == "from the default workspace" else 1)
    for other in places:
        for id in (SHARED, FOREIGN):
            assert other.replace(id, {"text": f"secret-{marker}"}).status_code == 201
    assert own.replace(SHARED, {"text": "own"}).status_code == 201
    return World(own, tuple(places), f"secret-{marker}")


def tries(world: World) -> Iterator[tuple[str, str, Json]]:
    """Every route that leads into the own workspace, with what makes it do something.
    What takes a workspace away is tried elsewhere."""
    home, declared = "/workspaces/{workspace}", world.own.workspace is not None
    inside = f"{home}/api/{{collection}}" if declared else "/api/{collection}"
    for method, path in ROUTES:
        if method in VERBS and path.startswith(inside):
            rest = path.removeprefix(inside).replace("{command}", "set")
            for id in (SHARED, FOREIGN) if "{id}" in rest else ("",):
                yield (
                    method,
                    world.own.path + rest.replace("{id}", id),
                    given(method, rest),
                )
        elif (
            declared
            and method in ("GET", "POST")
            and path.startswith(home)
            and "/api/" not in path
        ):
            rest = path.removeprefix(home).replace("{command}", "set")
            yield (
                method,
                f"/workspaces/{world.own.workspace}{rest}",
                given(method, rest or "/"),  # a workspace itself takes no query
            )


def given(method: str, rest: str) -> Json:  # noqa: PLR0911 - a table of routes
    """A body and a query that take in as much as they can."""
    if rest == "/import":
        return {"content": '{"text": "own"}\n', "headers": {"content-type": NDJSON}}
    if rest == "" and method == "GET":
        return {"params": f"{ANY}&count=true"}
    if rest == "" and method == "DELETE":
        return {"params": f"{ANY}&max_affected=100"}
    if rest.endswith("/history/diff"):
        return {"params": "from=1&to=1"}
    if rest.endswith("/revert"):
        return {"json": {"to_revision": 1}}
    if rest == "/snapshots" or method in ("GET", "DELETE"):
        return {}
    return {"json": {"text": "own, changed"}}


def test_nothing_of_other_workspaces_is_seen_or_touched(
    client: httpx.Client, world: World
) -> None:
    before, walked = world.elsewhere(), list(tries(world))
    assert len(walked) > 20
    for method, path, request in walked:
        own = world.count()
        answer = client.request(method, path, **request)
        assert answer.status_code in (200, 201, 204, 404), (method, path, answer.text)
        assert world.secret not in answer.text, (method, path)
        expected = (
            answer.json()
            if answer.headers.get("content-type") == "application/json"
            else {}
        )
        for name in COUNTED:
            assert expected.get(name, own) == own, (method, path, expected)
        assert world.elsewhere() == before, (method, path)
        world.own.replace(SHARED, {"text": "own"})


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("rest", ["", "/history", "/commands/set"])
def test_a_record_that_only_others_have_is_not_there(
    client: httpx.Client, world: World, method: str, rest: str
) -> None:
    method = "POST" if rest == "/commands/set" else method
    body = {"text": "x"} if method in ("PATCH", "POST") else None
    answer = client.request(method, world.own.at(FOREIGN) + rest, json=body)
    assert answer.status_code in (404, 405), answer.text
    assert world.secret not in answer.text


def test_no_filter_matches_what_others_hold(world: World) -> None:
    like = (
        f'data.text == "{world.secret}"',
        f'record.id == "{FOREIGN}"',
        'data.text.startsWith("secret")',
    )
    for filter in like:
        assert world.own.items(filter=filter) == []
        assert world.own.export(filter=filter).text == ""
        assert world.own.delete_matching(filter=filter, max_affected=9).json() == {
            "deleted": 0
        }


def test_a_snapshot_and_its_restore_stay_where_they_are(
    client: httpx.Client, world: World
) -> None:
    before = world.elsewhere()
    snapshot = client.post(f"{world.own.path}/snapshots").json()["id"]
    assert world.secret not in client.get(f"/snapshots/{snapshot}/content").text
    wanted = {"snapshot": snapshot, "on_conflict": "overwrite"}
    assert client.post("/migrations", json=wanted).json()["overwritten"] == 1
    assert world.elsewhere() == before


def test_a_transaction_reaches_only_where_it_says(
    client: httpx.Client, world: World
) -> None:
    before = world.elsewhere()
    for op in ("replace", "patch", "delete"):
        operation = {
            "op": op,
            "collection": world.own.name,
            "workspace": world.own.workspace,
            "id": FOREIGN,
        }
        more = {
            "replace": {"data": {"text": "x"}},
            "patch": {"patch": {"text": "x"}},
        }.get(op, {})
        answer = client.post("/transactions", json={"operations": [operation | more]})
        assert answer.status_code in (200, 404), answer.text
        assert world.secret not in answer.text
    assert world.elsewhere() == before


def test_the_feed_of_a_workspace_tells_of_no_other(
    client: httpx.Client, world: World
) -> None:
    place = {"collection": world.own.name, "workspace": world.own.workspace or ""}
    found, seq, end = [], 0, client.get("/changes/head").json()["seq"]
    while seq < end:  # a page ends where the journal was looked at for long enough
        feed = client.get("/changes", params=place | {"after": str(seq)})
        assert world.secret not in feed.text
        found += [change["id"] for change in feed.json()["items"]]
        seq = feed.json()["last_seq"]
    assert found == [SHARED]


def test_every_route_inside_a_workspace_is_documented(client: httpx.Client) -> None:
    inside = "/workspaces/{workspace}/api/{collection}"
    paths = client.get("/openapi.json").json()["paths"]
    expected = {
        (method.upper(), path)
        for path in paths
        if path.startswith(inside)
        for method in paths[path]
    }
    assert expected == {
        (method, path)
        for method, path in ROUTES
        if path.startswith(inside) and method in VERBS
    }
