"""Fixtures of the tests of registered types: a plugin, so that one pair of replicas
serves them all."""

import uuid
from collections.abc import Iterator

import pytest

from tests.support.registered import Replicas, an_empty_database, two_replicas


@pytest.fixture(scope="session")
def replicas(
    request: pytest.FixtureRequest,
    database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Replicas]:
    """The replicas all tests of registered types share; they keep apart by the names of
    their types."""
    folder = tmp_path_factory.mktemp("replicas")
    with two_replicas(an_empty_database(request, database, folder), folder) as found:
        yield found


@pytest.fixture
def name() -> str:
    """A name no other test gives to a type."""
    return f"t-{uuid.uuid4().hex}"
