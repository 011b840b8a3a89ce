"""The service under test: `persist serve` on its own database."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[1]
ANNOUNCEMENT = re.compile(r"answers on (http://\S+)")


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a service that runs as long as the tests do."""
    database = tmp_path_factory.mktemp("database") / "test.db"
    service = subprocess.Popen(
        [
            *(sys.executable, "-m", "persist.cli", "serve", "--port", "0"),
            *("--database-url", f"sqlite:///{database}"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert service.stdout is not None
    try:
        announced = ANNOUNCEMENT.search(service.stdout.readline())
        assert announced is not None, "the service did not start"
        with httpx.Client(base_url=announced[1]) as client:
            yield client
    finally:
        service.terminate()
        service.communicate()
