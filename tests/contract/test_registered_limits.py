"""What a registered type may cost: no schema, document or expression holds up anyone
else (contract 6)."""

import gc
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from typing import Any

import httpx
import pytest

from persist.storage.dialect import dialect_of
from persist.storage.entity_types.catalog import Catalog
from persist.storage.sql import Session
from tests.support.collection import Collection
from tests.support.databases import sqlite_only
from tests.support.neighbour import Reader
from tests.support.problems import Json, assert_problem, pointers
from tests.support.registered import Replicas, an_object, put, registered

pytest_plugins = ["tests.support.replicas"]

TEXT = {"type": "string"}
NUMBER = {"type": "integer"}
QUICKLY = 30.0
"""Seconds after which an answer counts as none; without its bound each of these takes
far longer."""


@pytest.fixture
def client(replicas: Replicas) -> Iterator[httpx.Client]:
    """A client of the service of one process that does not wait for long."""
    with replicas.second.checked_client() as found:
        found.timeout = httpx.Timeout(QUICKLY)
        yield found


def doubling(levels: int) -> Json:
    """A schema whose references unfold to two to the power of ``levels``."""
    twice = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)
    }
    return {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/d0"}},
        "$defs": twice | {f"d{levels}": {}},
    }


def nested(levels: int) -> Any:
    """Data that many levels deep, as text."""
    return '{"next": ' * levels + "{}" + "}" * levels


# Schemas that are not let in


REFUSED: dict[str, tuple[Json, str]] = {
    "a remote reference": ({"$ref": "https://example.com/schema.json"}, "/schema/$ref"),
    "a file": ({"$ref": "file:///etc/passwd"}, "/schema/$ref"),
    "references that double": (doubling(30), "/schema/$defs/d21"),
    "a reference to itself": ({"$ref": "#"}, "/schema"),
    "a pattern with look-behind": (
        an_object(a={"pattern": "(?<=a)b"}),
        "/schema/properties/a/pattern",
    ),
    "a pattern with a backreference": (
        an_object(a={"pattern": r"(a)\1"}),
        "/schema/properties/a/pattern",
    ),
    "an enum of too many bytes": (an_object(a={"enum": ["x" * 60] * 9_000}), "/schema"),
    "too many nodes": (
        an_object(**{f"p{number}": {} for number in range(10_001)}),
        "/schema",
    ),
    "no object": ({"type": "array"}, "/schema/type"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_schema_that_cannot_be_bounded_is_refused_at_its_pointer(
    client: httpx.Client, name: str, case: str
) -> None:
    schema, pointer = REFUSED[case]
    problem = assert_problem(
        put(client, name, schema, indexes=[], unique=[]), 422, "invalid-schema"
    )
    assert pointer in pointers(problem), problem
    assert_problem(client.get(f"/api/{name}"), 404, "collection-not-found")


def test_an_index_over_references_that_double_is_refused_as_quickly(
    client: httpx.Client, name: str
) -> None:
    for members in ({"indexes": ["a"]}, {"unique": [["a.b.c"]]}):
        assert_problem(
            put(client, name, doubling(30), **members), 422, "invalid-schema"
        )


def test_an_enum_of_ten_megabytes_is_too_large(client: httpx.Client, name: str) -> None:
    schema = an_object(a={"enum": ["x" * 100] * 100_000})
    assert_problem(put(client, name, schema), 413, "too-large")


def test_nothing_is_fetched_for_a_schema(client: httpx.Client, name: str) -> None:
    with listener() as (port, calls):
        for schema in (
            an_object(a={"$ref": f"http://127.0.0.1:{port}/a.json"}),
            an_object() | {"$schema": f"http://127.0.0.1:{port}/draft"},
            an_object(a={"$dynamicRef": f"http://127.0.0.1:{port}/a.json#a"}),
        ):
            assert_problem(put(client, name, schema), 422, "invalid-schema")
        registered(
            client, name, {"$id": f"http://127.0.0.1:{port}/own", "type": "object"}
        )
        Collection(client, name).created(a=1)
        assert calls == []


@contextmanager
def listener() -> Iterator[tuple[int, list[Any]]]:
    """A port on loopback, and who has called."""
    calls: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    calls.append(server.accept()[1])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], calls


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"commands": {f"c{number}": {} for number in range(65)}}, "/commands"),
        (
            {"commands": {"c": {"set": {f"m{number}": "1" for number in range(65)}}}},
            "/commands/c/set",
        ),
        (
            {
                "commands": {
                    f"c{n}": {"set": {f"m{m}": "1" for m in range(60)}}
                    for n in range(9)
                }
            },
            "",
        ),
        ({"commands": {"c": {"description": "x" * 70_000}}}, "/commands"),
        (
            {"commands": {"c": {"payload": doubling(30)}}},
            "/commands/c/payload/$defs/d21",
        ),
        ({"migration": [{"from": n, "to": n + 1} for n in range(1, 70)]}, "/migration"),
        ({"migration": {"default": {"a": "x" * 70_000}}}, "/migration"),
        ({"indexes": [f"a{number}" for number in range(65)]}, "/indexes"),
        ({"unique": [[f"a{number}" for number in range(17)]]}, "/unique/0"),
    ],
)
def test_the_other_members_of_a_definition_are_bounded_too(
    client: httpx.Client, name: str, members: Json, pointer: str
) -> None:
    problem = assert_problem(
        put(client, name, {"type": "object"}, **members), 422, "invalid-schema"
    )
    assert pointers(problem) == {pointer}


