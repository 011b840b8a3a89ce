"""Query strings of lists, without a service."""

import pytest

from persist.api.query_params import listing
from persist.domain.entity_type import EntityType, Kind
from persist.domain.errors import InvalidQuery

OPEN = EntityType(
    "notes",
    Kind.REGISTERED,
    1,
    {"type": "object", "properties": {"size": {"type": "integer"}}},
    lambda data: data,
    {},
)


@pytest.mark.parametrize("moment", ["", "&as_of=1"])
def test_members_of_an_open_object_can_be_named_but_not_be_sorted_by(
    moment: str,
) -> None:
    query = f"fields=size,data.never_declared{moment}"
    assert listing(OPEN, "", query.encode()).fields == ("size", "never_declared")
    with pytest.raises(InvalidQuery, match="unknown field 'never_declared'"):
        listing(OPEN, "", f"fields=never_declared{moment}".encode())
    with pytest.raises(InvalidQuery, match="all of its values are of one scalar type"):
        listing(OPEN, "", f"sort=data.never_declared{moment}".encode())


@pytest.mark.parametrize(
    ("as_of", "said"),
    [
        ("2026-11-22T17:00:00+01:00", "a + is written %2B"),
        ("0000-01-01T00:00:00Z", "year 1 to 9999"),
        ("9999-12-31T23:59:59-14:00", "year 1 to 9999"),
    ],
)
def test_what_is_no_moment_is_refused_with_what_to_write(as_of: str, said: str) -> None:
    with pytest.raises(InvalidQuery, match=said.replace("+", r"\+")):
        listing(OPEN, "", f"as_of={as_of}".encode())
