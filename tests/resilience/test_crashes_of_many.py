"""Kill -9 in the middle of transactions and of commands on many records: nothing is
there by half."""

import random
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.conftest import NewDatabase
from tests.support.collection import Collection
from tests.support.server import Server, start

GROUP = 300
"""Records a command runs on: more than are written at once."""


class Writers:
    """Clients that write many records at once until the service has ended."""

    def __init__(self, server: Server, group: str) -> None:
        self.invoked = 0
        self.sent_invocations = 0
        self.transactions: dict[str, bool] = {}
        self._server, self._group = server, group
        self._changed = threading.Condition()
        writes = (
            self._invoke,
            self._invoke,
            self._transact,
            self._transact,
            self._transact,
        )
        self._threads = [
            threading.Thread(target=self._until_the_service_ends, args=[write])
            for write in writes
        ]

    def run_and_kill(self, enough: int) -> None:
        """Kill the service when so many of each kind were acknowledged."""
        for thread in self._threads:
            thread.start()
        with self._changed:
            reached = self._changed.wait_for(
                lambda: self._acknowledged() >= enough, timeout=60
            )
        self._server.kill()
        for thread in self._threads:
            thread.join()
        assert reached

    def _acknowledged(self) -> int:
        return min(self.invoked, sum(self.transactions.values()))

    def _until_the_service_ends(self, write: Callable[[Collection], None]) -> None:
        with self._server.client() as client:
            try:
                while True:
                    write(Collection(client, "counters"))
            except httpx.TransportError:
                return

    def _invoke(self, counters: Collection) -> None:
        with self._changed:
            self.sent_invocations += 1
        response = counters.invoke("increment", name=self._group, atomic="true")
        assert response.status_code == 200, response.text
        with self._changed:
            self.invoked += 1
            self._changed.notify_all()

    def _transact(self, counters: Collection) -> None:
        key = uuid.uuid4().hex
        self.transactions[key] = False
        create = {
            "op": "create",
            "collection": "counters",
            "data": {"name": key},
            "as": "made",
        }
        change = {
            "op": "patch",
            "collection": "counters",
            "id": {"$ref": "made.id"},
            "patch": {"value": 7},
        }
        others = [create | {"as": f"n{n}"} for n in range(20)]
        response = counters.client.post(
            "/transactions", json={"operations": [create, change, *others]}
        )
        assert response.status_code == 200, response.text
        with self._changed:
            self.transactions[key] = True
            self._changed.notify_all()


def kill_and_look(url: str, folder: Path, crashes: int, *, workers: int) -> None:
    """Each time all that was acknowledged is there, and nothing by half."""
    group, chance, at_least, at_most = uuid.uuid4().hex, random.Random(crashes), 0, 0
    server = start(url, folder, workers=workers)
    try:
        with server.client() as client:
            Collection(client, "counters").import_lines(
                f'{{"name": "{group}"}}\n' * GROUP
            )
        for _ in range(crashes):
            writers = Writers(server, group)
            writers.run_and_kill(chance.randint(1, 4))
            server = start(url, folder, workers=workers)
            at_least, at_most = (
                at_least + writers.invoked,
                at_most + writers.sent_invocations,
            )
            with server.client() as client:
                counters = Collection(client, "counters")
                at_least = assert_the_group_is_whole(counters, group, at_least, at_most)
                for key, acknowledged in writers.transactions.items():
                    assert_a_transaction_is_whole(
                        counters, key, acknowledged=acknowledged
                    )
            at_most = at_least
    finally:
        server.kill()


def assert_the_group_is_whole(
    counters: Collection, group: str, at_least: int, at_most: int
) -> int:
    """Every record counts the same calls, those acknowledged among them: how many."""
    records = [
        record for page in counters.pages(name=group, limit=500) for record in page
    ]
    states = {(record["data"]["value"], record["revision"]) for record in records}
    assert len(records) == GROUP
    ((value, revision),) = states
    assert at_least <= value <= at_most
    assert revision == value + 1
    assert len(counters.history(records[-1]["id"], limit=500)) == min(revision, 500)
    return int(value)


def assert_a_transaction_is_whole(
    counters: Collection, key: str, *, acknowledged: bool
) -> None:
    records = counters.items(name=key, limit="500")
    assert len(records) in ((21,) if acknowledged else (0, 21))
    if records:
        assert sorted(record["data"]["value"] for record in records) == [0] * 20 + [7]
        assert sorted(record["revision"] for record in records) == [1] * 20 + [2]


def test_a_kill_leaves_no_transaction_and_no_command_by_half(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    kill_and_look(new_database(), tmp_path, 2, workers=1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_fifteen_kills_leave_nothing_by_half(
    new_database: NewDatabase, tmp_path: Path, workers: int
) -> None:
    kill_and_look(new_database(), tmp_path, 15, workers=workers)