# Documents


def test_a_pattern_that_backtracks_elsewhere_takes_no_time(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, an_object(a={"type": "string", "pattern": "^(a+)+$"}))
    own = Collection(client, name)
    assert own.create({"a": "a" * 10_000}).status_code == 201
    assert pointers(
        assert_problem(own.create({"a": "a" * 10_000 + "!"}), 422, "invalid-data")
    ) == {"/a"}


def test_a_document_3000_deep_under_a_recursive_schema_is_refused(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, an_object(next={"$ref": "#"}))
    for levels, code in ((3_000, "invalid-json"), (64, "invalid-json")):
        answer = client.post(
            f"/api/{name}",
            content=nested(levels),
            headers={"content-type": "application/json"},
        )
        assert_problem(answer, 400, code)
    answer = client.post(
        f"/api/{name}", content=nested(63), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 201


def test_unique_items_over_100000_objects_are_compared(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, an_object(items={"type": "array", "uniqueItems": True}))
    own = Collection(client, name)
    items = "[" + ",".join(f"[{number}]" for number in range(100_000)) + "]"
    headers = {"content-type": "application/json"}
    assert (
        own.client.post(
            own.path, content=f'{{"items": {items}}}', headers=headers
        ).status_code
        == 201
    )
    twice = items[:-1] + ",[7]]"
    refused = own.client.post(
        own.path, content=f'{{"items": {twice}}}', headers=headers
    )
    assert pointers(assert_problem(refused, 422, "invalid-data")) == {"/items/100000"}


def test_a_lawful_document_of_30000_small_objects_is_stored(
    client: httpx.Client, name: str
) -> None:
    line = an_object("n", n={"type": "integer", "minimum": 0}, tag={"enum": ["a", "b"]})
    registered(client, name, an_object(lines={"type": "array", "items": line}))
    lines = [{"n": number, "tag": "a"} for number in range(30_000)]
    own = Collection(client, name)
    record = own.created(lines=lines)
    assert own.record(record["id"])["data"]["lines"] == lines
    lines[29_999]["n"] = -1
    assert pointers(
        assert_problem(own.create({"lines": lines}), 422, "invalid-data")
    ) == {"/lines/29999/n"}


def test_a_document_that_takes_too_many_visits_is_refused_by_that_limit(
    client: httpx.Client, name: str
) -> None:
    heavy = {"anyOf": [{"required": [f"p{number}"]} for number in range(300)]}
    registered(client, name, an_object(lines={"type": "array", "items": heavy}))
    refused = Collection(client, name).create({"lines": [{"p299": 1}] * 20_000})
    assert "500000 visits" in assert_problem(refused, 422, "invalid-data")["detail"]


# Expressions


def run(client: httpx.Client, name: str, command: Json, data: Json) -> httpx.Response:
    """What a command answers on a record with that data, under a schema that says
    nothing of it."""
    schema = an_object(
        **{
            member: {}
            for member in ("a", "at", "items", "made", "missing", "n", "text")
        }
    )
    registered(client, name, schema, commands={"go": command})
    own = Collection(client, name)
    record = own.created(**data)
    answer = own.command(record["id"], "go")
    if not answer.is_success:
        assert own.record(record["id"]) == record
    return answer


@pytest.mark.parametrize(
    ("when", "data", "part"),
    [
        ("data.n", {"n": 1}, "true or false"),
        ("data.n", {"n": "true"}, "true or false"),
        ("10 / data.n > 1", {"n": 0}, "divide by zero"),
        ("data.n > 1", {}, "data.n"),
        ("data.n > 1", {"n": "x"}, ""),
        ("data.a.b.c == 1", {"a": 1}, ""),
        ("data.n + 1 > 0", {"n": 2**63 - 1}, "overflow"),
    ],
)
def test_a_guard_that_gives_no_answer_refuses_with_the_reason(
    client: httpx.Client, name: str, when: str, data: Json, part: str
) -> None:
    problem = assert_problem(
        run(client, name, {"when": when}, data), 409, "command-unavailable"
    )
    assert part in problem["detail"]


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("10 / data.n", {"n": 0}),
        ("data.missing + 1", {}),
        ("data.n * data.n", {"n": 2**40}),
        ("data.n + 1", {"n": "x"}),
        ("data.items[3]", {"items": []}),
        ("int(timestamp(data.at))", {"at": "yesterday"}),
        ("+".join(["data.text"] * 30), {"text": "x" * 500_000}),
        ("+".join(["data.items"] * 30), {"items": [0] * 100_000}),
    ],
)
@pytest.mark.parametrize("member", ["set", "result"])
def test_a_value_that_cannot_be_computed_is_refused_and_nothing_is_stored(
    client: httpx.Client, name: str, member: str, value: str, data: Json
) -> None:
    command = {"set": {"made": value}} if member == "set" else {"result": value}
    assert_problem(run(client, name, command, data), 422, "invalid-data")


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2].map(x, [1, 2].map(y, x * y))",
        "data.items.all(x, data.items.exists(y, x == y))",
        'data.text.matches("^(a+)+$")',
        "(" * 300 + "1" + ")" * 300,
        "1" + " + 1" * 600,
        "[" * 200 + "]" * 200,
        "data.text + ",
    ],
)
def test_an_expression_that_could_run_away_is_refused_when_registered(
    client: httpx.Client, name: str, text: str
) -> None:
    refused = put(
        client, name, an_object(text={}, items={}), commands={"go": {"result": text}}
    )
    assert pointers(assert_problem(refused, 422, "invalid-schema")) == {
        "/commands/go/result"
    }


