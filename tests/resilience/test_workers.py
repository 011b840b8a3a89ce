"""A service of several processes: connections are spread over them, and it goes on when
one of them ends."""

import os
import signal
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import NewDatabase
from tests.support.raw import connected
from tests.support.server import Server, serving
from tests.support.waiting import until

CONNECTIONS = 32


def workers_of(server: Server) -> list[int]:
    """The process ids of the workers: children of the service that have threads."""
    children = Path(f"/proc/{server.process.pid}/task").glob("*/children")
    found = [int(pid) for file in children for pid in file.read_text().split()]
    return [pid for pid in found if len(list(Path(f"/proc/{pid}/task").iterdir())) > 2]


def sockets_of(pid: int) -> int:
    files = Path(f"/proc/{pid}/fd").iterdir()
    return Counter(str(file.readlink()).partition(":")[0] for file in files)["socket"]


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite"], indirect=True, scope="session")
def test_a_worker_that_cannot_start_while_the_database_is_away_is_tried_again(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database()
    file = Path(url.removeprefix("sqlite:///"))
    with serving(url, tmp_path, workers=2) as server:
        until(lambda: "persist answers" in server.log.read_text())
        first, second = workers_of(server)
        assert_connections_are_spread(server, first, second)
        away = file.with_name("away")
        file.rename(away)
        file.mkdir()  # no database can be opened or created there
        os.kill(first, signal.SIGKILL)
        until(lambda: server.log.read_text().count("ended with status 3") == 2, 90)
        for _ in range(10):
            with server.client() as client:
                assert client.get("/health/live").status_code == 200
        assert second in workers_of(server)
        file.rmdir()
        away.rename(file)
        until(lambda: len(workers_of(server)) == 2, 90)
        until(server.is_ready)
    assert server.process.poll() == 0


def assert_connections_are_spread(server: Server, *workers: int) -> None:
    before = {pid: sockets_of(pid) for pid in workers}

    def opened() -> list[int]:
        return [sockets_of(pid) - before[pid] for pid in workers]

    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(connected(server.url))
        until(lambda: sum(opened()) == CONNECTIONS)
        assert min(opened()) >= CONNECTIONS / 8


@pytest.mark.parametrize("database", ["sqlite"], indirect=True, scope="session")
def test_the_processes_end_when_the_one_that_started_them_is_killed(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    with serving(new_database(), tmp_path, workers=2) as server:
        until(lambda: "persist answers" in server.log.read_text())
        workers = workers_of(server)
        assert len(workers) == 2
        os.kill(server.process.pid, signal.SIGKILL)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
