"""For every type and operator, what SQL finds is what a reference in Python finds.

The reference compares meanings (numbers, instants, lengths), not the forms that the
service compares. It runs on both databases, over columns of a class and over documents.
"""

import itertools
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persist.api.query_params import cursor_of, listing
from persist.domain.case_folding import fold
from persist.domain.entity_type import EntityType, Kind
from persist.domain.record import Record, dumps
from persist.storage.dialect import Dialect, dialect_of
from persist.storage.layout import Layout, layout_of
from persist.storage.queries import query_sql
from persist.storage.sql import Connection
from tests.conftest import NewDatabase
from tests.support.depth import examples

ROWS = 30
NOW = "2026-11-22T17:00:00.000000Z"
CHARACTERS = st.characters(
    exclude_characters="\0", exclude_categories=["Cs"], max_codepoint=0x1FFFF
)
WORDS = st.text(CHARACTERS, max_size=6) | st.text("aAßẞıİiIσςΣ,_%", max_size=4)
OFFSETS = ("Z", "+00:00", "-00:00", "+02:30", "-11:00", "+23:59")


@dataclass(frozen=True)
class Case:
    """A type: its schema, values of it as JSON, and what each means."""

    schema: dict[str, Any]
    values: st.SearchStrategy[Any]
    meaning: Callable[[Any], Any]
    ordered: bool = True


def _date_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _time(text: str) -> timedelta:
    moment = time.fromisoformat(text.replace("Z", "+00:00"))
    since_midnight = datetime.combine(date.min, moment.replace(tzinfo=None))
    offset = moment.utcoffset() or timedelta(0)
    return since_midnight - datetime(1, 1, 1, tzinfo=None) - offset  # noqa: DTZ001


def _offset(minutes: int) -> str:
    return (
        f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    )


MOMENTS = st.integers(0, 10**14).map(
    lambda us: datetime(2026, 11, 22, tzinfo=UTC) + timedelta(microseconds=us)
)
DATE_TIMES = st.builds(
    lambda moment, offset: f"{moment:%Y-%m-%dT%H:%M:%S.%f}{offset}",
    MOMENTS,
    st.sampled_from(OFFSETS),
)
TIMES = st.builds(
    lambda moment, offset: f"{moment:%H:%M:%S.%f}{offset}",
    MOMENTS,
    st.sampled_from(("", *OFFSETS)),
)


def _duration(text: str) -> timedelta:
    sign = -1 if text.startswith("-") else 1
    days, _, seconds = text.strip("-P").partition("DT")
    return sign * timedelta(days=int(days), seconds=float(seconds.strip("S")))


DURATIONS = st.builds(
    "{}P{}DT{}S".format,
    st.sampled_from(("", "-")),
    st.integers(0, 99),
    st.integers(0, 200_000),
)
DECIMALS = st.one_of(
    st.decimals(-1000, 1000, places=3).map(str),
    st.integers(-(10**30), 10**30).map(str),
    st.sampled_from(["10.50", "10.5", "1.05e1", "-0", "0.00", "+7", "1e-20"]),
)
TEXT = Case({"type": "string"}, WORDS, str)
CASES = {
    "integer": Case({"type": "integer"}, st.integers(-(2**63), 2**63 - 1), int),
    "number": Case(
        {"type": "number"}, st.floats(-1e12, 1e12) | st.integers(-9, 9), float
    ),
    "decimal": Case({"type": "string", "format": "decimal"}, DECIMALS, Decimal),
    "boolean": Case({"type": "boolean"}, st.booleans(), bool, ordered=False),
    "string": TEXT,
    "date": Case(
        {"type": "string", "format": "date"}, st.dates().map(str), date.fromisoformat
    ),
    "time": Case({"type": "string", "format": "time"}, TIMES, _time),
    "date-time": Case(
        {"type": "string", "format": "date-time"}, DATE_TIMES, _date_time
    ),
    "duration": Case({"type": "string", "format": "duration"}, DURATIONS, _duration),
    "uuid": Case(
        {"type": "string", "format": "uuid"},
        st.uuids().map(str) | st.uuids().map(lambda value: str(value).upper()),
        uuid.UUID,
    ),
}
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda one, other: one == other,
    "gt": lambda one, other: one > other,
    "gte": lambda one, other: one >= other,
    "lt": lambda one, other: one < other,
    "lte": lambda one, other: one <= other,
}
TEXT_TESTS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, part: part in text,
    "startswith": str.startswith,
    "endswith": str.endswith,
    "ieq": lambda text, part: fold(text) == fold(part),
    "icontains": lambda text, part: fold(part) in fold(text),
    "istartswith": lambda text, part: fold(text).startswith(fold(part)),
    "iendswith": lambda text, part: fold(text).endswith(fold(part)),
}


