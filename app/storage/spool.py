"""Spool: values on their way through a temporary file, because there may be too many for memory."""

import marshal
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self


class Spool:
    """Keeps tuples, lists, text and numbers on the disk, in the order they come."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()

    def put(self, value: Any) -> None:
        """Add a value."""
        marshal.dump(value, self._file)

    def __iter__(self) -> Iterator[Any]:
        """The values from the first one on."""
        self._file.seek(0)
        while True:
            try:
                yield marshal.load(self._file)  # noqa: S302 - nobody else writes this file
            except EOFError:
                return

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
