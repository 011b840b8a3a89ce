"""Every bit of a stored change is flipped, and `verify` names the change."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from threading import Event, Thread
from typing import Any

import psycopg
import pytest

from persist.storage.dialect import dialect_of
from persist.storage.journal import verify as journal_verify
from persist.storage.journal.verify import JournalAltered, verify_journal
from tests.conftest import NewDatabase
from tests.support.server import serving

DOCUMENTS = ("payload", "data")
HASHES = ("hash", "payload_sha256", "data_sha256")
COLUMNS = (
    "at",
    "workspace",
    "collection",
    "id",
    "revision",
    "schema_version",
    "operation",
    "command",
    "actor",
    "request_id",
    *DOCUMENTS,
    *HASHES,
)
"""What the leaf of a change covers."""

COMMAND, ERASED = 3, 4
"""The changes whose bits are flipped: one with a payload, and an erased one."""


@pytest.fixture(scope="module")
def journal(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database with some changes in several seals."""
    url = new_database()
    with (
        serving(url, tmp_path_factory.mktemp("journal")) as server,
        server.client() as client,
    ):
        client.put("/workspaces/den", json={"collections": ["counters"]})
        path = "/workspaces/den/api/counters"
        kept = client.post(path, json={"value": 1, "name": "Zoë"}).json()["id"]
        erased = client.post("/api/counters", json={"value": 2}).json()["id"]
        client.post(f"{path}/{kept}/commands/increment", json={"by": 2})
        client.patch(f"/api/counters/{erased}", json={"value": 3})
        client.delete(f"/api/counters/{erased}/history").raise_for_status()
        lines = "".join(json.dumps({"value": value}) + "\n" for value in range(3))
        client.post(
            f"{path}/import",
            content=lines,
            headers={"Content-Type": "application/x-ndjson"},
        ).raise_for_status()
    assert fault_of(url) is None
    return url


def fault_of(url: str) -> str | None:
    """What `verify` says; None if the journal is as it was sealed."""
    try:
        verify_journal(dialect_of(url), None, lambda *_: None)
    except JournalAltered as altered:
        return str(altered)
    return None


@pytest.mark.parametrize("changes", [1, 2, 500])
def test_seals_and_changes_are_read_in_batches_of_any_size(
    journal: str, changes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_verify, "SEALS_PER_READ", 2)
    monkeypatch.setattr(journal_verify, "CHANGES_PER_READ", changes)
    verified = Event()

    def verify() -> None:
        if fault_of(journal) is None:
            verified.set()

    # In a thread: two queries at once on a connection would wait for each other.
    Thread(target=verify, daemon=True).start()
    assert verified.wait(30)


class Journal:
    """The stored changes, each value of which can be replaced."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        if self.is_sqlite:
            file = url.removeprefix("sqlite:///")
            self.connection: Any = sqlite3.connect(file, isolation_level=None)
        else:
            self.connection = psycopg.connect(url, autocommit=True)

    def run(self, sql: str, *values: Any) -> Any:
        return self.connection.execute(
            sql if self.is_sqlite else sql.replace("?", "%s"), values
        )

    def value(self, column: str, seq: int) -> Any:
        name = f"CAST({column} AS TEXT)" if column in DOCUMENTS else column
        sql = f"SELECT {name} FROM journal WHERE seq = ?"
        return self.run(sql, seq).fetchone()[0]

    def put(self, column: str, seq: int, value: Any) -> bool:
        """Store a value; False if the database takes no such value."""
        new = "?"
        if isinstance(value, bytes) and column not in HASHES:
            # SQLite takes any bytes as text, PostgreSQL none but UTF-8.
            new = "CAST(? AS TEXT)"
            if not self.is_sqlite:
                new = "CAST(? AS JSON)" if column in DOCUMENTS else "?"
                value = value.decode(errors="replace")
        try:
            self.run(f"UPDATE journal SET {column} = {new} WHERE seq = ?", value, seq)
        except psycopg.DataError:
            return False
        return True


@pytest.fixture
def stored(journal: str) -> Iterator[Journal]:
    opened = Journal(journal)
    with closing(opened.connection):
        yield opened


def flipped(value: Any, step: int) -> Iterator[Any]:
    """The value with one of its bits flipped; a text becomes bytes."""
    if isinstance(value, int):
        for bit in range(0, 63, step):
            yield value ^ (1 << bit)
        return
    content = value.encode() if isinstance(value, str) else bytes(value)
    for bit in range(0, 8 * len(content), step):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("seq", [COMMAND, ERASED])
def test_each_flipped_bit_of_a_change_is_found(
    stored: Journal, seq: int, step: int
) -> None:
    found = 0
    for column in COLUMNS:
        value = stored.value(column, seq)
        if value is None:
            continue
        for changed in flipped(value, step):
            if not stored.put(column, seq, changed):
                continue
            assert fault_of(stored.url) == f"change {seq} was altered", column
            found += 1
        original = value.encode() if isinstance(value, str) else value
        assert stored.put(column, seq, original)
    assert found > 1_000 / step
    assert fault_of(stored.url) is None


@pytest.mark.parametrize("column", ["at", "root", "hash"])
def test_each_flipped_bit_of_a_seal_is_found(stored: Journal, column: str) -> None:
    [(value,)] = stored.run(f"SELECT {column} FROM seals WHERE seq = 3").fetchall()
    change = f"UPDATE seals SET {column} = ? WHERE seq = 3"
    for bit in range(0, 7 * len(value), 5):
        characters = list(value)
        characters[bit // 7] = chr(ord(value[bit // 7]) ^ (1 << bit % 7) or 0x80)
        try:
            stored.run(change, "".join(characters))
        except psycopg.DataError:
            continue
        assert fault_of(stored.url) == "the seal that ends with change 3 was altered"
    stored.run(change, value)
    assert fault_of(stored.url) is None
