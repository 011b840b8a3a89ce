"""Requests: what the client sent, its body above all. The values of headers are parsed
in ``api.headers``, query strings in ``api.query_params``."""

import asyncio
import hashlib
from collections.abc import (
    Callable,
    Iterable,
    MutableMapping,
    Sequence,
)
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from time import perf_counter
from typing import IO, Any, Protocol
from urllib.parse import quote

from persist.api.headers import (
    IDEMPOTENCY_KEY,
    JSON_TYPES,
    MAX_IDEMPOTENCY_KEY_CHARACTERS,
    accepts_before_json,
    entity_tags,
    media_type_of,
    preference,
    request_id_of,
)
from persist.api.in_flight import InFlightLimiter
from persist.api.responses import Receive
from persist.api.spooled_body import SpooledBody
from persist.domain.access import ANONYMOUS, Access, Collections, Level
from persist.domain.change import Origin
from persist.domain.errors import (
    AccessRefused,
    MalformedRequest,
    RequestTimeout,
    TooLarge,
)
from persist.domain.precondition import NO_PRECONDITION, Precondition
from persist.storage.operation.spool import refusing_full_folder, temporary_file
from persist.storage.sharing.loop_turns import LoopTurns
from persist.storage.sharing.shares import CALLER, SERVICE, Shares

Scope = MutableMapping[str, Any]


BODY_HEADERS = frozenset((b"content-length", b"transfer-encoding"))
"""A request with a body has one of these headers."""

