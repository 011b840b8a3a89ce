"""Threads that callers share: who gets one, and what becomes of those who go."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from persist.storage.sharing.shared_threads import SharedThreads
from persist.storage.sharing.shares import CALLER


@contextmanager
def shared(threads: int) -> Iterator[SharedThreads]:
    """Threads that end with the block."""
    made = SharedThreads("shared", threads)
    try:
        yield made
    finally:
        made.close()


async def run_as(caller: str, threads: SharedThreads, order: list[str]) -> None:
    """Have a caller note its name in a thread."""
    CALLER.set(caller)
    await threads.run(order.append, caller)


async def begun(
    threads: SharedThreads, caller: str
) -> tuple["asyncio.Task[None]", threading.Event]:
    """Work of a caller that has begun, and what ends it."""
    ends = threading.Event()
    begins = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(begins.set)
        ends.wait()

    async def run() -> None:
        CALLER.set(caller)
        await threads.run(work)

    task = asyncio.create_task(run())
    await begins.wait()
    return task, ends


def test_callers_take_turns_and_each_waits_in_order() -> None:
    order: list[str] = []

    async def run() -> None:
        with shared(1) as threads:
            task, ends = await begun(threads, "one")
            waiting = [
                asyncio.create_task(run_as(caller, threads, order))
                for caller in [*["one"] * 3, *["two"] * 2]
            ]
            await asyncio.sleep(0)
            ends.set()
            await asyncio.gather(task, *waiting)

    asyncio.run(run())
    assert order == ["one", "two", "one", "two", "one"]


def test_a_caller_leaves_threads_to_others() -> None:
    order: list[str] = []

    async def run() -> None:
        with shared(4) as threads:
            both = [await begun(threads, "one") for _ in range(2)]
            third = asyncio.create_task(run_as("one", threads, order))
            await run_as("two", threads, order)
            assert order == ["two"]
            for _, ends in both:
                ends.set()
            await asyncio.gather(third, *(task for task, _ in both))

    asyncio.run(run())
    assert order == ["two", "one"]


def test_what_nobody_waits_for_does_not_begin() -> None:
    order: list[str] = []

    async def run() -> None:
        with shared(1) as threads:
            task, ends = await begun(threads, "one")
            waiting = asyncio.create_task(run_as("two", threads, order))
            await asyncio.sleep(0)
            waiting.cancel()
            ends.set()
            await task
            await run_as("three", threads, order)

    asyncio.run(run())
    assert order == ["three"]


def test_an_error_is_the_callers() -> None:
    async def run() -> None:
        with shared(1) as threads:
            with pytest.raises(LookupError):
                await threads.run({}.__getitem__, "nothing")
            assert await threads.run(len, "abc") == 3

    asyncio.run(run())
