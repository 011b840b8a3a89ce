"""Drafts: what a client sent, checked before the transaction and refused where its turn comes."""

import asyncio
from collections.abc import Callable
from typing import NoReturn, TypeVar

from app.api.requests import Request
from app.domain.errors import PersistError

Value = TypeVar("Value")

LARGE = 16_384
"""Bytes from which a body is parsed and checked in a thread, so that others are answered meanwhile."""


async def draft(request: Request, body: bytes, make: Callable[[], Value]) -> Callable[[], Value]:
    """What ``make`` makes of a body. Under an ``Idempotency-Key`` its refusal waits until it is asked
    for: a stored answer comes before validation."""
    try:
        value = await asyncio.to_thread(make) if len(body) > LARGE else make()
    except PersistError as error:
        if request.idempotency_key is None:
            raise
        return _refusing(error)
    return lambda: value


def _refusing(error: PersistError) -> Callable[[], NoReturn]:
    def refuse() -> NoReturn:
        raise error

    return refuse
