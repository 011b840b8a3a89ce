"""A cache of a function's results, bounded by what they weigh: clients choose how large
each one is, so a bound on their number bounds no memory."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar
from weakref import ref

from persist.domain.entity_type import EntityType

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

BYTES_PER_CHARACTER = 256
"""About what is kept for each character of a filter, the heaviest of what is parsed."""

BYTES_PER_RESULT = 1_024
"""About what is kept for a result of a short text."""


def all_arguments(*arguments: object, **options: object) -> object:
    """Return what distinguishes calls that differ in any argument."""
    return (arguments, *options.items()) if options else arguments


def of_type(
    entity_type: EntityType | None, *arguments: object, **options: object
) -> object:
    """Return what distinguishes calls whose first argument is an entity type, which is
    not kept alive: a later version of it may have been registered."""
    known = None if entity_type is None else ref(entity_type)
    return (known, arguments, *options.items())


def bounded_cache(
    capacity: int,
    weigh: Callable[..., int],
    key_of: Callable[..., object] = all_arguments,
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Keep the results of a function up to ``capacity``; one more empties the cache.

    ``weigh`` returns the weight of a result from the positional arguments, ``key_of``
    what distinguishes calls. Errors are not kept. Threads may call the function at the
    same time.
    """

    def decorate(
        function: Callable[Arguments, Result],
    ) -> Callable[Arguments, Result]:
        results: dict[object, Result] = {}
        total = 0

        def keep(key: object, result: Result, weight: int) -> None:
            nonlocal total
            if total + weight > capacity:
                results.clear()
                total = 0
            if weight <= capacity:
                results[key] = result
                total += weight

        @wraps(function)
        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            key = key_of(*args, **kwargs)
            try:
                return results[key]
            except KeyError:
                pass
            result = function(*args, **kwargs)
            keep(key, result, weigh(*args))
            return result

        return call

    return decorate


def weight_of_texts(*arguments: object) -> int:
    """Return about how many bytes are kept for a result that was made from texts."""
    characters = sum(len(one) for one in arguments if isinstance(one, str | bytes))
    return BYTES_PER_RESULT + BYTES_PER_CHARACTER * characters
