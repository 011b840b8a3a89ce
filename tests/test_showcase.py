import json
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.support.program import persist, serving

OTHER_CATALOGUE = '''
from persist import entity
from sqlmodel import Field, SQLModel

@entity("catalog-products", schema_version=7)
class Product(SQLModel):
    """A product of another shop."""
    sku: str
    title: str
    price_cents: int
    active: bool = True
'''


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """What it told of a service of its own, where the settings are those of another service."""
    folder = tmp_path_factory.mktemp("empty")
    outcome = persist(folder, "showcase", PERSIST_WORKERS="none", PERSIST_DATABASE_URL="sqlite:///mine.db")
    assert list(folder.iterdir()) == []
    return outcome


def test_it_tells_the_story_of_a_service_of_its_own(told: subprocess.CompletedProcess[str]) -> None:
    assert told.returncode == 0, told.stdout + told.stderr
    story = [line.split(maxsplit=1)[1] for line in told.stdout.splitlines() if line.startswith("  ✓")]
    assert [line.split("  ")[0] for line in story] == [
        "Create a product",
        "Lower its price with the command set",
        "Patch its title, take it off sale",
        "Read it back",
        "Stop the service, start it, read the same",
    ]
    assert "all as expected" in told.stdout


def test_a_running_service_is_shown_again_and_again_and_left_as_it_was(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        for _ in range(2):
            outcome = persist(tmp_path, "showcase", "--json", "--url", service.url)
            assert_told_as_json(outcome)
        assert httpx.get(f"{service.url}/api/catalog-products").json()["items"] == []
        assert service.process.poll() is None


def assert_told_as_json(outcome: subprocess.CompletedProcess[str]) -> None:
    told = json.loads(outcome.stdout)
    assert (outcome.returncode, told["ok"], told["failure"]) == (0, True, None)
    assert told["steps"][-1]["checked"] == {
        "revision": 3,
        "data.title": "Mechanical Keyboard Pro",
        "data.price_cents": 10900,
        "data.active": False,
    }


def test_a_number_that_is_off_fails_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(OTHER_CATALOGUE)
    with serving(tmp_path, PERSIST_MODELS="other") as service:
        outcome = persist(tmp_path, "showcase", "--url", service.url)
    assert outcome.returncode == 1
    assert "schema_version is 7 instead of 3" in outcome.stdout


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense"])
def test_a_service_that_cannot_be_reached_fails_in_a_sentence(tmp_path: Path, url: str) -> None:
    outcome = persist(tmp_path, "showcase", "--json", "--url", url)
    assert outcome.returncode == 1
    assert json.loads(outcome.stdout)["failure"].startswith("the service cannot be reached")
    assert outcome.stderr == ""
