"""Changes over HTTP: the journal in pages, by long poll, and as server-sent events."""

import asyncio
import math
import re
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from fastapi import Request as HttpRequest
from fastapi.responses import Response as HttpResponse

from persist.api.fastapi_registration import AuthorizedRequest
from persist.api.headers import REQUEST_ID
from persist.api.parse_threads import parse_query
from persist.api.query_params import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    MAX_WAIT_SECONDS,
    controls,
    integer_of,
    pairs_of,
)
from persist.api.render_threads import rendered
from persist.api.requests import Request, Scope
from persist.api.responses import (
    JSON,
    Receive,
    Response,
    Send,
    change_text,
    disconnected,
)
from persist.domain.access import Access, Level
from persist.domain.errors import (
    InvalidQuery,
    PersistError,
    TooManyRequests,
    Unavailable,
)
from persist.domain.workspace import collections_in
from persist.entity_types.cel.change_filter import (
    ChangeFilter,
    compile_change_filter,
)
from persist.storage.database import Database
from persist.storage.journal.change_feed import ChangeSlice
from persist.storage.queries.result_size import BRIEF_CHARACTERS, of_changes
from persist.storage.reads.reader import Reader

BATCH = 100
"""Changes that a stream reads at once."""

HEARTBEAT = 15.0
"""Seconds between two comments of a stream in which nothing happens."""

LOOK_SECONDS = 0.25
"""Seconds that a request which does not wait may look for a visible change."""

CONTROLS = (
    "after",
    "before",
    "collection",
    "workspace",
    "request_id",
    "filter",
    "limit",
    "wait",
)
SEQ = re.compile(r"\d{1,400}", re.ASCII)
SECONDS = re.compile(r"\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,2})?", re.ASCII)
EVENTS = "text/event-stream"
BODY = "http.response.body"
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class VisibleChanges:
    """The changes that a caller asks for and may see. ``workspace`` is ``""`` for the
    default one; the other members but ``access`` are None for all."""

    access: Access
    collection: str | None
    workspace: str | None
    request_id: str | None = None
    condition: ChangeFilter | None = None

    def __call__(self, collection: str, workspace: str) -> bool:
        return (
            self.collection in (None, collection)
            and self.workspace in (None, workspace)
            and self.access.allows(Level.READ, collection, workspace)
        )

    def require(self) -> None:
        """Raise ``Forbidden`` if the caller may read nothing of what the request
        names."""
        self.access.require_within(Level.READ, self.collection, self.workspace)


class ChangeQuery(NamedTuple):
    """The parameters of a request. ``start`` is the ``seq`` after which it begins, or
    before which if ``newest_first``; None for the journal's end."""

    start: int | None
    newest_first: bool
    collection: str | None
    workspace: str | None
    request_id: str | None
    limit: int | None
    wait: float
    filter: str | None
    condition: ChangeFilter | None = None

    @property
    def size(self) -> int:
        """The number of changes that a page may have."""
        return min(self.limit or DEFAULT_LIMIT, MAX_LIMIT)

    def visible(self, request: Request) -> VisibleChanges:
        """Return which changes the caller may see now."""
        return VisibleChanges(
            request.access,
            self.collection,
            self.workspace,
            self.request_id,
            self.condition,
        )


class ChangeRoutes:
    """The handler of the change feed. ``stopping`` ends the requests that wait
    there."""

    def __init__(self, database: Database, stopping: asyncio.Event) -> None:
        self._database = database
        self._stopping = stopping

    async def changes(
        self, request: AuthorizedRequest, http: HttpRequest
    ) -> HttpResponse:
        """Return changes as JSON or as server-sent events."""
        database = self._database
        stopping = self._stopping
        as_events = request.prefers(EVENTS)
        query = _query(request, as_events=as_events)
        query.visible(request).require()
        await _check(database, query)
        condition = await parse_query(
            request.query, lambda: _condition(database, query)
        )
        query = query._replace(condition=condition)
        visible = query.visible(request)
        if as_events:
            # Read before the response begins, so that an error has its status.
            found = await database.feed.read(query.start, query.size, visible)
            request.wait()
            request.reserve_response(of_changes(found.rows))
            return EventStream(database, request, query, found, stopping)
        found = await _look(database, query, visible)
        if query.wait and not found.rows:
            polling = _poll(database, request, query, found)
            found = await _while_connected(polling, http.receive, stopping) or found
        return await rendered(request, lambda: _page(found), found.rows, of_changes)


