"""Drafts: what a client sent, checked before the transaction and refused where its turn
comes."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn, TypeVar

from persist.api.requests import Request
from persist.domain.errors import AccessRefused, PersistError

Value = TypeVar("Value")

LARGE = 16_384
"""Bytes from which a body is parsed and checked in a thread, so that others are
answered meanwhile."""


_checkers = ThreadPoolExecutor(2, thread_name_prefix="checker")
"""Few, so that a flood of large bodies neither takes the processor nor spreads over the
memory."""


async def draft(
    request: Request, body: bytes, make: Callable[[], Value]
) -> Callable[[], Value]:
    """What ``make`` makes of a body. Under an ``Idempotency-Key`` its refusal waits
    until it is asked for: a stored answer comes before validation, though after
    access."""
    try:
        value = (
            await asyncio.get_running_loop().run_in_executor(_checkers, make)
            if len(body) > LARGE
            else make()
        )
    except PersistError as error:
        if request.idempotency_key is None or isinstance(error, AccessRefused):
            raise
        return _refusing(error)
    return lambda: value


def _refusing(error: PersistError) -> Callable[[], NoReturn]:
    def refuse() -> NoReturn:
        raise error

    return refuse
