"""schemathesis over the generated OpenAPI: every operation keeps what the document
promises."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import NewDatabase
from tests.support.forked import ROOT
from tests.support.server import Server, serving
from tests.support.twins import register_twins

CONFIGURATION = ROOT / "tests" / "support" / "schemathesis.toml"


LONG_SECONDS = 300
"""How long each long fuzzing takes: with both, a database is fuzzed for ten minutes."""


@pytest.fixture(scope="module")
def fuzzed(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A service of its own, of typed and registered collections: the fuzzer deletes
    what it finds."""
    folder = tmp_path_factory.mktemp("fuzz")
    with serving(new_database(), folder) as server, server.client() as client:
        register_twins(client)
        yield server


def fuzz(server: Server, folder: Path, *options: str) -> None:
    """Run schemathesis with every check; what it finds is what the test fails with."""
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        str(CONFIGURATION),
    ]
    command += ["run", f"{server.url}/openapi.json"]
    command += [
        "--checks",
        "all",
        "--exclude-checks",
        "positive_data_acceptance,negative_data_rejection",
        "--no-color",
    ]
    # Two commands of the test deployment fail on purpose.
    command += ["--exclude-path-regex", "/commands/(explode|overdraw)$"]
    # U+0000 deep inside an open object is refused, and no schema can say so.
    command += ["--generation-allow-x00", "false"]
    command += ["--request-timeout", "20", "--suppress-health-check", "all", *options]
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "tests.support.fuzz_checks",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]


def test_a_short_fuzzing_finds_nothing(fuzzed: Server, tmp_path: Path) -> None:
    options = [
        "--max-examples",
        "3",
        "--phases",
        "examples,fuzzing",
        "--generation-deterministic",
    ]
    fuzz(
        fuzzed,
        tmp_path,
        *options,
        "--include-path-regex",
        "accounts|^/(collections|health|problems)|^/$",
    )


@pytest.mark.slow
@pytest.mark.parametrize("phases", ["examples,coverage,fuzzing", "stateful"])
def test_a_long_fuzzing_finds_nothing(
    fuzzed: Server, tmp_path: Path, phases: str
) -> None:
    options = ["--phases", phases, "--max-time", str(LONG_SECONDS)]
    fuzz(fuzzed, tmp_path, *options, "--generation-database", "none")
