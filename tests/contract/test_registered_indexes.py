"""Indexes and unique constraints of registered types are real, on both databases
(contract 6)."""

import json
import re
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import psycopg
import pytest

from persist.api.query_params import listing
from persist.storage.dialect import Dialect, dialect_of
from persist.storage.entity_types.catalog import Catalog, registered_layout
from persist.storage.entity_types.definitions import Definitions
from persist.storage.entity_types.registered_indexes import (
    outdated_types,
    update_registered_indexes,
)
from persist.storage.layout import Layout
from persist.storage.queries import query_sql
from persist.storage.sql import Connection, Session
from persist.storage.writes.records import page_statement
from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem, pointers
from tests.support.registered import (
    Replicas,
    an_empty_database,
    an_object,
    imported,
    put,
    registered,
)
from tests.support.server import serving

pytest_plugins = ["tests.support.replicas"]

TEXT = {"type": "string"}
RECORDS = 3_000
SCHEMA = an_object(
    "n",
    n={"type": "integer"},
    ratio={"type": "number"},
    source=TEXT,
    paid={"type": "boolean"},
    event_name=TEXT,
    at=an_object(city=TEXT, storey={"type": ["integer", "null"]}),
    payload={"type": "object"},
    at_time={"type": "string", "format": "date-time"},
    total={"type": "string", "format": "decimal"},
    length={"type": ["string", "null"], "format": "duration"},
    reference={"type": "string", "format": "uuid"},
    **{"user-id": TEXT},
)
INDEXES = [
    *("at_time", "total", "length", "reference", '"user-id"'),
    *("n", "ratio", "source", "paid", "at.city", "at.storey", "payload.user_id"),
    ["event_name", "n"],
    ["at.city", "source"],
]


def line(number: int) -> str:
    data = {
        "n": number,
        "ratio": number / 7,
        "source": f"source-{number}",
        "paid": number % 500 == 0,
        "event_name": f"event-{number % 100}",
        "at": {"city": f"city-{number}", "storey": number % 900},
        "payload": {"user_id": f"u-{number}"},
        "at_time": f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:00+02:00",
        "total": f"{number}.50",
        "length": f"PT{number}M",
        "reference": f"0000AAAA-0000-4000-8000-{number:012}",
        "user-id": f"u-{number}",
    }
    return json.dumps(data) + "\n"


@pytest.fixture
def client(replicas: Replicas) -> httpx.Client:
    return replicas.client


@pytest.fixture(scope="module")
def filled(replicas: Replicas) -> Collection:
    """A collection whose planner has reason to use an index."""
    name = "indexed-events"
    registered(replicas.client, name, SCHEMA, indexes=INDEXES, unique=[["source", "n"]])
    imported(replicas.client, name, "".join(map(line, range(RECORDS))))
    if replicas.database.startswith("postgres"):
        with psycopg.connect(replicas.database, autocommit=True) as connection:
            connection.execute("ANALYZE")
    return Collection(replicas.client, name)


def layout_at(dialect: Dialect, connection: Connection, name: str) -> Layout:
    """The layout a service has of a type, built from what is stored."""
    definitions = Definitions(Session(dialect, connection.cursor()))
    (source,) = [each for each in definitions.current() if each.name == name]
    return registered_layout(source, dialect)


def plan_of(url: str, name: str, query: str) -> str:
    """How the database finds a page of that query, by the statement the service
    runs."""
    dialect = dialect_of(url)
    connection = dialect.connect()
    try:
        layout = layout_at(dialect, connection, name)
        asked = listing(layout.type, "", query.encode()).query.one_more()
        statement = page_statement(layout, asked)
        explain = "EXPLAIN QUERY PLAN " if dialect.name == "sqlite" else "EXPLAIN "
        arguments = statement.arguments(query_sql.values(layout, "", asked))
        rows = connection.execute(explain + statement.text, arguments).fetchall()
        return "\n".join(str(row[-1]) for row in rows)
    finally:
        connection.close()


