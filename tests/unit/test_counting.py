"""Numbers of things in messages are right in number."""

import pytest

from persist.domain.wording import counted, matching, too_many


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 changes"), (1, "1 change"), (2_000, "2,000 changes")]
)
def test_a_number_of_things_is_right_in_number(number: int, text: str) -> None:
    assert counted(number, "change") == text


def test_records_that_match_are_right_in_number() -> None:
    assert matching(1) == "1 record matches"
    assert "2 records match and max_affected is 1" in too_many(2, 1).detail
