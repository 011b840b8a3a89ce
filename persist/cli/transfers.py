"""SnapshotFiles: snapshots on their way between a service and a file, with a bar that
shows how far."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from rich.progress import DownloadColumn, MofNCompleteColumn

from persist.cli.client import Json, ServiceClient
from persist.cli.terminal import bars

PIECE = 262_144
STANDARD_INPUT = Path("-")


def received(service: ServiceClient, manifest: Json, file: Path | None) -> None:
    """Export a snapshot to a file, which is there once it is whole; None is standard
    output."""
    pieces = _watched(service.content(manifest["id"]), manifest["records"])
    if file is None:
        _write(pieces, sys.stdout.buffer)
        return
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("wb") as target:
            _write(pieces, target)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def sent(service: ServiceClient, file: Path) -> Json:
    """Import a snapshot from a file: its manifest."""
    if file == STANDARD_INPUT:
        return service.upload(iter(lambda: sys.stdin.buffer.read(PIECE), b""))
    with file.open("rb") as source, bars(DownloadColumn()) as shown:
        task = shown.add_task("importing", total=file.stat().st_size)

        def pieces() -> Iterator[bytes]:
            while piece := source.read(PIECE):
                shown.advance(task, len(piece))
                yield piece

        return service.upload(pieces())


def _watched(pieces: Iterable[bytes], records: int) -> Iterator[bytes]:
    with bars(MofNCompleteColumn()) as shown:
        task = shown.add_task("exporting", total=records)
        lines = -1  # the first one is the manifest
        for piece in pieces:
            lines += piece.count(b"\n")
            shown.update(task, completed=min(lines, records))
            yield piece


def _write(pieces: Iterable[bytes], target: IO[bytes]) -> None:
    for piece in pieces:
        target.write(piece)
    target.flush()