FILTERS = [
    *("at_time=2025-12-31T22:07:00Z", "at_time__lt=2025-12-31T22:01:00Z"),
    *("total=7.5", "total__gt=2990", "length=PT1H", "length__lt=PT3M"),
    "reference=0000aaaa-0000-4000-8000-000000000007",
    urlencode({"filter": 'data["user-id"] == "u-7"'}),
    urlencode({"filter": "data.total == 7.5"}),
    *("n=7", "n__gte=2990", "n__lt=5", "ratio=1", "ratio__lt=0.5", "source=source-7"),
    *("paid=true", "at.city=city-7", "at.storey=7", "at.storey__gt=895"),
    *(
        "event_name=event-7&n=7",
        "event_name=event-7&n__gt=2900",
        "at.city=city-7&source=source-7",
    ),
    *(
        urlencode({"filter": text})
        for text in (
            "data.n == 7",
            'data.at.city == "city-7"',
            "data.n > 2990 && data.n < 2995",
        )
    ),
]


@pytest.mark.parametrize("query", FILTERS)
def test_a_filter_on_an_indexed_member_goes_by_the_index(
    replicas: Replicas, filled: Collection, query: str
) -> None:
    plan = plan_of(replicas.database, filled.name, query)
    assert "_index_" in plan, plan
    assert filled.client.get(f"{filled.path}?{query}").json()["items"]


@pytest.mark.parametrize(
    "query",
    [
        "sort=at_time",
        "sort=total",
        "sort=n",
        "sort=-n",
        "sort=source",
        "sort=ratio",
        "event_name=event-7&sort=n",
    ],
)
def test_a_sort_by_an_indexed_member_goes_by_the_index(
    replicas: Replicas, filled: Collection, query: str
) -> None:
    plan = plan_of(replicas.database, filled.name, query)
    assert "_index_" in plan, plan
    assert not re.search(r"TEMP B-TREE|Sort +\(cost", plan), plan


def test_a_member_without_an_index_is_looked_for_in_the_table(
    replicas: Replicas, filled: Collection
) -> None:
    assert "_index_" not in plan_of(
        replicas.database, filled.name, "event_name__contains=7"
    )


def test_an_index_can_be_added_and_taken_away_in_place(
    replicas: Replicas, name: str
) -> None:
    schema = an_object(a=TEXT)
    registered(replicas.client, name, schema)
    imported(
        replicas.client,
        name,
        "".join(f'{{"a": "a-{number}"}}\n' for number in range(500)),
    )
    for indexes in (["a"], []):
        registered(replicas.client, name, schema, indexes=indexes)
        assert ("_index_" in plan_of(replicas.database, name, "a=a-7")) is bool(indexes)
        assert len(Collection(replicas.other, name).items(a="a-7")) == 1


def test_indexes_whose_names_could_be_mistaken_for_each_other_stand_side_by_side(
    client: httpx.Client, name: str
) -> None:
    members = ["a", "b", "a_b", "A", "a_B", "a" * 60]
    schema = an_object(**dict.fromkeys(members, TEXT))
    groups = [["a"], ["A"], ["a", "b"], ["a_b"], ["a_B"], ["a" * 60], ["a" * 60, "b"]]
    registered(client, name, schema, indexes=groups, unique=groups)
    own = Collection(client, name)
    own.created(**dict.fromkeys(members, "x"))
    refused = assert_problem(own.create({"a_B": "x"}), 409, "unique-violation")
    assert pointers(refused) == {"/a_B"}
    registered(client, name, schema, indexes=[], unique=[["a_b"]])
    own.created(a="x", b="x")
    assert pointers(
        assert_problem(own.create({"a_b": "x"}), 409, "unique-violation")
    ) == {"/a_b"}


# Unique


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        ({"type": "string"}, ["x", "X", "é", "e\u0301", "", "null", "x" * 2_000]),
        ({"type": "integer"}, [0, 1, -1, 2**40, 2**63 - 1]),
        ({"type": "number"}, [0.1, 1, 1.5, 1e300, 2**53 + 1]),
        ({"type": "boolean"}, [True, False]),
        ({}, ["1", 1, True, "true", [1], {"a": 1}, 1.5, "null"]),
    ],
)
def test_a_value_is_stored_once_and_values_that_differ_are_accepted(
    client: httpx.Client, name: str, schema: Json, values: list[Any]
) -> None:
    registered(client, name, an_object(v=schema), unique=["v"])
    own = Collection(client, name)
    for value in values:
        own.created(v=value)
    for value in values:
        problem = assert_problem(own.create({"v": value}), 409, "unique-violation")
        assert pointers(problem) == {"/v"}
    assert len(own.items(limit=100)) == len(values)