@pytest.fixture(scope="module")
def dialect(new_database: NewDatabase) -> Dialect:
    return dialect_of(new_database())


@pytest.fixture(scope="module")
def connection(dialect: Dialect) -> Iterator[Connection]:
    connection = dialect.connect()
    for statement in dialect.function_statements():
        connection.execute(statement)
    yield connection
    connection.close()


class Table:
    """The records of a type, in a table of the kind that a service makes of it."""

    _numbers = itertools.count(1)

    def __init__(
        self, dialect: Dialect, connection: Connection, kind: str, schema: Any
    ) -> None:
        number = next(self._numbers)
        self.type = EntityType(
            f"c{number}",
            Kind(kind),
            1,
            schema,
            lambda data: data,
            {},
            indexes=(("v",),),
        )
        self._connection = connection
        table_name = "" if kind == "typed" else f"document_{number}"
        self.layout: Layout = layout_of(self.type, dialect, table_name=table_name)
        engine = dialect.engine()
        self.layout.table.create(engine)
        engine.dispose()
        self.ids = [str(uuid.UUID(int=index)) for index in range(ROWS + 1)]

    def fill(self, rows: list[dict[str, Any]]) -> None:
        if self.type.fields["v"].normalized:  # a class writes its ids in lower case
            rows = [{**row, "v": row.get("v") and row["v"].lower()} for row in rows]
        cursor = self._connection.cursor()
        cursor.execute(f"DELETE FROM {self.layout.table.name}")
        records = [
            Record(record_id, self.type.name, "", 1, 1, NOW, NOW, dumps(row))
            for record_id, row in zip(self.ids, rows, strict=False)
        ]
        self.layout.writer.insert(
            cursor, [self.layout.row(record) for record in records]
        )

    def find(self, *pairs: tuple[str, str]) -> list[int]:
        """Return the indexes of the rows that a query string finds, in its order."""
        wanted = listing(self.type, "", urlencode(pairs).encode())
        return [self.ids.index(row[0]) for row in self._rows(wanted.query)]

    def pages(self, *pairs: tuple[str, str]) -> list[int]:
        """Return the indexes of the rows of all pages, by their cursors."""
        found: list[int] = []
        cursor: list[tuple[str, str]] = []
        while True:
            wanted = listing(self.type, "", urlencode([*pairs, *cursor]).encode())
            rows = self._rows(wanted.query)
            if not rows:
                return found
            found += [self.ids.index(row[0]) for row in rows]
            position = rows[-1][6:]
            cursor = [("cursor", cursor_of(wanted, position))]

    def _rows(self, query: Any) -> list[Any]:
        statement = self.layout.dialect.compile(query_sql.page(self.layout, query))
        arguments = statement.arguments(query_sql.values(self.layout, "", query))
        return self._connection.execute(statement.text, arguments).fetchall()


KINDS = ("typed", "registered")
MEMBERS = ("v", "nested.v")


@pytest.fixture(scope="module", params=list(itertools.product(KINDS, CASES)), ids=str)
def table(
    request: pytest.FixtureRequest, dialect: Dialect, connection: Connection
) -> tuple[Case, Table]:
    kind, name = request.param
    case = CASES[name]
    nullable = {"anyOf": [case.schema, {"type": "null"}]}
    nested = {"type": "object", "properties": {"v": nullable}}
    schema = {
        "type": "object",
        "properties": {
            "v": nullable,
            "nested": nested,
            "list": {"type": "array", "items": case.schema},
        },
        "additionalProperties": False,
    }
    return case, Table(dialect, connection, kind, schema)


