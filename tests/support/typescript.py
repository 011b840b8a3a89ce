"""The client for TypeScript, built once for all processes of a test run."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.forked import ROOT

SECONDS = 300


def built(temporary: pytest.TempPathFactory) -> Path:
    """Return the folder of the client and its tests, as JavaScript in ``dist-test``.

    Skip the test where there is no npm.
    """
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    shared = temporary.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "typescript"
    with (shared / "typescript.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "dist-test").exists():
            _build(folder)
    return folder


def _build(folder: Path) -> None:
    package = ROOT / "clients" / "typescript"
    generated = shutil.ignore_patterns("node_modules", "dist", "dist-test")
    shutil.copytree(package, folder, ignore=generated, dirs_exist_ok=True)
    run("npm", "ci", "--silent", "--no-audit", "--no-fund", folder=folder)
    run("npm", "run", "build:test", folder=folder)


def run(*command: str, folder: Path, **environment: str) -> None:
    """Run a program; what it wrote is what the test fails with."""
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
