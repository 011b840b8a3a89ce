"""Turns: callers who wait for a limited resource get it one after the other."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from persist.storage.sharing.shares import CALLER, Shares


class CallerTurns:
    """Lets callers do something in turn, as many at once as the shares allow.

    The work of one caller begins in the order in which it came; callers take turns.
    """

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def begin(self, seconds: float) -> Callable[[], None]:
        """Wait for a turn of the present caller, and return what ends it.

        Raises the refusal of the shares if that takes longer than ``seconds``.
        """
        caller = CALLER.get()
        try:
            async with asyncio.timeout(seconds):
                await self.enter(caller)
        except TimeoutError:
            raise self._shares.refusal(caller) from None
        return partial(self.leave, caller)

    async def enter(self, caller: str) -> None:
        """Wait for a turn; ``leave`` ends it."""
        # Earlier work of the same caller goes first.
        if caller not in self._waiting and self._shares.allows(caller):
            self._shares.take(caller)
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            # It may have been given the turn in the same round of the event loop.
            has_begun = turn.done() and not turn.cancelled()
            if has_begun:
                self.leave(caller)
            else:
                self._forget(caller, turn)
            raise

    def leave(self, caller: str) -> None:
        """End a turn and let others have theirs."""
        self._shares.give_back(caller)
        # Several may begin: the released amount counts for the share of each caller.
        for other in list(self._waiting):
            while other in self._waiting and self._shares.allows(other):
                self._begin_turn(other)

    def _begin_turn(self, caller: str) -> None:
        """Begin the turn that this caller has waited longest for, and move the caller
        to the end of the queue."""
        waiting = self._waiting.pop(caller)
        turn = waiting.popleft()
        if waiting:
            self._waiting[caller] = waiting
        if not turn.cancelled():
            self._shares.take(caller)
            turn.set_result(None)

    def _forget(self, caller: str, turn: "asyncio.Future[None]") -> None:
        waiting = self._waiting.get(caller)
        if waiting is None or turn not in waiting:
            return  # it was passed over already
        waiting.remove(turn)
        if not waiting:
            del self._waiting[caller]
