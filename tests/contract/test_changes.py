"""The change feed: pages, long poll and server-sent events (contract 10)."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import httpx
import pytest

from tests.conftest import NewDatabase
from tests.support.collection import Collection
from tests.support.events import EVENTS, changes, listening
from tests.support.problems import Json, assert_problem
from tests.support.server import Server, serving


def page(client: httpx.Client, **query: object) -> Json:
    response = client.get(
        "/changes", params={name: str(value) for name, value in query.items()}
    )
    assert response.status_code == 200, response.text
    found: Json = response.json()
    assert found.keys() == {"items", "last_seq"}
    return found


@pytest.fixture(scope="module", params=["typed"])
def kind(request: pytest.FixtureRequest) -> str:
    """The journal makes no difference between kinds."""
    name: str = request.param
    return name


@pytest.fixture
def end(client: httpx.Client) -> int:
    """Where the journal ends before the test."""
    last: int = page(client, after="now")["last_seq"]
    return last


# --- pages ----------------------------------------------------------------------------
# -----------


def test_changes_come_in_their_order_page_by_page(
    client: httpx.Client, end: int, counters: Collection
) -> None:
    record = counters.created(value=1)
    counters.command(
        record["id"], "increment", {"by": 2}, headers={"x-request-id": "the-second"}
    )
    counters.delete(record["id"])
    first = page(client, after=end, limit=2)
    second = page(client, after=first["last_seq"], limit=2)
    assert [change["operation"] for change in first["items"]] == ["create", "command"]
    assert [change["operation"] for change in second["items"]] == ["delete"]
    assert [change["seq"] for change in (*first["items"], *second["items"])] == [
        end + 1,
        end + 2,
        end + 3,
    ]
    assert (first["last_seq"], second["last_seq"]) == (end + 2, end + 3)
    assert page(client, after=end + 3) == {"items": [], "last_seq": end + 3}


def test_a_change_is_the_one_the_history_shows(
    client: httpx.Client, end: int, counters: Collection
) -> None:
    record = counters.created(value=1)
    counters.command(record["id"], "increment", {"by": 2})
    assert page(client, after=end)["items"] == list(
        reversed(counters.history(record["id"]))
    )


def test_the_journal_is_read_from_its_beginning_unless_asked_otherwise(
    client: httpx.Client, counters: Collection
) -> None:
    counters.created()
    assert page(client, limit=1)["items"][0]["seq"] == 1


def test_after_now_shows_only_what_is_to_come(
    client: httpx.Client, counters: Collection
) -> None:
    counters.created()
    found = page(client, after="now")
    assert found["items"] == []
    record = counters.created()
    assert [
        change["id"] for change in page(client, after=found["last_seq"])["items"]
    ] == [record["id"]]


def test_what_is_filtered_out_is_passed_over(
    client: httpx.Client, end: int, counters: Collection, samples: Collection
) -> None:
    for _ in range(3):
        counters.created()
    sample = samples.created()
    only = page(client, after=end, collection=samples.name)
    assert [change["id"] for change in only["items"]] == [sample["id"]]
    assert only["last_seq"] == end + 4
    assert (
        page(client, after=end, limit=2, collection=samples.name)["items"]
        == only["items"]
    )
    assert (
        page(client, after=end, limit=1, collection=counters.name)["last_seq"]
        == end + 1
    )
    none = page(client, after=end, collection="accounts")
    assert none == {"items": [], "last_seq": end + 4}


def test_a_workspace_shows_its_own_changes_and_an_empty_name_those_of_the_default_one(
    client: httpx.Client, own_workspace: str
) -> None:
    end = page(client, after="now")["last_seq"]
    here = Collection(client, "counters").created()
    there = Collection(client, "counters", own_workspace).created()
    found = {
        name: [
            (change["id"], change["workspace"])
            for change in page(client, after=end, **query)["items"]
        ]
        for name, query in (
            ("all", {}),
            ("default", {"workspace": ""}),
            ("own", {"workspace": own_workspace}),
        )
    }
    assert found["default"] == [(here["id"], None)]
    assert found["own"] == [(there["id"], own_workspace)]
    assert found["all"] == found["default"] + found["own"]


@pytest.fixture
def own_workspace(client: httpx.Client) -> str:
    """A workspace that holds the counters."""
    name = f"w-{uuid.uuid4().hex}"
    assert (
        client.put(
            f"/workspaces/{name}", json={"collections": ["counters"]}
        ).status_code
        == 201
    )
    return name


@pytest.mark.parametrize("beyond", [1, 1_000, 2**63, 10**30])
def test_a_seq_beyond_the_last_change_is_refused_with_the_last_one(
    client: httpx.Client, end: int, beyond: int
) -> None:
    after = end + beyond
    answers = [
        client.get("/changes", params={"after": after}),
        client.get("/changes", params={"after": after, "wait": 25}),
        client.get("/changes", params={"after": after}, headers=EVENTS),
        client.get("/changes", headers=EVENTS | {"last-event-id": str(after)}),
    ]
    for answer in answers:
        problem = assert_problem(answer, 400, "invalid-query")
        assert problem["last_seq"] == end
        assert str(end) in problem["detail"]
    assert page(client, after=end) == {"items": [], "last_seq": end}


def test_a_larger_limit_is_lowered_to_500(
    client: httpx.Client, end: int, counters: Collection
) -> None:
    counters.import_lines("{}\n" * 510)
    assert len(page(client, after=end, limit=1_000)["items"]) == 500
    assert len(page(client, after=end)["items"]) == 50


def test_one_change_is_found_behind_thousands_of_others(
    client: httpx.Client, end: int, counters: Collection, samples: Collection
) -> None:
    for _ in range(3):
        counters.import_lines("{}\n" * 3_000)
    sample, last = samples.created(), end
    while not (found := page(client, after=last, collection=samples.name))["items"]:
        assert found["last_seq"] > last
        last = found["last_seq"]
    assert [change["id"] for change in found["items"]] == [sample["id"]]
    with listening(client, after=end, collection=samples.name) as events:
        assert next(changes(events))["id"] == sample["id"]


def test_large_changes_come_in_shorter_pages_and_all_come(
    client: httpx.Client, end: int, counters: Collection
) -> None:
    for _ in range(30):
        counters.created(name="x" * 100_000)
    seqs, last = [], end
    while found := page(client, after=last, limit=500)["items"]:
        assert len(found) < 30
        seqs += [change["seq"] for change in found]
        last = seqs[-1]
    assert seqs == list(range(end + 1, end + 31))


@pytest.mark.parametrize(
    "query",
    [
        "after=-1",
        "after=x",
        "after=",
        "after=1.5",
        "limit=0",
        "limit=x",
        "wait=31",
        "wait=-1",
        "wait=x",
        "wait=",
        "after=1&after=2",
    ],
)
def test_a_bad_parameter_is_refused(client: httpx.Client, query: str) -> None:
    assert_problem(client.get(f"/changes?{query}"), 400, "invalid-query")


def test_an_unknown_parameter_is_refused_naming_the_nearest(
    client: httpx.Client,
) -> None:
    problem = assert_problem(
        client.get("/changes?colection=counters"), 400, "invalid-query"
    )
    assert "did you mean collection?" in problem["detail"]


def test_an_unknown_workspace_is_refused(client: httpx.Client) -> None:
    assert_problem(client.get("/changes?workspace=nowhere"), 404, "workspace-not-found")


def test_an_unknown_collection_is_refused_naming_the_nearest(
    client: httpx.Client,
) -> None:
    problem = assert_problem(
        client.get("/changes?collection=countrs"), 404, "collection-not-found"
    )
    assert "counters" in problem["detail"]


def test_changes_can_only_be_read(client: httpx.Client) -> None:
    assert_problem(client.post("/changes"), 405, "method-not-allowed")
    response = client.head("/changes")
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) > 0


# --- long poll
# -----------------------------------------------------------------------------------


def later(act: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(0.3, act)
    timer.start()
    return timer


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("Text/Event-Stream", "text/event-stream"),
        ("application/json;q=0.5, text/event-stream", "text/event-stream"),
        ("text/event-stream, */*;q=0.1", "text/event-stream"),
        ("application/json, text/event-stream;q=0.5", "application/json"),
        ("text/event-stream;q=0", "application/json"),
        ("text/event-stream;q=0.5, */*", "application/json"),
        ("text/event-streams", "application/json"),
        ("*/*", "application/json"),
    ],
)
def test_a_client_gets_what_it_prefers(
    client: httpx.Client, counters: Collection, accept: str, media_type: str
) -> None:
    counters.created()
    response = client.get("/changes", params={"limit": 1}, headers={"accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(media_type)


def test_a_poll_waits_until_there_is_a_change(
    client: httpx.Client, end: int, counters: Collection
) -> None:
    begun = time.monotonic()
    timer = later(counters.created)
    found = page(client, after=end, wait=25)
    assert 0.2 < time.monotonic() - begun < 20
    assert [change["seq"] for change in found["items"]] == [end + 1]
    timer.join()


def test_a_poll_that_finds_something_does_not_wait(
    client: httpx.Client, end: int, counters: Collection
) -> None:
    counters.created()
    begun = time.monotonic()
    assert len(page(client, after=end, wait=25)["items"]) == 1
    assert time.monotonic() - begun < 20


def test_a_poll_is_not_ended_by_what_it_does_not_want(
    client: httpx.Client, end: int, counters: Collection, samples: Collection
) -> None:
    timer = later(counters.created)
    found = page(client, after=end, wait=1.5, collection=samples.name)
    timer.join()
    assert found == {"items": [], "last_seq": end + 1}


def test_a_poll_ends_when_its_time_is_up(client: httpx.Client, end: int) -> None:
    begun = time.monotonic()
    assert page(client, after="now", wait=0.40000000000001) == {
        "items": [],
        "last_seq": end,
    }
    assert time.monotonic() - begun >= 0.4


# --- server-sent events
# --------------------------------------------------------------------------


def test_a_stream_gives_what_is_there_and_then_what_comes(
    client: httpx.Client, end: int, counters: Collection
) -> None:
    first = counters.created(value=1)
    with listening(client, after=end) as events:
        seen = changes(events)
        assert next(seen)["id"] == first["id"]
        second = counters.created(value=2)
        change = next(seen)
    assert change == counters.history(second["id"])[0]
    assert change["seq"] == end + 2


def test_a_stream_first_tells_where_it_stands(
    client: httpx.Client, end: int, counters: Collection
) -> None:
    with listening(client, after="now") as events:
        assert next(events) == (end, None)
    with listening(client, after=end, collection=counters.name) as events:
        assert next(events) == (end, None)


def test_last_event_id_wins_over_after(
    client: httpx.Client, end: int, counters: Collection
) -> None:
    for _ in range(3):
        counters.created()
    with listening(client, end + 2, after=end) as events:
        assert next(changes(events))["seq"] == end + 3
    for bad in ("x", "-1", "1,2"):
        response = client.get("/changes", headers=EVENTS | {"last-event-id": bad})
        assert_problem(response, 400, "invalid-query")


def test_a_stream_with_a_limit_ends_there(
    client: httpx.Client, end: int, counters: Collection
) -> None:
    for _ in range(3):
        counters.created()
    with listening(client, after=end, limit=2) as events:
        assert [event.id for event in events] == [end + 1, end + 2]
    with listening(client, after=end + 2, limit=3) as events:
        counters.created()
        counters.created()
        assert [change["seq"] for change in changes(events)] == [
            end + 3,
            end + 4,
            end + 5,
        ]


def test_a_stream_is_filtered_like_a_page(
    client: httpx.Client, end: int, counters: Collection, samples: Collection
) -> None:
    for _ in range(4):
        counters.created()
        samples.created()
    with listening(client, after=end, collection=samples.name) as events:
        assert [change["collection"] for change in islice(changes(events), 4)] == [
            samples.name
        ] * 4


def test_the_head_of_a_stream_has_no_events(client: httpx.Client) -> None:
    response = client.head("/changes", headers=EVENTS)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"].startswith("text/event-stream")


def test_a_bad_request_for_a_stream_is_a_problem(client: httpx.Client) -> None:
    assert_problem(client.get("/changes?limit=0", headers=EVENTS), 400, "invalid-query")


def test_many_changes_come_in_one_stream_without_a_gap(
    client: httpx.Client, end: int, counters: Collection
) -> None:
    counters.import_lines("{}\n" * 1_200)
    with listening(client, after=end) as events:
        seqs = [change["seq"] for change in islice(changes(events), 1_200)]
    assert seqs == list(range(end + 1, end + 1_201))


def test_a_hundred_listeners_hear_the_same(
    service_url: str, end: int, counters: Collection
) -> None:
    ready = threading.Barrier(101)

    def listen(_: int) -> list[int]:
        with (
            httpx.Client(base_url=service_url, timeout=60, verify=False) as own,
            listening(own, after=end) as events,
        ):
            assert next(events) == (end, None)
            ready.wait(60)
            return [change["seq"] for change in islice(changes(events), 5)]

    with ThreadPoolExecutor(100) as pool:
        heard = pool.map(listen, range(100))
        ready.wait(60)
        for _ in range(5):
            counters.created()
        assert list(heard) == [list(range(end + 1, end + 6))] * 100


@pytest.fixture
def service_url(client: httpx.Client) -> str:
    return str(client.base_url)


# --- several processes, and the end of one
# -------------------------------------------------------


@pytest.fixture(scope="module")
def pair(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Server]]:
    """Two services on one database."""
    url = new_database()
    with (
        serving(url, tmp_path_factory.mktemp("one")) as one,
        serving(url, tmp_path_factory.mktemp("other")) as other,
    ):
        yield one, other


def test_what_another_process_commits_wakes_who_waits(
    pair: tuple[Server, Server],
) -> None:
    with pair[0].client() as here, pair[1].client() as there:
        end, there_counters = (
            page(here, after="now")["last_seq"],
            Collection(there, "counters"),
        )
        timer = later(there_counters.created)
        begun = time.monotonic()
        found = page(here, after=end, wait=25)
        assert time.monotonic() - begun < 20
        assert len(found["items"]) == 1
        timer.join()
        with listening(here, after=end + 1) as events:
            assert next(events) == (end + 1, None)
            for number in range(2, 6):
                record = there_counters.created()
                change = next(changes(events))
                assert (change["id"], change["seq"]) == (record["id"], end + number)


def test_a_service_that_is_asked_to_stop_ends_its_streams_and_polls(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    with (
        serving(new_database(), tmp_path) as server,
        server.client() as poller,
        server.client() as listener,
        ThreadPoolExecutor(1) as pool,
    ):
        poll = pool.submit(page, poller, wait=30)
        with listening(listener, after="now") as events:
            assert next(events) == (0, None)
            begun = time.monotonic()
            server.stop()
            assert time.monotonic() - begun < 20
            assert list(events) == []
        assert poll.result(10) == {"items": [], "last_seq": 0}
    assert '"level": "error"' not in server.log.read_text()


# --- by request, and backwards --------------------------------------------------------
# -----------


def test_the_changes_of_one_request(
    client: httpx.Client, end: int, counters: Collection
) -> None:
    name = str(uuid.uuid4())
    record = counters.create({"value": 1}, headers={"x-request-id": name}).json()
    counters.command(record["id"], "increment", {"by": 2})
    counters.delete(record["id"], headers={"x-request-id": name})
    found = page(client, after=end, request_id=name)
    assert [change["operation"] for change in found["items"]] == ["create", "delete"]
    assert found["last_seq"] == end + 3
    assert page(client, request_id=name, limit=1)["items"] == found["items"][:1]
    backwards = page(client, before="now", request_id=name)
    assert backwards["items"] == found["items"][::-1]
    assert page(client, request_id="nobody")["items"] == []


def test_changes_come_newest_first(
    client: httpx.Client, end: int, counters: Collection
) -> None:
    for value in range(4):
        counters.created(value=value)
    forwards = page(client, after=end)["items"]
    first = page(client, before="now", limit=3)
    assert first == {"items": forwards[:0:-1], "last_seq": end + 2}
    second = page(client, before=first["last_seq"], limit=1)
    assert second == {"items": forwards[:1], "last_seq": end + 1}
    assert page(client, before=10**17, limit=3) == first


def test_the_beginning_is_where_last_seq_no_longer_falls(client: httpx.Client) -> None:
    before = page(client, before="now", request_id="nobody")["last_seq"]
    again = page(client, before=before, request_id="nobody")
    assert again == {"items": [], "last_seq": before}


@pytest.mark.parametrize("before", [0, 1])
def test_nothing_comes_before_the_first_change(
    client: httpx.Client, before: int
) -> None:
    assert page(client, before=before)["items"] == []


@pytest.mark.parametrize(
    "query",
    [
        "before=3&after=1",
        "before=3&wait=1",
        "before=x",
        "request_id=",
        "request_id=%00",
    ],
)
def test_what_is_asked_of_changes_must_fit(client: httpx.Client, query: str) -> None:
    assert_problem(client.get(f"/changes?{query}"), 400, "invalid-query")


def test_events_do_not_go_backwards(client: httpx.Client) -> None:
    refused = client.get("/changes?before=now", headers=EVENTS)
    assert_problem(refused, 400, "invalid-query")


# --- filters --------------------------------------------------------------------------
# -----------


def test_a_filter_follows_what_matches(
    client: httpx.Client, end: int, counters: Collection
) -> None:
    record = counters.created(value=1)
    for value in (5, 50, 60, 2):
        counters.patch(record["id"], {"value": value}).raise_for_status()
    counters.delete(record["id"])

    def values(condition: str, **query: object) -> list[int | None]:
        found = page(client, after=end, filter=condition, **query)
        assert found["last_seq"] == end + 6
        return [item["data"] and item["data"]["value"] for item in found["items"]]

    rises = "data.value > 30 && !(previous.value > 30)"
    assert values(rises) == [50]
    assert values(rises, collection=counters.name) == [50]
    assert values("previous.value >= 50") == [60, 2]
    assert values('change.operation == "delete" && previous.value == 2') == [None]
    assert values("has(data.value) && !has(previous.value)") == [1]
    assert values(f"change.seq == {end + 2} && change.command == null") == [5]
    assert values('data.value == "x" || data.nothing') == []


def test_a_page_of_matches_goes_on_where_it_ended(
    client: httpx.Client, end: int, counters: Collection
) -> None:
    for value in range(10):
        counters.created(value=value)
    query = {"filter": "data.value >= 6", "limit": 2}
    first = page(client, after=end, **query)
    assert first["last_seq"] == end + 8
    second = page(client, after=end + 8, **query)
    found = [item["data"]["value"] for item in (*first["items"], *second["items"])]
    assert (found, second["last_seq"]) == ([6, 7, 8, 9], end + 10)
    backwards = page(client, before="now", **query)
    assert [item["data"]["value"] for item in backwards["items"]] == [9, 8]


@pytest.mark.parametrize(
    ("condition", "operations"),
    [
        ("previous == null", ["create"]),
        ("previous != null", ["replace", "delete"]),
        ("data == null", ["delete"]),
        ("data != null && data.value > 1", ["replace"]),
        ("previous == null || data.value > previous.value", ["create", "replace"]),
        ("data != previous", ["create", "replace", "delete"]),
        ("!(previous.value > 1)", ["create", "replace"]),
        ("data.value > 0 && !(previous.value > 1)", ["create", "replace"]),
        ("previous == null && !has(previous.value)", ["create"]),
        ("has(previous.value)", ["replace", "delete"]),
        ("!has(previous.value)", ["create"]),
    ],
)
@pytest.mark.parametrize("checked", [True, False])
def test_there_is_no_data_before_a_creation_and_after_a_deletion(
    client: httpx.Client,
    end: int,
    counters: Collection,
    condition: str,
    operations: list[str],
    checked: bool,
) -> None:
    record = counters.created(value=1)
    counters.replace(record["id"], {"value": 2})
    counters.delete(record["id"])
    query = {"filter": condition} | ({"collection": counters.name} if checked else {})
    found = page(client, after=end, **query)["items"]
    assert [change["operation"] for change in found] == operations


def test_events_of_what_matches(
    client: httpx.Client, end: int, counters: Collection
) -> None:
    for value in range(4):
        counters.created(value=value)
    query = f"after={end}&limit=1&filter=data.value == 3"
    events = client.get(f"/changes?{query}", headers=EVENTS)
    assert f"id: {end + 4}\n" in events.text
    assert '"value":3' in events.text.replace(" ", "")


@pytest.mark.parametrize(
    "condition", ["data.value >", "change.nothing", "record.id", "1", '"a"']
)
def test_a_filter_that_means_nothing_is_refused(
    client: httpx.Client, condition: str
) -> None:
    refused = client.get("/changes", params={"filter": condition})
    assert_problem(refused, 400, "invalid-query")


def test_a_filter_is_checked_against_the_schema(
    client: httpx.Client, counters: Collection
) -> None:
    for condition in ("data.valeu > 1", 'data.value == "x"', "previous.valeu"):
        query = {"filter": condition, "collection": counters.name}
        refused = client.get("/changes", params=query)
        assert_problem(refused, 400, "invalid-query")
