"""Spooled body: the body of an upload in a temporary file."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from persist.domain.strict_json import BYTE_ORDER_MARK


@dataclass(frozen=True, slots=True)
class SpooledBody:
    """A body in a temporary file. ``digest`` is its SHA-256, which stands for it in the
    fingerprint of an ``Idempotency-Key``."""

    file: IO[bytes]
    digest: bytes

    def lines(self, longest: int) -> Iterator[bytes]:
        """Yield its lines without a byte order mark; of a longer line ``longest`` bytes
        and the two that follow."""
        self.file.seek(0)
        if self.file.read(len(BYTE_ORDER_MARK)) != BYTE_ORDER_MARK:
            self.file.seek(0)
        while line := self.file.readline(longest + 2):
            yield line