SAME = [
    ('{"a": 1, "b": 2}', '{"b": 2, "a": 1.0}'),
    ('[{"a": [], "bb": null}, 1e2]', '[{"bb": null, "a": []}, 100]'),
    ('{"é": "x", "z": {"b": 1, "a": 2}}', '{"z": {"a": 2, "b": 1}, "\\u00e9": "x"}'),
    ("1.0", "1"),
    ("1e22", "10000000000000000000000.0"),
    ("-0.0", "0"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_equal_json_is_one_value_however_it_is_written(
    client: httpx.Client, name: str, one: str, other: str
) -> None:
    members: Json = {"v": {}, "in": {"type": "object"}}
    registered(client, name, an_object(**members), unique=["v", "in.v"])
    own = Collection(client, name)
    for form in ('{"v": %s}', '{"in": {"v": %s}}'):
        headers = {"content-type": "application/json"}
        taken = client.post(own.path, content=form % one, headers=headers)
        assert taken.status_code == 201
        refused = client.post(own.path, content=form % other, headers=headers)
        assert_problem(refused, 409, "unique-violation")


def index_names(url: str, name: str) -> set[str]:
    dialect = dialect_of(url)
    connection = dialect.connect()
    try:
        layout = layout_at(dialect, connection, name)
        statement = dialect.index_names
        found = connection.execute(statement, (layout.table.name,)).fetchall()
        return {str(row[0]) for row in found}
    finally:
        connection.close()


def with_old_index(url: str, name: str, *, named: str = "unique_o") -> None:
    """Have the index that an earlier release made of a unique object."""
    dialect = dialect_of(url)
    connection = dialect.connect()
    layout = layout_at(dialect, connection, name)
    table = layout.table.name
    (own,) = [each for each in index_names(url, name) if "unique" in each]
    text = "data -> '$.o'" if dialect.name == "sqlite" else "(data #> '{o}')::text"
    connection.execute(f'DROP INDEX "{own}"')
    connection.execute(
        f"CREATE UNIQUE INDEX {table}_{named} ON {table} (workspace, ({text}))"
    )
    connection.close()


def test_an_index_of_an_earlier_release_is_replaced_at_start(
    request: pytest.FixtureRequest, database: str, tmp_path: Path, name: str
) -> None:
    url = an_empty_database(request, database, tmp_path)
    with serving(url, tmp_path) as server, server.client() as client:
        _replace_the_index_of_an_earlier_release(client, url, name)


def _replace_the_index_of_an_earlier_release(
    client: httpx.Client, url: str, name: str
) -> None:
    registered(client, name, an_object(o={"type": "object"}), unique=["o"])
    own = Collection(client, name)
    before = index_names(url, name)
    with_old_index(url, name)
    old = index_names(url, name)
    own.created(o={"a": 1, "b": 2})
    assert_problem(own.create({"o": {"a": 1, "b": 2}}), 409, "unique-violation")
    second = own.created(o={"b": 2, "a": 1})
    dialect = dialect_of(url)
    catalog = Catalog(dialect, [])
    update_registered_indexes(dialect, catalog)
    assert index_names(url, name) != before  # the records have one value twice
    own.delete(second["id"])
    assert name in outdated_types(dialect, catalog)
    assert update_registered_indexes(dialect, catalog, auto_migrate=False) == []
    assert index_names(url, name) == old
    assert name in update_registered_indexes(dialect, catalog)
    assert index_names(url, name) == before
    assert_problem(own.create({"o": {"b": 2, "a": 1}}), 409, "unique-violation")


def test_an_index_that_a_later_release_named_refuses_what_is_not_unique(
    replicas: Replicas, name: str
) -> None:
    client, url = replicas.client, replicas.database
    registered(client, name, an_object(o={"type": "object"}), unique=["o"])
    own = Collection(client, name)
    with_old_index(url, name, named="unique_0_later")
    own.created(o={"a": 1})
    refused = assert_problem(own.create({"o": {"a": 1}}), 409, "unique-violation")
    assert pointers(refused) == {"/o"}


def test_null_and_absent_never_collide(client: httpx.Client, name: str) -> None:
    members: Json = {
        "a": {"type": ["string", "null"]},
        "b": {"type": ["object", "null"]},
        "c": {},
    }
    groups = ["a", "b.deep", "c", ["a", "c"]]
    registered(client, name, an_object(**members), unique=groups)
    own = Collection(client, name)
    harmless: list[Json] = [
        {},
        {"a": None},
        {"b": None},
        {"b": {}},
        {"b": {"deep": None}},
        {"c": None},
    ]
    for data in harmless * 2:
        own.created(**data)
    own.created(a="x")
    assert_problem(own.create({"a": "x"}), 409, "unique-violation")
    own.created(b={"deep": "x"})
    refused = assert_problem(own.create({"b": {"deep": "x"}}), 409, "unique-violation")
    assert pointers(refused) == {"/b/deep"}


def test_a_group_of_members_is_unique_as_a_whole(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, an_object(a=TEXT, b=TEXT), unique=[["a", "b"]])
    own = Collection(client, name)
    for a, b in (("x", "y"), ("x", "z"), ("y", "x"), ("xy", "z"), ("x", "yz")):
        own.created(a=a, b=b)
    for _ in range(2):
        own.created(a="x")
    refused = assert_problem(own.create({"a": "x", "b": "z"}), 409, "unique-violation")
    assert pointers(refused) == {"/a", "/b"}


def test_a_unique_value_goes_to_one_of_many_clients_of_all_processes(
    replicas: Replicas, name: str
) -> None:
    registered(replicas.client, name, an_object(a=an_object(b=TEXT)), unique=["a.b"])

    def claim(client: httpx.Client, number: int) -> list[int]:
        own = Collection(client, name)
        return [own.create({"a": {"b": f"{turn}"}}).status_code for turn in range(5)]

    answers = [
        status for statuses in replicas.at_once(16, claim) for status in statuses
    ]
    assert sorted(answers) == [201] * 5 + [409] * 75


def test_a_unique_value_can_be_moved_from_one_record_to_another(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, an_object(a=TEXT), unique=["a"])
    own = Collection(client, name)
    first, second = own.created(a="x"), own.created(a="y")
    assert_problem(own.patch(second["id"], {"a": "x"}), 409, "unique-violation")
    assert own.patch(first["id"], {"a": "z"}).status_code == 200
    assert own.patch(second["id"], {"a": "x"}).status_code == 200
    own.delete(second["id"])
    own.created(a="x")


def test_a_line_of_an_import_that_breaks_a_unique_constraint_undoes_all(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, an_object(a=TEXT), unique=["a"])
    own = Collection(client, name)
    refused = own.import_lines('{"a": "x"}\n{"a": "y"}\n{"a": "x"}\n')
    assert_problem(refused, 409, "unique-violation")
    assert own.items() == []


def test_a_constraint_added_while_clients_write_is_kept_by_all(
    replicas: Replicas, name: str
) -> None:
    """Either a record came before the constraint, which then was refused, or the
    constraint was satisfied."""
    schema = an_object(a=TEXT)
    registered(replicas.client, name, schema)

    def act(client: httpx.Client, number: int) -> int:
        if number == 0:
            return put(client, name, schema, unique=["a"]).status_code
        return Collection(client, name).create({"a": "x"}).status_code

    answers = replicas.at_once(12, act)
    unique = (
        Collection(replicas.client, name)
        .client.get(f"/entity-types/{name}")
        .json()["unique"]
    )
    assert answers[0] == (200 if unique else 409)
    created = answers[1:].count(201)
    assert created == (1 if unique else 11), answers
    assert len(Collection(replicas.client, name).items(a="x")) == created


def test_a_value_that_has_no_room_in_an_index_does_not_stop_the_service(
    replicas: Replicas, client: httpx.Client
) -> None:
    schema = an_object(source=TEXT, free=TEXT)
    registered(client, "long-events", schema, indexes=["source"])
    own, text = (
        Collection(client, "long-events"),
        secrets.token_hex(50_000),
    )  # cannot be compressed to fit
    response = own.create({"source": text})
    if replicas.database.startswith("postgres"):
        assert "shorten it" in assert_problem(response, 422, "invalid-data")["detail"]
    else:
        assert response.status_code == 201
    assert client.get("/health/ready").status_code == 200
    assert own.create({"free": text}).status_code == 201
