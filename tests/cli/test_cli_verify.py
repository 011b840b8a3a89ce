"""`persist journal verify`: what was altered in the database is found and named."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from pydantic import ValidationError

from persist.settings import Settings
from tests.conftest import NewDatabase
from tests.support.program import persist
from tests.support.raw_sql import run_sql
from tests.support.server import serving

SETTINGS = {"MODELS": "tests.deployment"}
PRIVATE, PUBLIC = "journal.pem", "public.pem"
CHANGES = 12
SWAP = (
    "UPDATE journal SET seq = -1 WHERE seq = {0};"
    "UPDATE journal SET seq = {0} WHERE seq = {1};"
    "UPDATE journal SET seq = {1} WHERE seq = -1"
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two halves of a key."""
    folder = tmp_path_factory.mktemp("keys")
    key = Ed25519PrivateKey.generate()
    pem = Encoding.PEM
    (folder / PRIVATE).write_bytes(
        key.private_bytes(pem, PrivateFormat.PKCS8, NoEncryption())
    )
    public = key.public_key()
    (folder / PUBLIC).write_bytes(
        public.public_bytes(pem, PublicFormat.SubjectPublicKeyInfo)
    )
    return folder


@pytest.fixture(scope="module")
def journal(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory, keys: Path
) -> tuple[str, dict[str, Any]]:
    """A database with some changes, in several seals, and the head of its journal."""
    url, folder = new_database(), tmp_path_factory.mktemp("journal")
    settings = SETTINGS | {"JOURNAL_KEY": str(keys / PRIVATE)}
    with serving(url, folder, settings=settings) as server, server.client() as client:
        for value in range(CHANGES - 5):
            client.post("/api/counters", json={"value": value}).raise_for_status()
        lines = "".join(json.dumps({"value": value}) + "\n" for value in range(5))
        client.post(
            "/api/counters/import",
            content=lines,
            headers={"Content-Type": "application/x-ndjson"},
        ).raise_for_status()
        head: dict[str, Any] = client.get("/changes/head").json()
    return url, head


@pytest.fixture
def altered(journal: tuple[str, dict[str, Any]]) -> Any:
    """Alters the journal, and puts it back as it was after the test."""
    url, _ = journal
    tables = ("journal", "seals", "journal_head", "journal_first", "journal_bases")
    run_sql(
        url, *(f"CREATE TABLE kept_{name} AS SELECT * FROM {name}" for name in tables)
    )
    yield lambda *statements: run_sql(url, *statements)
    for name in tables:
        run_sql(
            url,
            f"DELETE FROM {name}",
            f"INSERT INTO {name} SELECT * FROM kept_{name}",
            f"DROP TABLE kept_{name}",
        )


def test_an_unaltered_journal_is_verified(
    journal: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    url, head = journal
    noted = tmp_path / "head.json"
    noted.write_text(json.dumps(head))
    outcome = persist(
        tmp_path, "journal", "verify", "--head", str(noted), "--database-url", url
    )
    assert outcome.returncode == 0, outcome.stderr
    assert f"{CHANGES} changes verified; the head is {head['hash']}" in outcome.stdout


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        (
            "UPDATE journal SET data = '{\"value\": 99}' WHERE seq = 3",
            "change 3 was altered",
        ),
        ("UPDATE journal SET actor = 'mallory' WHERE seq = 4", "change 4 was altered"),
        ("UPDATE journal SET hash = NULL WHERE seq = 5", "change 5 was altered"),
        ("DELETE FROM journal WHERE seq = 10", "change 10 is missing"),
        ("DELETE FROM journal WHERE seq = 1", "change 1 is missing"),
        (SWAP.format(9, 10), "changes from 8 to 12 are not those of their seal"),
        (SWAP.format(1, 2), "changes from 1 to 1 are not those of their seal"),
        (
            "UPDATE journal_head SET seal_hash = 'x'",
            "the counter of the journal does not name the last seal",
        ),
        ("UPDATE journal_first SET seq = 4", "changes before 4 are missing"),
        (f"DELETE FROM journal WHERE seq = {CHANGES}", f"change {CHANGES} is missing"),
        ("DELETE FROM seals WHERE seq = 2", "the seal after 1 is missing"),
        (
            "UPDATE seals SET root = hash WHERE seq = 2",
            "ends with change 2 was altered",
        ),
        ("UPDATE journal_head SET seq = 13", "changes from 13 to 13 have no seal"),
    ],
)
def test_what_was_altered_is_named(
    journal: tuple[str, dict[str, Any]],
    altered: Callable[..., None],
    tmp_path: Path,
    statement: str,
    fault: str,
) -> None:
    altered(*statement.split(";"))
    outcome = persist(tmp_path, "journal", "verify", "--database-url", journal[0])
    assert outcome.returncode == 1
    assert fault in outcome.stderr