IN_PARTS = "send large amounts of records to …/import"
SMALLER = "send a smaller body"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take.

    ``body`` and ``upload`` are bytes of a body in memory and of one on the disk;
    ``silence`` is the seconds between two chunks of a body.
    """

    body: int
    upload: int
    silence: float


UNKNOWN = "other"
"""The metric label of a path without a route: clients must not create labels."""

CLIENT_CLOSED_REQUEST = 499
"""The status in the metrics if the client disconnected before its response began."""


class Disconnected(Exception):
    """The client closed the connection; nobody waits for a response."""


class Request:
    """A request as the ASGI server passes it on.

    ``route`` is the template of its path, for the metrics. ``status`` is that of its
    response, and ``seconds`` the time until the response began. ``headers`` has every
    value by its lower-case name. ``body_bytes`` are the bytes of its body in memory,
    ``spooled_bytes`` those on the disk, ``response_bytes`` the bytes of its response in
    memory. ``caller`` is the party in whose share the request counts: a key, or the
    address if there is no key. ``counted_in`` are the shares in which the request
    itself counts.
    """

    __slots__ = (
        "_address",
        "_body",
        "_has_arrived",
        "_is_read",
        "_policy",
        "_receive",
        "_releases",
        "_spooled",
        "access",
        "body_bytes",
        "caller",
        "counted_in",
        "headers",
        "limits",
        "method",
        "path",
        "query",
        "request_id",
        "response_bytes",
        "route",
        "seconds",
        "spooled_bytes",
        "started",
        "status",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        policy: "RequestPolicy",
    ) -> None:
        # First, so that the time in the metrics has all of it.
        self.started = perf_counter()
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.limits = policy.limits
        self.access: Access = ANONYMOUS
        self.route = UNKNOWN
        self.status = CLIENT_CLOSED_REQUEST
        self.seconds = 0.0
        self.caller = SERVICE
        self.counted_in: Shares | None = None
        self.body_bytes = 0
        self.spooled_bytes = 0
        self.response_bytes = 0
        self._address: str = scope["client"][0] if scope["client"] else SERVICE
        self._releases: Sequence[Callable[[], None]] = ()
        self._policy = policy
        self._receive = receive
        # The server says that nothing of the body has to be waited for.
        self._has_arrived = "has_arrived" in scope.get("state", ())
        self._body: bytes | None = None
        self._spooled: SpooledBody | None = None
        sent: list[tuple[bytes, bytes]] = scope["headers"]
        self.headers = {name: value.strip(b" \t") for name, value in sent}
        # A repeated name is rare; only then take the slower path.
        if len(self.headers) < len(sent):
            self.headers = _combined(sent)
        self._is_read = False
        self.request_id = request_id_of(self.headers.get(b"x-request-id"))

    async def admit(self) -> None:
        """Set ``access`` to what the caller may do now. A long response asks again, as
        a key may be revoked. Raises ``Unauthenticated``, ``Forbidden``,
        ``TooManyRequests``, ``Unavailable``."""
        policy = self._policy
        access = policy.admission.admit_at_once(self)
        if access is None:
            access = await self._admitted_later()
        self.access = access
        caller = f"key {access.actor}" if access.actor else self._address
        # A request that asks again (``admit_again``) is counted already.
        if caller != self.caller or self.counted_in is None:
            policy.limiter.assign(self, caller)
            CALLER.set(caller)

    async def _admitted_later(self) -> Access:
        """Return what the caller may do. Meanwhile the request counts as one in
        progress."""
        if self.counted_in is None:
            self._policy.limiter.enter(self)
        return await self._policy.admission.admit(self)

    async def admit_again(self, level: Level, collections: Collections) -> None:
        """End a long response whose caller may no longer see the collections, each with
        its workspace. Raises ``Disconnected``."""
        try:
            await self.admit()
            self.access.require_all(level, collections)
        except AccessRefused:
            raise Disconnected from None

    def response_begins(self, status: int) -> None:
        """Note the status of the response and the time until it begins."""
        self.status = status
        self.seconds = perf_counter() - self.started

    def reserve_response(self, size: int) -> None:
        """Count a response of a size until ``end_response``, or the end of the request.
        Raises ``TooManyRequests`` and ``Unavailable``."""
        self._policy.limiter.respond(self, size)

    def count_response(self, size: int) -> None:
        """Count a response of a size that can no longer be refused."""
        self._policy.limiter.count_response(self, size)

    async def turn(self) -> None:
        """Wait for a turn to do work that takes the event loop about a millisecond."""
        await self._policy.loop_turns.turn()

    def end_response(self) -> None:
        """Count no longer the part of a response that the client has taken."""
        self._policy.limiter.end_response(self)

    def wait(self) -> None:
        """Leave the requests in progress: from now on it waits for changes. Raises
        ``TooManyRequests`` and ``Unavailable``."""
        self._policy.limiter.wait(self)

    async def disconnects(self) -> None:
        """Wait until the client disconnects. Never returns if the body is still
        unread."""
        announces_body = not BODY_HEADERS.isdisjoint(self.headers)
        while self._is_read or not announces_body:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return
        await asyncio.Event().wait()

    def at_end(self, release: Callable[[], None]) -> None:
        """Have something released when the response has ended."""
        self._releases = (*self._releases, release)

    def close(self) -> None:
        """Release what the request and its response took."""
        for release in self._releases:
            release()
        if self._spooled is not None:
            with suppress(OSError):  # its buffer may not fit on the disk
                self._spooled.file.close()

    @property
    def origin(self) -> Origin:
        """The caller and the request id, for the changes that are made."""
        return Origin(self.access.actor, self.request_id)

    def header(self, name: bytes) -> str | None:
        """Return the value of a header. Several of one name are one list (RFC 9110,
        section 5.2)."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def url_path(self, path: str) -> str:
        """Return the path of a URL by which a client reaches ``path``: with the prefix
        that a proxy strips."""
        return self._policy.root_path + path

    @property
    def instance(self) -> str:
        """The request's own path, percent-encoded, for problems."""
        return quote(self.path, safe="/:@!$&'()*+,;=~")

    async def body(self, accepted: Sequence[str] = JSON_TYPES) -> bytes:
        """Return the complete body; it may be asked for again. Raises
        ``UnsupportedMediaType``, ``TooLarge``, ``RequestTimeout``."""
        if self._body is None:
            self._body = await self._read_body()
        if self._body:
            self.media_type(accepted)
        return self._body

    async def _read_body(self) -> bytes:
        limit = self.limits.body
        advice = IN_PARTS if "/api/" in self.path else SMALLER
        if not self._has_arrived:
            self._check_announced(limit, advice)
        # Chunks of a byte each would take forty times their size in a list.
        body = bytearray()
        more = True
        while more:
            chunk, more = await self._next_chunk()
            if len(body) + len(chunk) > limit:
                raise _too_large(limit, advice)
            if not more and not body:
                return chunk  # most bodies: neither copied nor counted as large
            if more:
                self._policy.limiter.reserve(self, len(chunk))
            body += chunk
        return bytes(body)

    async def spooled(self, advice: str) -> SpooledBody:
        """Return the body in a file, which may be asked for again. ``advice`` tells the
        client what to do if it is too large.

        Raises ``TooLarge``, ``RequestTimeout``, ``TooManyRequests``, and
        ``Unavailable`` if the disk is full.
        """
        if self._spooled is None:
            with refusing_full_folder():
                file = temporary_file()
            try:
                digest = await self._spool(file, advice)
                with refusing_full_folder():
                    file.flush()
            except BaseException:
                with suppress(OSError):
                    file.close()
                raise
            self._spooled = SpooledBody(file, digest)
        return self._spooled

    async def _spool(self, file: IO[bytes], advice: str) -> bytes:
        self._check_announced(self.limits.upload, advice)
        digest = hashlib.sha256()
        size = 0
        more = True
        while more:
            chunk, more = await self._next_chunk()
            size += len(chunk)
            if size > self.limits.upload:
                raise _too_large(self.limits.upload, advice)
            self._policy.limiter.spool(self, len(chunk))
            # While it arrives: reading the file once more would take as long again.
            digest.update(chunk)
            with refusing_full_folder():
                file.write(chunk)
        return digest.digest()

    def _check_announced(self, limit: int, advice: str) -> None:
        announced = self.headers.get(b"content-length", b"")
        if announced.isdigit() and int(announced) > limit:
            raise _too_large(limit, advice)

    async def _next_chunk(self) -> tuple[bytes, bool]:
        """Return the next chunk of the body, and whether more follow. Raises
        ``RequestTimeout`` if it does not arrive."""
        try:
            if self._has_arrived:  # without a timer, which takes longer than this
                message = await self._receive()
            else:
                async with asyncio.timeout(self.limits.silence):
                    message = await self._receive()
        except TimeoutError:
            raise RequestTimeout(
                f"no byte of the body arrived within {self.limits.silence:g} seconds"
            ) from None
        if message["type"] == "http.disconnect":
            raise Disconnected
        more = message.get("more_body", False)
        self._is_read = not more
        return message.get("body", b""), more

    def media_type(self, accepted: Sequence[str]) -> str:
        """Return the body's media type, the first of ``accepted`` if none is given.

        Raises ``UnsupportedMediaType``.
        """
        return media_type_of(
            self.header(b"content-type"),
            self.header(b"content-encoding"),
            accepted,
        )

    def prefers(self, media_type: str) -> bool:
        """Return whether the client prefers a media type to JSON (RFC 9110, section
        12.5.1). It has to name it: ``*/*`` is answered with JSON."""
        return accepts_before_json(self.header(b"accept") or "", media_type)

    def precondition(self, *, required: bool = False) -> Precondition:
        """Return ``If-Match`` and ``If-None-Match``. Raises ``MalformedRequest``."""
        headers = self.headers
        # Most requests have neither: nothing is made for them.
        if not (b"if-match" in headers or b"if-none-match" in headers or required):
            return NO_PRECONDITION
        return Precondition(
            entity_tags("If-Match", self.header(b"if-match")),
            entity_tags("If-None-Match", self.header(b"if-none-match")),
            required,
            merge=self._preference("merge") == "",
        )

    @property
    def idempotency_key(self) -> str | None:
        """The ``Idempotency-Key``. Raises ``MalformedRequest``."""
        key = self.header(b"idempotency-key")
        if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
            raise MalformedRequest(
                f"an Idempotency-Key has 1 to {MAX_IDEMPOTENCY_KEY_CHARACTERS} visible"
                " ASCII characters"
            )
        return key

    @property
    def minimal(self) -> bool:
        """Whether the client asks for an answer without a body (RFC 7240); the value
        may be in quotes."""
        return self._preference("return") in ("minimal", '"minimal"')

    def _preference(self, name: str) -> str | None:
        prefer = self.header(b"prefer")
        return preference(prefer, name) if prefer is not None else None

    def fingerprint(self, body: bytes) -> str:
        """Return a hash that is equal for two requests that may share an
        ``Idempotency-Key``."""
        # Everything else that decides the outcome. A request that is sent again may
        # have another token or request id.
        names = (b"content-type", b"if-match", b"if-none-match")
        parts = [self.method.encode(), self.path.encode(), self.query]
        parts += [self.headers.get(name, b"") for name in names]
        digest = hashlib.sha256(b"\0".join(parts))
        digest.update(b"\0" + body)
        return digest.hexdigest()


