"""Migration plans: checked when they are built, walked step by step, served over HTTP
(contract 7)."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlmodel import SQLModel

from migrations import catalog_products, ops_tickets
from persist import MigrationPlan, MigrationStep, entity
from persist.domain.errors import MigrationFailed
from persist.domain.migration import InvalidPlan
from persist.storage.dialect import dialect_of
from persist.storage.migrations.table_step import step_statements
from tests.conftest import NewDatabase
from tests.support.problems import Json, assert_problem
from tests.support.server import serving


def adds(member: str) -> Callable[[Json], Json]:
    return lambda data: {**data, member: len(data)}


def step(start: int, end: int, **more: Any) -> MigrationStep:
    return MigrationStep(start, end, adds(f"v{end}"), **more)


# --- what is refused when a plan is built
# --------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end"), [(0, 1), (-1, 2), (2, 2), (3, 2), (1.0, 2), ("1", 2), (True, 2)]
)
def test_a_step_goes_forward_from_version_1_or_later(start: Any, end: Any) -> None:
    with pytest.raises(
        InvalidPlan, match=f"the step {start} to {end} does not go forward"
    ):
        step(start, end)


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE {table}",
        "DELETE FROM {table}",
        "UPDATE {table} SET severity = 10",
        "INSERT INTO {table} VALUES (1)",
        "SELECT 1",
        "CREATE TABLE more (id TEXT)",
        "CREATE TRIGGER t AFTER INSERT ON {table} BEGIN SELECT 1; END",
        "ALTER INDEX i RENAME TO j",
        "ALTER USER admin SUPERUSER",
        "ALTER TABLE {table} ADD COLUMN note TEXT; DROP TABLE journal",
        "ALTER TABLE {table} ADD COLUMN note TEXT;;",
        "-- nothing\nDROP TABLE {table}",
        "",
        ["ALTER TABLE {table} ADD COLUMN note TEXT", "DROP TABLE {table}"],
        {"sqlite": [], "postgresql": "TRUNCATE {table}"},
    ],
)
def test_sql_that_does_more_than_change_the_shape_is_refused(sql: Any) -> None:
    with pytest.raises(
        InvalidPlan, match="the step 1 to 2 has SQL that is neither ALTER TABLE nor"
    ):
        step(1, 2, sql=sql)


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE {table} ADD COLUMN note {text}",
        "alter  table {table} rename column a to b;",
        "CREATE INDEX i ON {table} (note)",
        "CREATE UNIQUE INDEX i ON {table} (note)\n",
        "DROP INDEX i",
        {
            "sqlite": "DROP INDEX i",
            "postgresql": ["DROP INDEX i", "ALTER TABLE {table} DROP COLUMN a"],
        },
    ],
)
def test_sql_that_changes_the_shape_is_allowed(sql: Any) -> None:
    assert step(1, 2, sql=sql).statements()


def test_sql_for_a_database_nobody_knows_is_refused() -> None:
    with pytest.raises(
        InvalidPlan,
        match="the step 1 to 2 has SQL for postgres, which no database is called",
    ):
        step(1, 2, sql={"postgres": "DROP INDEX i"})


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(
        InvalidPlan, match=r"the step 1 to 2 needs a function .* not 'ALTER TABLE t"
    ):
        MigrationStep(1, 2, "ALTER TABLE t ADD COLUMN a TEXT")  # type: ignore[arg-type]


def test_two_steps_from_one_version_are_refused() -> None:
    with pytest.raises(InvalidPlan, match="two steps start from schema version 2"):
        MigrationPlan([step(1, 2), step(2, 3), step(2, 4)])


def test_a_step_past_the_current_version_is_refused() -> None:
    with pytest.raises(
        InvalidPlan, match="the step 2 to 3 leads past the current schema version 2"
    ):
        MigrationPlan([step(1, 2), step(2, 3)], current=2)


@pytest.mark.parametrize(
    ("steps", "version", "named"),
    [
        ([], 2, "the plan leads to schema version 1, the entity is at 2"),
        ([(1, 2)], 3, "the plan leads to schema version 2, the entity is at 3"),
        ([(1, 3)], 2, "the plan leads to schema version 3, the entity is at 2"),
        ([(2, 3)], 3, "no step from schema version 1"),
        ([(1, 2), (3, 4)], 4, "no step from schema version 2"),
        ([(1, 4), (2, 3)], 4, "no step from schema version 3"),
    ],
)
def test_a_plan_reaches_the_current_version_without_a_gap(
    steps: list[tuple[int, int]], version: int, named: str
) -> None:
    plan = MigrationPlan([step(start, end) for start, end in steps])
    with pytest.raises(InvalidPlan, match=named):
        entity("things", schema_version=version, plan=plan)(
            type("Thing", (SQLModel,), {})
        )


def test_a_sound_plan_makes_an_entity() -> None:
    plan = MigrationPlan([step(3, 4), step(1, 3), step(2, 3)])
    entity("things", schema_version=4, plan=plan)(type("Thing", (SQLModel,), {}))
    assert [str(part) for part in plan.chain(1)] == ["1 to 3", "3 to 4"]
    assert [str(part) for part in plan.chain(2)] == ["2 to 3", "3 to 4"]
    assert plan.chain(4) == []


# --- walking --------------------------------------------------------------------------
# -------------


def test_data_walks_from_the_version_it_carries() -> None:
    plan = MigrationPlan([step(1, 2), step(2, 3), step(3, 4)])
    assert plan.walk(1, {}) == {"v2": 0, "v3": 1, "v4": 2}
    assert plan.walk(3, {}) == {"v4": 0}
    assert plan.walk(4, {"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("plan", "version", "named"),
    [
        (MigrationPlan([step(1, 2)]), 3, "schema version 3, the current one is 2"),
        (MigrationPlan([step(2, 3)]), 1, "no step from schema version 1"),
    ],
)
def test_a_version_without_a_way_is_named(
    plan: MigrationPlan, version: int, named: str
) -> None:
    with pytest.raises(MigrationFailed, match=named):
        plan.walk(version, {})


def raises(data: Json) -> Json:
    return {"half": 1 // data["zero"]}


def endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (raises, "the step 1 to 2 raised ZeroDivisionError"),
        (lambda data: data["none"], "the step 1 to 2 raised KeyError"),
        (lambda data: None, "the step 1 to 2 returned NoneType, not an object"),
        (lambda data: [data], "the step 1 to 2 returned list, not an object"),
        (lambda data: {"a": {1, 2}}, "the step 1 to 2 returned what is not JSON"),
        (lambda data: {"a": object()}, "the step 1 to 2 returned what is not JSON"),
        (lambda data: {"a": float("nan")}, "the step 1 to 2 returned what is not JSON"),
        (lambda data: {"a": "\ud800"}, "the step 1 to 2 returned what is not JSON"),
        (lambda data: {"a": endless()}, "the step 1 to 2 returned what is not JSON"),
    ],
)
def test_a_function_that_fails_is_named_by_its_step(
    function: Callable[[Json], Json], named: str
) -> None:
    with pytest.raises(MigrationFailed, match=named):
        MigrationPlan([MigrationStep(1, 2, function)]).walk(1, {"zero": 0})


# --- the plans of this deployment, each step by itself
# ---------------------------------------------


@pytest.mark.parametrize(
    ("plan", "version", "before", "after"),
    [
        (
            catalog_products.PLAN,
            2,
            {"price_cents": 0, "active": False},
            {"price_cents": 500, "active": False},
        ),
        (
            catalog_products.PLAN,
            1,
            {"price_cents": 12900},
            {"price_cents": 13400, "active": True},
        ),
        (ops_tickets.PLAN, 1, {"severity": 1}, {"severity": 10}),
        (ops_tickets.PLAN, 1, {"severity": 5}, {"severity": 50}),
        (ops_tickets.PLAN, 2, {"severity": 50}, {"severity": 50}),
    ],
)
def test_a_plan_of_this_deployment_does_what_it_says(
    plan: MigrationPlan, version: int, before: Json, after: Json
) -> None:
    walked = plan.walk(version, before)
    assert walked.items() >= after.items()
    assert walked.keys() - after.keys() <= {"pricing_tier", "migration_note"}
    assert all(walked[name] is None for name in walked.keys() - after.keys())


def test_the_placeholders_of_sql_are_filled_in_for_the_database() -> None:
    sql = (
        "ALTER TABLE {table} ADD COLUMN a {text}, b {integer}, c {number}, d {boolean},"
        " e {document}"
    )
    written = step(1, 2, sql={"sqlite": sql, "postgresql": [sql, "DROP INDEX i"]})
    (here,) = step_statements(dialect_of("sqlite:///x.db"), "things", written)
    assert (
        here
        == "ALTER TABLE things ADD COLUMN a TEXT, b INTEGER, c DOUBLE, d BOOLEAN, e"
        " TEXT"
    )
    there, _ = step_statements(dialect_of("postgresql://x/y"), "things", written)
    assert (
        there == 'ALTER TABLE things ADD COLUMN a TEXT COLLATE "C", b BIGINT, c DOUBLE'
        " PRECISION, d BOOLEAN, e JSON"
    )


# --- over HTTP
# -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A service of this deployment's own entities."""
    folder = tmp_path_factory.mktemp("shop")
    with (
        serving(new_database(), folder, settings={"MODELS": "app.models"}) as server,
        server.client() as client,
    ):
        yield client