def test_a_signed_head_names_its_signer(
    journal: tuple[str, dict[str, Any]], keys: Path, tmp_path: Path
) -> None:
    url, head = journal
    noted, raw = tmp_path / "head.json", tmp_path / "public.txt"
    noted.write_text(json.dumps(head))
    raw.write_text(head["public_key"] + "\n")
    command = ("journal", "verify", "--database-url", url, "--head", str(noted))
    for public in (keys / PUBLIC, raw):
        outcome = persist(tmp_path, *command, "--public-key", str(public))
        assert outcome.returncode == 0, outcome.stderr
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    raw.write_text(base64.b64encode(other).decode())
    outcome = persist(tmp_path, *command, "--public-key", str(raw))
    assert outcome.returncode == 1
    assert "is not signed with this key" in outcome.stderr


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "cannot be read"),
        (b"-----BEGIN PRIVATE KEY-----\nx\n", "is not a private key in PEM"),
    ],
)
def test_a_file_that_is_no_key_stops_the_start(
    tmp_path: Path, content: bytes | None, fault: str
) -> None:
    file = tmp_path / "journal.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValidationError, match=fault):
        Settings(journal_key=str(file))


def test_a_journal_cut_at_its_end_lacks_the_noted_head(
    journal: tuple[str, dict[str, Any]], altered: Callable[..., None], tmp_path: Path
) -> None:
    url, head = journal
    noted = tmp_path / "head.json"
    noted.write_text(json.dumps(head))
    altered(
        "DELETE FROM journal WHERE seq > 7",
        "DELETE FROM seals WHERE seq > 7",
        "UPDATE journal_head SET seq = 7, sealed_seq = 7,"
        " seal_hash = (SELECT hash FROM seals WHERE seq = 7),"
        " sealed_at = (SELECT at FROM seals WHERE seq = 7)",
    )
    command = ("journal", "verify", "--database-url", url)
    assert persist(tmp_path, *command).returncode == 0
    outcome = persist(tmp_path, *command, "--head", str(noted))
    assert outcome.returncode == 1
    assert "is not among the seals" in outcome.stderr


def test_a_head_older_than_the_trimmed_journal_cannot_be_judged(
    journal: tuple[str, dict[str, Any]], altered: Callable[..., None], tmp_path: Path
) -> None:
    altered()
    url, head = journal
    noted = tmp_path / "head.json"
    noted.write_text(json.dumps(head | {"seq": 1, "hash": "0" * 64}))
    cut = persist(tmp_path, "journal", "trim", "--before", "4", "--database-url", url)
    assert "3 changes deleted; the journal begins at seq 4" in cut.stdout
    command = ("journal", "verify", "--database-url", url)
    assert persist(tmp_path, *command).returncode == 0
    outcome = persist(tmp_path, *command, "--head", str(noted))
    assert outcome.returncode == 2
    assert "the journal was trimmed and begins at seq 4" in outcome.stderr


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"seq": "x", "hash": 1}'])
def test_a_file_that_is_no_head_is_refused(tmp_path: Path, content: str) -> None:
    noted = tmp_path / "head.json"
    noted.write_text(content)
    outcome = persist(tmp_path, "journal", "verify", "--head", str(noted))
    assert outcome.returncode == 2
    assert "--head takes a file with an answer of GET /changes/head" in outcome.stderr
