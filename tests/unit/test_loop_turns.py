"""Turns on the event loop: large work goes on once an iteration, in order."""

import asyncio

from persist.storage.sharing.loop_turns import LoopTurns


async def worked(turns: LoopTurns, log: list[str], name: str) -> None:
    await turns.turn()
    log.append(name)


async def counted(log: list[str], iterations: int) -> None:
    """Note each iteration of the event loop."""
    for _ in range(iterations):
        log.append("-")
        await asyncio.sleep(0)


def test_the_first_has_its_turn_at_once_and_others_one_an_iteration() -> None:
    async def run() -> list[str]:
        log: list[str] = []
        turns = LoopTurns()
        work = [worked(turns, log, name) for name in "abcd"]
        await asyncio.gather(*work, counted(log, 6))
        await worked(turns, log, "e")
        return log

    log = asyncio.run(run())
    assert log[0] == "a"
    assert [name for name in log if name != "-"] == list("abcde")
    assert all("-" in log[log.index(a) : log.index(b)] for a, b in ("ab", "bc", "cd"))


def test_who_leaves_while_it_waits_does_not_keep_others_from_their_turn() -> None:
    async def run() -> list[str]:
        log: list[str] = []
        turns = LoopTurns()
        await turns.turn()
        waiting = [asyncio.create_task(worked(turns, log, name)) for name in "abc"]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.wait_for(waiting[2], 5)
        return log

    assert asyncio.run(run()) == ["a", "c"]