def written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


PROPERTY = settings(
    max_examples=examples(3),
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@PROPERTY
@given(data=st.data())
def test_sql_compares_as_the_reference_does(
    table: tuple[Case, Table], data: st.DataObject
) -> None:
    case, records = table
    values = data.draw(st.lists(case.values | st.none(), min_size=1, max_size=ROWS))
    wanted = data.draw(
        case.values
        | st.sampled_from(
            [v for v in values if v is not None] or [data.draw(case.values)]
        )
    )
    records.fill([{"v": value, "nested": {"v": value}} for value in values])
    names = COMPARISONS if case.ordered else ["eq"]
    for member, name in itertools.product(MEMBERS, names):
        test = COMPARISONS[name]
        expected = [
            index
            for index, value in enumerate(values)
            if value is not None and test(case.meaning(value), case.meaning(wanted))
        ]
        found = records.find((f"{member}__{name}", written(wanted)))
        assert found == expected, (member, name, wanted)
    differing = [
        index
        for index, value in enumerate(values)
        if value is None or case.meaning(value) != case.meaning(wanted)
    ]
    assert records.find(("v__ne", written(wanted))) == differing
    assert records.find(("filter", f"!(data.v == {_literal(wanted)})")) == differing
    assert records.find(("nested.v__in", written(wanted))) == records.find(
        ("v", written(wanted))
    ) or "," in written(wanted)


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@PROPERTY
@given(data=st.data())
def test_sql_sorts_as_the_reference_does_and_pages_pass_over_nothing(
    table: tuple[Case, Table], data: st.DataObject
) -> None:
    case, records = table
    values = data.draw(st.lists(case.values | st.none(), min_size=1, max_size=12))
    records.fill([{"v": value, "nested": {"v": value}} for value in values])
    known = [index for index, value in enumerate(values) if value is not None]
    ascending = sorted(known, key=lambda index: case.meaning(values[index]))
    nulls = [index for index, value in enumerate(values) if value is None]
    for member in MEMBERS:
        assert records.find(("sort", member)) == ascending + nulls
        paged = records.pages(("sort", f"{member},_id"), ("limit", "2"))
        assert paged == ascending + nulls


@PROPERTY
@given(data=st.data())
def test_sql_searches_lists_as_the_reference_does(
    table: tuple[Case, Table], data: st.DataObject
) -> None:
    case, records = table
    lists = data.draw(
        st.lists(st.lists(case.values, max_size=4), min_size=1, max_size=10)
    )
    wanted = data.draw(
        case.values
        | st.sampled_from(
            [v for part in lists for v in part] or [data.draw(case.values)]
        )
    )
    records.fill([{"list": items} for items in lists])
    expected = [
        index
        for index, items in enumerate(lists)
        if case.meaning(wanted) in map(case.meaning, items)
    ]
    assert records.find(("list__has", written(wanted))) == expected
    assert records.find(("filter", f"{_literal(wanted)} in data.list")) == expected
    sizes = [len(items) for items in lists]
    for name, test in COMPARISONS.items():
        expected = [index for index, size in enumerate(sizes) if test(size, 2)]
        assert records.find((f"list__len__{name}", "2")) == expected
    several = [index for index, size in enumerate(sizes) if size >= 2]
    assert records.find(("filter", "size(data.list) >= 2")) == several


@pytest.mark.parametrize("kind", KINDS)
def test_sql_searches_text_as_the_reference_does(
    kind: str, dialect: Dialect, connection: Connection
) -> None:
    schema = {"type": "object", "properties": {"v": {"type": "string"}}}
    records = Table(dialect, connection, kind, schema)

    @PROPERTY
    @given(st.lists(WORDS, min_size=1, max_size=ROWS), WORDS)
    def check(texts: list[str], part: str) -> None:
        records.fill([{"v": text} for text in texts])
        for name, test in TEXT_TESTS.items():
            expected = [index for index, text in enumerate(texts) if test(text, part)]
            assert records.find((f"v__{name}", part)) == expected, (name, part)

    check()
