"""The gateway: the outermost ASGI application.

It gives every request its id and its limits, authenticates the caller, and turns every
exception into a problem. ``CollectionRoutes`` answers requests for records; everything
else goes on to FastAPI.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from persist.api.collections import CollectionRoutes, Reply
from persist.api.cross_origin import CrossOriginPolicy
from persist.api.headers import is_host
from persist.api.in_flight import SMALL_RESPONSE_BYTES, is_always_answered
from persist.api.metrics import Metrics
from persist.api.problems import problem
from persist.api.requests import (
    CLIENT_CLOSED_REQUEST,
    CURRENT,
    Disconnected,
    Request,
    RequestPolicy,
    Scope,
)
from persist.api.responses import (
    Headers,
    Receive,
    Send,
    StreamedResponse,
    in_parts,
    no_content,
)
from persist.api.routes import SAFE_METHODS
from persist.domain.errors import (
    MalformedRequest,
    NotFound,
    Unavailable,
    UnsupportedTransferCoding,
)

VERSIONS = ("1.0", "1.1")

MAX_TARGET_BYTES = 32_768
"""Bytes that the longest target of a request has."""

AUTHORITY_END = re.compile(rb"[/?]")

INTERNAL_ERROR = 500
REQUEST_ID = b"x-request-id"

Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Gateway:
    """Answers requests to collections, and passes all others on to FastAPI."""

    def __init__(
        self,
        policy: RequestPolicy,
        collections: CollectionRoutes,
        metrics: Metrics,
        browsers: CrossOriginPolicy,
        fastapi: Application,
    ) -> None:
        self._policy = policy
        self._limiter = policy.limiter
        self._collections = collections
        self._metrics = metrics
        self._browsers = browsers
        self._failed = 0
        self._fastapi = fastapi

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, self._policy)
        # For log records, and for reads that end when their client leaves.
        CURRENT.set(request)
        try:
            await self._serve(request, scope, receive, send)
        except (Disconnected, asyncio.CancelledError):
            return  # the server ends the connection of a response that is not complete
        finally:
            request.close()
            self._limiter.leave(request)
            self._metrics.count(request)
            if request.status == INTERNAL_ERROR:
                self._report(request)

    def _report(self, request: Request) -> None:
        self._failed += 1
        self._policy.faults["requests"] = (
            f"{self._failed} failed, the last one with the request_id"
            f" {request.request_id}; the log has more"
        )

    async def _serve(
        self, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            reply = await self._reply(request, scope)
            if reply is None:
                await self._pass_on(request, scope, receive, send)
                return
            _reserve(request, reply)
        except Disconnected:
            raise
        except asyncio.CancelledError:  # the server stops and has waited long enough
            if request.status != CLIENT_CLOSED_REQUEST:
                raise
            reply = problem(Unavailable("the service is stopping"), request)
        except Exception as error:  # noqa: BLE001 - every error is answered as a problem
            reply = problem(error, request)
        self._add_headers(request, reply.raw_headers)
        request.response_begins(reply.status_code)
        head = request.method == "HEAD"
        if isinstance(reply, StreamedResponse):
            await reply.send(self._in_parts(request, send), receive, head=head)
        elif len(reply.body) > SMALL_RESPONSE_BYTES:
            await reply.send(self._in_parts(request, send), head=head)
        else:
            await reply.send(send, head=head)

    def _in_parts(self, request: Request, send: Send) -> Send:
        """Return a ``send`` that counts a large body, which can no longer be refused,
        and sends it in parts."""
        return in_parts(send, request.count_response, request.turn)

    async def _reply(self, request: Request, scope: Scope) -> Reply | None:
        """Return the reply, or None if FastAPI answers."""
        state = scope.get("state", ())
        if "refusal" in state and not is_always_answered(request):
            raise scope["state"]["refusal"]
        if "has_long_head" in state:
            await request.turn()
        _check_head(scope, request)
        reply = self._browsers.answer(request, scope)
        if reply is not None:
            return reply
        # After all checks that do not depend on the caller: looking up a key may take a
        # query.
        await request.admit()
        if request.method not in SAFE_METHODS:
            # Check before the write: once it is stored, its response cannot be refused.
            self._limiter.response_bytes.check(request.caller)
            self._browsers.check_cookie(request, scope)
        path = request.path
        if path == "*":
            return no_content()
        if path.endswith("/") and path != "/":  # resources have one path
            raise NotFound(f"there is nothing at {path}; remove the slash at the end")
        return await self._collections.answer(request)

    def _add_headers(self, request: Request, headers: Headers) -> None:
        """Add the headers that every response has."""
        self._browsers.add_headers(request, headers)
        headers.append((REQUEST_ID, request.request_id.encode()))

    async def _pass_on(
        self, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Let FastAPI answer."""
        # A copy: the scope of the server must not refer to the request, which refers to
        # it, or to the objects that FastAPI adds.
        scope = {**scope, "state": {"request": request}}
        identified = self._with_headers(request, self._in_parts(request, send))
        if request.method == "HEAD":
            # FastAPI answers HEAD with 405.
            scope["method"] = "GET"
            identified = _without_body(identified)
        # Starlette raises an exception again after handle_error has answered it.
        with suppress(Exception):
            await self._fastapi(scope, receive, identified)
        # FastAPI notes the route that it found; each path of a client would become a
        # separate label.
        request.route = getattr(scope.get("route"), "path", request.route)

    def _with_headers(self, request: Request, send: Send) -> Send:
        """Return a ``send`` that adds the headers of every response."""

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                request.response_begins(message["status"])
                headers = list(message.get("headers", ()))
                self._add_headers(request, headers)
                message["headers"] = headers
            await send(message)

        return with_headers


