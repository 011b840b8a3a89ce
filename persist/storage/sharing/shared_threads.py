"""Shared threads: a few threads that callers use in turn."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from persist.storage.sharing.fair_queue import FairQueue
from persist.storage.sharing.shares import CALLER, Shares

Result = TypeVar("Result")


class _Work:
    """A function to run in a thread, and the future that its outcome goes to."""

    __slots__ = ("_error", "_future", "_loop", "_result", "_run", "caller")

    def __init__(self, run: Callable[[], Any], future: "asyncio.Future[Any]") -> None:
        self.caller = CALLER.get()
        self._run = run
        self._future = future
        self._loop = future.get_loop()
        self._result: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Run the function, unless nobody waits for it any more."""
        if self._future.cancelled():
            return
        try:
            self._result = self._run()
        except BaseException as error:  # noqa: BLE001 - the caller gets it
            self._error = error

    def hand_over(self) -> None:
        """Have the event loop give the outcome to the caller."""
        # Nobody waits if the event loop has been closed.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        if not self._future.done():
            if self._error is None:
                self._future.set_result(self._result)
            else:
                self._future.set_exception(self._error)
        # An error refers to the frame of ``run``, and that to this object.
        self._result = None
        self._error = None


class SharedThreads:
    """A few threads that callers use in turn, each as many as its share allows.

    A thread fetches its next work itself. If the event loop handed out the work, it
    would have to be woken up each time.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._shares = Shares(name, threads)
        self._waiting = FairQueue[_Work]()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run a function in a thread. Raises what it raises."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        added = _Work(partial(work, *arguments), future)
        self._add(added)
        try:
            return await future
        except asyncio.CancelledError:
            self._forget(added)
            raise

    def close(self) -> None:
        """Do the waiting work, then end the threads."""
        with self._changed:
            self._closed = True
            self._idle = 0
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _add(self, work: _Work) -> None:
        with self._changed:
            self._waiting.add(work.caller, work)
            if self._idle:
                self._wake()
            elif len(self._threads) < self._shares.limit:
                thread = threading.Thread(target=self._serve, name=self._name)
                thread.daemon = True
                self._threads.append(thread)
                thread.start()

    def _forget(self, work: _Work) -> None:
        """Do not begin work whose caller no longer waits."""
        with self._changed:
            self._waiting.remove(work.caller, work)

    def _wake(self) -> None:
        self._idle -= 1
        self._changed.notify()

    def _serve(self) -> None:
        work = self._next(None)
        while work is not None:
            work.run()
            work.hand_over()
            work = self._next(work)

    def _next(self, done: _Work | None) -> _Work | None:
        """Note that work is done, and wait for the next; None if the thread must
        end."""
        with self._changed:
            if done is not None:
                self._shares.give_back(done.caller)
            while (caller := self._next_caller()) is None:
                if self._closed:
                    return None
                self._idle += 1
                self._changed.wait()
            self._shares.take(caller)
            work = self._waiting.take(caller)
            # Each thread wakes another one if there is more work: waking all of them
            # for one function would be useless.
            if self._idle and self._next_caller() is not None:
                self._wake()
            return work

    def _next_caller(self) -> str | None:
        """Return the first caller who waits and may have one more thread."""
        for caller in self._waiting.callers():
            if self._shares.allows(caller):
                return caller
        return None
