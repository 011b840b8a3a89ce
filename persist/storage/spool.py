"""Spool: values on their way through a temporary file, because there may be too many
for memory."""

import marshal
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

SIZE = 8
"""Bytes that tell the length of a value; left to find its end, marshal reads the file
bit by bit."""


class Spool:
    """Keeps tuples, lists, text and numbers on the disk, in the order they come."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()

    def put(self, value: Any) -> None:
        """Add a value."""
        content = marshal.dumps(value)
        self._file.write(len(content).to_bytes(SIZE))
        self._file.write(content)

    def __iter__(self) -> Iterator[Any]:
        """The values from the first one on."""
        self._file.seek(0)
        while size := self._file.read(SIZE):
            yield marshal.loads(self._file.read(int.from_bytes(size)))  # noqa: S302 - nobody else writes it

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
