"""A queue in which callers take turns, however much each has waiting."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Items of several callers. Those of one caller keep their order; a caller whose
    item was taken moves to the end."""

    def __init__(self) -> None:
        self._of: dict[str, deque[Item]] = {}
        self._count = 0

    def __len__(self) -> int:
        # Other threads ask for it, and may not iterate meanwhile.
        return self._count

    def __contains__(self, caller: str) -> bool:
        return caller in self._of

    def callers(self) -> Iterator[str]:
        """Yield the callers in the order of their turns."""
        return iter(self._of)

    def add(self, caller: str, item: Item) -> None:
        """Add an item behind all others of its caller."""
        if caller not in self._of:
            self._of[caller] = deque()
        waiting = self._of[caller]
        waiting.append(item)
        self._count += 1

    def put_back(self, caller: str, item: Item) -> None:
        """Have an item come before all others."""
        waiting = self._of.pop(caller, deque())
        waiting.appendleft(item)
        self._of = {caller: waiting, **self._of}
        self._count += 1

    def take(self, caller: str) -> Item:
        """Take the oldest item of a caller, and move the caller to the end."""
        waiting = self._of[caller]
        item = waiting.popleft()
        self._count -= 1
        if not waiting:
            del self._of[caller]
        elif len(self._of) > 1:
            del self._of[caller]
            self._of[caller] = waiting
        return item

    def remove(self, caller: str, item: Item) -> bool:
        """Remove an item; return False if it is not in the queue."""
        waiting = self._of.get(caller)
        if waiting is None or item not in waiting:
            return False
        waiting.remove(item)
        self._count -= 1
        if not waiting:
            del self._of[caller]
        return True
