"""Spool: values in a temporary file, because memory may not hold them all."""

import marshal
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import IO, Any, Self

from persist.domain.errors import Unavailable

CHECKED_BYTES = 1_048_576
"""Bytes after which it is checked whether a spool may take more."""

FILE_BUFFER_BYTES = 262_144
"""Bytes that are read from a temporary file at once. A thread that reads a few KiB at a
time gives up the interpreter's lock so often, and takes it back so soon, that no other
thread gets it for 0.3 s."""

LENGTH_BYTES = 8
"""Bytes in front of a value that give its length.

Without them marshal looks for the end in many small reads.
"""


class Spool:
    """Stores tuples, lists, text and numbers in the order in which they come.

    Raises ``Unavailable`` if the temporary folder takes no more.
    """

    def __init__(self) -> None:
        with refusing_full_folder():
            self._file = temporary_file()
        self._size = 0
        self._checked = 0

    def put(self, value: Any) -> None:
        """Add a value."""
        content = marshal.dumps(value)
        self._check_room(len(content))
        with refusing_full_folder():
            self._file.write(len(content).to_bytes(LENGTH_BYTES))
            self._file.write(content)

    def _check_room(self, size: int) -> None:
        self._size += size
        if self._size - self._checked >= CHECKED_BYTES:
            self._checked = self._size
            if self._size > share_of_disk(self._size):
                raise no_room()

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the values from the first one on."""
        with refusing_full_folder():
            self._file.seek(0)  # writes what is in the buffer
        while content := self._next():
            yield marshal.loads(content)  # noqa: S302 - only this process writes the file

    def _next(self) -> bytes:
        """Return the next value as it was written; nothing at the end."""
        with refusing_full_folder():
            size = self._file.read(LENGTH_BYTES)
            return self._file.read(int.from_bytes(size))

    def close(self) -> None:
        """Delete the file."""
        # If the buffer cannot be written, the file is deleted all the same.
        with suppress(OSError):
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


def temporary_file() -> IO[bytes]:
    """Return a file that is deleted when it is closed. Raises ``OSError``."""
    return tempfile.TemporaryFile(buffering=FILE_BUFFER_BYTES)


@contextmanager
def refusing_full_folder() -> Iterator[None]:
    """Raise ``Unavailable`` for an ``OSError`` of a file in the temporary folder."""
    try:
        yield
    except OSError as error:
        raise no_room() from error


def no_room() -> Unavailable:
    """Return the refusal of what the temporary folder does not take."""
    return Unavailable(
        "the temporary folder of the service has no room; nothing was changed, try"
        " again"
    )


def share_of_disk(spooled: int) -> int:
    """Return the bytes that all files in the temporary folder may have: half of
    what would be free without the ``spooled`` ones."""
    return (shutil.disk_usage(tempfile.gettempdir()).free + spooled) // 2
