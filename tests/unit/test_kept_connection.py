"""A connection that one thread keeps, and replaces after a failure."""

from typing import Any, cast

import pytest

from persist.storage.kept_connection import KeptConnection


class Opened:
    """A connection that counts how often it was closed."""

    def __init__(self, *, is_lost: bool = False) -> None:
        self.closed = 0
        self._is_lost = is_lost

    def close(self) -> None:
        self.closed += 1
        if self._is_lost:
            raise ConnectionError


def kept(*opened: Opened) -> KeptConnection:
    waiting = iter(opened)
    return KeptConnection(lambda: cast(Any, next(waiting)))


def test_the_same_connection_is_used_until_it_is_discarded() -> None:
    first, second = Opened(), Opened()
    connection = kept(first, second)
    assert connection.get() is connection.get() is cast(Any, first)
    connection.discard()
    assert first.closed == 1
    assert connection.get() is cast(Any, second)


def test_a_connection_that_is_lost_can_be_discarded() -> None:
    first, second = Opened(is_lost=True), Opened()
    connection = kept(first, second)
    connection.get()
    connection.discard()
    assert connection.get() is cast(Any, second)


def test_a_connection_is_closed_once_and_none_where_none_was_opened() -> None:
    opened = Opened()
    connection = kept(opened)
    connection.close()
    assert opened.closed == 0
    connection.get()
    connection.close()
    connection.close()
    assert opened.closed == 1


def test_a_connection_that_cannot_be_opened_is_tried_again() -> None:
    connection = kept()
    for _ in range(2):
        with pytest.raises(StopIteration):
            connection.get()
