"""The front of the service: what every request meets first, and every error last.

Requests to collections are answered from here; everything else goes on to FastAPI.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from persist.api.collections import CollectionRoutes
from persist.api.in_flight import InFlightLimiter
from persist.api.problems import problem
from persist.api.requests import (
    CURRENT,
    GONE,
    Admit,
    Disconnected,
    Limits,
    Receive,
    Request,
    Scope,
)
from persist.api.responses import Answer, Send
from persist.domain.errors import MalformedRequest, NotFound, Unavailable

TARGET = 32_768
"""Bytes the longest target may have."""

REQUEST_ID = b"x-request-id"

Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Gateway:
    """Gives every request its id, answers those to collections, hands the rest on."""

    def __init__(
        self,
        admit: Admit,
        collections: CollectionRoutes,
        limits: Limits,
        traffic: InFlightLimiter,
        rest: Application,
    ) -> None:
        self._admit = admit
        self._collections = collections
        self._limits = limits
        self._traffic = traffic
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, self._limits, self._traffic, self._admit)
        CURRENT.set(request)
        try:
            await self._serve(request, scope, receive, send)
        except (Disconnected, asyncio.CancelledError):
            return  # what has begun and is not complete, the server cuts off
        finally:
            self._traffic.leave(request)

    async def _serve(
        self, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            self._traffic.enter(request, crowded="crowded" in scope.get("state", ()))
            _check_head(scope, request)
            await request.admit()
            _check_path(request.path)
            if (found := _of_a_collection(scope["path"].split("/"))) is not None:
                reply = await self._collections.answer(request, *found)
            elif scope["path"] == "*":
                reply = Answer(204, b"", [])
            else:
                await self._hand_on(request, scope, receive, send)
                return
        except Disconnected:
            raise
        except asyncio.CancelledError:  # the server has waited long enough
            if request.status != GONE:
                raise
            reply = problem(
                Unavailable("the service is stopping"),
                request.instance,
                request.request_id,
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told in one form
            reply = problem(error, request.instance, request.request_id)
        reply.headers.append((REQUEST_ID, request.request_id.encode()))
        self._traffic.answered(request, reply.status)
        await reply.send(send, head=request.method == "HEAD")

    async def _hand_on(
        self, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Let FastAPI answer."""
        scope["state"] = {"request": request}
        tagged = self._tagging(request, send)
        if request.method == "HEAD":
            scope, tagged = {**scope, "method": "GET"}, _without_body(tagged)
        with suppress(
            Exception
        ):  # Starlette answers it by handle_error, then raises it again
            await self._rest(scope, receive, tagged)
        request.route = getattr(scope.get("route"), "path", request.route)

    def _tagging(self, request: Request, send: Send) -> Send:
        async def tagged(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self._traffic.answered(request, message["status"])
                identified = (REQUEST_ID, request.request_id.encode())
                message["headers"] = [*message.get("headers", ()), identified]
            await send(message)

        return tagged


def _of_a_collection(parts: list[str]) -> tuple[list[str], str] | None:
    """The parts of a path behind `/api/`, and the workspace before it."""
    workspace = ""
    if len(parts) > 4 and parts[1] == "workspaces" and parts[3] == "api" and parts[2]:
        workspace, parts = parts[2], parts[2:]
    return (parts[2:], workspace) if len(parts) > 2 and parts[1] == "api" else None


def _check_head(scope: Scope, request: Request) -> None:
    """Raise ``MalformedRequest`` where HTTP takes another target, or a Host (RFC 9112,
    section 3.2)."""
    if len(scope["raw_path"]) + len(request.query) > TARGET:
        raise MalformedRequest(f"the target of a request may have {TARGET:,} bytes")
    if scope["path"] == "*" and request.method != "OPTIONS":
        raise MalformedRequest("only OPTIONS asks for the server as a whole")
    if scope["http_version"] == "1.1" and request.header(b"host") is None:
        raise MalformedRequest("a request names its Host")


def _check_path(path: str) -> None:
    """Raise ``NotFound`` for a path that ends in a slash (contract 13)."""
    if path.endswith("/") and path != "/":
        raise NotFound(f"there is nothing at {path}; leave the slash at its end out")


def _without_body(send: Send) -> Send:
    """HEAD is GET without the body (RFC 9110, section 9.3.2)."""

    async def bodiless(message: MutableMapping[str, Any]) -> None:
        await send(
            {**message, "body": b""}
            if message["type"] == "http.response.body"
            else message
        )

    return bodiless