def _reserve(request: Request, reply: Reply) -> None:
    """Count a large response to a read. Raises ``TooManyRequests`` and
    ``Unavailable``."""
    if isinstance(reply, StreamedResponse) or request.method not in SAFE_METHODS:
        return
    if len(reply.body) > SMALL_RESPONSE_BYTES:
        request.reserve_response(len(reply.body))


def _check_head(scope: Scope, request: Request) -> None:
    """Check version, target, Host and transfer coding (RFC 9112, sections 2.3, 3.2 and
    6.1). Raises ``MalformedRequest``, ``NotFound`` and
    ``UnsupportedTransferCoding``."""
    if scope["http_version"] not in VERSIONS:
        raise MalformedRequest("send the request as HTTP/1.1 or HTTP/1.0")
    _check_target(scope, request)
    headers = request.headers
    host = headers.get(b"host")
    if host is None:
        if scope["http_version"] == "1.1":
            raise MalformedRequest("send a Host header; HTTP/1.1 requires one")
    elif not is_host(host):
        raise MalformedRequest(
            f"the Host {request.header(b'host')!r:.80} is not one host with an optional"
            " port"
        )
    if "unusual_target" in scope.get("state", ()):
        headers[b"host"] = _host_of(scope["state"]["unusual_target"])
    if b"transfer-encoding" in headers:
        _check_transfer_coding(scope, request)


def _check_target(scope: Scope, request: Request) -> None:
    """Raise ``MalformedRequest`` for a target that is too long or for OPTIONS, and
    ``NotFound`` for one with an encoded slash."""
    path = scope["raw_path"]
    if len(path) + len(request.query) > MAX_TARGET_BYTES:
        raise MalformedRequest(
            f"the target of the request is longer than {MAX_TARGET_BYTES:,} bytes"
        )
    if b"%2f" in path.lower():
        # It is part of a name, and does not separate two names (RFC 3986, section 2.2).
        raise NotFound("no address contains %2F, because no name contains a slash")
    if path == b"*" and request.method != "OPTIONS":
        raise MalformedRequest("the target * is for OPTIONS only")


def _check_transfer_coding(scope: Scope, request: Request) -> None:
    """Raise ``UnsupportedTransferCoding``, and ``MalformedRequest`` if the version of
    HTTP has no transfer codings (RFC 9112, section 6.1)."""
    if scope["http_version"] == "1.0":
        raise MalformedRequest("HTTP/1.0 has no Transfer-Encoding; send Content-Length")
    if request.headers[b"transfer-encoding"].lower() != b"chunked":
        raise UnsupportedTransferCoding(
            f"the transfer coding {request.header(b'transfer-encoding')!r:.80} is not"
            " supported; send the body with Content-Length or Transfer-Encoding:"
            " chunked"
        )


def _host_of(target: bytes) -> bytes:
    """Return the host of an absolute target, which counts in place of the header (RFC
    9112, section 3.2.2).

    Raises ``MalformedRequest`` for a target of another form, and for one with a
    fragment, which the server's parser drops.
    """
    if b"#" in target:
        raise MalformedRequest("the target has a fragment; write # as %23")
    scheme, _, rest = target.partition(b"://")
    authority = AUTHORITY_END.split(rest, maxsplit=1)[0]
    if scheme.lower() not in (b"http", b"https") or not is_host(authority):
        raise MalformedRequest(
            f"the target {target.decode('latin-1')!r:.80} does not begin with http://"
            " or https://, followed by one host with an optional port"
        )
    return authority


def _without_body(send: Send) -> Send:
    """Return a ``send`` that omits the body: HEAD is GET without it (RFC 9110, section
    9.3.2)."""

    async def bodiless(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return bodiless
