"""Rendering of large responses, in few threads: the interpreter runs one thread at a
time, and the event loop waits for its turn among all that compute."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from persist.api.requests import Request
from persist.storage.queries.result_size import BRIEF_CHARACTERS, Characters
from persist.storage.sharing.shared_threads import SharedThreads
from persist.storage.sql import Row

_threads = SharedThreads("renderer", 2)

Rendered = TypeVar("Rendered")


async def in_thread(render: Callable[[], Rendered]) -> Rendered:
    """Call ``render`` in a thread; callers take turns."""
    return await _threads.run(render)


async def rendered(
    request: Request,
    render: Callable[[], Rendered],
    rows: Sequence[Row],
    characters: Characters,
) -> Rendered:
    """Call ``render`` for the rows of a page, in a thread if they are large. Raises
    ``TooManyRequests``, and ``Unavailable`` if too many large responses are under
    way."""
    size = characters(rows)
    request.reserve_response(size)
    if size > BRIEF_CHARACTERS:
        return await in_thread(render)
    return render()
