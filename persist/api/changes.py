"""Changes over HTTP: the journal in pages, by long poll, and as server-sent events."""

import asyncio
import math
import re
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from persist.api.entity_types import sent
from persist.api.openapi.change_feed import DOCUMENTED, RESPONSES
from persist.api.query_params import LIMIT, MOST, controls, natural, pairs_of
from persist.api.requests import Receive, Request, Scope
from persist.api.responses import JSON, Answer, Send, change_text
from persist.domain.access import EVERY, Access, Level
from persist.domain.errors import InvalidQuery, PersistError, Unavailable
from persist.domain.workspace import collections_in
from persist.storage.change_feed import ChangeSlice
from persist.storage.database import Database

BATCH = 100
"""Changes of one piece of a stream."""

HEARTBEAT = 15.0
"""Seconds between two signs of life of a stream in which nothing happens."""

MOMENT = 0.25
"""Seconds that a request which does not wait may look for something to see."""

LONGEST_WAIT = 30
CONTROLS = ("after", "collection", "workspace", "limit", "wait")
SEQ = re.compile(r"\d{1,400}", re.ASCII)
SECONDS = re.compile(r"\d{1,3}(\.\d{1,3})?", re.ASCII)
WEIGHT = re.compile(r"[01](\.\d{0,3})?", re.ASCII)
EVENTS = "text/event-stream"
JSON_RANGES = ("application/json", "application/*", "*/*")
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Visible:
    """Which changes a caller wants to see, and may. ``workspace`` is ``""`` for the
    default one."""

    access: Access
    collection: str | None
    workspace: str | None

    def __call__(self, collection: str, workspace: str) -> bool:
        return (
            self.collection in (None, collection)
            and self.workspace in (None, workspace)
            and self.access.allows(Level.READ, collection, workspace)
        )

    def require(self) -> None:
        """Raise ``Forbidden`` where the caller may see nothing of what is asked for."""
        places = [
            (
                self.collection or scope.collection,
                scope.workspace if self.workspace is None else self.workspace,
            )
            for scope in self.access.scopes
        ]
        if not any(self.access.allows(Level.READ, *place) for place in places):
            self.access.require(Level.READ, self.collection or EVERY, self.workspace)


class Asked(NamedTuple):
    """The parameters of a request; ``after`` is None for the journal's end."""

    after: int | None
    collection: str | None
    workspace: str | None
    limit: int | None
    wait: float

    @property
    def size(self) -> int:
        """How many changes a page may have."""
        return min(self.limit or LIMIT, MOST)

    def visible(self, request: Request) -> Visible:
        """What the caller may see now."""
        return Visible(request.access, self.collection, self.workspace)


def changes_router(database: Database, stopping: asyncio.Event) -> APIRouter:
    """The route of the change feed. ``stopping`` ends what waits there."""
    router = APIRouter(tags=["changes"])

    @router.get(
        "/changes",
        summary="Follow what changes",
        openapi_extra=DOCUMENTED,
        responses=RESPONSES,
    )
    async def changes(http: HttpRequest) -> Response:
        request: Request = http.scope["state"]["request"]
        as_events = prefers_events(request.header(b"accept") or "")
        asked = _asked(request, as_events=as_events)
        visible = asked.visible(request)
        visible.require()
        await _check(database, asked)
        if as_events:
            found = await database.feed.read(asked.after, asked.size, visible)
            return EventStream(database, request, asked, found, stopping)
        found = await _looked_for(database, asked, visible)
        if asked.wait and not found.rows:
            polling = _polled(database, request, asked, found)
            found = await _while_there(polling, http.receive, stopping) or found
        return sent(_page(found))

    return router


def prefers_events(accept: str) -> bool:
    """Whether a client would have events rather than JSON (RFC 9110, section 12.5.1).
    It has to name them, as whoever takes anything gets JSON."""
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        given = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        weights[name] = float(given) if WEIGHT.fullmatch(given) else 1.0
    json = next((weights[name] for name in JSON_RANGES if name in weights), 0)
    return 0 < weights.get(EVENTS, 0) >= json


async def _check(database: Database, asked: Asked) -> None:
    """Raise ``CollectionNotFound`` or ``WorkspaceNotFound``: nothing would ever come of
    a mistyped name."""
    if asked.collection is None and not asked.workspace:
        return
    await database.refresh()
    if asked.collection is not None:
        database.catalog.get(asked.collection)
    if asked.workspace:
        collections_in(database.catalog.workspaces, asked.workspace)


