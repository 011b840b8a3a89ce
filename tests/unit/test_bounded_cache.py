"""Caches of what clients sent are bounded by what their results weigh."""

import gc
import weakref

import pytest

from persist.api.query_params import listing
from persist.domain.bounded_cache import (
    BYTES_PER_CHARACTER,
    BYTES_PER_RESULT,
    bounded_cache,
    weight_of_texts,
)
from persist.entity_types.cel.change_filter import compile_change_filter
from persist.entity_types.definition import normal_form
from persist.entity_types.from_schema import from_schema


class Doubled:
    """A cached function that counts its calls."""

    def __init__(self, capacity: int) -> None:
        self.calls = 0
        self.of = bounded_cache(capacity, weight_of_texts)(self._doubled)

    def _doubled(self, text: str, times: int = 2) -> str:
        self.calls += 1
        if not text:
            raise ValueError(times)
        return text * times


def weight(characters: int) -> int:
    return BYTES_PER_RESULT + BYTES_PER_CHARACTER * characters


def test_a_result_is_kept_for_the_same_arguments() -> None:
    doubled = Doubled(10 * weight(2))
    assert [doubled.of("ab"), doubled.of("ab"), doubled.of("ab", 3)] == [
        "abab",
        "abab",
        "ababab",
    ]
    assert doubled.of("ab", times=3) == doubled.of("ab", times=3) == "ababab"
    assert doubled.calls == 3


def test_results_up_to_the_capacity_are_kept_and_one_more_empties_the_cache() -> None:
    doubled = Doubled(3 * weight(1))
    for text in ("a", "b", "c", "a", "b", "c"):
        doubled.of(text)
    assert doubled.calls == 3
    doubled.of("d")
    doubled.of("a")
    doubled.of("d")
    assert doubled.calls == 5


def test_a_result_that_weighs_more_than_the_capacity_is_not_kept() -> None:
    doubled = Doubled(weight(5))
    assert doubled.of("abcdef") == doubled.of("abcdef") == "abcdefabcdef"
    assert doubled.calls == 2


def test_errors_are_not_kept() -> None:
    doubled = Doubled(weight(5))
    for _ in range(2):
        with pytest.raises(ValueError, match="2"):
            doubled.of("")
    assert doubled.calls == 2


def test_parsed_queries_do_not_keep_an_earlier_version_of_a_type() -> None:
    definition = normal_form({"schema": {"properties": {"n": {"type": "integer"}}}})
    entity_type = from_schema("things", 1, definition)
    query = b"n=1&sort=n"
    assert listing(entity_type, "", query) is listing(entity_type, "", query)
    assert listing(entity_type, "", query) is not listing(entity_type, "a", query)
    text = "data.n > 1"
    compiled = compile_change_filter(entity_type, text)
    assert compile_change_filter(entity_type, text) is compiled
    assert compile_change_filter(None, text) is not compiled
    kept = weakref.ref(entity_type)
    del entity_type, definition
    gc.collect()
    assert kept() is None
