"""Anew: a request that met a type or a workspace which another process has changed is
answered again."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from persist.api.requests import Request
from persist.domain.errors import Conflict, Invalid, InvalidQuery, NotFound, Unavailable
from persist.storage.catalog import Stale
from persist.storage.database import Database

ATTEMPTS = 10

Reply = TypeVar("Reply")


async def retry_on_stale_schema(
    database: Database, request: Request, attempt: Callable[[], Awaitable[Reply]]
) -> Reply:
    """The reply of an attempt. A refusal may come from what was known before: then it
    is asked for once more, unless its body is gone. Raises what the attempt raises,
    ``Unavailable``."""
    for _ in range(ATTEMPTS):
        known = database.catalog.epoch
        try:
            return await attempt()
        except Stale:
            await database.refresh()
        except (NotFound, InvalidQuery, Invalid, Conflict):
            await database.refresh()
            if request.streamed or database.catalog.epoch == known:
                raise
        if request.streamed:
            break
    raise Unavailable("the entity type is being changed; try again")
