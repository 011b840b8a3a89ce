"""Differences and three-way merges of JSON values."""

from typing import Any

import jsonpatch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persist.domain.canonical_json import same_json
from persist.domain.json_diff import changed_pointers, json_patch_between, merge
from tests.support.depth import examples

SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a"])
NAMES = st.sampled_from(["a", "b", "c", "a/b", "~"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)


@settings(max_examples=examples(40), deadline=None)
@given(OBJECTS, OBJECTS)
def test_the_patch_turns_one_value_into_the_other(before: Any, after: Any) -> None:
    patched = jsonpatch.apply_patch(before, json_patch_between(before, after))
    assert same_json(patched, after)


@pytest.mark.parametrize(
    ("before", "after", "pointers"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": True}, ["/a"]),
        ({"a": None}, {}, ["/a"]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 2, "d": 3}}, ["/a/b", "/a/c", "/a/d"]),
        ({"a": [1, {"b": 1}]}, {"a": [1, {"b": 2}]}, ["/a"]),
        ({"a": {"b": 1}}, {"a": 1}, ["/a"]),
        ({"a/b": {"~": 1}}, {"a/b": {"~": 2}}, ["/a~1b/~0"]),
    ],
)
def test_a_pointer_is_as_deep_as_possible(
    before: Any, after: Any, pointers: list[str]
) -> None:
    assert changed_pointers(before, after) == pointers


@pytest.mark.parametrize(
    ("base", "theirs", "mine", "value", "conflicts"),
    [
        ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 2}, []),
        ({"a": 1}, {"a": 2}, {"a": 3}, None, ["/a"]),
        ({"a": 1}, {"a": 2}, {"a": 2}, {"a": 2}, []),
        ({"a": 1}, {}, {"a": 1, "b": 2}, {"b": 2}, []),
        ({"a": 1}, {}, {"a": 2}, None, ["/a"]),
        ({}, {"a": {"b": 1}}, {"a": {"c": 1}}, None, ["/a"]),
        ({"a": {"b": 1, "c": 1}}, {"a": {"b": 2, "c": 1}}, {"a": 1}, None, ["/a"]),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, {}, None, ["/a"]),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [0, 1]}, None, ["/a"]),
        ({"a": None}, {}, {"a": None, "b": 1}, {"b": 1}, []),
    ],
)
def test_a_merge_takes_both_sides_or_names_what_both_changed(
    base: Any, theirs: Any, mine: Any, value: Any, conflicts: list[str]
) -> None:
    merged = merge(base, theirs, mine)
    assert merged.conflicts == conflicts
    if not conflicts:
        assert merged.value == value


@settings(max_examples=examples(40), deadline=None)
@given(OBJECTS, OBJECTS, OBJECTS)
def test_conflicts_are_what_both_sides_changed_to_different_results(
    base: Any, theirs: Any, mine: Any
) -> None:
    """A reference made of nothing but the pointers: overlapping ones conflict, unless the
    values at the upper one are the same."""
    expected = set()
    for one in changed_pointers(base, theirs):
        for other in changed_pointers(base, mine):
            upper, lower = sorted((one, other), key=len)
            overlap = lower == upper or lower.startswith(upper + "/")
            if overlap and not same_at(upper, theirs, mine):
                expected.add(upper)
    assert set(merge(base, theirs, mine).conflicts) == expected


@settings(max_examples=examples(40), deadline=None)
@given(OBJECTS, OBJECTS, OBJECTS)
def test_a_merge_without_conflict_is_theirs_with_my_changes(
    base: Any, theirs: Any, mine: Any
) -> None:
    merged = merge(base, theirs, mine)
    if merged.conflicts:
        return
    changed = dict.fromkeys(changed_pointers(base, mine))
    for location in changed:
        assert same_at(location, merged.value, mine)
    for location in changed_pointers(base, theirs):
        assert same_at(location, merged.value, theirs)
    swapped = merge(base, mine, theirs)
    assert same_json(swapped.value, merged.value)


def same_at(location: str, one: Any, other: Any) -> bool:
    missing = object()
    found = []
    for value in (one, other):
        at = value
        for part in location.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            at = at.get(name, missing) if isinstance(at, dict) else missing
        found.append(at)
    if missing in [each for each in found if each is missing]:
        return found[0] is found[1]
    return same_json(found[0], found[1])
