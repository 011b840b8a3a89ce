"""Batch size: how many records to have in memory at once, estimated from those
before."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")

FIRST_RECORDS = 4
"""Records of a first batch, before it is known how many characters they have."""

BATCH_CHARACTERS = 4_194_304
"""Characters that a batch has if its records are as long as those before."""


class BatchSize:
    """The number of ``records`` that the next batch may have, at most ``maximum``."""

    def __init__(self, maximum: int, characters: int = BATCH_CHARACTERS) -> None:
        self._maximum = maximum
        self._characters = characters
        self.records = min(FIRST_RECORDS, maximum)

    def note(self, records: int, characters: int) -> None:
        """Take note of how many characters the records of a batch had."""
        average = characters // max(records, 1) + 1
        self.records = min(self._maximum, max(1, self._characters // average))

    def batches(self, items: Sequence[Item]) -> Iterator[Sequence[Item]]:
        """Return items in batches; ``note`` is called between them."""
        start = 0
        while start < len(items):
            end = start + self.records
            yield items[start:end]
            start = end
