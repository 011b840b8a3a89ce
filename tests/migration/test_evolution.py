"""Evolution: a registered type gets another schema, and its records come along
(contract 6)."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem, pointers
from tests.support.registered import (
    AUDIT_EVENT,
    REATTRIBUTE,
    Replicas,
    an_object,
    imported,
    put,
    registered,
)
from tests.support.server import Server
from tests.support.waiting import until

pytest_plugins = ["tests.support.replicas"]

TEXT = {"type": "string"}
NUMBER = {"type": "integer"}


@pytest.fixture
def client(replicas: Replicas) -> httpx.Client:
    return replicas.client


def definition_of(client: httpx.Client, name: str) -> Json:
    response = client.get(f"/entity-types/{name}")
    assert response.status_code == 200, response.text
    definition: Json = response.json()
    return definition


def versions_of(client: httpx.Client, name: str) -> list[int]:
    items = client.get(f"/entity-types/{name}/versions").json()["items"]
    return [item["schema_version"] for item in items]


# What decides the version


def test_a_schema_written_otherwise_is_the_same_version(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, AUDIT_EVENT)
    record = Collection(client, name).created(event_name="user.login")
    turned = dict(reversed(AUDIT_EVENT.items()))
    turned["properties"] = dict(reversed(AUDIT_EVENT["properties"].items()))
    again = registered(client, name, turned, migration={"drop": ["event_name"]})
    assert (again["schema_version"], again["migrated"], again["migration"]) == (
        1,
        0,
        [],
    )
    assert Collection(client, name).record(record["id"]) == record


def test_commands_and_indexes_change_in_place(replicas: Replicas, name: str) -> None:
    client = replicas.client
    registered(
        client, name, AUDIT_EVENT, indexes=["source"], commands={"old": {"result": "1"}}
    )
    record = Collection(client, name).created(event_name="user.login")
    changed = registered(
        client,
        name,
        AUDIT_EVENT,
        indexes=["duration_ms"],
        commands={"new": REATTRIBUTE},
    )
    assert (changed["schema_version"], changed["migrated"]) == (1, 0)
    assert versions_of(client, name) == [1]
    assert definition_of(client, name)["indexes"] == [["duration_ms"]]
    for each in replicas.each:
        own = Collection(each, name)
        assert_problem(own.command(record["id"], "old"), 404, "command-not-found")
        assert own.record(record["id"]) == record
    assert (
        Collection(replicas.other, name)
        .command(record["id"], "new", {"source": "edge"})
        .status_code
        == 200
    )


def test_another_word_in_the_schema_is_the_next_version(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, an_object(a=TEXT))
    assert (
        registered(client, name, an_object(a=TEXT | {"maxLength": 9}))["schema_version"]
        == 2
    )
    assert registered(client, name, an_object(a=TEXT))["schema_version"] == 3
    assert versions_of(client, name) == [1, 2, 3]


def test_a_definition_may_carry_its_version(client: httpx.Client, name: str) -> None:
    schemas = [an_object(a=TEXT | {"maxLength": number}) for number in range(4)]
    assert registered(client, name, schemas[0], schema_version=7)["schema_version"] == 7
    assert registered(client, name, schemas[0], schema_version=9)["schema_version"] == 7
    assert registered(client, name, schemas[1], schema_version=9)["schema_version"] == 9
    refused = put(client, name, schemas[2], schema_version=9)
    assert assert_problem(refused, 409, "migration-required")["detail"]
    lower = registered(client, name, schemas[2], schema_version=8, commands={"go": {}})
    assert (lower["schema_version"], lower["schema"], lower["commands"]) == (
        9,
        schemas[1],
        {},
    )
    assert registered(client, name, schemas[3])["schema_version"] == 10
    assert versions_of(client, name) == [7, 9, 10]


def test_a_lower_version_is_logged(replicas: Replicas, name: str) -> None:
    with replicas.first.client() as client:
        registered(client, name, an_object(a=TEXT), schema_version=3)
        registered(client, name, an_object(a=NUMBER), schema_version=2)
    until(
        lambda: f"{name}: schema version 2 is older" in replicas.first.log.read_text()
    )


# The migration


def test_a_migration_renames_drops_sets_and_fills_in_that_order(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, {"type": "object"})
    own = Collection(client, name)
    given: list[Json] = [
        {"ms": 41, "host": "a", "event_name": "user.login"},
        {"event_name": "user.logout", "source": "edge-proxy", "duration_ms": 3},
        {"ms": None, "host": None, "event_name": "user.login", "payload": {"a": 1}},
    ]
    records = [own.created(**data) for data in given]
    evolved = registered(
        client,
        name,
        AUDIT_EVENT
        | {
            "properties": AUDIT_EVENT["properties"]
            | {"duration_ms": {"type": ["integer", "null"]}}
        },
        migration={
            "rename": {"ms": "duration_ms"},
            "drop": ["host"],
            "set": {
                "duration_ms": {
                    "if": "has(data.duration_ms)",
                    "value": "data.duration_ms * 1000",
                },
                "event_name": '"a." + data.event_name',
            },
            "default": {"source": "unknown"},
        },
    )
    assert evolved["migrated"] == 3
    assert [own.record(record["id"])["data"] for record in records] == [
        {"event_name": "a.user.login", "duration_ms": 41_000, "source": "unknown"},
        {"event_name": "a.user.logout", "duration_ms": 3_000, "source": "edge-proxy"},
        {
            "event_name": "a.user.login",
            "duration_ms": None,
            "payload": {"a": 1},
            "source": "unknown",
        },
    ]


def test_every_set_sees_the_data_as_after_drop(client: httpx.Client, name: str) -> None:
    registered(client, name, {"type": "object"})
    own = Collection(client, name)
    record = own.created(a=1, b=2, c=3)
    registered(
        client,
        name,
        an_object(a=NUMBER, b=NUMBER, d={"type": "boolean"}),
        migration={
            "drop": ["c"],
            "set": {"a": "data.b", "b": "data.a", "d": "has(data.c)"},
        },
    )
    assert own.record(record["id"])["data"] == {"a": 2, "b": 1, "d": False}


def test_members_may_change_names_and_a_renamed_one_replaces_another(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, {"type": "object"})
    own = Collection(client, name)
    swapped, replaced = own.created(a=1, b=2), own.created(d="kept?", c="yes")
    rename = {"a": "b", "b": "a", "c": "d"}
    registered(
        client,
        name,
        an_object(a=NUMBER, b=NUMBER, d=TEXT),
        migration={"rename": rename},
    )
    assert own.record(swapped["id"])["data"] == {"b": 1, "a": 2}
    assert own.record(replaced["id"])["data"] == {"d": "yes"}


def test_defaults_of_the_new_schema_are_filled_in(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, an_object(a=TEXT))
    own = Collection(client, name)
    record = own.created(a="x")
    registered(client, name, an_object(a=TEXT, b={"type": "integer", "default": 5}))
    assert own.record(record["id"])["data"] == {"a": "x", "b": 5}


def test_a_migration_may_be_a_list_of_steps(client: httpx.Client, name: str) -> None:
    registered(client, name, an_object(a=NUMBER))
    own = Collection(client, name)
    record = own.created(a=1)
    steps = [
        {"from": 2, "to": 4, "set": {"b": "data.b + 10"}},
        {"from": 1, "to": 2, "rename": {"a": "b"}},
    ]
    evolved = registered(
        client, name, an_object(b=NUMBER), schema_version=4, migration=steps
    )
    assert (evolved["schema_version"], evolved["migrated"]) == (4, 1)
    assert own.record(record["id"])["data"] == {"b": 11}
    assert own.record(record["id"])["schema_version"] == 4


@pytest.mark.parametrize(
    ("steps", "pointer"),
    [
        ([{"from": 1, "to": 2}], "/migration/0"),
        ([{"from": 1, "to": 2}, {"from": 3, "to": 4}], "/migration/0"),
        ([{"from": 1, "to": 5}], "/migration/0"),
        ([{"from": 1, "to": 4}, {"from": 1, "to": 4}], "/migration/1"),
        ([{"from": 2, "to": 1}], "/migration/0/to"),
        ([{"from": 1, "to": 4, "set": {"a": "data.a +"}}], "/migration/0/set/a"),
        ({"set": {"a": "data.a +"}}, "/migration/set/a"),
        ({"set": {"a": {"if": "1", "value": "2"}}}, "/migration/set/a/if"),
    ],
)
def test_steps_that_do_not_lead_to_the_version_are_refused(
    client: httpx.Client, name: str, steps: list[Json] | Json, pointer: str
) -> None:
    registered(client, name, an_object(a=NUMBER))
    refused = put(client, name, an_object(b=NUMBER), schema_version=4, migration=steps)
    assert pointers(assert_problem(refused, 422, "invalid-schema")) == {pointer}
    assert versions_of(client, name) == [1]


def test_a_wrong_step_is_named_as_the_client_wrote_it(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, an_object(a=NUMBER))
    registered(client, name, an_object(b=NUMBER), migration={"rename": {"a": "b"}})
    steps = [{"from": 2, "to": 3, "set": {"c": "payload.c"}}]
    for migration, pointer in (
        (steps, "/migration/0/set/c"),
        ({"set": {"c": "payload.c"}}, "/migration/set/c"),
    ):
        refused = put(client, name, an_object(c=NUMBER), migration=migration)
        assert pointers(assert_problem(refused, 422, "invalid-schema")) == {pointer}


def test_the_plan_keeps_the_steps_of_every_version(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, an_object(a=NUMBER))
    registered(client, name, an_object(b=NUMBER), migration={"rename": {"a": "b"}})
    registered(client, name, an_object(c=NUMBER), migration={"rename": {"b": "c"}})
    plan = client.get(f"/migration-plans/{name}").json()
    assert [(step["from"], step["to"]) for step in plan["steps"]] == [(1, 2), (2, 3)]
    assert plan["current_version"] == 3
    assert definition_of(client, name)["migration"] == [
        {"from": 2, "to": 3, "rename": {"b": "c"}}
    ]


def test_each_record_gets_one_migrate_change_and_one_revision(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, an_object(a=NUMBER))
    own = Collection(client, name)
    once, twice, deleted = (own.created(a=number) for number in range(3))
    own.patch(twice["id"], {"a": 10})
    own.delete(deleted["id"])
    assert (
        registered(client, name, an_object(b=NUMBER), migration={"rename": {"a": "b"}})[
            "migrated"
        ]
        == 2
    )
    for record, revision in ((once, 2), (twice, 3)):
        now = own.record(record["id"])
        assert (now["revision"], now["schema_version"]) == (revision, 2)
        assert now["created_at"] == record["created_at"] < now["updated_at"]
        change = own.history(record["id"])[0]
        assert (change["operation"], change["revision"], change["data"]) == (
            "migrate",
            revision,
            now["data"],
        )
        assert own.read(record["id"], revision=1).json() == record
    assert [change["operation"] for change in own.history(deleted["id"])] == [
        "delete",
        "create",
    ]


def test_the_same_evolution_sent_twice_migrates_once(
    replicas: Replicas, name: str
) -> None:
    registered(replicas.client, name, an_object(n=NUMBER))
    record = Collection(replicas.client, name).created(n=1)
    schema = an_object(n=NUMBER, note=TEXT)
    twice = {"migration": {"set": {"n": "data.n * 2"}}}
    assert registered(replicas.client, name, schema, **twice)["migrated"] == 1
    assert registered(replicas.other, name, schema, **twice)["migrated"] == 0
    assert (
        replicas.at_once(
            8, lambda client, _: put(client, name, schema, **twice).status_code
        )
        == [200] * 8
    )
    assert Collection(replicas.other, name).record(record["id"])["data"] == {"n": 2}
    assert Collection(replicas.other, name).record(record["id"])["revision"] == 2


def test_an_evolution_that_eight_clients_ask_for_at_once_happens_once(
    replicas: Replicas, name: str
) -> None:
    registered(replicas.client, name, an_object(n=NUMBER))
    record = Collection(replicas.client, name).created(n=1)

    def evolve(client: httpx.Client, _: int) -> Json:
        return registered(
            client, name, an_object(m=NUMBER), migration={"rename": {"n": "m"}}
        )

    answers = replicas.at_once(8, evolve)
    assert sorted(answer["migrated"] for answer in answers) == [0] * 7 + [1]
    assert {answer["schema_version"] for answer in answers} == {2}
    assert Collection(replicas.client, name).record(record["id"])["revision"] == 2


def test_every_process_works_by_the_new_version_at_once(
    replicas: Replicas, name: str
) -> None:
    registered(replicas.client, name, an_object(a=TEXT))
    for client in replicas.each:
        Collection(client, name).created(a="12")
    registered(
        replicas.client,
        name,
        an_object(a=NUMBER),
        migration={"set": {"a": "int(data.a)"}},
    )
    for client in reversed(replicas.each):
        own = Collection(client, name)
        assert_problem(own.create({"a": "12"}), 422, "invalid-data")
        assert own.created(a=9)["schema_version"] == 2
        assert len(own.items(a__gte="10")) == 3


@pytest.mark.parametrize(
    "query",
    [{"a__gte": "10"}, {"filter": "data.a >= 10"}, {"sort": "-a", "limit": "1"}],
)
def test_the_first_thing_a_process_is_asked_goes_by_the_new_version(
    replicas: Replicas, name: str, query: Json
) -> None:
    registered(replicas.client, name, an_object(a=TEXT))
    for number, client in enumerate(replicas.each):
        Collection(client, name).created(a=str(number + 8))
    registered(
        replicas.client,
        name,
        an_object(a=NUMBER),
        migration={"set": {"a": "int(data.a)"}},
    )
    for client in replicas.each:
        assert [
            record["data"] for record in Collection(client, name).items(**query)
        ] == [{"a": 10}]


def test_the_commands_that_are_listed_are_the_present_ones(
    replicas: Replicas, name: str
) -> None:
    for command in ("first", "second"):
        registered(
            replicas.client, name, AUDIT_EVENT, commands={command: {"result": "1"}}
        )
        for client in replicas.each:
            items = client.get(f"/api/{name}/commands").json()["items"]
            assert [item["name"] for item in items] == [command, "set"]


def test_an_export_from_any_process_is_of_the_present_version(
    replicas: Replicas, name: str
) -> None:
    registered(replicas.client, name, an_object(a=TEXT))
    for client in replicas.each:
        Collection(client, name).created(a="1")
    registered(
        replicas.client, name, an_object(b=TEXT), migration={"rename": {"a": "b"}}
    )
    for client in replicas.each:
        lines = Collection(client, name).export().text.splitlines()
        assert [json.loads(line)["data"] for line in lines] == [{"b": "1"}] * 3


def test_a_deleted_types_export_is_not_found_on_any_process(
    replicas: Replicas, name: str
) -> None:
    registered(replicas.client, name, an_object(a=TEXT))
    for client in replicas.each:
        assert Collection(client, name).export().text == ""
    assert replicas.client.delete(f"/entity-types/{name}").status_code == 204
    for client in replicas.each:
        assert_problem(Collection(client, name).export(), 404, "collection-not-found")
        assert_problem(client.get(f"/api/{name}/commands"), 404, "collection-not-found")


# Records that do not come along


def test_records_that_do_not_fit_are_counted_and_listed_and_nothing_changes(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, an_object(n=NUMBER))
    own = Collection(client, name)
    imported(client, name, "".join(f'{{"n": {number}}}\n' for number in range(30)))
    before = own.items(limit=100)
    small = an_object("n", n={"type": "integer", "maximum": 9})
    problem = assert_problem(put(client, name, small), 409, "migration-required")
    assert (problem["failed"], problem["records"], len(problem["failures"])) == (
        20,
        30,
        10,
    )
    unfit = [record["id"] for record in before if record["data"]["n"] > 9]
    for failure in problem["failures"]:
        assert failure["id"] in unfit
        assert failure["pointer"] == "/n"
        assert failure["detail"]
    assert own.items(limit=100) == before
    assert versions_of(client, name) == [1]
    assert (
        registered(client, name, small, migration={"set": {"n": "data.n % 10"}})[
            "migrated"
        ]
        == 30
    )


def test_an_expression_that_fails_for_a_record_is_a_failure_of_it(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, an_object(a=NUMBER))
    own = Collection(client, name)
    fine, unfit = own.created(a=1), own.created(a=0)
    refused = put(
        client,
        name,
        an_object(b=NUMBER),
        migration={"drop": ["a"], "set": {"b": "10 / data.a"}},
    )
    problem = assert_problem(refused, 409, "migration-required")
    assert problem["failed"] == 2
    refused = put(
        client,
        name,
        an_object(a=NUMBER, b=NUMBER),
        migration={"set": {"b": "10 / data.a"}},
    )
    problem = assert_problem(refused, 409, "migration-required")
    assert [failure["id"] for failure in problem["failures"]] == [unfit["id"]]
    assert own.record(fine["id"]) == fine


def test_a_dry_run_gives_the_report_and_changes_nothing(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, an_object(n=NUMBER))
    own = Collection(client, name)
    record = own.created(n=1)

    def rehearse(**members: Any) -> httpx.Response:
        return client.put(
            f"/entity-types/{name}", json=members, params={"dry_run": "true"}
        )

    problem = assert_problem(
        rehearse(schema=an_object(m=NUMBER)), 409, "migration-required"
    )
    assert [(failure["id"], failure["pointer"]) for failure in problem["failures"]] == [
        (record["id"], "/n")
    ]
    report = rehearse(schema=an_object(m=NUMBER), migration={"rename": {"n": "m"}})
    assert report.status_code == 200
    assert (report.json()["schema_version"], report.json()["migrated"]) == (2, 1)
    assert own.record(record["id"]) == record
    assert versions_of(client, name) == [1]
    assert len(own.history(record["id"])) == 1


# Unique constraints


def test_a_unique_constraint_that_stored_records_break_is_refused_with_samples(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, an_object(a=TEXT, b=NUMBER))
    own = Collection(client, name)
    one, other = own.created(a="x", b=1), own.created(a="x", b=1)
    for harmless in ({"a": "y"}, {"b": 1}, {"b": 1}, {}, {}):
        own.created(**harmless)
    for unique in (["a"], [["a", "b"]]):
        problem = assert_problem(
            put(client, name, an_object(a=TEXT, b=NUMBER), unique=unique),
            409,
            "unique-violation",
        )
        (sample,) = problem["errors"]
        assert one["id"] in sample["detail"]
        assert other["id"] in sample["detail"]
    assert definition_of(client, name)["unique"] == []
    own.delete(other["id"])
    assert (
        registered(client, name, an_object(a=TEXT, b=NUMBER), unique=["a"])[
            "schema_version"
        ]
        == 1
    )
    assert pointers(
        assert_problem(own.create({"a": "x"}), 409, "unique-violation")
    ) == {"/a"}


def test_an_evolution_whose_records_break_a_unique_constraint_changes_nothing(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, an_object(a=NUMBER), unique=["a"])
    own = Collection(client, name)
    records = [own.created(a=number) for number in range(4)]
    halved = {"set": {"b": "data.a / 2"}, "drop": []}
    schema = an_object(a=NUMBER, b=NUMBER)
    problem = assert_problem(
        put(client, name, schema, unique=["b"], migration=halved),
        409,
        "unique-violation",
    )
    assert len(problem["errors"]) == 2
    assert [own.record(record["id"]) for record in records] == records
    assert_problem(own.create({"a": 3}), 409, "unique-violation")
    assert (
        registered(client, name, schema, unique=["a"], migration=halved)["migrated"]
        == 4
    )


def test_unique_values_may_be_swapped_in_an_evolution(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, an_object(a=NUMBER), unique=["a"])
    own = Collection(client, name)
    records = [own.created(a=number) for number in (1, 2)]
    turned = {"set": {"a": "3 - data.a"}}
    registered(
        client, name, an_object(a=NUMBER, b=TEXT), unique=["a"], migration=turned
    )
    assert [own.record(record["id"])["data"]["a"] for record in records] == [2, 1]


def test_a_unique_constraint_can_go(replicas: Replicas, name: str) -> None:
    schema = an_object(a=TEXT)
    registered(replicas.client, name, schema, unique=["a"])
    for client in replicas.each:
        assert Collection(client, name).create({"a": "x"}).status_code in (201, 409)
    registered(replicas.client, name, schema)
    for client in replicas.each:
        Collection(client, name).created(a="x")


# Writers and evolutions at once


@dataclass
class Writers:
    """Clients that create, increment and replace records of a type until they are asked
    to stop."""

    servers: list[Server]
    name: str
    shared: str
    created: list[Json] = field(default_factory=list)
    increments: list[int] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def at_work(self, clients: int) -> Iterator[None]:
        with ThreadPoolExecutor(clients) as pool:
            waiting = [pool.submit(self._write, number) for number in range(clients)]
            try:
                yield
            finally:
                self.stop.set()
            for one in waiting:
                one.result()

    def wait_for(self, created: int) -> None:
        """Return when so many are created, or something was refused."""
        until(lambda: len(self.created) >= created or bool(self.refused), 60)

    def _write(self, number: int) -> None:
        with self.servers[number % len(self.servers)].client() as client:
            own = Collection(client, self.name)
            while not self.stop.is_set():
                answer = own.create({"n": number})
                if self._accepted(answer):
                    self.created.append(answer.json())
                    self._accepted(own.patch(answer.json()["id"], {"n": -number}))
                answer = own.command(self.shared, "increment")
                if self._accepted(answer):
                    self.increments.append(answer.json()["result"])

    def _accepted(self, answer: httpx.Response) -> bool:
        if not answer.is_success:
            self.refused.append(f"{answer.status_code} {answer.text}")
        return answer.is_success


def evolve_under_load(
    replicas: Replicas, name: str, *, clients: int, evolutions: int, pause: int
) -> None:
    """Evolve a type again and again while clients write; afterwards nothing is lost or
    outdated."""
    increment = {"increment": {"set": {"n": "data.n + 1"}, "result": "data.n"}}
    registered(replicas.client, name, an_object("n", n=NUMBER), commands=increment)
    own = Collection(replicas.client, name)
    writers = Writers([replicas.first, replicas.second], name, own.created(n=0)["id"])
    with writers.at_work(clients):
        for version in range(2, evolutions + 2):
            writers.wait_for(len(writers.created) + pause)
            more = {
                f"v{number}": {"type": "integer", "default": number}
                for number in range(2, version + 1)
            }
            schema = an_object("n", n=NUMBER, **more)
            evolved = put(
                (replicas.client, replicas.other)[version % 2],
                name,
                schema,
                commands=increment,
            )
            assert evolved.status_code == 200, evolved.text
            assert evolved.json()["schema_version"] == version
    assert writers.refused == []
    _assert_nothing_lost(own, writers, evolutions + 1)
    _assert_nothing_outdated(own, writers)


def _assert_nothing_lost(own: Collection, writers: Writers, last: int) -> None:
    present = {record["id"]: record for page in own.pages(limit=500) for record in page}
    assert present.keys() == {record["id"] for record in writers.created} | {
        writers.shared
    }
    defaults = {f"v{number}": number for number in range(2, last + 1)}
    for record in writers.created:
        now = present[record["id"]]
        assert now["schema_version"] == last
        assert now["data"] == defaults | {"n": -record["data"]["n"]}
    assert sorted(writers.increments) == list(range(1, len(writers.increments) + 1))
    assert present[writers.shared]["data"]["n"] == len(writers.increments)


def _assert_nothing_outdated(own: Collection, writers: Writers) -> None:
    """After the first change of a version in the journal there is none of an earlier
    one."""
    ids = [writers.shared, *(record["id"] for record in writers.created)]
    changes = [change for each in ids for change in own.history(each, limit=500)]
    versions = [
        change["schema_version"]
        for change in sorted(changes, key=lambda change: change["seq"])
    ]
    assert versions == sorted(versions)
    assert len({change["seq"] for change in changes}) == len(changes)


def test_a_type_evolves_while_clients_write(replicas: Replicas, name: str) -> None:
    evolve_under_load(replicas, name, clients=4, evolutions=4, pause=20)


@pytest.mark.slow
def test_a_type_evolves_ten_times_under_writers_at_full_speed(
    replicas: Replicas, name: str
) -> None:
    evolve_under_load(replicas, name, clients=12, evolutions=10, pause=150)
