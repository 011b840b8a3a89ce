"""Comparable forms mean the same in Python, on SQLite and on PostgreSQL, and order text
by what it means."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persist.domain.case_folding import fold
from persist.domain.comparable import (
    date_time_form,
    decimal_form,
    duration_form,
    time_form,
)
from persist.storage.dialect.postgresql_functions import function_statements
from tests.support.depth import examples

DIGITS = st.text("0123456789", min_size=1, max_size=20)
OFFSETS = st.sampled_from(["Z", "z", "+00:00", "-00:00", "+23:59", "-23:59", "+02:30"])
FRACTIONS = st.one_of(st.just(""), st.builds(".{}".format, DIGITS))
TWO = st.integers(0, 61).map("{:02}".format)
DECIMALS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=None).map(str),
    st.from_regex(r"\A[+-]?[0-9]{1,25}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,2})?\Z"),
)
TIMES = st.builds("{}:{}:{}{}{}".format, TWO, TWO, TWO, FRACTIONS, OFFSETS)
DATES = st.one_of(
    st.dates().map(str), st.sampled_from(["0000-01-01", "0000-12-31", "2000-02-29"])
)
DATE_TIMES = st.builds("{}T{}".format, DATES, TIMES)
DURATIONS = st.from_regex(
    r"\A[+-]?P([0-9]{1,3}Y)?([0-9]{1,3}M)?([0-9]{1,3}W)?([0-9]{1,3}D)?"
    r"(T([0-9]{1,3}H)?([0-9]{1,3}M)?([0-9]{1,3}(\.[0-9]{1,9})?S)?)?\Z"
)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
FORMS: dict[str, tuple[Callable[[str], str | None], st.SearchStrategy[str]]] = {
    "persist_decimal_form": (decimal_form, DECIMALS | TEXT),
    "persist_date_time_form": (date_time_form, DATE_TIMES | TEXT),
    "persist_time_form": (time_form, TIMES | TEXT),
    "persist_duration_form": (duration_form, DURATIONS | TEXT),
    "persist_fold": (fold, TEXT),
}


@pytest.fixture(scope="module")
def connection(postgres: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA forms")
        connection.execute("SET search_path = forms")
        for statement in function_statements():
            connection.execute(statement.encode())
        yield connection
        connection.execute("DROP SCHEMA forms CASCADE")


@pytest.mark.parametrize("name", FORMS)
@settings(
    max_examples=examples(20),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(data=st.data())
def test_postgresql_computes_the_form_that_python_does(
    name: str, connection: psycopg.Connection[Any], data: st.DataObject
) -> None:
    python, strategy = FORMS[name]
    texts = data.draw(st.lists(strategy, min_size=1, max_size=20))
    rows = connection.execute(
        f"SELECT {name}(value) FROM unnest(%s::text[]) WITH ORDINALITY AS t(value, n)"
        " ORDER BY n".encode(),
        (texts,),
    ).fetchall()
    assert [row[0] for row in rows] == [python(text) for text in texts]


EXACT = st.decimals(min_value=-(10**18), max_value=10**18, allow_nan=False, places=9)


@given(EXACT, EXACT)
def test_the_forms_of_decimals_are_in_the_order_of_the_numbers(
    one: Decimal, other: Decimal
) -> None:
    forms = decimal_form(str(one)), decimal_form(str(other))
    assert _order(*forms) == _order(one, other)


SOME_TIMES = st.integers(-60_000_000_000, 250_000_000_000).map(
    lambda seconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
ZONES = st.integers(-1439, 1439).map(
    lambda minutes: timezone(timedelta(minutes=minutes))
)


@given(SOME_TIMES, ZONES, SOME_TIMES, ZONES)
def test_the_forms_of_date_times_are_in_the_order_of_the_instants(
    one: datetime, one_zone: timezone, other: datetime, other_zone: timezone
) -> None:
    texts = (
        one.astimezone(one_zone).isoformat(),
        other.astimezone(other_zone).isoformat(),
    )
    assert _order(*map(date_time_form, texts)) == _order(one, other)


LENGTHS = st.timedeltas(timedelta(-99_999), timedelta(99_999))


@given(LENGTHS, LENGTHS)
def test_the_forms_of_durations_are_in_the_order_of_their_lengths(
    one: timedelta, other: timedelta
) -> None:
    forms = [duration_form(_written(length)) for length in (one, other)]
    assert _order(*forms) == _order(one, other)


def _written(length: timedelta) -> str:
    positive = abs(length)
    sign = "-" if length < timedelta(0) else ""
    seconds = f"{positive.seconds}.{positive.microseconds:06}"
    return f"{sign}P{positive.days}DT{seconds}S"


def _order(one: Any, other: Any) -> int:
    return bool(one > other) - bool(one < other)


@pytest.mark.parametrize(
    ("form", "equal"),
    [
        (decimal_form, ("10.50", "10.5", "+10.5", "1.05e1", "010.500")),
        (decimal_form, ("0", "-0", "0.00", "0e5")),
        (date_time_form, ("2026-11-22T17:00:00Z", "2026-11-22T19:00:00.000+02:00")),
        (date_time_form, ("2026-01-01T00:30:00+01:00", "2025-12-31T23:30:00Z")),
        (time_form, ("12:00:00Z", "12:00", "14:00:00+02:00")),
        (duration_form, ("PT36H", "P1DT12H", "P1DT720M", "PT129600.0S")),
        (duration_form, ("P1Y", "P12M")),
    ],
)
def test_what_means_the_same_has_one_form(
    form: Callable[[str], str | None], equal: tuple[str, ...]
) -> None:
    forms = {form(text) for text in equal}
    assert len(forms) == 1
    assert None not in forms


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (decimal_form, "1" * 39),
        (decimal_form, "1e38"),
        (decimal_form, "NaN"),
        (decimal_form, "1,5"),
        (decimal_form, "٣"),
        (date_time_form, "2026-11-22T17:00:00"),
        (date_time_form, "2026-11-22"),
        (time_form, "noon"),
        (duration_form, "P"),
        (duration_form, "PT"),
        (duration_form, "1D"),
    ],
)
def test_what_is_of_another_type_has_no_form(
    form: Callable[[str], str | None], text: str
) -> None:
    assert form(text) is None


def test_a_leap_second_lies_between_its_neighbours() -> None:
    texts = ("23:59:59.9Z", "23:59:60Z", "23:59:60.5Z", "24:00:00Z")
    forms = [time_form(text) for text in texts]
    assert forms == sorted(forms, key=str)


@pytest.mark.parametrize(
    ("text", "folded"),
    [("STRASSE", "strasse"), ("Straße", "straße"), ("ẞ", "ß"), ("ΣΊΣΥΦΟΣ", "σίσυφοσ")],
)
def test_folding_keeps_the_number_of_characters(text: str, folded: str) -> None:
    assert fold(text) == folded
