"""The turnstile of processes that write to one SQLite file."""

import os
import signal
from pathlib import Path

from persist.storage.dialect.turnstile import Turnstile


def test_others_see_of_a_long_turn_that_it_is_long(tmp_path: Path) -> None:
    one, other = Turnstile(tmp_path / "db"), Turnstile(tmp_path / "db")
    assert not other.long_turn_runs()
    with one:
        assert not other.long_turn_runs()
    with one.long_turn():
        assert other.long_turn_runs()
    assert not other.long_turn_runs()


def test_a_long_turn_ends_with_its_process(tmp_path: Path) -> None:
    one, other = Turnstile(tmp_path / "db"), Turnstile(tmp_path / "db")
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        with one.long_turn():
            os.write(writing, b"x")
            signal.pause()
    os.read(reading, 1)
    assert other.long_turn_runs()
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    assert not other.long_turn_runs()
    with other:
        assert not one.long_turn_runs()
