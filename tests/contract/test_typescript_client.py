"""The client for TypeScript: built, and run by node against a live service."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Service

PACKAGE = Path(__file__).parents[2] / "clients" / "typescript"
SECONDS = 300


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_the_typescript_client_passes_its_own_tests(
    service: Service, tmp_path: Path
) -> None:
    folder = tmp_path / "typescript"
    built = shutil.ignore_patterns("node_modules", "dist", "dist-test")
    shutil.copytree(PACKAGE, folder, ignore=built)
    run("npm", "ci", "--silent", "--no-audit", "--no-fund", folder=folder)
    run("npm", "test", folder=folder, PERSIST_URL=service.url)


def run(*command: str, folder: Path, **environment: str) -> None:
    outcome = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
