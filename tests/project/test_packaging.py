"""The wheel in a clean environment: what somebody gets who installs Persist."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.support.forked import ROOT
from tests.support.program import announced

pytestmark = pytest.mark.slow

MACHINES = '''
from persist import Refused, command, entity
from sqlmodel import Field, SQLModel

@entity("machines", schema_version=1)
class Machine(SQLModel):
    """Something that can be switched on."""
    name: str = Field(min_length=1)
    on: bool = False

    @command(when=lambda machine: not machine.on, otherwise="it is on already")
    def switch_on(self) -> bool:
        """Switch it on."""
        if self.name == "broken":
            raise Refused("it does not react", code="out-of-order")
        self.on = True
        return True
'''

PLAN = """from persist import MigrationPlan, MigrationStep

PLAN = MigrationPlan([MigrationStep(1, 2, sql="ALTER TABLE {table} ADD COLUMN note {text}")])
STEP = MigrationStep("1", 2)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip(
        sys.executable,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    )
    (built,) = folder.glob("persist_service-*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment with the wheel and what it runs
    with."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
    python = str(folder / "bin" / "python")
    pip(
        python,
        "install",
        "--require-hashes",
        "--requirement",
        str(ROOT / "requirements.lock"),
    )
    pip(python, "install", "--no-deps", "--no-index", str(wheel))
    return folder / "bin"


def pip(python: str, *arguments: str) -> None:
    subprocess.run(
        [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        check=True,
        timeout=500,
    )


def bare(**chosen: str) -> dict[str, str]:
    """The environment of somebody who has no checkout."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **chosen}


def test_the_wheel_holds_the_service_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.split("/")[0] for name in names}
    assert folders == {"persist", "persist_service-0.1.0.dist-info"}
    assert any(name.startswith("persist/api/static/") for name in names)
    assert "persist/py.typed" in names


def test_a_type_checker_sees_the_types_of_what_an_entity_imports(
    environment: Path, tmp_path: Path
) -> None:
    (tmp_path / "plan.py").write_text(PLAN)
    outcome = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--python-executable",
            environment / "python",
            "plan.py",
        ],
        cwd=tmp_path,
        env=bare(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "plan.py:3: error" not in outcome.stdout
    assert (
        'plan.py:4: error: Argument 1 to "MigrationStep" has incompatible type "str"'
        in outcome.stdout
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_runs_from_an_empty_folder(
    environment: Path, tmp_path: Path, workers: str
) -> None:
    program = [str(environment / "persist")]
    with announced(program, tmp_path, bare(PERSIST_WORKERS=workers)) as service:
        assert httpx.get(f"{service.url}/docs").status_code == 200
        assert httpx.get(f"{service.url}/collections").json()["items"] == []
        assert "only registered types are served" in service.errors.read_text()


@pytest.mark.parametrize("name", ["plant.machines", "app.models"])
def test_a_users_own_package_is_served(
    environment: Path, tmp_path: Path, name: str
) -> None:
    module = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
    module.parent.mkdir()
    (module.parent / "__init__.py").touch()
    module.write_text(MACHINES)
    chosen = {} if name == "app.models" else {"PERSIST_MODELS": name}
    settings = bare(PERSIST_WORKERS="2", **chosen)
    with announced([str(environment / "persist")], tmp_path, settings) as service:
        machines = f"{service.url}/api/machines"
        lathe = httpx.post(machines, json={"name": "lathe"}).json()
        broken = httpx.post(machines, json={"name": "broken"}).json()
        switched = httpx.post(f"{machines}/{lathe['id']}/commands/switch_on").json()
        assert (switched["result"], switched["record"]["data"]["on"]) == (True, True)
        refused = httpx.post(f"{machines}/{broken['id']}/commands/switch_on")
        assert (refused.status_code, refused.json()["code"]) == (409, "out-of-order")
        collections = httpx.get(f"{service.url}/collections").json()["items"]
        assert [each["name"] for each in collections] == ["machines"]


def test_a_new_deployment_works_and_passes_a_type_checker(
    environment: Path, tmp_path: Path
) -> None:
    persist = str(environment / "persist")
    subprocess.run([persist, "init", "shop"], cwd=tmp_path, env=bare(), check=True)
    shop = tmp_path / "shop"
    with announced([persist], shop, bare()) as service:
        collections = httpx.get(f"{service.url}/collections").json()["items"]
        assert [each["name"] for each in collections] == ["notes", "tasks"]
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable"]
    outcome = subprocess.run(
        [*mypy, environment / "python", "app", "migrations"],
        cwd=shop,
        env=bare(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout
