"""Reads on the event loop that take too long start again in a thread."""

import asyncio
from pathlib import Path

import pytest

from persist.storage import brief_limit
from persist.storage.database import Database
from persist.storage.reader import Reader

READS = 500
"""So many that SQLite asks during each statement whether to interrupt it."""


def test_reads_that_are_interrupted_leave_no_transaction_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brief_limit, "BRIEF_SECONDS", -1.0)
    database = Database(f"sqlite:///{tmp_path}/records.db", [])

    def read(reader: Reader) -> int:
        return reader.definitions.epoch()

    async def read_often() -> set[int]:
        return {await database.read(read) for _ in range(READS)}

    try:
        assert len(asyncio.run(read_often())) == 1
    finally:
        database.close()
