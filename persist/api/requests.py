"""What comes in: headers, preconditions, strict bodies. Query strings are in
``api.queries``."""

import asyncio
import hashlib
import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from urllib.parse import quote

from persist.api.in_flight import InFlightLimiter
from persist.domain import strict_json
from persist.domain.access import NOBODY, Access
from persist.domain.change import Origin
from persist.domain.errors import (
    Invalid,
    InvalidData,
    MalformedRequest,
    RequestTimeout,
    TooLarge,
    UnsupportedMediaType,
)
from persist.domain.identifiers import new_id
from persist.domain.precondition import ANY, NO_PRECONDITION, Precondition

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

JSON_TYPES = ("application/json",)
NDJSON_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
PATCH_TYPES = (
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/json",
)

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
KEY = re.compile(r"[\x21-\x7e]{1,255}")
MINIMAL = re.compile(r"\s*return\s*=\s*(?:minimal|\"minimal\")\s*")
TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
TAGS = re.compile(rf"[\s,]*{TAG.pattern}(?:\s*,[\s,]*{TAG.pattern})*[\s,]*")
"""A list, in which elements may be empty (RFC 9110, section 5.6.1)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may take: bytes of a body and of an import, seconds between two
    pieces; and what one process takes on at once: connections, requests, bytes of their
    bodies in memory, requests that wait for the database."""

    body: int
    upload: int
    silence: float
    connections: int
    requests: int
    bodies: int
    waiting: int


PROCESS = new_id()[:18].replace("-", "")
"""Begins the request ids made in this process."""

_count = itertools.count(1)

UNKNOWN = "other"
"""The route of whatever has none: paths that clients make up are not counted each by
itself."""

GONE = 499
"""Stands for the status where the client is gone before its answer begins."""


class Disconnected(Exception):
    """The client is gone; nobody waits for an answer."""


