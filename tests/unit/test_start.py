"""Starting: a worker that cannot start, and warnings of several processes."""

import logging
import sqlite3
from pathlib import Path

import pytest
from uvicorn.config import STARTUP_FAILURE

from persist import application
from persist.cli import serve
from persist.settings import Settings
from persist.storage.dialect import sqlite
from persist.storage.operation.durable_files import rename_durably


def test_a_worker_that_cannot_start_ends_with_the_status_that_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PERSIST_DATABASE_URL", f"sqlite:///{tmp_path}/no/folder/p.db")
    with pytest.raises(SystemExit) as ended:
        application.application()
    assert ended.value.code == STARTUP_FAILURE


@pytest.mark.parametrize(("workers", "warned"), [(1, False), (2, True)])
def test_serve_warns_of_the_bug_of_sqlite_with_several_processes(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    workers: int,
    warned: bool,
) -> None:
    later = (*sqlite3.sqlite_version_info[:2], sqlite3.sqlite_version_info[2] + 1)
    monkeypatch.setattr(sqlite, "SAFE_VERSION", later)
    url = f"sqlite:///{tmp_path}/p.db"
    with caplog.at_level(logging.WARNING, "persist.cli"):
        serve._prepare_tables(Settings(database_url=url, workers=workers), [])
    assert ("several processes" in caplog.text) is warned


def test_a_backup_and_its_name_are_on_the_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("persist.storage.operation.durable_files.sync", synced.append)
    part, file = tmp_path / "p.part", tmp_path / "p"
    part.write_text("x")
    rename_durably(part, file)
    assert synced == [part, tmp_path]
    assert file.read_text() == "x"