@pytest.mark.parametrize(
    ("member", "schema", "value"),
    [
        ("p", {"type": "number"}, '"text"'),
        ("p", {"type": "number"}, "data.text"),
        ("p", {"type": "integer"}, "1.5"),
        ("p", {"type": "string"}, "data.p == data.text"),
        ("p", {"enum": ["a", "b"]}, '"c"'),
        ("p", {"type": "integer"}, "1 / 0"),
        ("p", {"type": "array"}, '{"a": 1}'),
        ("q", {}, "1"),
    ],
)
def test_a_value_that_no_member_can_have_is_refused_when_registered(
    client: httpx.Client, name: str, member: str, schema: Json, value: str
) -> None:
    closed = an_object(p=schema, text={"type": "string"})
    command = {"set": {member: {"if": "true", "value": value}}}
    refused = put(client, name, closed, commands={"go": command})
    problem = assert_problem(refused, 422, "invalid-schema")
    assert pointers(problem) == {f"/commands/go/set/{member}/value"}


def test_a_text_that_is_doubled_again_and_again_stays_within_the_limit_of_a_body(
    client: httpx.Client, name: str
) -> None:
    """Each run doubles what is stored; before it is huge the command is refused."""
    registered(
        client,
        name,
        an_object(a={}),
        commands={"go": {"set": {"a": "data.a + data.a"}}},
    )
    own = Collection(client, name)
    record = own.created(a="x" * 1_000)
    answers = [own.command(record["id"], "go").status_code for _ in range(25)]
    assert answers[:5] == [200] * 5
    assert set(answers) == {200, 422}
    assert answers[-1] == 422
    assert len(own.record(record["id"])["data"]["a"]) <= 1_048_576


