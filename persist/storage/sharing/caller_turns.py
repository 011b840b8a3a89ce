"""Turns: callers who wait for a limited resource get it one after the other."""

import asyncio
from collections.abc import Callable
from functools import partial

from persist.storage.sharing.fair_queue import FairQueue
from persist.storage.sharing.shares import CALLER, Shares


class CallerTurns:
    """Lets callers do something in turn, as many at once as the shares allow.

    The work of one caller begins in the order in which it came; callers take turns.
    """

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._waiting = FairQueue[asyncio.Future[None]]()

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
        self._waiting.add(caller, turn)
        try:
            await turn
        except asyncio.CancelledError:
            # It may have been given the turn in the same round of the event loop.
            has_begun = turn.done() and not turn.cancelled()
            if has_begun:
                self.leave(caller)
            else:
                self._waiting.remove(caller, turn)
            raise

    def leave(self, caller: str) -> None:
        """End a turn and let others have theirs."""
        self._shares.give_back(caller)
        # Several may begin: the released amount counts for the share of each caller.
        for other in list(self._waiting.callers()):
            while other in self._waiting and self._shares.allows(other):
                self._begin_turn(other)

    def _begin_turn(self, caller: str) -> None:
        """Begin the turn that this caller has waited longest for."""
        turn = self._waiting.take(caller)
        if not turn.cancelled():
            self._shares.take(caller)
            turn.set_result(None)
