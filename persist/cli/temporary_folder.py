"""A temporary folder with an owner: those of processes that were killed are deleted."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "persist-"
OWNER = "owner"
"""The file in the folder that its process keeps locked."""


@contextmanager
def temporary_folder() -> Iterator[str]:
    """Create a folder that is deleted after the block.

    If its process is killed, the next one that creates a folder deletes it.
    """
    _sweep()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        unlocked = Path(folder) / "unlocked"
        with unlocked.open("wb") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX)
            # Others look for this name, and find the file locked.
            unlocked.rename(unlocked.with_name(OWNER))
            yield folder


def _sweep() -> None:
    """Delete the folders of this user whose owners have ended."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # Others sweep, too, and other users' folders cannot be looked at.
        with suppress(OSError):
            owner = folder / OWNER
            if folder.lstat().st_uid == os.getuid() and owner.is_file():
                _delete_unowned(folder, owner)


def _delete_unowned(folder: Path, owner: Path) -> None:
    """Delete a folder. Raises ``BlockingIOError`` if its owner runs."""
    with owner.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
