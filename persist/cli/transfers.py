"""Transfers of snapshots between a service and a file, with progress bars."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from rich.progress import DownloadColumn, MofNCompleteColumn

from persist.cli.service_client import ServiceClient
from persist.cli.terminal import progress_bars, refuse
from persist.domain.record import Json
from persist.storage.operation.durable_files import rename_durably

CHUNK_BYTES = 262_144
"""Bytes that are sent at once."""

STANDARD_INPUT = Path("-")


def download(
    service: ServiceClient,
    manifest: Json,
    file: Path | None,
) -> None:
    """Write a snapshot to a file, or to standard output if ``file`` is None.

    The file appears when it is complete.
    """
    content = service.content(manifest["id"])
    chunks = _count_records(content, manifest["records"])
    if file is None:
        _write(chunks, sys.stdout.buffer)
        return
    unfinished = file.with_name(f"{file.name}.part")
    try:
        with open(unfinished, "wb", opener=_private) as target:
            _write(chunks, target)
        rename_durably(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)


def check_folder(file: Path | None) -> None:
    """End the program if the folder of a file to be written is missing."""
    if file is not None and not file.parent.is_dir():
        refuse(f"there is no folder {file.parent}; create it first")


def upload(
    service: ServiceClient,
    file: Path,
) -> Json:
    """Upload a snapshot from a file. Return its manifest."""
    if file == STANDARD_INPUT:
        return service.upload(_standard_input())
    with file.open("rb") as source, progress_bars(DownloadColumn()) as bars:
        task = bars.add_task("importing", total=file.stat().st_size)

        def chunks() -> Iterator[bytes]:
            while chunk := source.read(CHUNK_BYTES):
                bars.advance(task, len(chunk))
                yield chunk

        return service.upload(chunks())


def _standard_input() -> Iterator[bytes]:
    while chunk := sys.stdin.buffer.read(CHUNK_BYTES):
        yield chunk


def _count_records(
    chunks: Iterable[bytes],
    records: int,
) -> Iterator[bytes]:
    with progress_bars(MofNCompleteColumn()) as bars:
        task = bars.add_task("exporting", total=records)
        lines = -1  # the first line is the manifest
        for chunk in chunks:
            lines += chunk.count(b"\n")
            bars.update(task, completed=min(lines, records))
            yield chunk


def _private(path: str, flags: int) -> int:
    """Open a file that only its owner can read."""
    return os.open(path, flags, 0o600)


def _write(
    chunks: Iterable[bytes],
    target: IO[bytes],
) -> None:
    for chunk in chunks:
        target.write(chunk)
    target.flush()
