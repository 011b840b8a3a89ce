"""Reads of large records (F5, F6, F8): pages are bounded, long reads run off the event loop,
and end in time or when the client goes."""

import os
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.hostile.conftest import Target, created
from tests.support.raw import connected
from tests.support.waiting import until
from tests.support.watchdog import QUIET

RECORDS = 24
LENGTH = 1_000_000


@pytest.fixture(scope="session")
def large(target: Target) -> Iterator[httpx.Client]:
    """A client that may read a collection of large records."""
    with target.client() as admin:
        for number in range(RECORDS):
            created(admin, "large", {"s": "a" * LENGTH, "n": number})
    with target.client("reader") as client:
        yield client


def test_pages_of_large_records_end_early_and_a_cursor_goes_on(
    target: Target, large: httpx.Client
) -> None:
    seen: list[int] = []
    query = {"limit": "500", "sort": "n", "fields": "n", "count": "true"}
    with target.unharmed():
        while True:
            page = large.get("/api/large", params=query).json()
            seen += [item["data"]["n"] for item in page["items"]]
            assert 1 <= len(page["items"]) <= 8
            assert page["total"] == RECORDS
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
    assert seen == list(range(RECORDS))


@pytest.mark.parametrize(
    "query",
    [
        {"s__contains": "a" * 900 + "b"},
        {"s__icontains": "b" + "a" * 900},
        {"filter": 'data.s.endsWith("b")'},
        {"s": "b"},
    ],
    ids=["contains", "icontains", "endsWith", "equals"],
)
def test_a_search_in_large_text_stops_nobody(
    target: Target, large: httpx.Client, query: dict[str, str]
) -> None:
    with target.unharmed():
        answer = large.get("/api/large", params=query)
    assert answer.status_code in (200, 503), answer.text


@pytest.mark.parametrize("name", ["n__in", "s__in"])
def test_lists_of_values_of_many_lengths_take_no_memory(
    target: Target, large: httpx.Client, name: str
) -> None:
    lengths = range(1, 430 if QUIET in os.environ else 30)
    with target.unharmed(kilobytes=60_000):
        for length in lengths:
            values = ",".join(map(str, range(10_000, 10_000 + length)))
            answer = large.get("/api/large", params={name: values})
            assert answer.json()["items"] == []


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/plain", "n__in=" + ",".join(["1"] * 12_000) + ",{}"),
        ("/api/plain", "n={}&" + "&".join(["n=1"] * 240)),
        ("/api/plain", "filter=" + "||".join(["data.n==1"] * 150) + "||data.n=={}"),
        ("/changes", "filter=" + "||".join(["data.n==1"] * 150) + "||data.n=={}"),
        ("/changes", "filter=[" + ",".join(["1"] * 900) + "]==[{}]"),
        ("/api/plain", "count=" + "t" * 30_000 + "{}"),
    ],
    ids=["list", "conditions", "filter", "of changes", "constant", "control"],
)
def test_long_queries_stop_nobody_and_little_of_them_is_kept(
    target: Target, large: httpx.Client, path: str, query: str
) -> None:
    """Each is parsed for itself, and what is kept of one may be a megabyte."""
    with target.unharmed(kilobytes=60_000):
        for number in range(300 if QUIET in os.environ else 10):
            answer = large.get(path, params=query.format(number))
            assert answer.status_code in (200, 400), answer.text


def test_text_to_search_for_is_bounded(target: Target, large: httpx.Client) -> None:
    with target.unharmed():
        answer = large.get("/api/large", params={"s__contains": "a" * 20_000 + "b"})
    assert answer.status_code == 400, answer.text


def test_a_list_of_the_changes_of_large_records_is_bounded(
    target: Target, large: httpx.Client
) -> None:
    with target.client() as admin, target.unharmed():
        record = created(admin, "large", {"s": "b" * LENGTH, "n": -1})
        for number in range(12):
            changed = admin.patch(f"/api/large/{record}", json={"n": -number})
            assert changed.status_code == 200
        history = large.get(f"/api/large/{record}/history", params={"limit": "500"})
        assert 2 <= len(history.json()["items"]) <= 8
        assert history.json()["next_cursor"]
        admin.delete(f"/api/large/{record}")


def test_reads_whose_clients_went_do_not_keep_others_from_reading(
    target: Target, large: httpx.Client
) -> None:
    """The query would take minutes, and as many run as there are threads."""
    each = "&".join(f"s__icontains={'a' * 90}{n}" for n in range(200))
    key = target.keys["reader"]
    request = (
        f"GET /api/large?{each} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {key}\r\n\r\n"
    ).encode()
    with target.unharmed():
        for _ in range(6):
            with connected(target.url) as connection:
                connection.sendall(request)
                time.sleep(0.02)
        # A read of its own may take too long on a busy machine.
        until(lambda: large.get("/api/large?s__endswith=z").status_code == 200)


def test_filters_of_new_forms_stop_nobody(target: Target, large: httpx.Client) -> None:
    """The SQL of each has to be written."""
    forms = [
        "||".join(
            ["'a' in data.l", "size(data.l) > 1"][number & 1 << bit > 0]
            for bit in range(60)
        )
        for number in range(6)
    ]
    with target.unharmed():
        for path in ("/api/plain", "/api/plain/export"):
            for form in forms:
                answer = large.get(path, params={"filter": form})
                assert answer.status_code == 200, answer.text