# Others are answered meanwhile


@pytest.fixture
def reader(replicas: Replicas) -> Iterator[Reader]:
    found = Reader(replicas.second)
    yield found
    found.close()


WIDE = {
    "type": "object",
    "allOf": [{"properties": {f"p{number}": {}}} for number in range(660)],
}
SAME = {
    "type": "object",
    "$defs": {"a": {"properties": {f"p{number}": {} for number in range(900)}}},
    "allOf": [{"$ref": "#/$defs/a"}] * 500,
}
MANY = an_object(**{f"p{number}": TEXT for number in range(1_990)})
ASSIGNED = {f"p{number}": f"data.p{number}" for number in range(60)}
COMMANDS = {f"c{number}": {"set": ASSIGNED} for number in range(8)}
LARGE = json.dumps({"lines": [{"n": number, "tag": "a"} for number in range(30_000)]})
LINES = an_object(
    lines={"type": "array", "uniqueItems": True, "items": an_object(n=NUMBER, tag=TEXT)}
)


def work_through(replicas: Replicas, name: str, schema: Json, commands: Json) -> None:
    """Everything that has to look at a schema, with the answers it must have."""
    with replicas.second.checked_client() as client:
        client.timeout = httpx.Timeout(60)
        assert (
            put(client, name, schema, indexes=["p1"], commands=commands).status_code
            == 201
        )
        own = Collection(client, name)
        record = own.created(p1="x")
        assert own.items([("p1", '"x"')] if schema is not MANY else [("p1", "x")]) == [
            record
        ]
        assert own.command(record["id"], "set", {"p2": "y"}).status_code in (200, 422)
        assert client.get(f"/collections/{name}/openapi.json").status_code == 200
        if schema is WIDE:  # the document has the types of all other tests
            assert client.get("/openapi.json").status_code == 200
        assert (
            put(
                client, name, schema | {"title": "other"}, commands=commands
            ).status_code
            == 200
        )


SCHEMAS: dict[str, tuple[Json, Json]] = {
    "wide": (WIDE, {}),
    "same": (SAME, {}),
    "many": (MANY, COMMANDS),
}


def write_documents(replicas: Replicas, name: str) -> None:
    with replicas.second.checked_client() as client:
        for _ in range(3):
            headers = {"content-type": "application/json"}
            answer = client.post(f"/api/{name}", content=LARGE, headers=headers)
            assert answer.status_code == 201
            address = f"{answer.headers['location']}/commands/set"
            assert (
                client.post(address, content=LARGE, headers=headers).status_code == 200
            )


@sqlite_only  # what takes long is done before the database is asked
@pytest.mark.parametrize("case", SCHEMAS)
def test_the_worst_schema_keeps_nobody_waiting(
    replicas: Replicas, reader: Reader, name: str, case: str
) -> None:
    turns = count()
    reader.assert_never_waits(
        lambda: work_through(replicas, f"{name}-{next(turns)}", *SCHEMAS[case])
    )


@sqlite_only  # what takes long is done before the database is asked
def test_the_largest_document_keeps_nobody_waiting(
    replicas: Replicas, reader: Reader, name: str
) -> None:
    registered(replicas.client, name, LINES)
    reader.assert_never_waits(lambda: write_documents(replicas, name))


def test_the_garbage_collector_passes_over_types_that_are_loaded(
    replicas: Replicas, client: httpx.Client, name: str
) -> None:
    registered(client, name, an_object(a={"type": "string"}))
    dialect = dialect_of(replicas.database)
    catalog = Catalog(dialect, [])
    with closing(dialect.connect()) as connection:
        catalog.refresh(Session(dialect, connection.cursor()))
    schema = catalog.layouts[name].type.schema
    assert all(found is not schema for found in gc.get_objects())
