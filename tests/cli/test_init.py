"""`persist init`: the deployment that it writes works as it stands."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.program import TIMEOUT_SECONDS, clean_environment, persist, serving

ENVIRONMENT = clean_environment(PERSIST_MODELS="")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("init")
    outcome = persist(folder, "init", "shop")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.stdout.endswith("read shop/README.md\n")
    return folder / "shop"


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def test_its_tests_pass(shop: Path) -> None:
    outcome = run(shop, "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert outcome.returncode == 0, outcome.stdout
    assert "4 passed" in outcome.stdout


def test_its_service_serves_the_class_and_the_schema(shop: Path) -> None:
    with serving(shop, PERSIST_MODELS="") as service:
        items = httpx.get(f"{service.url}/collections").json()["items"]
        assert [(each["name"], each["kind"]) for each in items] == [
            ("notes", "registered"),
            ("tasks", "typed"),
        ]
        task = httpx.post(f"{service.url}/api/tasks", json={"title": "Buy milk"})
        assert task.status_code == 201
        assert task.json()["schema_version"] == 2
        check = run(shop, "persist.cli", "check")
        assert check.returncode == 0, check.stdout


def test_its_requirements_name_this_version(shop: Path) -> None:
    version = persist(shop, "--version").stdout.split()[1]
    wanted = f"persist-service[postgres]=={version}\n"
    assert (shop / "requirements.txt").read_text() == wanted


def test_its_readme_is_short(shop: Path) -> None:
    assert len((shop / "README.md").read_text().splitlines()) <= 30


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine\n")
    outcome = persist(tmp_path, "init")
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("persist: README.md exists already")
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "mine\n"


def test_it_is_written_into_the_current_folder_by_default(tmp_path: Path) -> None:
    assert persist(tmp_path, "init").returncode == 0
    assert (tmp_path / "app" / "models" / "task.py").exists()