async def _check(database: Database, query: ChangeQuery) -> None:
    """Raise ``CollectionNotFound`` or ``WorkspaceNotFound``: a mistyped name would
    never show a change."""
    if query.collection is None and not query.workspace:
        return
    await database.refresh()
    if query.collection is not None:
        database.catalog.get(query.collection)
    if query.workspace:
        collections_in(database.catalog.workspaces, query.workspace)


def _query(request: Request, *, as_events: bool) -> ChangeQuery:
    control = controls(pairs_of(request.query), CONTROLS)
    last_seen = request.header(b"last-event-id") if as_events else None
    wait = control.get("wait", "0")
    if not SECONDS.fullmatch(wait) or float(wait) > MAX_WAIT_SECONDS:
        raise InvalidQuery(
            f"wait is a number of seconds from 0 to {MAX_WAIT_SECONDS},"
            f" not {wait[:40]!r}"
        )
    request_id = control.get("request_id")
    if request_id is not None and not REQUEST_ID.fullmatch(request_id):
        raise InvalidQuery("request_id has 1 to 128 visible ASCII characters")
    newest_first = "before" in control
    if newest_first and (as_events or "after" in control or "wait" in control):
        raise InvalidQuery(
            "before lists what happened, the newest first; it goes with neither after"
            " nor wait nor events"
        )
    start = control["before"] if newest_first else control.get("after", "0")
    return ChangeQuery(
        _start(last_seen or start),
        newest_first,
        control.get("collection"),
        control.get("workspace"),
        request_id,
        integer_of(control, "limit"),
        float(wait),
        control.get("filter"),
    )


def _condition(database: Database, query: ChangeQuery) -> ChangeFilter | None:
    """Return the compiled filter. Raises ``InvalidQuery``."""
    if query.filter is None:
        return None
    entity_type = None
    if query.collection is not None:
        entity_type = database.catalog.get(query.collection).type
    return compile_change_filter(entity_type, query.filter)


def _start(text: str) -> int | None:
    if text == "now":
        return None
    if not SEQ.fullmatch(text):
        raise InvalidQuery(
            "after, before and Last-Event-ID take the seq of a change, a whole number"
            f" from 0, or now; not {text[:40]!r}"
        )
    return int(text)


def _page(found: ChangeSlice) -> Response:
    items = ",".join(map(change_text, found.rows))
    return Response(
        200, f'{{"items":[{items}],"last_seq":{found.last_seq}}}'.encode(), [JSON]
    )


async def _look(
    database: Database, query: ChangeQuery, visible: VisibleChanges
) -> ChangeSlice:
    """Return the next visible changes; if many invisible ones are passed over, those
    found within ``LOOK_SECONDS``."""
    clock = asyncio.get_running_loop().time
    until = clock() + LOOK_SECONDS
    found = await _read(database, query, query.start, visible)
    while not found.rows and found.more and clock() < until:
        # Others have their turn: a read may run on the event loop.
        await asyncio.sleep(0)
        found = await _read(database, query, found.last_seq, visible)
    return found


async def _read(
    database: Database, query: ChangeQuery, start: int | None, visible: VisibleChanges
) -> ChangeSlice:
    """Return a page of changes as of now."""
    read = Reader.changes_before if query.newest_first else Reader.changes
    return await database.read(
        lambda reader: read(reader, start, query.size, visible),
        brief=query.condition is None,
    )