def plan_of(client: httpx.Client, collection: str) -> Json:
    response = client.get(f"/migration-plans/{collection}")
    assert response.status_code == 200, response.text
    plan: Json = response.json()
    return plan


def test_the_plans_of_all_collections_are_listed(shop: httpx.Client) -> None:
    items = shop.get("/migration-plans").json()["items"]
    names = [plan["collection"] for plan in items]
    assert names == sorted(names)
    assert {"catalog-products", "ops-tickets"} <= set(names)
    assert plan_of(shop, "ops-tickets") in items


def test_a_plan_explains_itself(shop: httpx.Client, database: str) -> None:
    plan = plan_of(shop, "catalog-products")
    assert (plan["kind"], plan["current_version"]) == ("typed", 3)
    assert "schema version 1 or later comes to version 3" in plan["explanation"]
    assert [
        (part["from"], part["to"], part["description"]) for part in plan["steps"]
    ] == [
        (1, 2, "products can be taken out of sale"),
        (2, 3, "pricing tiers; 500 cents more for everything"),
    ]
    text = "TEXT" if database == "sqlite" else 'TEXT COLLATE "C"'
    assert [part["sql"] for part in plan["steps"]] == [
        [
            (
                "ALTER TABLE catalog_products ADD COLUMN active BOOLEAN NOT NULL DEFAULT"
                " TRUE"
            )
        ],
        [f"ALTER TABLE catalog_products ADD COLUMN pricing_tier {text}"],
    ]
    assert plan["steps"][1]["function"].startswith("Prices went up by 500 cents")
    assert plan["steps"][0]["definition"] is None


