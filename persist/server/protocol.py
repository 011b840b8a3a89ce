"""The HTTP/1.1 protocol of uvicorn with the bounds and the framing that it lacks.

It depends on private parts of uvicorn's ``HttpToolsProtocol``; the tests of framing
fail if another version changes them.
"""

import re
from asyncio import Event, TimerHandle, Transport
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from persist.domain.errors import PersistError
from persist.storage.sharing.shares import SERVICE, Shares

MAX_HEAD_BYTES = 65_536
"""Limit in bytes of a request's head, of the trailer fields after its body, and of the
framing of its chunks beyond twice their content."""

MAX_HEADERS = 200
"""Headers that a request may have, and fields behind its body. Each takes as much time
and memory as hundreds of bytes."""

LONG_HEAD_BYTES = 1_536
"""Bytes of a head from which the request takes turns with others: parsing a query or a
list in a header takes up to milliseconds."""

CHUNK_BYTES = 16
"""Bytes that a chunk counts for before its content: as much as it takes in time."""

MAX_PIPELINED = 100
"""Requests of a connection that may wait for the answer to the one before."""

MAX_DISCARDED_BYTES = 25_165_824
"""Bytes of a body that are read after the response, and kept nowhere. A client that
sends all before it reads would see a reset connection in place of the response."""

DISCARD_SECONDS = 10.0
"""Seconds in which the rest of a body is read after the response."""

SILENT_SECONDS = 1.0
"""Seconds without any of that rest after which the connection is closed."""

HEAD_SECONDS = 10.0
"""Seconds within which the head of a request arrives."""

STALLED_SECONDS = 10.0
"""Seconds within which a client takes ``TAKEN_BYTES`` of a response that waits for
it."""

TAKEN_BYTES = 16_384

FRAMING = frozenset((b"connection", b"transfer-encoding"))
"""Headers of a response that say how it ends."""

ORIGIN = re.compile(rb"^[^:/?#]*://[^/?#]*")
"""The part of an absolute target before its path."""

INVALID_REQUEST = "Invalid HTTP request received."
TOO_LARGE_HEAD = "The head of the request is larger than 64 KiB."
TOO_MANY_HEADERS = f"The request has more than {MAX_HEADERS} headers."
TOO_MUCH_FRAMING = "The framing of the request is larger than 64 KiB."


class TooManyPipelined(Exception):
    """More requests wait than a connection may send ahead."""


class TooManyHeaders(Exception):
    """The head of a request, or what follows its body, has too many fields."""


class TooMuchFraming(Exception):
    """The chunks of a body are too many for what they contain."""


