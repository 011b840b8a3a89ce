"""Files that are complete and on the disk once they have their name."""

import os
from pathlib import Path


def rename_durably(unfinished: Path, file: Path) -> None:
    """Give a file its name so that both survive a loss of power."""
    sync(unfinished)
    unfinished.replace(file)
    sync(file.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