def _asked(request: Request, *, as_events: bool) -> Asked:
    control = controls(pairs_of(request.query), CONTROLS)
    last_seen = request.header(b"last-event-id") if as_events else None
    wait = control.get("wait", "0")
    if not SECONDS.fullmatch(wait) or float(wait) > LONGEST_WAIT:
        raise InvalidQuery(
            f"wait is a number of seconds from 0 to {LONGEST_WAIT}, not {wait[:40]!r}"
        )
    limit = natural(control, "limit")
    after = _after(last_seen or control.get("after", "0"))
    return Asked(
        after, control.get("collection"), control.get("workspace"), limit, float(wait)
    )


def _after(text: str) -> int | None:
    if text == "now":
        return None
    if not SEQ.fullmatch(text):
        raise InvalidQuery(
            "a change is named by its seq, a whole number from 0, or now; not by"
            f" {text[:40]!r}"
        )
    return int(text)


def _page(found: ChangeSlice) -> Answer:
    items = ",".join(map(change_text, found.rows))
    return Answer(
        200, f'{{"items":[{items}],"last_seq":{found.last_seq}}}'.encode(), [JSON]
    )


async def _looked_for(
    database: Database, asked: Asked, visible: Visible
) -> ChangeSlice:
    """What there is to see; where much is passed over, what can be looked at in a
    moment."""
    clock = asyncio.get_running_loop().time
    until, found = (
        clock() + MOMENT,
        await database.feed.changes(asked.after, asked.size, visible),
    )
    while not found.rows and found.last_seq < found.head and clock() < until:
        await asyncio.sleep(0)
        found = await database.feed.changes(found.last_seq, asked.size, visible)
    return found


async def _polled(
    database: Database, request: Request, asked: Asked, found: ChangeSlice
) -> ChangeSlice:
    """Look on until there is something to see, or the time is up."""
    request.wait()
    clock = asyncio.get_running_loop().time
    until = clock() + asked.wait
    with database.feed.following():
        while not found.rows and (left := until - clock()) > 0:
            if found.last_seq < found.head or await database.feed.beyond(
                found.last_seq, left
            ):
                await request.admit()
                found = await database.feed.read(
                    found.last_seq, asked.size, asked.visible(request)
                )
    return found


class EventStream(Response):
    """Changes as server-sent events, from those that were found on. Each tells its
    ``seq`` as its id; so do signs of life, that who comes back need not look again at
    what was not for them."""

    media_type = EVENTS

    def __init__(
        self,
        database: Database,
        request: Request,
        asked: Asked,
        found: ChangeSlice,
        stopping: asyncio.Event,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(HEADERS)
        self._feed = database.feed
        self._request = request
        self._asked = asked
        self._found = found
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        )
        if self._request.method != "HEAD":
            await _while_there(self._follow(send), receive, self._stopping)
        await send({"type": "http.response.body", "body": b""})

    async def _follow(self, send: Send) -> None:
        """Send what is found until ``limit`` is reached. Where it cannot go on, the
        stream ends: who comes back with the last id they saw is told why."""
        found, beat, left = self._found, 0.0, self._asked.limit or math.inf
        self._request.wait()
        clock = asyncio.get_running_loop().time
        with self._feed.following():
            while True:
                if found.rows or clock() >= beat:
                    await send(
                        {
                            "type": "http.response.body",
                            "body": _events(found),
                            "more_body": True,
                        }
                    )
                    left, beat = left - len(found.rows), clock() + HEARTBEAT
                if left <= 0:
                    return
                if found.last_seq >= found.head:
                    await self._feed.beyond(found.last_seq, beat - clock())
                try:
                    await self._request.admit()
                    visible = self._asked.visible(self._request)
                    found = await self._feed.read(
                        found.last_seq, int(min(left, BATCH)), visible
                    )
                except Unavailable as error:
                    await asyncio.sleep(error.retry_after)
                    found = ChangeSlice([], found.last_seq, found.last_seq)
                except PersistError:
                    return


def _events(found: ChangeSlice) -> bytes:
    if found.rendered is None:
        events = [f"id: {row[0]}\ndata: {change_text(row)}\n\n" for row in found.rows]
        found.rendered = (
            "".join(events) or f": nothing new\nid: {found.last_seq}\n\n"
        ).encode()
    return found.rendered


async def _while_there(
    work: Coroutine[Any, Any, Result], receive: Receive, stopping: asyncio.Event
) -> Result | None:
    """Do something as long as somebody waits for it and the service is not told to
    stop."""
    working = asyncio.create_task(work)
    tasks = (
        working,
        asyncio.create_task(_left(receive)),
        asyncio.create_task(stopping.wait()),
    )
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _left(receive: Receive) -> None:
    """Return when the client is gone; of a body nothing is wanted."""
    while (await receive())["type"] != "http.disconnect":
        pass