def test_a_plan_counts_the_stored_records(shop: httpx.Client) -> None:
    assert plan_of(shop, "ops-tickets")["records"] == {}
    for severity in (10, 20):
        shop.post("/api/ops-tickets", json={"title": "Counted", "severity": severity})
    assert plan_of(shop, "ops-tickets")["records"] == {"2": 2}


def test_a_registered_type_has_its_plan_as_data(
    shop: httpx.Client, marker: str
) -> None:
    name, path = f"parcels-{marker[:8]}", f"/entity-types/parcels-{marker[:8]}"
    first = {"schema": {"type": "object", "properties": {"grams": {"type": "integer"}}}}
    assert shop.put(path, json=first).status_code == 201
    assert plan_of(shop, name)["steps"] == []
    shop.post(f"/api/{name}", json={"grams": 7000})
    second: Json = {
        "schema": {"type": "object", "properties": {"kilograms": {"type": "integer"}}},
        "migration": {
            "rename": {"grams": "kilograms"},
            "set": {"kilograms": "data.kilograms / 1000"},
        },
    }
    assert shop.put(path, json=second).status_code == 200
    plan = plan_of(shop, name)
    assert (plan["kind"], plan["current_version"], plan["records"]) == (
        "registered",
        2,
        {"2": 1},
    )
    (only,) = plan["steps"]
    assert (only["from"], only["to"], only["sql"], only["function"]) == (1, 2, [], None)
    assert only["definition"].items() >= second["migration"].items()
    assert only["description"] == "rename grams; set kilograms"


def test_the_plan_of_no_collection_is_not_found(shop: httpx.Client) -> None:
    problem = assert_problem(
        shop.get("/migration-plans/ops-ticket"), 404, "collection-not-found"
    )
    assert "ops-tickets" in problem["detail"]
    assert json.dumps(problem)
