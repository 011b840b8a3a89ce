"""Callers take turns, however much each has waiting."""

from persist.storage.sharing.fair_queue import FairQueue


def queue_of(items: str) -> FairQueue[str]:
    """A queue of items such as ``a1``, of which ``a`` is the caller."""
    queue = FairQueue[str]()
    for item in items.split():
        queue.add(item[0], item)
    return queue


def taken_from(queue: FairQueue[str]) -> str:
    taken = []
    while queue:
        taken.append(queue.take(next(queue.callers())))
    return " ".join(taken)


def test_callers_take_turns_and_each_keeps_its_order() -> None:
    queue = queue_of("a1 a2 a3 b1 c1 c2")
    assert len(queue) == 6
    assert taken_from(queue) == "a1 b1 c1 a2 c2 a3"
    assert len(queue) == 0


def test_a_caller_out_of_turn_moves_to_the_end() -> None:
    queue = queue_of("a1 b1 b2 c1")
    assert queue.take("b") == "b1"
    assert list(queue.callers()) == ["a", "c", "b"]


def test_what_is_put_back_comes_first() -> None:
    queue = queue_of("a1 b1 b2")
    item = queue.take("b")
    queue.put_back("b", item)
    assert taken_from(queue) == "b1 a1 b2"


def test_an_item_is_removed_once_and_its_caller_with_the_last() -> None:
    queue = queue_of("a1 a2 b1")
    assert queue.remove("b", "b1")
    assert "b" not in queue
    assert not queue.remove("b", "b1")
    assert not queue.remove("a", "a3")
    assert taken_from(queue) == "a1 a2"
