"""Another client, in a process of its own: threads of a test would keep it waiting.

``python bystander.py HOST:PORT PATH HEADERS GROUP`` reads a path again and again until its
standard input ends. It prints a line when it has begun, and at the end, as JSON, how many
reads it made, the seconds of the longest one, and by how many KiB the processes of the
group grew. It imports the standard library only.
"""

import json
import os
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

EVERY_SECONDS = 0.01
"""The pause between two reads."""

LOOK_SECONDS = 0.05
"""The pause between two looks at the memory."""


def resident_kilobytes(group: int) -> int:
    """The memory of the processes of a group, as the kernel counts it, without the files
    that are mapped: the kernel drops their pages where others need them."""
    processes = [
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()
    ]
    return sum(_resident(pid) for pid in processes if _group(pid) == group)


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _resident(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next(
        (int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0
    )


def _watch(address: str, path: str, headers: dict[str, str], group: int) -> None:
    ended = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    connection = HTTPConnection(address, timeout=60)
    before = resident_kilobytes(group)
    looked = 0.0
    reads, longest, grown = 0, 0.0, 0
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    while not ended.wait(EVERY_SECONDS):
        began = time.monotonic()
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            sys.exit(f"{path} was answered with {response.status}")
        longest = max(longest, time.monotonic() - began)
        reads += 1
        if began - looked > LOOK_SECONDS:
            looked = began
            grown = max(grown, resident_kilobytes(group) - before)
    measured = {"reads": reads, "seconds": longest, "kilobytes": grown}
    sys.stdout.write(json.dumps(measured))


if __name__ == "__main__":
    _watch(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4]))
