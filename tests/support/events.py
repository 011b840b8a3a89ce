"""Server-sent events as a client reads them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx

from tests.support.problems import Json

EVENTS = {"accept": "text/event-stream"}


class Event(NamedTuple):
    """What stands between two empty lines: an id, and a change unless it is a sign of
    life."""

    id: int
    change: Json | None


@contextmanager
def listening(
    client: httpx.Client, last: int | None = None, **query: Any
) -> Iterator[Iterator[Event]]:
    """The events of a stream, as they come; it is closed with the block."""
    headers: Mapping[str, str] = (
        EVENTS if last is None else EVENTS | {"last-event-id": str(last)}
    )
    with client.stream("GET", "/changes", params=query, headers=headers) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield _events(response.iter_lines())


def changes(events: Iterator[Event]) -> Iterator[Json]:
    """The changes among them, each under its own seq."""
    for event in events:
        if event.change is not None:
            assert event.change["seq"] == event.id
            yield event.change


def _events(lines: Iterator[str]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            data = fields.get("data")
            yield Event(
                int(fields["id"]), json.loads(data) if data is not None else None
            )
            fields = {}
            continue
        name, _, value = line.partition(": ")
        if name:
            fields[name] = value
