"""The front of the service: what every request meets first, and every error last.

Requests to collections are answered from here; everything else goes on to FastAPI.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from app.api.access import check_origin
from app.api.collections import CollectionRoutes
from app.api.problems import problem
from app.api.representations import Send
from app.api.requests import Disconnected, Limits, Receive, Request, Scope
from app.domain.errors import MalformedRequest

TARGET = 32_768
"""Bytes the longest target may have."""

REQUEST_ID = b"x-request-id"

Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Front:
    """Gives every request its id, answers those to collections, hands the rest on."""

    def __init__(self, collections: CollectionRoutes, limits: Limits, rest: Application) -> None:
        self._collections = collections
        self._limits = limits
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, self._limits)
        try:
            self._admit(scope, request)
            parts = scope["path"].split("/")
            if parts[1] != "api" or len(parts) < 3:
                scope["state"] = {"request": request}
                if request.method == "HEAD":
                    scope, send = {**scope, "method": "GET"}, _without_body(send)
                with suppress(Exception):  # Starlette answers it by handle_error, then raises it again
                    await self._rest(scope, receive, _tagging(send, request.request_id))
                return
            reply = await self._collections.answer(request, parts[2:])
        except Disconnected:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told in one form
            reply = problem(error, request.instance, request.request_id)
        reply.headers.append((REQUEST_ID, request.request_id.encode()))
        await reply.send(send, head=request.method == "HEAD")

    def _admit(self, scope: Scope, request: Request) -> None:
        if len(scope["raw_path"]) + len(request.query) > TARGET:
            raise MalformedRequest(f"the target of a request may have {TARGET:,} bytes")
        check_origin(request.header(b"host"), request.header(b"origin"))


def _tagging(send: Send, request_id: str) -> Send:
    async def tagged(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (REQUEST_ID, request_id.encode())]
        await send(message)

    return tagged


def _without_body(send: Send) -> Send:
    """HEAD is GET without the body (RFC 9110, section 9.3.2)."""

    async def bodiless(message: MutableMapping[str, Any]) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return bodiless
