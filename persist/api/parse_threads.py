"""Parsing of what clients sent: in few threads if it may take long, so that the
event loop answers other requests meanwhile."""

from collections.abc import Callable
from typing import TypeVar

from persist.entity_types.json_schema.compiled_schema import Briefly, WouldTakeLong
from persist.storage.sharing.shared_threads import SharedThreads

LARGE_BODY_BYTES = 16_384
"""Bytes from which a body is parsed in a thread."""

LONG_QUERY_BYTES = 512
"""Bytes from which a query string is parsed in a thread. Each may take 10 µs, if it
is a list of numbers or an expression."""

# Few threads, so that many large bodies take neither the processor nor the memory.
_parsers = SharedThreads("parser", 2)

Parsed = TypeVar("Parsed")


async def parse_body(body: bytes, parse: Callable[[], Parsed]) -> Parsed:
    """Call ``parse``, in a thread if the body is large or its validation may take
    long."""
    if len(body) <= LARGE_BODY_BYTES:
        try:
            with Briefly():
                return parse()
        except WouldTakeLong:
            pass  # it is parsed again where nobody waits for it
    return await _parsers.run(parse)


async def parse_query(query: bytes, parse: Callable[[], Parsed]) -> Parsed:
    """Call ``parse``, in a thread if the query string is long."""
    if len(query) <= LONG_QUERY_BYTES:
        return parse()
    return await _parsers.run(parse)
