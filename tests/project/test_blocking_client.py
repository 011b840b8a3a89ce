"""The blocking client is what ``tests.support.blocking_client`` makes of the other."""

from tests.support.blocking_client import RESULT, blocking_client


def test_the_blocking_client_is_made_of_the_asynchronous_one() -> None:
    assert RESULT.read_text() == blocking_client()
