"""Shares: at most half of what others leave, in turn."""

import asyncio

import pytest

from persist.domain.errors import TooManyRequests, Unavailable
from persist.storage.shares import CALLER, SERVICE, Shares
from persist.storage.turns import Turns


def taken(shares: Shares, caller: str) -> int:
    count = 0
    while shares.allows(caller):
        shares.take(caller)
        count += 1
    return count


def test_each_caller_gets_half_of_what_others_leave() -> None:
    shares = Shares("things", 16)
    counts = [taken(shares, f"caller {number}") for number in range(6)]
    assert counts == [8, 4, 2, 1, 1, 0]
    assert shares.taken == 16


def test_a_caller_over_its_share_is_refused_in_another_way_than_by_a_service_without_room() -> (
    None
):
    shares = Shares("things", 4)
    taken(shares, "one")
    with pytest.raises(TooManyRequests, match="the caller has too many things"):
        shares.take("one")
    taken(shares, "two")
    taken(shares, "three")
    with pytest.raises(Unavailable, match="there are too many things"):
        shares.take("four")


def test_the_service_itself_takes_all_that_is_left() -> None:
    shares = Shares("things", 4)
    assert taken(shares, SERVICE) == 4
    with pytest.raises(Unavailable):
        shares.take(SERVICE)


def test_the_quick_look_at_half_of_the_limit_refuses_nobody_and_admits_nobody() -> None:
    for limit in range(8):
        shares = Shares("things", limit)
        for caller in ["one", "two", SERVICE] * 3:
            allowed = shares.allows(caller)
            try:
                shares.take(caller)
            except (TooManyRequests, Unavailable):
                assert not allowed
            else:
                assert allowed


def test_what_is_given_back_is_there_again() -> None:
    shares = Shares("bytes", 100)
    shares.take("one", 50)
    assert not shares.allows("one")
    shares.give_back("one", 20)
    assert shares.allows("one", 20)
    shares.give_back("one", 30)
    assert shares.taken == 0


def test_callers_take_turns_and_each_waits_in_order() -> None:
    order: list[str] = []

    async def work(turns: Turns, caller: str) -> None:
        CALLER.set(caller)
        await turns.enter(caller)
        order.append(caller)
        await asyncio.sleep(0)
        turns.leave(caller)

    async def run() -> Turns:
        turns = Turns(Shares("threads", 1))
        callers = [*["one"] * 5, *["two"] * 2]
        await asyncio.gather(*(work(turns, caller) for caller in callers))
        return turns

    asyncio.run(run())
    assert order == ["one", "one", "two", "one", "two", "one", "one"]


def test_one_who_goes_gives_its_turn_to_the_next() -> None:
    async def run() -> int:
        shares = Shares("threads", 1)
        turns = Turns(shares)
        await turns.enter("one")
        waiting = [asyncio.create_task(turns.enter("two")) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        turns.leave("one")
        waiting[1].cancel()
        await asyncio.sleep(0)
        await waiting[2]
        turns.leave("two")
        return shares.taken

    assert asyncio.run(run()) == 0
