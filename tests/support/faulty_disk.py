"""A disk that fails: a library between a process and libc, which reads from files what to fail."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(int fd, const char *ending, const char *order) {
    char link[64], path[4096], file[4096];
    const char *folder = getenv("FAULTY_DISK");
    if (folder == NULL) return 0;
    snprintf(file, sizeof file, "%s/%s", folder, order);
    if (access(file, F_OK) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    size_t wanted = strlen(ending);
    return (size_t) length >= wanted && strcmp(path + length - wanted, ending) == 0;
}

int fdatasync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
    if (fails(fd, "-wal", "sync")) { errno = EIO; return -1; }
    return real(fd);
}

int fsync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    if (fails(fd, "-wal", "sync")) { errno = EIO; return -1; }
    return real(fd);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) {
    ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite64");
    if (fails(fd, ".db", "checkpoint")) { errno = EIO; return -1; }
    return real(fd, data, size, offset);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    return pwrite64(fd, data, size, offset);
}
"""


@dataclass(frozen=True)
class FaultyDisk:
    """``sync``: syncing the write-ahead log fails. ``checkpoint``: writing to the
    database file fails."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to be under it."""
        return {
            "LD_PRELOAD": str(self.folder / "faulty.so"),
            "FAULTY_DISK": str(self.folder),
        }

    def fail(self, order: str) -> None:
        (self.folder / order).touch()

    def mend(self, order: str) -> None:
        (self.folder / order).unlink()


def faulty_disk(folder: Path) -> FaultyDisk:
    """Compile the library; skips the test where there is no compiler."""
    if shutil.which("cc") is None:
        pytest.skip("NOT TESTED, disk faults: there is no C compiler here")
    folder.mkdir()
    (folder / "faulty.c").write_text(SOURCE)
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", "faulty.so", "faulty.c", "-ldl"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return FaultyDisk(folder)
