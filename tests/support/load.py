"""Clients that write until the service is killed, and remember what it acknowledged."""

import itertools
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.collection import Collection
from tests.support.problems import Json
from tests.support.server import Server

LINES = 20


@dataclass
class Ledger:
    """What clients sent, and what came back."""

    records: list[Json] = field(default_factory=list)
    deleted: list[Json] = field(default_factory=list)
    increments: list[int] = field(default_factory=list)
    sent_increments: int = 0
    imports: dict[str, bool] = field(default_factory=dict)
    keyed: dict[str, bytes | None] = field(default_factory=dict)
    refused: list[httpx.Response] = field(default_factory=list)
    acknowledged: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def acknowledge(self) -> None:
        with self.changed:
            self.acknowledged += 1
            self.changed.notify_all()

    def wait_for(self, acknowledged: int) -> None:
        """Return when that many writes were acknowledged in all."""
        with self.changed:
            assert self.changed.wait_for(
                lambda: self.acknowledged >= acknowledged, timeout=60
            )


class Load:
    """Threads that write to counters of a service until it breaks off."""

    def __init__(
        self, server: Server, ledger: Ledger, shared_id: str, clients: int = 6
    ) -> None:
        self._server, self._ledger, self._shared_id = server, ledger, shared_id
        self._threads = [threading.Thread(target=self._write) for _ in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *failure: Any) -> None:
        if failure[0] is not None:
            self._server.kill()
        for thread in self._threads:
            thread.join()

    def _write(self) -> None:
        with self._server.client() as client:
            counters = Collection(client, "counters")
            try:
                for turn in itertools.count():
                    self._one_turn(counters, turn)
            except httpx.TransportError:
                return

    def _one_turn(self, counters: Collection, turn: int) -> None:
        self._increment(counters)
        record = self._create(counters)
        if record is not None:
            self._change(counters, record, turn)
        if turn % 5 == 0:
            self._import(counters)

    def _increment(self, counters: Collection) -> None:
        with self._ledger.changed:
            self._ledger.sent_increments += 1
        response = counters.command(self._shared_id, "increment")
        if self._accepted(response):
            self._ledger.increments.append(response.json()["result"])

    def _create(self, counters: Collection) -> Json | None:
        key = uuid.uuid4().hex
        self._ledger.keyed[key] = None
        response = counters.create({"name": key}, headers={"idempotency-key": key})
        if not self._accepted(response):
            return None
        self._ledger.keyed[key] = response.content
        record: Json = response.json()
        self._ledger.records.append(record)
        return record

    def _change(self, counters: Collection, record: Json, turn: int) -> None:
        if turn % 3 == 0:
            if self._accepted(counters.delete(record["id"])):
                self._ledger.deleted.append(record)
            return
        response = counters.patch(record["id"], {"value": turn + 1})
        if self._accepted(response):
            self._ledger.records.append(response.json())

    def _import(self, counters: Collection) -> None:
        marker = f"import-{uuid.uuid4().hex}"
        self._ledger.imports[marker] = False
        response = counters.import_lines(f'{{"name": "{marker}"}}\n' * LINES)
        self._ledger.imports[marker] = self._accepted(response)

    def _accepted(self, response: httpx.Response) -> bool:
        if response.is_success:
            self._ledger.acknowledge()
            return True
        self._ledger.refused.append(response)
        time.sleep(
            0.02
        )  # a client that comes back at once only keeps the service from recovering
        return False


def assert_all_is_there(server: Server, ledger: Ledger, shared_id: str) -> None:
    """Every acknowledged write is there with its change, and nothing is there by
    half."""
    with server.client() as client:
        counters = Collection(client, "counters")
        for record in ledger.records:
            assert (
                counters.read(record["id"], revision=record["revision"]).json()
                == record
            )
        for record in ledger.deleted:
            assert counters.read(record["id"]).status_code == 404
            assert counters.history(record["id"])[0]["operation"] == "delete"
        _assert_increments(counters, ledger, shared_id)
        _assert_imports(counters, ledger)
        _assert_stored_answers(counters, ledger)
        _assert_records_agree_with_their_history(counters)


def _assert_increments(counters: Collection, ledger: Ledger, shared_id: str) -> None:
    record = counters.record(shared_id)
    value = record["data"]["value"]
    assert record["revision"] == value + 1
    assert max(ledger.increments) <= value <= ledger.sent_increments
    assert len(set(ledger.increments)) == len(ledger.increments)


def _assert_imports(counters: Collection, ledger: Ledger) -> None:
    for marker, acknowledged in ledger.imports.items():
        found = counters.find(name=marker, count="true", limit="1").json()["total"]
        assert found == LINES if acknowledged else found in (0, LINES)


def _created(counters: Collection, key: str) -> httpx.Response:
    """Send the create of a key until it is not 503, as clients do."""
    for _ in range(10):
        response = counters.create({"name": key}, headers={"idempotency-key": key})
        if response.status_code != 503:
            break
    assert response.status_code == 201, response.text
    return response


def _assert_stored_answers(counters: Collection, ledger: Ledger) -> None:
    """What was acknowledged is replayed; what broke off has one effect when it is sent
    again."""
    for key, answer in ledger.keyed.items():
        response = _created(counters, key)
        if answer is not None:
            assert response.headers["idempotency-replayed"] == "true"
            assert response.content == answer
            continue
        assert [record["id"] for record in counters.items(name=key)] == [
            response.json()["id"]
        ]
        ledger.keyed[key] = response.content
        ledger.records.append(response.json())


def _assert_records_agree_with_their_history(counters: Collection) -> None:
    for page in counters.pages(limit=500, name__ne="", sort="-_updated_at"):
        for record in page[:40]:
            changes = counters.history(record["id"], limit=500)
            revisions = [change["revision"] for change in changes]
            assert revisions[0] == record["revision"]
            assert revisions == list(
                range(revisions[0], revisions[0] - len(revisions), -1)
            )
            assert changes[0]["data"] == record["data"]
            assert changes[0]["at"] == record["updated_at"]
