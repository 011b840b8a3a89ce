"""A disk that is small enough to fill up."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own, part of it taken by a file that can be given back."""

    folder: Path

    @property
    def ballast(self) -> Path:
        return self.folder / "ballast"

    def fill(self) -> None:
        """Take what is free."""
        with self.ballast.open("ab", buffering=0) as ballast:
            for size in (1 << 20, 1 << 12):
                while _written(ballast.fileno(), size):
                    pass

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Nobody can write to it, root included."""
        subprocess.run(["mount", "-o", "remount,ro", str(self.folder)], check=True)
        try:
            yield
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(self.folder)], check=True)

    def free(self) -> None:
        """Give it back."""
        self.ballast.unlink()


def _written(file: int, size: int) -> bool:
    try:
        return os.write(file, bytes(size)) > 0
    except OSError:
        return False


@contextmanager
def small_disk(megabytes: int) -> Iterator[SmallDisk]:
    """A memory file system of that size; skips the test where mounting is not
    allowed."""
    folder = Path(tempfile.mkdtemp(prefix="persist-disk-"))
    folder.chmod(0o755)
    mount = [
        "mount",
        "-t",
        "tmpfs",
        "-o",
        f"size={megabytes}m,mode=0755",
        "tmpfs",
        str(folder),
    ]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip(
            f"NOT TESTED, a full disk: mounting needs root ({mounted.stderr.strip()})"
        )
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()
