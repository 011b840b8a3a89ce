"""Registered entity types over HTTP: registering, using at once, looking at, deleting
(contract 6)."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem, pointers
from tests.support.registered import (
    AUDIT_EVENT,
    REATTRIBUTE,
    Replicas,
    an_empty_database,
    an_object,
    put,
    registered,
)
from tests.support.server import serving, start

pytest_plugins = ["tests.support.replicas"]

INDEXES = [["source"], ["payload.user_id", "event_name"]]
TEXT = {"type": "string"}
NUMBER = {"type": "integer"}


@pytest.fixture
def client(replicas: Replicas) -> httpx.Client:
    return replicas.client


@pytest.fixture
def events(client: httpx.Client, name: str) -> Collection:
    """A collection of audit events of its own."""
    registered(
        client,
        name,
        AUDIT_EVENT,
        indexes=INDEXES,
        commands={"reattribute": REATTRIBUTE},
    )
    return Collection(client, name)


def of_each(replicas: Replicas, name: str) -> Iterator[Collection]:
    """The collection as each process shows it."""
    return (Collection(client, name) for client in replicas.each)


# At once, everywhere


def test_a_type_is_there_on_every_process_as_soon_as_it_is_registered(
    replicas: Replicas, name: str
) -> None:
    assert put(replicas.client, name, AUDIT_EVENT).status_code == 201
    made = [
        own.created(event_name="user.login", duration_ms=41)
        for own in of_each(replicas, name)
    ]
    assert len(made) == 3
    for own in of_each(replicas, name):
        assert own.items(limit=10) == made
        assert [own.record(record["id"]) for record in made] == made


@pytest.mark.parametrize(
    "call", ["list", "read", "commands", "export", "openapi", "describe"]
)
def test_whatever_is_asked_first_a_process_knows_the_new_type(
    replicas: Replicas, name: str, call: str
) -> None:
    registered(replicas.client, name, AUDIT_EVENT)
    record = Collection(replicas.client, name).created(event_name="user.login")
    addresses = {
        "list": f"/api/{name}",
        "read": f"/api/{name}/{record['id']}",
        "commands": f"/api/{name}/commands",
        "export": f"/api/{name}/export",
        "openapi": f"/collections/{name}/openapi.json",
        "describe": f"/collections/{name}",
    }
    for client in replicas.each[1:]:
        assert client.get(addresses[call]).status_code == 200


def test_a_restart_finds_the_type_and_its_records(
    request: pytest.FixtureRequest, database: str, tmp_path: Path
) -> None:
    url = an_empty_database(request, database, tmp_path)
    server = start(url, tmp_path)
    with server.client() as client:
        definition = registered(
            client, "notes", AUDIT_EVENT, commands={"reattribute": REATTRIBUTE}
        )
        record = Collection(client, "notes").created(event_name="user.login")
    server.stop()
    with serving(url, tmp_path) as server, server.client() as client:
        assert client.get("/entity-types/notes").json() == {
            key: value
            for key, value in definition.items()
            if key not in ("migrated", "warnings")
        }
        notes = Collection(client, "notes")
        assert notes.record(record["id"]) == record
        assert (
            notes.command(record["id"], "reattribute", {"source": "edge"}).status_code
            == 200
        )


def test_openapi_shows_the_paths_filters_and_commands_of_the_type(
    request: pytest.FixtureRequest, database: str, tmp_path: Path
) -> None:
    """The document of the replicas that all tests share has hundreds of types."""
    url = an_empty_database(request, database, tmp_path)
    with (
        serving(url, tmp_path) as one,
        serving(url, tmp_path) as two,
        one.client() as first,
        two.client() as second,
    ):
        registered(first, "notes", AUDIT_EVENT, commands={"reattribute": REATTRIBUTE})
        for client in (first, second):
            paths = client.get("/openapi.json").json()["paths"]
            assert {"/api/notes", "/api/notes/{id}"} <= paths.keys()
            assert "/api/notes/{id}/commands/reattribute" in paths
            own = client.get("/collections/notes/openapi.json").text
            assert '"event_name"' in own
            assert '"duration_ms__gte"' in own
            assert '"title__gte"' not in own


def test_a_collection_is_described_as_registered(events: Collection) -> None:
    described = events.client.get(f"/collections/{events.name}").json()
    assert described["kind"] == "registered"
    assert described["schema_version"] == 1
    assert described["schema"] == AUDIT_EVENT
    assert described["commands"] == ["reattribute", "set"]
    assert described["indexes"] == INDEXES
    assert events.name in [
        each["name"] for each in events.client.get("/collections").json()["items"]
    ]


# Registering


def test_registering_answers_201_where_it_is_and_again_200(
    client: httpx.Client, name: str
) -> None:
    made = put(client, name, AUDIT_EVENT, indexes=INDEXES)
    assert made.status_code == 201
    assert made.headers["location"] == f"/entity-types/{name}"
    assert client.get(made.headers["location"]).json()["indexes"] == INDEXES
    assert put(client, name, AUDIT_EVENT, indexes=INDEXES).status_code == 200


def test_every_member_but_the_schema_is_optional(
    client: httpx.Client, name: str
) -> None:
    definition = registered(client, name, {"type": "object"})
    assert definition["schema_version"] == 1
    assert (definition["unique"], definition["indexes"], definition["commands"]) == (
        [],
        [],
        {},
    )
    Collection(client, name).created(anything={"goes": [1, None]})


def test_a_definition_may_repeat_its_name_and_no_other(
    client: httpx.Client, name: str
) -> None:
    refused = put(client, name, AUDIT_EVENT, name="other-events")
    assert pointers(assert_problem(refused, 422, "invalid-schema")) == {"/name"}
    assert put(client, name, AUDIT_EVENT, name=name).status_code == 201


@pytest.mark.parametrize(
    "bad", ["Events", "1events", "a_b", "a" * 64, "événements", "a.b"]
)
def test_a_name_no_collection_can_have_is_refused(
    client: httpx.Client, bad: str
) -> None:
    assert_problem(put(client, bad, AUDIT_EVENT), 422, "invalid-schema")


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_the_name_of_a_typed_collection_is_taken(
    client: httpx.Client, method: str
) -> None:
    response = client.request(
        method, "/entity-types/counters", json={"schema": AUDIT_EVENT}
    )
    assert_problem(response, 409, "collection-is-typed")
    assert Collection(client, "counters").created(value=1)["schema_version"] == 1


def test_what_no_definition_has_is_named(client: httpx.Client, name: str) -> None:
    problem = assert_problem(
        put(client, name, AUDIT_EVENT, index=[]), 422, "invalid-schema"
    )
    assert pointers(problem) == {"/index"}
    problem = assert_problem(
        client.put(f"/entity-types/{name}", json={}), 422, "invalid-schema"
    )
    assert pointers(problem) == {"/schema"}


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"indexes": ["sauce"]}, "/indexes/0"),
        ({"unique": [["source"], ["event_name", "sauce"]]}, "/unique/1"),
        ({"indexes": ["source.deeper"]}, "/indexes/0"),
        ({"indexes": [["source", "source"]]}, "/indexes/0/1"),
        ({"indexes": ["a b"]}, "/indexes/0"),
        ({"indexes": ['source"; drop table journal']}, "/indexes/0"),
        ({"indexes": {}}, "/indexes"),
        ({"unique": [[]]}, "/unique/0"),
        ({"commands": {"set": {}}}, "/commands/set"),
        ({"commands": {"Go": {}}}, "/commands/Go"),
        ({"commands": {"go": {"then": "x"}}}, "/commands/go/then"),
        (
            {"commands": {"go": {"payload": {"type": "array"}}}},
            "/commands/go/payload/type",
        ),
        ({"migration": {"rename": {"a": 1}}}, "/migration/rename/a"),
        ({"migration": [{"to": 2, "rename": {}}]}, "/migration/0/from"),
        ({"schema_version": 0}, "/schema_version"),
        ({"schema_version": "1"}, "/schema_version"),
    ],
)
def test_a_fault_of_a_definition_is_named_by_its_pointer(
    client: httpx.Client, name: str, members: Json, pointer: str
) -> None:
    problem = assert_problem(
        put(client, name, AUDIT_EVENT, **members), 422, "invalid-schema"
    )
    assert pointers(problem) == {pointer}
    assert_problem(client.get(f"/entity-types/{name}"), 404, "entity-type-not-found")


def test_a_fault_of_the_schema_is_named_by_its_pointer(
    client: httpx.Client, name: str
) -> None:
    schema = an_object(a={"type": "text"}, b={"minimum": "1"})
    problem = assert_problem(put(client, name, schema), 422, "invalid-schema")
    assert pointers(problem) == {
        "/schema/properties/a/type",
        "/schema/properties/b/minimum",
    }


def test_every_version_stays_readable(client: httpx.Client, name: str) -> None:
    first = registered(client, name, an_object(a=TEXT), indexes=["a"])
    second = registered(
        client, name, an_object(a=TEXT, b=TEXT), commands={"go": {"result": "1"}}
    )
    versions = client.get(f"/entity-types/{name}/versions").json()["items"]
    assert [version["schema_version"] for version in versions] == [1, 2]
    assert [version["current"] for version in versions] == [False, True]
    for number, definition in ((1, first), (2, second)):
        version = client.get(f"/entity-types/{name}/versions/{number}").json()
        assert version == versions[number - 1]
        assert version["schema"] == definition["schema"]
        assert (version["indexes"], version["commands"]) == (
            definition["indexes"],
            definition["commands"],
        )
    assert client.get(f"/entity-types/{name}").json() == versions[1]
    for missing in ("3", "0", "x", "01"):
        missed = client.get(f"/entity-types/{name}/versions/{missing}")
        assert_problem(missed, 404, "entity-type-not-found")


def test_all_registered_types_are_listed(
    client: httpx.Client, events: Collection
) -> None:
    items = client.get("/entity-types").json()["items"]
    assert client.get(f"/entity-types/{events.name}").json() in items
    assert "counters" not in [item["name"] for item in items]


@pytest.mark.parametrize("path", ["", "/versions", "/versions/1"])
def test_a_type_nobody_registered_is_not_found(
    client: httpx.Client, name: str, path: str
) -> None:
    assert_problem(
        client.get(f"/entity-types/{name}{path}"), 404, "entity-type-not-found"
    )
    assert_problem(client.delete(f"/entity-types/{name}"), 404, "entity-type-not-found")


def test_a_dry_run_registers_nothing(client: httpx.Client, name: str) -> None:
    body = {"schema": AUDIT_EVENT, "indexes": INDEXES}
    response = client.put(
        f"/entity-types/{name}", json=body, params={"dry_run": "true"}
    )
    assert response.status_code == 200
    assert response.json()["schema_version"] == 1
    assert_problem(client.get(f"/api/{name}"), 404, "collection-not-found")
    assert_problem(client.get(f"/entity-types/{name}"), 404, "entity-type-not-found")
    assert client.put(f"/entity-types/{name}", json=body).status_code == 201


def test_a_definition_is_replaced_only_where_it_is_the_one_that_was_read(
    replicas: Replicas, events: Collection
) -> None:
    client, address = replicas.client, f"/entity-types/{events.name}"
    tag = client.get(address).headers["etag"]
    body = {"schema": AUDIT_EVENT}
    stored = client.put(address, json=body, headers={"If-Match": tag})
    assert (stored.status_code, stored.json()["schema_version"]) == (200, 1)
    tags = {each.get(address).headers["etag"] for each in replicas.each}
    assert tags == {stored.headers["etag"]} != {tag}
    for headers in ({"If-Match": tag}, {"If-None-Match": "*"}):
        answer = client.put(address, json={"schema": {}}, headers=headers)
        assert_problem(answer, 412, "precondition-failed")
    answer = client.delete(address, headers={"If-Match": tag})
    assert_problem(answer, 412, "precondition-failed")
    current = {"If-Match": stored.headers["etag"]}
    assert client.delete(address, headers=current).status_code == 204
    answer = client.put(address, json=body, headers=current)
    assert_problem(answer, 412, "precondition-failed")
    new = {"If-None-Match": "*"}
    assert client.put(address, json=body, headers=new).status_code == 201


def test_an_idempotency_key_has_the_answer_of_the_registration_again(
    client: httpx.Client, name: str
) -> None:
    key = {"idempotency-key": uuid.uuid4().hex}
    first, again = (
        client.put(f"/entity-types/{name}", json={"schema": AUDIT_EVENT}, headers=key)
        for _ in range(2)
    )
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert again.headers["idempotency-replayed"] == "true"


def test_fifty_types_are_registered_at_once(replicas: Replicas, name: str) -> None:
    def register(client: httpx.Client, number: int) -> int:
        own = f"{name}-{number}"
        status = put(
            client, own, an_object(a=NUMBER), indexes=["a"], unique=["a"]
        ).status_code
        Collection(client, own).created(a=number)
        return status

    assert replicas.at_once(50, register) == [201] * 50
    for client in replicas.each:
        for number in range(50):
            (record,) = Collection(client, f"{name}-{number}").items(a=number)
            assert record["data"] == {"a": number}


def test_one_type_that_eight_clients_register_at_once_has_one_version(
    replicas: Replicas, name: str
) -> None:
    def register(client: httpx.Client, _: int) -> tuple[int, int]:
        response = put(client, name, AUDIT_EVENT, indexes=INDEXES)
        return response.status_code, response.json()["schema_version"]

    assert sorted(replicas.at_once(8, register)) == [(200, 1)] * 7 + [(201, 1)]
    assert (
        len(replicas.client.get(f"/entity-types/{name}/versions").json()["items"]) == 1
    )


# Data


def test_all_violations_come_at_once_with_their_pointers(events: Collection) -> None:
    given: Json = {"duration_ms": "x", "payload": [], "user": "u-42", "source": None}
    problem = assert_problem(events.create(given), 422, "invalid-data")
    assert pointers(problem) == {
        "/event_name",
        "/duration_ms",
        "/payload",
        "/user",
        "/source",
    }


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"duration_ms": 41}, "/event_name"),
        ({"event_name": "user.login", "duration_ms": "x"}, "/duration_ms"),
        ({"event_name": "user.login", "duration": 41}, "/duration"),
        ({"event_name": None}, "/event_name"),
        ({"event_name": "user.login", "duration_ms": 2**63}, "/duration_ms"),
        ({"event_name": "user.login", "duration_ms": 41.5}, "/duration_ms"),
    ],
)
def test_what_does_not_fit_is_refused_at_its_pointer_and_not_stored(
    events: Collection, given: Json, pointer: str
) -> None:
    assert pointers(assert_problem(events.create(given), 422, "invalid-data")) == {
        pointer
    }
    record = events.created(event_name="user.login", duration_ms=41)
    assert pointers(
        assert_problem(events.replace(record["id"], given), 422, "invalid-data")
    ) == {pointer}
    assert events.items() == [record]


def test_the_keywords_of_the_draft_hold(client: httpx.Client, name: str) -> None:
    schema = {
        "type": "object",
        "$defs": {
            "point": {"type": "array", "prefixItems": [NUMBER, NUMBER], "items": False}
        },
        "properties": {
            "kind": {"enum": ["card", "cash"]},
            "at": {"type": "string", "format": "date-time"},
            "where": {"$ref": "#/$defs/point"},
        },
        "if": {"properties": {"kind": {"const": "card"}}, "required": ["kind"]},
        "then": {"properties": {"number": TEXT}, "required": ["number"]},
        "oneOf": [{"required": ["at"]}, {"required": ["where"]}],
        "dependentRequired": {"where": ["kind"]},
        "unevaluatedProperties": False,
    }
    registered(client, name, schema)
    own = Collection(client, name)
    own.created(kind="card", number="4", where=[1, 2])
    own.created(at="2026-11-22T17:00:00Z")
    refused: list[tuple[Json, set[str]]] = [
        ({"kind": "card", "at": "2026-11-22T17:00:00Z"}, {"/number"}),
        ({"at": "yesterday"}, {"/at"}),
        ({"kind": "cash", "where": [1, 2, 3]}, {"/where/2"}),
        ({"kind": "cash", "where": [1, 2], "number": "4"}, {"/number"}),
        ({"where": [1, 2]}, {"/kind"}),
        ({"kind": "cash", "where": [1, 2], "at": "2026-11-22T17:00:00Z"}, {""}),
    ]
    for given, places in refused:
        assert (
            pointers(assert_problem(own.create(given), 422, "invalid-data")) == places
        )


def test_defaults_are_stored_whatever_write_leaves_them_out(
    client: httpx.Client, name: str
) -> None:
    line = an_object("article", article=TEXT, count={"type": "integer", "default": 1})
    schema = {
        "type": "object",
        "$defs": {"place": an_object(city={"type": "string", "default": "Bern"})},
        "properties": {
            "paid": {"type": "boolean", "default": False},
            "place": {"$ref": "#/$defs/place", "default": {}},
            "lines": {"type": "array", "items": line},
        },
        "allOf": [{"properties": {"currency": {"type": "string", "default": "CHF"}}}],
        "anyOf": [{"properties": {"branch": {"default": 1}}}],
    }
    registered(client, name, schema)
    own = Collection(client, name)
    filled = {"paid": False, "place": {"city": "Bern"}, "currency": "CHF"}
    record = own.created(lines=[{"article": "a"}])
    assert record["data"] == filled | {"lines": [{"article": "a", "count": 1}]}
    assert own.replace(record["id"], {"paid": True}).json()["data"] == filled | {
        "paid": True
    }
    assert own.patch(record["id"], {"place": {"city": None}, "currency": None}).json()[
        "data"
    ] == (filled | {"paid": True})
    assert (
        own.patch(record["id"], {"place": None, "paid": None}).json()["data"] == filled
    )
    assert own.items(currency="CHF", paid="false")[0]["id"] == record["id"]


HOSTILE = [
    *(
        "__proto__",
        "constructor",
        "data",
        "id",
        "sort",
        "limit",
        "filter",
        "revision",
        "workspace",
    ),
    *(
        "a.b",
        "a__gte",
        "_id",
        "",
        " ",
        "$ref",
        "'",
        '"',
        '"; drop table journal; --',
        "%",
        "\\",
        "a/b",
        "~1",
    ),
    *(
        "имя",
        "名前",
        "שם",
        "नाम",
        "\u202e",
        "\U0001f600",
        "é",
        "e\u0301",
        "ﬀ",
        "I",
        "ı",
    ),
]


def test_a_property_may_have_any_name(client: httpx.Client, name: str) -> None:
    schema = an_object(**dict.fromkeys(HOSTILE, TEXT))
    simple = [each for each in HOSTILE if each.isidentifier() and each.isascii()]
    registered(
        client, name, schema, indexes=simple, commands={"go": {"result": 'data["a.b"]'}}
    )
    own = Collection(client, name)
    data = {each: f"the value of {each}" for each in HOSTILE}
    record = own.created(**data)
    assert record["data"] == data
    assert own.record(record["id"]) == record
    assert own.command(record["id"], "go").json()["result"] == "the value of a.b"
    for each in HOSTILE:
        quoted = each.replace("\\", "\\\\").replace('"', '\\"')
        found = own.find(filter=f'data["{quoted}"] == "the value of {quoted}"')
        assert [item["id"] for item in found.json().get("items", [])] == [
            record["id"]
        ], found.text
    for awkward in ("a.b", "a__gte", ""):
        refused = assert_problem(own.find([(awkward, "x")]), 400, "invalid-query")
        assert f'filter=data["{awkward}"]' in refused["detail"]
    assert own.items([("data.id", "the value of id"), ("sort", "data.sort")]) == [
        record
    ]
    assert (
        own.patch(record["id"], dict.fromkeys(HOSTILE, "x")).json()["data"]["__proto__"]
        == "x"
    )


# Commands


def test_a_command_runs_as_its_definition_says(events: Collection) -> None:
    record = events.created(event_name="user.login")
    answer = events.command(record["id"], "reattribute", {"source": "edge-proxy"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["result"] == "user.login"
    assert answer.json()["record"]["data"] == {
        "event_name": "user.login",
        "source": "edge-proxy",
    }
    assert answer.headers["etag"] == '"2"'
    change = events.history(record["id"])[0]
    assert (change["operation"], change["command"]) == ("command", "reattribute")
    assert change["payload"] == {"source": "edge-proxy"}
    again = events.command(record["id"], "reattribute", {"source": "other"})
    assert (
        "!has(data.source)"
        in assert_problem(again, 409, "command-unavailable")["detail"]
    )


def test_commands_are_listed_with_their_payloads(events: Collection) -> None:
    items = events.client.get(f"{events.path}/commands").json()["items"]
    assert [item["name"] for item in items] == ["reattribute", "set"]
    assert items[0]["description"] == REATTRIBUTE["description"]
    assert items[0]["payload_schema"] == REATTRIBUTE["payload"]


def test_a_payload_is_checked_and_filled_in(client: httpx.Client, name: str) -> None:
    payload = an_object(
        "by",
        by={"type": "integer", "minimum": 1},
        times={"type": "integer", "default": 2},
    )
    add = {
        "payload": payload,
        "set": {"total": "data.total + payload.by * payload.times"},
    }
    registered(client, name, an_object("total", total=NUMBER), commands={"add": add})
    own = Collection(client, name)
    record = own.created(total=1)
    assert own.command(record["id"], "add", {"by": 3}).json()["record"]["data"] == {
        "total": 7
    }
    refused = assert_problem(
        own.command(record["id"], "add", {"times": 0.5, "x": 1}), 422, "invalid-payload"
    )
    assert pointers(refused) == {"/by", "/times", "/x"}


def test_an_assignment_sees_the_data_as_it_was_and_may_be_conditional(
    client: httpx.Client, name: str
) -> None:
    turn = {
        "set": {
            "left": "data.right",
            "right": "data.left",
            "note": {"if": 'data.left == "stay"', "value": '"stayed"'},
        },
        "unset": ["spare"],
    }
    registered(
        client,
        name,
        an_object(left=TEXT, right=TEXT, note=TEXT, spare=TEXT),
        commands={"turn": turn},
    )
    own = Collection(client, name)
    record = own.created(left="l", right="r", spare="s")
    answer = own.command(record["id"], "turn").json()
    assert answer["result"] is None
    assert answer["record"]["data"] == {"left": "r", "right": "l"}


def test_a_result_that_is_no_valid_data_is_not_stored(
    client: httpx.Client, name: str
) -> None:
    commands = {"spoil": {"set": {"n": "data.n - 10"}}, "strip": {"unset": ["n"]}}
    registered(
        client,
        name,
        an_object("n", n={"type": "integer", "minimum": 0}),
        commands=commands,
    )
    own = Collection(client, name)
    record = own.created(n=1)
    for command in commands:
        refused = assert_problem(
            own.command(record["id"], command), 422, "invalid-data"
        )
        assert pointers(refused) == {"/n"}
    assert own.record(record["id"]) == record


def test_null_and_absent_are_one_to_a_guard(events: Collection) -> None:
    schema = an_object(source={"type": ["string", "null"]})
    registered(
        events.client,
        f"{events.name}-0",
        schema,
        commands={"go": {"when": "!has(data.source)"}},
    )
    own = Collection(events.client, f"{events.name}-0")
    for given in ({}, {"source": None}):
        assert own.command(own.created(**given)["id"], "go").status_code == 200


@pytest.mark.parametrize(
    ("command", "pointer"),
    [
        ({"when": "data.nothing == 1"}, "/commands/go/when"),
        ({"when": "data.n"}, "/commands/go/when"),
        ({"when": "data.n +"}, "/commands/go/when"),
        ({"set": {"n": "payload.n"}}, "/commands/go/set/n"),
        ({"set": {"n": {"if": "1", "value": "2"}}}, "/commands/go/set/n/if"),
        ({"set": {"n": {"if": "true"}}}, "/commands/go/set/n/value"),
        ({"result": "[1, 2].map(x, x * 2)"}, "/commands/go/result"),
        ({"result": "data.n" + " + 1" * 600}, "/commands/go/result"),
    ],
)
def test_a_command_is_checked_when_it_is_registered(
    client: httpx.Client, name: str, command: Json, pointer: str
) -> None:
    schema = an_object("n", n=NUMBER)
    problem = assert_problem(
        put(client, name, schema, commands={"go": command}), 422, "invalid-schema"
    )
    assert pointers(problem) == {pointer}


# Deletion


def test_a_type_is_deleted_only_when_its_collection_is_empty(
    events: Collection,
) -> None:
    record = events.created(event_name="user.login")
    address = f"/entity-types/{events.name}"
    assert_problem(events.client.delete(address), 409, "collection-not-empty")
    assert events.record(record["id"]) == record
    events.delete(record["id"])
    assert events.client.delete(address, params={"dry_run": "true"}).status_code == 200
    assert events.client.get(address).status_code == 200
    assert events.client.delete(address).status_code == 204
    assert_problem(events.client.get(address), 404, "entity-type-not-found")
    assert_problem(events.client.delete(address), 404, "entity-type-not-found")


def test_a_deleted_type_disappears_from_every_process(
    replicas: Replicas, name: str
) -> None:
    registered(replicas.client, name, AUDIT_EVENT)
    for own in of_each(replicas, name):
        assert own.items() == []
    assert replicas.client.delete(f"/entity-types/{name}").status_code == 204
    for own in of_each(replicas, name):
        assert_problem(
            own.create({"event_name": "user.login"}), 404, "collection-not-found"
        )
        assert_problem(own.find(), 404, "collection-not-found")
        described = own.client.get(f"/collections/{name}/openapi.json")
        assert_problem(described, 404, "collection-not-found")


def test_the_name_of_a_deleted_type_goes_on_counting(
    replicas: Replicas, name: str, record_id: str
) -> None:
    own = Collection(replicas.client, name)
    for version in (1, 2):
        assert (
            put(replicas.client, name, AUDIT_EVENT).json()["schema_version"] == version
        )
        assert (
            own.replace(record_id, {"event_name": "user.login"}).json()["revision"]
            == 2 * version - 1
        )
        assert own.delete(record_id).status_code == 204
        assert replicas.client.delete(f"/entity-types/{name}").status_code == 204
    response = put(replicas.other, name, an_object(a=TEXT), schema_version=2)
    assert (response.status_code, response.json()["schema_version"]) == (201, 3)
    versions = replicas.client.get(f"/entity-types/{name}/versions").json()["items"]
    assert [version["schema_version"] for version in versions] == [1, 2, 3]


def test_deleting_while_others_write_leaves_no_record_without_a_type(
    replicas: Replicas, name: str
) -> None:
    registered(replicas.client, name, AUDIT_EVENT)

    def act(client: httpx.Client, number: int) -> tuple[str, int]:
        if number == 0:
            return "delete", client.delete(f"/entity-types/{name}").status_code
        return "create", Collection(client, name).create(
            {"event_name": "user.login"}
        ).status_code

    answers: list[tuple[str, Any]] = replicas.at_once(12, act)
    created = answers.count(("create", 201))
    deleted = ("delete", 204) in answers
    assert created == 0 if deleted else ("delete", 409) in answers
    assert created + answers.count(("create", 404)) == 11