def _combined(sent: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return headers of which some have several values (RFC 9110, section 5.3)."""
    headers: dict[bytes, list[bytes]] = {}
    for name, value in sent:
        headers.setdefault(name, []).append(value.strip(b" \t"))
    return {name: b", ".join(values) for name, values in headers.items()}


CURRENT: ContextVar[Request] = ContextVar("request")
"""The request that is being answered; log records name it."""


async def client_disconnected() -> None:
    """Wait until the client of the present request disconnects."""
    request = CURRENT.get(None)
    if request is None:
        await asyncio.Event().wait()
    else:
        await request.disconnects()


class Admission(Protocol):
    """Decides what the caller of a request may do.

    It raises ``Unauthenticated``, ``Forbidden`` and ``Unavailable``.
    """

    def admit_at_once(self, request: Request) -> Access | None:
        """Return what the caller may do, None if that takes longer."""

    async def admit(self, request: Request) -> Access:
        """Return what the caller may do."""


@dataclass(frozen=True)
class RequestPolicy:
    """What applies to every request.

    A proxy strips ``root_path`` from the paths of requests. ``faults`` gets a sentence
    for each kind of unexpected failure, which ``/health/ready`` shows.
    """

    limits: Limits
    limiter: InFlightLimiter
    loop_turns: LoopTurns
    admission: Admission
    root_path: str
    faults: MutableMapping[str, str]


def _too_large(limit: int, advice: str) -> TooLarge:
    return TooLarge(f"the body is larger than {limit:,} bytes; {advice}")
