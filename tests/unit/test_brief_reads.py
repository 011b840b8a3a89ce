"""Reads on the event loop that take too long start again in a thread."""

import asyncio
from pathlib import Path

import pytest

from persist.storage.database import Database
from persist.storage.dialect import dialect_of
from persist.storage.migrations.database_schema import prepare
from persist.storage.reads import read_interrupter as brief_limit
from persist.storage.reads.reader import Reader

READS = 500
"""So many that some are interrupted at each of their statements."""


def test_reads_that_are_interrupted_leave_no_transaction_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brief_limit, "BRIEF_SECONDS", -1.0)
    monkeypatch.setattr(brief_limit, "LOOK_SECONDS", 0.0)
    url = f"sqlite:///{tmp_path}/records.db"
    prepare(dialect_of(url), [])
    database = Database(url, [])

    def read(reader: Reader) -> int:
        return reader.definitions.epoch()

    async def read_often() -> set[int]:
        return {await database.read(read) for _ in range(READS)}

    try:
        assert len(asyncio.run(read_often())) == 1
    finally:
        database.close()