class RequestAfterLast(Exception):
    """A request follows the one with which the connection ends."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 with bounds on the size and the time of a request's head, on what its
    chunks cost, on requests that are sent ahead, and on the time in which a client
    takes little of its response.

    A head that is too large or too slow ends the connection, as does one that never
    begins. A connection beyond the share of its address has one request answered, with
    the ``refusal`` in its state; as many refused as accepted connections may be open,
    and further ones are closed. An ``Upgrade`` is ignored, and fields after a body are
    dropped.

    ``connections`` and ``refused_connections`` of the application's state are the
    shares. ``has_arrived`` is in the state of a request of which all has arrived, and
    ``has_long_head`` in that of one whose head is long.
    """

    _counted_in: Shares | None = None
    _refusal: PersistError | None = None
    _in_head = False
    _in_body = False
    _unread = 0
    _framing = 0
    _has_too_many_headers = False
    _discarded = 0
    _is_last = False
    _timer: TimerHandle | None = None
    _unsent = 0
    _stall_timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # From the first moment: a connection that never sends a byte costs as much as
        # any other.
        self._timer = self.loop.call_later(HEAD_SECONDS, transport.close)
        try:
            self._count("connections")
        except PersistError as refusal:
            self._refusal = refusal
            self._count_refused()

    def _count_refused(self) -> None:
        try:
            self._count("refused_connections")
        except PersistError:
            self.transport.close()

    def _count(self, name: str) -> None:
        """Count the connection as one of its address. Raises ``TooManyRequests`` and
        ``Unavailable``."""
        shares: Shares | None = self.app_state.get(name)
        if shares is not None:
            shares.take(self._address)
            self._counted_in = shares

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else SERVICE

    def connection_lost(self, exc: Exception | None) -> None:
        if self._counted_in is not None:
            self._counted_in.give_back(self._address)
        self._stop_timer()
        self._stop_stall_timer()
        super().connection_lost(exc)
        if self.cycle is not None:
            # It refers to the protocol, which refers to the cycle.
            self.cycle.transport = self.transport

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._unread += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if not self._feed_after(upgrade, data):
                return
        except httptools.HttpParserError:
            self._refuse(self._parse_fault())
            return
        if self._in_head or self._in_body or self._unread or self._discarded:
            self._watch_rest()

    def _watch_rest(self) -> None:
        """Bound what has begun to arrive and is not complete."""
        if self.transport.is_closing():
            return
        self._check_unread()
        if self._in_body and self.cycle.transport is self.transport:
            self.cycle.transport = cast(Transport, LingeringTransport(self))

    def _feed_after(self, upgrade: httptools.HttpParserUpgrade, data: bytes) -> bool:
        """Parse what follows the head of a request that asks for an upgrade; return
        False if the connection is closed because of it."""
        # A view, because each pipelined request would copy what follows it.
        rest = memoryview(data)
        offset: int | None = upgrade.args[0]
        try:
            while offset is not None:
                if not self._begin_again():
                    return False
                rest = rest[offset:]
                offset = self._upgrade_in(rest) if rest else None
        except httptools.HttpParserError:
            self._refuse(self._parse_fault())
            return False
        return True

    def _parse_fault(self) -> str:
        """Return why a request cannot be parsed."""
        if self._framing > MAX_HEAD_BYTES:
            return TOO_MUCH_FRAMING
        if self._has_too_many_headers:
            return TOO_MANY_HEADERS
        return INVALID_REQUEST

    def _refuse(self, reason: str) -> None:
        """End the connection with 400 if that cannot be taken for the answer to a
        request before."""
        self.logger.warning(reason)
        # The client reads responses in order: this 400 would be taken for that of the
        # request before.
        if self.pipeline or self._is_last:
            self.transport.close()
        else:
            self.send_400_response(reason)

    def _upgrade_in(self, data: memoryview) -> int | None:
        """Parse data; return the offset behind the head of a request that asks for an
        upgrade, None if there is no such request."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            offset: int = upgrade.args[0]
            return offset
        return None

    def _begin_again(self) -> bool:
        """Parse the head of a request without its ``Upgrade`` (RFC 9110, section 7.8).

        The parser takes the bytes after an upgrade for another protocol: the body would
        be read as a separate request. Return False for CONNECT, which is followed by
        another protocol.
        """
        if self.parser.get_method() == b"CONNECT":
            self.send_400_response("CONNECT is not supported.")
            return False
        version = self.parser.get_http_version().encode()
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/", version, b"\r\n"]
        for name, value in self.headers:
            if name != b"upgrade":
                head += [name, b": ", value, b"\r\n"]
        # A new one: the state of the old one is that of another protocol.
        self.parser = httptools.HttpRequestParser(self)
        # As uvicorn sets it for the parser that it makes itself.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(b"".join([*head, b"\r\n"]))
        return True

    def on_message_begin(self) -> None:
        if self._is_last:
            raise RequestAfterLast
        if len(self.pipeline) >= MAX_PIPELINED:
            raise TooManyPipelined
        self._in_head = True
        super().on_message_begin()
        if self._refusal is not None:
            self.scope["state"]["refusal"] = self._refusal

    def on_header(self, name: bytes, value: bytes) -> None:
        # At once, because it takes long to parse thousands of them.
        if len(self.headers) == MAX_HEADERS:
            self._has_too_many_headers = True
            raise TooManyHeaders
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        # Nearly all targets are a path; for these nothing more is looked at.
        if not self.url.startswith((b"/", b"*")) or b"#" in self.url:
            self._read_unusual_target()
        self._in_head = False
        self._in_body = True
        if self._unread > LONG_HEAD_BYTES and self._has_long_head():
            self.scope["state"]["has_long_head"] = True
        self._unread = 0
        self._framing = 0
        self._discarded = 0
        if self._timer is not None:
            self._stop_timer()
        self._complete_scope()
        # Fields after a chunked body are not headers (RFC 9110, section 6.5.1).
        self.headers = []
        before: RequestResponseCycle | None = self.cycle
        cycle = self.cycle = self._new_cycle()
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            # As uvicorn does: one request of a connection is answered at a time.
            self.pipeline.appendleft((cycle, self.app))

    def _has_long_head(self) -> bool:
        """Return whether the head is long, and not what has arrived of the body."""
        fields = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.url) + fields > LONG_HEAD_BYTES

    def _complete_scope(self) -> None:
        """Add to the scope what the first line of the request says."""
        url = httptools.parse_url(self.url)
        raw_path = url.path
        path = raw_path.decode("ascii")
        scope = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = self.parser.get_http_version()
        # Most paths have nothing to decode.
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = url.query or b""

    def _new_cycle(self) -> RequestResponseCycle:
        """Return what answers the request."""
        # HTTP/1.0 clients do not expect the connection to stay open.
        is_old = self.scope["http_version"] == "1.0"
        kind = CloseDelimitedCycle if is_old else KeepAliveCycle
        may_keep_alive = not is_old and self._refusal is None
        return kind(
            self.scope,
            self.transport,
            self.flow,
            self.logger,
            self.access_logger,
            self.access_log,
            self.server_state.default_headers,
            Event(),
            self.expect_100_continue,
            may_keep_alive and self.parser.should_keep_alive(),
            self.on_response_complete,
        )

    def _read_unusual_target(self) -> None:
        """Leave the path and the query of a target such as ``http://host/path``, and
        the whole of it in the state of the request."""
        target = self.url
        self.scope["state"]["unusual_target"] = target
        if target.startswith((b"/", b"*")):
            return
        path = ORIGIN.sub(b"", target)
        if not path and self.parser.get_method() == b"OPTIONS":
            path = b"*"
        self.url = path if path.startswith((b"/", b"*")) else b"/" + path

    def on_body(self, body: bytes) -> None:
        if self._unread:
            # A chunk of one byte has five more around it.
            self._unread = max(0, self._unread - 2 * len(body))
        self._framing = max(0, self._framing + CHUNK_BYTES - 2 * len(body))
        if self._framing > MAX_HEAD_BYTES:
            # At once, and not when all that was received is parsed.
            raise TooMuchFraming
        if self.cycle.response_complete:
            self._discarded += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._in_body = False
        self._unread = 0
        if self._timer is not None:
            self._stop_timer()
        self.scope["state"]["has_arrived"] = True
        if not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.message_event.set()
        if self._is_last:
            self.transport.close()

    def close_after_body(self) -> None:
        """Close the connection when the body of the request has arrived.

        A socket that is closed while data arrives is reset, and the client may lose
        the response (RFC 9112, section 9.6).
        """
        self._is_last = True
        if not self._in_body:
            self.transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.pipeline:
            # No more is read before the requests that are read are answered.
            self.flow.pause_reading()
        if self._in_body and self._timer is None:
            # The response did not wait for the body, of which the rest is discarded.
            self._watch_discarded(DISCARD_SECONDS)

    def _watch_discarded(self, seconds: float) -> None:
        self._timer = self.loop.call_later(
            SILENT_SECONDS,
            self._end_if_silent,
            self._discarded,
            seconds - SILENT_SECONDS,
        )

    def _end_if_silent(self, discarded: int, seconds: float) -> None:
        if self._discarded > discarded and seconds > 0:
            self._watch_discarded(seconds)
        else:
            self.transport.close()

    def shutdown(self) -> None:
        if (stopping := self.app_state.get("stopping")) is not None:
            stopping.set()
        super().shutdown()

    def _check_unread(self) -> None:
        """End the connection if the bytes outside of bodies, or those of a body
        that nobody reads, are too many, or the head takes too long."""
        if self._discarded > MAX_DISCARDED_BYTES:
            self.transport.close()
        elif self._unread > MAX_HEAD_BYTES:
            self._refuse(TOO_MUCH_FRAMING if self._in_body else TOO_LARGE_HEAD)
        # Not started again by each byte: a head that trickles in would never be late.
        elif self._in_head and self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_unsent()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_stall_timer()

    def _watch_unsent(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        self._stall_timer = self.loop.call_later(STALLED_SECONDS, self._end_if_stalled)

    def _end_if_stalled(self) -> None:
        if self.transport.get_write_buffer_size() <= self._unsent - TAKEN_BYTES:
            self._watch_unsent()
        else:
            # close() would wait for the client to take what it does not take.
            self.transport.abort()

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class LingeringTransport:
    """The transport of a response to a request whose body has not arrived yet."""

    def __init__(self, protocol: BoundedHttpProtocol) -> None:
        self._protocol = protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol.transport, name)

    def close(self) -> None:
        """Close the connection behind the body."""
        self._protocol.close_after_body()


class KeepAliveCycle(RequestResponseCycle):
    """A response whose head is checked at once and not header by header, which takes a
    third of the time. Responses of unknown length, or sent in several parts, are left
    to uvicorn."""

    async def send(self, message: Any) -> None:
        if self.keep_alive and not (self.disconnected or self.flow.write_paused):
            if not self.response_started:
                if self._has_begun(message):
                    return
            elif self._is_complete(message):
                self._end(message.get("body", b""))
                return
        await self._drain()
        await super().send(message)

    async def _drain(self) -> None:
        """Wait until the client has taken what was sent, or is disconnected."""
        if self.flow.write_paused:
            await self.flow.drain()
        if self.transport.is_closing():
            # It was aborted, and connection_lost is not called yet.
            self.disconnected = True

    def _has_begun(self, message: Any) -> bool:
        """Send the head of a response of known length; return False for others."""
        if message["type"] != "http.response.start":
            return False
        headers = [*self.default_headers, *message["headers"]]
        by_name = dict(headers)
        length = by_name.get(b"content-length")
        if length is None or not FRAMING.isdisjoint(by_name):
            return False
        self._begin(message["status"], headers)
        self.expected_content_length = int(length)
        return True

    def _is_complete(self, message: Any) -> bool:
        """Return whether a message has all of the body."""
        return (
            not self.response_complete
            and not self.chunked_encoding
            and message["type"] == "http.response.body"
            and len(message.get("body", b"")) == self.expected_content_length
            and not message.get("more_body")
        )

    def _end(self, body: bytes) -> None:
        """Send all of the body."""
        self.transport.write(body)
        self.response_complete = True
        self.message_event.set()
        self.on_response()

    def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head of a response. Raises ``RuntimeError`` for a line break in a
        header."""
        head = b"%b%b\r\n\r\n" % (
            STATUS_LINE[status],
            b"\r\n".join(map(b": ".join, headers)),
        )
        lines = len(headers) + 2
        # One count in place of a check of each header: response splitting needs a line
        # break.
        if not lines == head.count(b"\r") == head.count(b"\n") or b"\0" in head:
            raise RuntimeError("a header has a line break or a NUL")
        self.response_started = True
        self.waiting_for_100_continue = False
        self.chunked_encoding = False
        self.transport.write(head)


class CloseDelimitedCycle(RequestResponseCycle):
    """A response to HTTP/1.0, which knows no chunks: if its length is unknown, the
    end of the connection ends it (RFC 9112, section 6.3)."""

    _ends_with_connection = False

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", ())}
            if b"content-length" not in names:
                self.chunked_encoding = False
                self._ends_with_connection = True
        elif self._ends_with_connection:
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)
