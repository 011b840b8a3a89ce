"""Text cache: results of a function of texts, bounded by the length of the texts."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class TextCache(Generic[Result]):
    """Keeps what ``compute`` returned for the texts that were asked for last, which
    have at most ``characters`` in all."""

    def __init__(self, compute: Callable[[str], Result], characters: int) -> None:
        self._compute = compute
        self._left = characters
        self._results: dict[str, Result] = {}
        self._lock = threading.Lock()

    def __call__(self, text: str) -> Result:
        """Return the result for a text, the same one while it is kept."""
        with self._lock:
            if text in self._results:
                # The last one in the order of use.
                result = self._results[text] = self._results.pop(text)
                return result
        result = self._compute(text)
        with self._lock:
            if text not in self._results:
                self._results[text] = result
                self._left -= len(text)
            while self._left < 0:
                oldest = next(iter(self._results))
                del self._results[oldest]
                self._left += len(oldest)
        return result
