import json
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


def test_it_tells_the_story_of_a_service_of_its_own(tmp_path: Path) -> None:
    outcome = persist(tmp_path, "showcase")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    story = [line.split(maxsplit=1)[1] for line in outcome.stdout.splitlines() if line.startswith("  ✓")]
    assert [line.split("  ")[0] for line in story] == [
        "Create a product",
        "Lower its price with the command set",
        "Patch its title, take it off sale",
        "Read it back",
        "Stop the service, start it, read the same",
    ]
    assert "all as expected" in outcome.stdout


def test_it_leaves_nothing_behind(tmp_path: Path) -> None:
    assert persist(tmp_path, "showcase").returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_choices_for_another_service_do_not_reach_its_own(tmp_path: Path) -> None:
    outcome = persist(tmp_path, "showcase", PERSIST_WORKERS="none", PERSIST_DATABASE_URL="sqlite:///mine.db")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert not (tmp_path / "mine.db").exists()


def test_as_json_it_lists_what_was_checked(tmp_path: Path) -> None:
    told = json.loads(persist(tmp_path, "showcase", "--json").stdout)
    assert (told["ok"], told["failure"]) == (True, None)
    assert told["steps"][-1]["checked"] == {
        "revision": 3,
        "data.title": "Mechanical Keyboard Pro",
        "data.price_cents": 10900,
        "data.active": False,
    }


def test_a_running_service_is_shown_again_and_again_and_left_as_it_was(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        for _ in range(2):
            outcome = persist(tmp_path, "showcase", "--url", service.url)
            assert outcome.returncode == 0, outcome.stdout
        assert httpx.get(f"{service.url}/api/catalog-products").json()["items"] == []
        assert service.process.poll() is None


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
