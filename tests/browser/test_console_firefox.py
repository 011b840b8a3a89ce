"""The console in Firefox, by WebDriver BiDi and by keyboard."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.forked import ROOT
from tests.support.server import serving

FIREFOX = shutil.which("firefox") or shutil.which("firefox-esr")
NODE = shutil.which("node")
CONSOLE = ROOT / "console"
TIMEOUT_SECONDS = 120

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (FIREFOX and NODE and (CONSOLE / "node_modules").exists()),
        reason="THE CONSOLE IS NOT TESTED IN FIREFOX: no firefox, or no `make console`",
    ),
]


def test_the_flows_run_in_firefox(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/persist.db"
    with serving(url, tmp_path, settings={"MODELS": "app.models"}) as server:
        done = subprocess.run(
            [str(NODE), "test/firefox.mjs", server.url, str(FIREFOX)],
            cwd=CONSOLE,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
