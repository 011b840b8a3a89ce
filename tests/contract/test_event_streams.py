"""Server-sent events over time: signs of life, and clients that take little or
nothing."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from persist import server
from persist.api import changes as feed
from persist.application import create_app
from persist.server import protocol
from persist.settings import Settings
from tests.support.collection import Collection
from tests.support.events import listening


class Hasty(NamedTuple):
    """A service in this process with shorter timeouts than usual, and its open
    connections."""

    url: str
    connections: Set[Any]

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, verify=False)


@pytest.fixture
def hasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hasty]:
    monkeypatch.setattr(feed, "HEARTBEAT", 0.2)
    monkeypatch.setattr(protocol, "STALLED_SECONDS", 0.5)
    settings = Settings(
        database_url=f"sqlite:///{tmp_path}/persist.db",
        models="tests.deployment",
        schemas="none",
    )
    announced, bound = threading.Event(), server.listen("127.0.0.1", 0)
    running = server.AnnouncingServer(
        server.configuration(create_app(settings)), announced.set
    )
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]})
    thread.start()
    assert announced.wait(30)
    yield Hasty(server.address(bound), running.server_state.connections)
    running.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


def test_signs_of_life_carry_how_far_the_journal_was_looked_at(hasty: Hasty) -> None:
    with hasty.client() as client, hasty.client() as listener:
        counters = Collection(client, "counters")
        with listening(listener, collection="samples") as events:
            assert [next(events), next(events)] == [(0, None)] * 2
            for _ in range(3):
                counters.created()
            ids = [0]
            while ids[-1] < 3:
                id, change = next(events)
                assert change is None
                ids.append(id)
            assert next(events) == (3, None)
    assert ids == sorted(ids)


def test_a_client_that_takes_nothing_is_cut_off(hasty: Hasty) -> None:
    with hasty.client() as client, socket.socket() as slow:
        for _ in range(30):
            Collection(client, "counters").created(name="x" * 500_000)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        slow.connect(("127.0.0.1", int(hasty.url.rpartition(":")[2])))
        slow.sendall(
            b"GET /changes HTTP/1.1\r\nHost: localhost\r\nAccept:"
            b" text/event-stream\r\n\r\n"
        )
        assert slow.recv(1_000).startswith(b"HTTP/1.1 200")
        deadline = time.monotonic() + 20
        while len(hasty.connections) > 1:
            assert time.monotonic() < deadline, "the connection is left open"
            time.sleep(0.05)
        assert Collection(client, "counters").create({}).status_code == 201


def test_a_client_that_reads_slowly_gets_everything(hasty: Hasty) -> None:
    with hasty.client() as client:
        for _ in range(12):
            Collection(client, "counters").created(name="x" * 400_000)
        pause, seqs = threading.Event(), []
        with client.stream(
            "GET", "/changes?limit=12", headers={"accept": "text/event-stream"}
        ) as response:
            for line in response.iter_lines():
                pause.wait(0.02)
                if line.startswith("data: "):
                    seqs.append(json.loads(line.removeprefix("data: "))["seq"])
    assert seqs == list(range(1, 13))