async def _poll(
    database: Database, request: Request, query: ChangeQuery, found: ChangeSlice
) -> ChangeSlice:
    """Return the next visible changes, or none when the time is up."""
    request.wait()
    clock = asyncio.get_running_loop().time
    until = clock() + query.wait
    with database.feed.following():
        while not found.rows and (left := until - clock()) > 0:
            if found.more or await database.feed.beyond(found.last_seq, left):
                await request.admit()
                found = await database.feed.read(
                    found.last_seq, query.size, query.visible(request)
                )
    return found


class EventStream(HttpResponse):
    """Changes as server-sent events. The id of each is its ``seq``. A heartbeat has an
    id too, so that a client that connects again skips the changes that it may not
    see."""

    media_type = EVENTS

    def __init__(
        self,
        database: Database,
        request: Request,
        query: ChangeQuery,
        found: ChangeSlice,
        stopping: asyncio.Event,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(HEADERS)
        self._feed = database.feed
        self._request = request
        self._query = query
        self._found = found
        self._stopping = stopping
        self._lacked = 0  # characters for which there was no room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        )
        if self._request.method != "HEAD":
            await _while_connected(self._follow(send), receive, self._stopping)
        await send({"type": BODY, "body": b""})

    async def _follow(self, send: Send) -> None:
        """Send changes until ``limit`` is reached.

        If a change cannot be read, the stream ends: a client that connects again
        with the last id receives the reason.
        """
        beat = 0.0  # the first one comes at once and shows that the stream is open
        left = self._query.limit or math.inf
        clock = asyncio.get_running_loop().time
        with self._feed.following():
            while True:
                count = len(self._found.rows)
                if count or clock() >= beat:
                    left -= count
                    await self._send(send)
                    beat = clock() + HEARTBEAT
                if left <= 0:
                    return
                found = self._found
                await self._wait(found, beat - clock())
                try:
                    self._found = await self._next(found, int(min(left, BATCH)))
                except PersistError:
                    return

    async def _send(self, send: Send) -> None:
        """Send the changes that were found; meanwhile only their text is kept."""
        found = self._found
        if of_changes(found.rows) > BRIEF_CHARACTERS:
            await self._request.turn()
        events = _events(found)
        found = ChangeSlice([], found.last_seq, found.more)
        self._found = found
        await send({"type": BODY, "body": events, "more_body": True})
        self._request.end_response()

    async def _wait(self, found: ChangeSlice, seconds: float) -> None:
        """Wait until the journal has more than was found, at most ``seconds``."""
        if not found.more:
            await self._feed.beyond(found.last_seq, seconds)

    async def _next(self, found: ChangeSlice, size: int) -> ChangeSlice:
        """Return at most ``size`` changes after those found; none, after a wait, if
        the database is unavailable, or too many responses wait for their clients."""
        request = self._request
        try:
            await request.admit()
            request.reserve_response(self._lacked)
            visible = self._query.visible(request)
            following = await self._feed.read(found.last_seq, size, visible)
            self._lacked = of_changes(following.rows)
            request.reserve_response(self._lacked)
        except (TooManyRequests, Unavailable) as error:
            await asyncio.sleep(error.retry_after)
            return ChangeSlice([], found.last_seq, more=True)
        self._lacked = 0
        return following


def _events(found: ChangeSlice) -> bytes:
    if found.rendered is None:
        events = [f"id: {row[0]}\ndata: {change_text(row)}\n\n" for row in found.rows]
        found.rendered = (
            "".join(events) or f": nothing new\nid: {found.last_seq}\n\n"
        ).encode()
    return found.rendered


async def _while_connected(
    work: Coroutine[Any, Any, Result], receive: Receive, stopping: asyncio.Event
) -> Result | None:
    """Return what ``work`` returns; None if the client disconnects or the service
    stops before."""
    working = asyncio.create_task(work)
    tasks = (
        working,
        asyncio.create_task(disconnected(receive)),
        asyncio.create_task(stopping.wait()),
    )
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
