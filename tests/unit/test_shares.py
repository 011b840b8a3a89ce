"""Shares: at most half of what others leave, in turn."""

import asyncio

import pytest

from persist.api import in_flight
from persist.api.in_flight import InFlightLimiter
from persist.domain.errors import TooManyRequests, Unavailable
from persist.storage.operation import spool
from persist.storage.sharing.caller_turns import CallerTurns
from persist.storage.sharing.shares import CALLER, SERVICE, Shares


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


class Upload:
    """A request whose body goes to the disk."""

    path = "/api/plain/import"

    def __init__(self, caller: str) -> None:
        self.caller = caller
        self.counted_in: Shares | None = None
        self.body_bytes = 0
        self.spooled_bytes = 0
        self.response_bytes = 0


def test_bodies_on_the_disk_take_half_of_what_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = [400]
    monkeypatch.setattr(
        in_flight, "share_of_disk", lambda spooled: (free[0] + spooled) // 2
    )
    limiter = InFlightLimiter(
        connections=1, requests=1, body_bytes=1, spooled_bytes=1_000, response_bytes=1
    )
    one, other = Upload("one"), Upload("other")
    limiter.spool(one, 100)
    free[0] -= 100
    with pytest.raises(TooManyRequests):
        limiter.spool(one, 2)
    limiter.spool(other, 50)
    free[0] = 0  # somebody else filled the disk
    with pytest.raises(Unavailable):
        limiter.spool(Upload("third"), 1)
    limiter.leave(one)
    limiter.leave(other)
    assert limiter.spooled_bytes.taken == 0


def test_a_spool_ends_where_it_has_half_of_what_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spool, "share_of_disk", lambda _: 2 * spool.CHECKED_BYTES)
    text = "x" * (spool.CHECKED_BYTES // 2)
    with spool.Spool() as values:
        for _ in range(3):
            values.put(text)
        with pytest.raises(Unavailable):
            values.put(text)


def test_callers_take_turns_and_each_waits_in_order() -> None:
    order: list[str] = []

    async def work(turns: CallerTurns, caller: str) -> None:
        CALLER.set(caller)
        await turns.enter(caller)
        order.append(caller)
        await asyncio.sleep(0)
        turns.leave(caller)

    async def run() -> CallerTurns:
        turns = CallerTurns(Shares("threads", 1))
        callers = [*["one"] * 5, *["two"] * 2]
        await asyncio.gather(*(work(turns, caller) for caller in callers))
        return turns

    asyncio.run(run())
    assert order == ["one", "one", "two", "one", "two", "one", "one"]


def test_one_who_goes_gives_its_turn_to_the_next() -> None:
    async def run() -> int:
        shares = Shares("threads", 1)
        turns = CallerTurns(shares)
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


def test_a_response_counts_until_the_client_has_taken_it() -> None:
    limiter = InFlightLimiter(
        connections=1,
        requests=1,
        body_bytes=1,
        spooled_bytes=1,
        response_bytes=1_000_000,
    )
    page, record, other = Upload("one"), Upload("one"), Upload("other")
    limiter.respond(page, 400_000)
    limiter.respond(page, 400_000)  # the same response, rendered
    assert limiter.response_bytes.taken == 400_000
    limiter.respond(record, 60_000)  # too small to be counted
    with pytest.raises(TooManyRequests):
        limiter.respond(record, 200_000)
    limiter.respond(other, 200_000)
    limiter.count_response(record, 900_000)  # what was written is answered
    for caller in ("one", "other"):
        with pytest.raises(TooManyRequests):
            limiter.response_bytes.check(caller)
    with pytest.raises(Unavailable):
        limiter.response_bytes.check("third")
    for request in (page, record, other):
        limiter.leave(request)
    assert limiter.response_bytes.taken == 0
    limiter.response_bytes.check("one")
