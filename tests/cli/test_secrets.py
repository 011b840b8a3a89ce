"""A database URL's password is in no message and no log, whatever its characters."""

import subprocess
from pathlib import Path

import pytest

from tests.support.program import persist

PASSWORDS = [
    *("S3cret/pw", "S3cret?pw", "S3cret#pw", "S3cret@pw", "S3cret:pw", "S3cret pw"),
    *("S3cret%zz", "S3cret%", "S3cret%00pw", "S3cret%2", "S3cret%2Fpw", "S3cret[pw"),
    *("S3cret]pw", "S3cret\\pw", "S3cret\npw", "S3cret,pw", "S3cret&pw", "S3cret=pw"),
    *("/S3cret", "@S3cret", "?S3cret", "1/S3cret@2", "1/2?3@S3cret", "S3cretpw"),
]
URLS = [
    "postgresql://bob:{}@127.0.0.1:1/shop",
    "postgres://bob:{}@127.0.0.1:1,127.0.0.1:2/shop",
    "postgresql+psycopg://:{}@/shop?host=/nowhere",
    "postgresql://127.0.0.1:1/shop?user=bob&password={}",
    "postgresql://127.0.0.1:1/shop?nosuch={}",
    "postgresql:/bob:{}@127.0.0.1/shop",
    "bob:{}@127.0.0.1://shop",
    "{}://bob@127.0.0.1/shop",
    "mysql://bob:{}@127.0.0.1/shop",
]
COMMANDS = (
    *(("serve",), ("check",), ("migrate",), ("keys", "list")),
    *(("snapshot", "list"), ("journal", "trim", "--before", "1"), ("backup", "x.db")),
)


def run(folder: Path, command: tuple[str, ...], url: str) -> str:
    outcome: subprocess.CompletedProcess[str] = persist(
        folder,
        *command,
        PERSIST_DATABASE_URL=url,
        PERSIST_LOG_LEVEL="debug",
        PERSIST_MODELS="",
    )
    assert outcome.returncode in (1, 2), outcome
    assert "Traceback" not in outcome.stderr
    return outcome.stdout + outcome.stderr


@pytest.mark.parametrize("password", PASSWORDS)
def test_no_password_is_in_any_message(tmp_path: Path, password: str) -> None:
    for url in URLS:
        assert "S3cret" not in run(tmp_path, ("serve",), url.format(password)), url


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_writes_the_password(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    url = "postgresql://bob:S3cret/pw@127.0.0.1:1/shop"
    said = run(tmp_path, command, url)
    assert "S3cret" not in said
    assert "/ as %2F" in said
