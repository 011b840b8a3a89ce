"""The client for TypeScript: built, and run by node against a live service."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Service

PACKAGE = Path(__file__).parents[2] / "clients" / "typescript"
SECONDS = 300


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built client and its built tests."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("clients") / "typescript"
    built = shutil.ignore_patterns("node_modules", "dist", "dist-test")
    shutil.copytree(PACKAGE, folder, ignore=built)
    run("npm", "ci", "--silent", "--no-audit", "--no-fund", folder=folder)
    run("npm", "run", "build:test", folder=folder)
    return folder


def test_the_typescript_client_passes_its_own_tests(
    service: Service, package: Path
) -> None:
    run("node", "--test", "dist-test/test/", folder=package, PERSIST_URL=service.url)


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
