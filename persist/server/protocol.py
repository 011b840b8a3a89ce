"""The HTTP/1.1 protocol of uvicorn with the bounds that it lacks.

It depends on private parts of uvicorn's ``HttpToolsProtocol``.
"""

import math
from asyncio import TimerHandle, Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 65_536
"""Bytes that the head of a request may have."""

HEAD_SECONDS = 10.0
"""Seconds within which the head of a request arrives."""

STALLED_SECONDS = 10.0
"""Seconds within which a client takes something of a response that waits for it."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 with bounds on the size and the time of a request's head, and on the
    time in which a client takes nothing of its response.

    A head that is too large or too slow ends the connection, as does one that never
    begins. A connection over the limit has one request answered, with ``over_capacity``
    in its state; past twice the limit a connection is closed at once.
    """

    _over_capacity = False
    _open = False
    _size = 0
    _timer: TimerHandle | None = None
    _unsent = 0
    _stall_timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_SECONDS, transport.close)
        limit = self.app_state.get("connections", math.inf)
        self._over_capacity = len(self.connections) > limit
        if len(self.connections) > 2 * limit:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_stall_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        begun = self._open
        super().data_received(data)
        if self._open:
            self._wait_for_more(len(data) if begun else 0)

    def on_message_begin(self) -> None:
        self._open, self._size = True, 0
        super().on_message_begin()
        if self._over_capacity:
            self.scope["state"]["over_capacity"] = True

    def on_headers_complete(self) -> None:
        self._open = False
        if self._timer is not None:
            self._stop_timer()
        super().on_headers_complete()
        if self._over_capacity:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        if (stopping := self.app_state.get("stopping")) is not None:
            stopping.set()
        super().shutdown()

    def _wait_for_more(self, received: int) -> None:
        self._size += received
        if self._size > MAX_HEAD_BYTES:
            self.send_400_response("The head of the request is larger than 64 KiB.")
        elif self._timer is None:
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
        if self.transport.get_write_buffer_size() < self._unsent:
            self._watch_unsent()
        else:
            self.transport.abort()

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