class Request:
    """A request as the ASGI server hands it over. ``route`` is the template of its
    path, for counting; ``status`` that of its answer, once there is one."""

    __slots__ = (
        "_admit",
        "_body",
        "_headers",
        "_receive",
        "_traffic",
        "access",
        "held",
        "limits",
        "method",
        "path",
        "query",
        "request_id",
        "route",
        "seconds",
        "started",
        "status",
        "streamed",
        "waits",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        limits: Limits,
        traffic: InFlightLimiter,
        admit: "Admit",
    ) -> None:
        self.started = perf_counter()
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.limits = limits
        self.access: Access = NOBODY
        self.streamed = False
        self.route = UNKNOWN
        self.status = GONE
        self.seconds = 0.0
        self.held = 0
        self.waits = False
        self._admit = admit
        self._traffic = traffic
        self._receive = receive
        self._body: bytes | None = None
        self._headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            held = self._headers.get(name)
            self._headers[name] = value if held is None else held + b", " + value
        self.request_id = sane_request_id(self._headers.get(b"x-request-id"))

    async def admit(self) -> None:
        """Tell who asks: ``access`` is theirs now. What goes on for long asks again, as
        a key may be revoked. Raises ``Unauthenticated``, ``Forbidden``,
        ``Unavailable``."""
        self.access = await self._admit(self)

    def wait(self) -> None:
        """From now on it waits for something to happen: that takes no place among those
        in progress."""
        self._traffic.wait(self)

    @property
    def origin(self) -> Origin:
        """Who asks and in which request, for the changes that are made."""
        return Origin(self.access.actor, self.request_id)

    def header(self, name: bytes) -> str | None:
        """A header's value; several of one name are one list (RFC 9110, section
        5.2)."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def instance(self) -> str:
        """The request's own address, for problems."""
        return quote(self.path, safe="/:@!$&'()*+,;=~")

    async def body(self, accepted: Sequence[str] = JSON_TYPES) -> bytes:
        """The whole body, as often as asked for. Raises ``UnsupportedMediaType``,
        ``TooLarge``, ``RequestTimeout``."""
        if self._body is None:
            self._body = await self._whole()
        if self._body:
            self.media_type(accepted)
        return self._body

    async def _whole(self) -> bytes:
        length = self._headers.get(b"content-length")
        if length is not None and length.isdigit() and int(length) > self.limits.body:
            raise _too_large(self.limits.body)
        self.streamed, size, more = True, 0, True
        pieces: list[bytes] = []
        while more:
            piece, more = await self._next()
            size += len(piece)
            if size > self.limits.body:
                raise _too_large(self.limits.body)
            if more:
                self._traffic.hold(self, len(piece))
            pieces.append(piece)
        self.streamed = False
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises ``RequestTimeout`` where it stops arriving."""
        more = self.streamed = True
        while more:
            piece, more = await self._next()
            if piece:
                yield piece

    async def _next(self) -> tuple[bytes, bool]:
        """The next piece of the body, and whether there are more."""
        try:
            async with asyncio.timeout(self.limits.silence):
                message = await self._receive()
        except TimeoutError:
            detail = f"no byte of the body came for {self.limits.silence:g} seconds"
            raise RequestTimeout(detail) from None
        if message["type"] == "http.disconnect":
            raise Disconnected
        return message.get("body", b""), message.get("more_body", False)

    def media_type(self, accepted: Sequence[str]) -> str:
        """The body's media type, the first of ``accepted`` where none is given.

        Raises ``UnsupportedMediaType``.
        """
        given = self.header(b"content-type")
        if self._headers.get(b"content-encoding", b"identity") != b"identity":
            raise UnsupportedMediaType("a compressed body", accepted)
        if given is None or given in accepted:
            return given or accepted[0]
        name, _, parameters = given.partition(";")
        charset = re.search(r"charset\s*=\s*\"?([^\s\";]+)", parameters, re.IGNORECASE)
        if name.strip().lower() not in accepted or (
            charset and charset[1].lower() not in ("utf-8", "utf8")
        ):
            raise UnsupportedMediaType(given[:100], accepted)
        return name.strip().lower()

    def precondition(self, *, required: bool = False) -> Precondition:
        """``If-Match`` and ``If-None-Match``. Raises ``MalformedRequest``."""
        if_match, none_match = (
            self._headers.get(b"if-match"),
            self._headers.get(b"if-none-match"),
        )
        if if_match is None and none_match is None and not required:
            return NO_PRECONDITION
        return Precondition(
            _tags("If-Match", if_match), _tags("If-None-Match", none_match), required
        )

    @property
    def idempotency_key(self) -> str | None:
        """The ``Idempotency-Key``. Raises ``MalformedRequest`` where it is no key."""
        key = self.header(b"idempotency-key")
        if key is not None and not KEY.fullmatch(key):
            raise MalformedRequest(
                "an Idempotency-Key has 1 to 255 visible ASCII characters"
            )
        return key

    @property
    def minimal(self) -> bool:
        """Whether the client asks for an answer without a body (RFC 7240); a value may
        stand in quotes."""
        preferences = (self.header(b"prefer") or "").lower().split(",")
        return any(MINIMAL.fullmatch(part.split(";")[0]) for part in preferences)

    def fingerprint(self, body: bytes) -> str:
        """What makes two requests under one ``Idempotency-Key`` the same."""
        names = (b"content-type", b"if-match", b"if-none-match")
        parts = [self.method.encode(), self.path.encode(), self.query]
        parts += [self._headers.get(name, b"") for name in names]
        digest = hashlib.sha256(b"\0".join(parts))
        digest.update(b"\0" + body)
        return digest.hexdigest()


CURRENT: ContextVar[Request] = ContextVar("request")
"""The request that is being answered; the log's records name it."""


Admit = Callable[[Request], Awaitable[Access]]


def sane_request_id(given: bytes | None) -> str:
    """The client's ``X-Request-ID`` if it is 1 to 128 visible ASCII characters, else a
    new one."""
    if given is not None and REQUEST_ID.fullmatch(text := given.decode("latin-1")):
        return text
    return f"{PROCESS}{next(_count):x}"


def json_object(body: bytes, error: type[Invalid] = InvalidData) -> dict[str, Any]:
    """A body that must be a JSON object."""
    try:
        value = strict_json.parse(body)
    except InvalidData as refused:
        raise error(refused.detail, errors=refused.errors) from None
    if not isinstance(value, dict):
        raise error("the body must be a JSON object")
    return value


def _tags(header: str, value: bytes | None) -> tuple[str, ...]:
    return () if value is None else entity_tags(header, value.decode("latin-1"))


def entity_tags(header: str, text: str) -> tuple[str, ...]:
    """The entity tags of a precondition (RFC 9110, section 13.1). Raises
    ``MalformedRequest``."""
    text = text.strip()
    if text == ANY:
        return (ANY,)
    if not TAGS.fullmatch(text):
        raise MalformedRequest(
            f'{header} takes "<revision>" in double quotes, a list of them, or *'
        )
    return tuple(TAG.findall(text))


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"a body may have {limit:,} bytes here; send large amounts of records to"
        " …/import"
    )
