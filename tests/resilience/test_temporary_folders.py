"""What a service of several processes leaves in the temporary folder when it is killed."""

from pathlib import Path

import pytest

from tests.conftest import NewDatabase
from tests.support.databases import sqlite_only
from tests.support.server import serving, start


@pytest.mark.slow
@sqlite_only
def test_the_folder_of_a_service_that_was_killed_is_deleted_by_the_next(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url, temporary = new_database(), tmp_path / "temporary"
    temporary.mkdir()
    strange = temporary / "persist-of-another"
    strange.mkdir()
    environment = {"TMPDIR": str(temporary)}
    killed = start(url, tmp_path, workers=2, environment=environment)
    left = set(temporary.iterdir())
    assert len(left) == 2
    killed.kill()
    assert set(temporary.iterdir()) == left
    with serving(url, tmp_path, workers=2, environment=environment):
        now = set(temporary.iterdir())
        assert len(now) == 2
        assert now & left == {strange}
    assert list(temporary.iterdir()) == [strange]
