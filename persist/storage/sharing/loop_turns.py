"""Turns on the event loop: work that takes about a millisecond is done once per
iteration, so that other requests wait for one such task only, however many come at
once."""

import asyncio
from collections import deque

LARGE_SECONDS = 1.0
"""Seconds for which a caller who read much is expected to read much again."""


class LoopTurns:
    """Lets large work go on in the order in which it came, one task per iteration."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_taken = False
        self._large_readers: set[str] = set()

    async def turn(self) -> None:
        """Wait for a turn; return at once if nobody has taken that of this
        iteration."""
        loop = asyncio.get_running_loop()
        if self._is_taken:
            mine = loop.create_future()
            self._waiting.append(mine)
            await mine
        else:
            self._is_taken = True
            loop.call_soon(self._pass_on, loop)

    def reads_much(self, caller: str) -> bool:
        """Return whether a caller has just read much."""
        return caller in self._large_readers

    def has_read_much(self, caller: str) -> None:
        """Note that a caller has read much."""
        if caller not in self._large_readers:
            self._large_readers.add(caller)
            loop = asyncio.get_running_loop()
            loop.call_later(LARGE_SECONDS, self._large_readers.discard, caller)

    def _pass_on(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            following = self._waiting.popleft()
            if not following.done():
                following.set_result(None)
                loop.call_soon(self._pass_on, loop)
                return
        self._is_taken = False
