"""In place: a database of an older version is brought up to date, a step a transaction
(contract 7)."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import Field, SQLModel

from persist import MigrationPlan, MigrationStep, entity
from persist.domain.entity_type import EntityType
from persist.entity_types.from_model import from_model
from persist.storage.dialect import dialect_of, postgresql
from persist.storage.migrations.database_schema import (
    SchemaMismatch,
    drift,
    due,
    prepare,
    rehearse,
)
from persist.storage.migrations.migrator import MigrationStopped
from tests.fixtures import PRODUCTS_1, RECORDS
from tests.fixtures.database import Database, opened
from tests.fixtures.snapshots import empty_database
from tests.fixtures.storing import records, store
from tests.support import forked
from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem
from tests.support.program import clean_environment, persist
from tests.support.server import serving

Sql = str | list[str] | dict[str, str | list[str]]


@pytest.fixture
def url(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> str:
    return empty_database(request, database, tmp_path)


@pytest.fixture
def stored(url: str) -> Iterator[Database]:
    """The database itself."""
    with opened(url) as database:
        yield database


def thing(version: int, *steps: MigrationStep, **fields: Any) -> EntityType:
    """The entity ``things`` at a version; a field is a type, or a type and what
    SQLModel says of it."""
    named = {
        name: declared if isinstance(declared, tuple) else (declared,)
        for name, declared in fields.items()
    }
    members = {
        "__annotations__": {name: declared[0] for name, declared in named.items()},
        "__module__": __name__,
        **{name: declared[1] for name, declared in named.items() if len(declared) > 1},
    }
    plan = MigrationPlan(steps) if steps else None
    return from_model(
        entity("things", schema_version=version, plan=plan)(
            type("Thing", (SQLModel,), members)
        )
    )


def same(data: Json) -> Json:
    return data


def step(
    start: int, sql: Any = (), data: Callable[[Json], Any] = same
) -> MigrationStep:
    return MigrationStep(start, start + 1, sql=sql, data=data)


def migrated(url: str, old: EntityType, new: EntityType, *data: Json) -> list[Json]:
    """Data stored by the old version, as the new one shows it; the tables are as its
    class says."""
    store(url, old, *data)
    found = records(url, new)
    assert {record.schema_version for record in found} == {new.schema_version}
    assert drift(dialect_of(url), [new]) == []
    return [record.data for record in found]


# --- shapes ---------------------------------------------------------------------------
# -------------


def test_a_step_sees_what_the_old_version_stored_in_a_column_it_drops(url: str) -> None:
    def joined(data: Json) -> Json:
        return {"name": f"{data['first']} {data['last']}"}

    sql = [
        "ALTER TABLE {table} ADD COLUMN name {text} NOT NULL DEFAULT ''",
        "ALTER TABLE {table} DROP COLUMN first",
        "ALTER TABLE {table} DROP COLUMN last",
    ]
    old, new = thing(1, first=str, last=str), thing(2, step(1, sql, joined), name=str)
    assert migrated(url, old, new, {"first": "Ada", "last": "Lovelace"}) == [
        {"name": "Ada Lovelace"}
    ]


def test_a_step_sees_what_the_old_version_stored_in_a_column_it_renames(
    url: str,
) -> None:
    def renamed(data: Json) -> Json:
        return {"label": data["name"].upper()}

    new = thing(
        2,
        step(1, "ALTER TABLE {table} RENAME COLUMN name TO label", renamed),
        label=str,
    )
    assert migrated(url, thing(1, name=str), new, {"name": "a"}, {"name": "b"}) == [
        {"label": "A"},
        {"label": "B"},
    ]


def test_sql_may_differ_by_database(url: str) -> None:
    added = "ALTER TABLE {table} ADD COLUMN {added} {integer}"
    sql: Sql = {
        "sqlite": [
            added.replace("{added}", "lite"),
            "ALTER TABLE {table} RENAME COLUMN lite TO size",
        ],
        "postgresql": [
            added.replace("{added}", "post"),
            "ALTER TABLE {table} RENAME COLUMN post TO size",
        ],
    }
    new = thing(
        2,
        step(1, sql, lambda data: {**data, "size": 7}),
        name=str,
        size=(int | None, None),
    )
    assert migrated(url, thing(1, name=str), new, {"name": "x"}) == [
        {"name": "x", "size": 7}
    ]


KINDS: dict[str, list[Any]] = {
    "{text}": ["", "plain", 'Ünïcode "quoted"', "12", "null"],
    "{integer}": [0, -1, 2**63 - 1, -(2**63)],
    "{number}": [0.1, 1e300, -5e-324, 3],
    "{boolean}": [True, False],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_that_only_versions_in_between_have_keeps_its_values(
    url: str, kind: str
) -> None:
    values = KINDS[kind]
    new = thing(
        3,
        step(
            1,
            f"ALTER TABLE {{table}} ADD COLUMN passing {kind}",
            lambda d: {**d, "passing": values[d["n"]]},
        ),
        step(
            2,
            [
                "ALTER TABLE {table} DROP COLUMN passing",
                "ALTER TABLE {table} ADD COLUMN kept {text}",
            ],
            lambda d: {"n": d["n"], "kept": repr(d["passing"])},
        ),
        n=int,
        kept=(str | None, None),
    )
    found = migrated(url, thing(1, n=int), new, *({"n": n} for n in range(len(values))))
    assert found == [{"n": n, "kept": repr(value)} for n, value in enumerate(values)]


def test_a_document_column_that_versions_in_between_have_keeps_its_values(
    url: str,
) -> None:
    value: Json = {"b": [1, {"a": None}], "text": "x"}
    new = thing(
        3,
        step(
            1,
            "ALTER TABLE {table} ADD COLUMN settings {document}",
            lambda d: {**d, "settings": value},
        ),
        step(2, data=lambda d: {**d, "settings": {**d["settings"], "n": d["n"]}}),
        n=int,
        settings=(dict[str, Any], Field(default_factory=dict)),
    )
    assert migrated(url, thing(1, n=int), new, {"n": 5}) == [
        {"n": 5, "settings": {**value, "n": 5}}
    ]


def test_a_column_may_change_its_type_on_the_way(url: str) -> None:
    new = thing(
        3,
        step(
            1,
            [
                "ALTER TABLE {table} DROP COLUMN size",
                "ALTER TABLE {table} ADD COLUMN size {text}",
            ],
            lambda d: {**d, "size": f"{d['size']} cm"},
        ),
        step(
            2,
            [
                "ALTER TABLE {table} DROP COLUMN size",
                "ALTER TABLE {table} ADD COLUMN size {number}",
            ],
            lambda d: {**d, "size": float(d["size"].removesuffix(" cm")) / 100},
        ),
        name=str,
        size=(float | None, None),
    )
    assert migrated(
        url, thing(1, name=str, size=int), new, {"name": "x", "size": 150}
    ) == [{"name": "x", "size": 1.5}]


def test_members_named_like_the_envelope_stay_apart(url: str) -> None:
    fields: Json = {
        "id": (int | None, None),
        "revision": (str | None, None),
        "data_source": (str | None, None),
    }
    new = thing(
        3,
        step(
            1,
            "ALTER TABLE {table} ADD COLUMN data_workspace {text}",
            lambda d: {**d, "workspace": "w"},
        ),
        step(2, data=lambda d: {**d, "id": d["id"] + 1}),
        **fields,
        workspace=(str | None, None),
    )
    before = {"id": 1, "revision": "r", "data_source": "s"}
    assert migrated(url, thing(1, **fields), new, before) == [
        {**before, "id": 2, "workspace": "w"}
    ]


def test_a_percent_sign_in_sql_is_nothing_special(url: str, stored: Database) -> None:
    sql = "ALTER TABLE {table} ADD COLUMN rate {text} DEFAULT '5 %s'"
    new = thing(
        2, step(1, sql, lambda d: {**d, "rate": None}), n=int, rate=(str | None, None)
    )
    store(url, thing(1, n=int), {"n": 1})
    prepare(dialect_of(url), [new])
    stored.run(
        "INSERT INTO things (workspace, id, revision, schema_version, created_at,"
        " updated_at, n) VALUES ('', 'x', 1, 2, '', '', 1)"
    )
    assert stored.value("SELECT rate FROM things WHERE id = 'x'") == "5 %s"


# --- unique values and indexes
# ---------------------------------------------------------------------


UNIQUE = (str, Field(unique=True))


def test_unique_values_may_be_swapped(url: str) -> None:
    other = {"a": "b", "b": "a"}
    new = thing(
        2,
        step(1, data=lambda d: {"code": other.get(d["code"], d["code"])}),
        code=UNIQUE,
    )
    assert migrated(
        url, thing(1, code=UNIQUE), new, {"code": "a"}, {"code": "b"}, {"code": "c"}
    ) == [
        {"code": "b"},
        {"code": "a"},
        {"code": "c"},
    ]


def test_a_field_may_become_unique_and_indexed(url: str, stored: Database) -> None:
    sql = "ALTER TABLE {table} ADD COLUMN code {text} NOT NULL DEFAULT ''"
    new = thing(
        2,
        step(1, sql, lambda d: {**d, "code": f"c{d['n']}"}),
        n=(int, Field(index=True)),
        code=UNIQUE,
    )
    store(url, thing(1, n=int), {"n": 1}, {"n": 2})
    assert [record.data["code"] for record in records(url, new)] == ["c1", "c2"]
    with pytest.raises(Exception, match=r"(?i)unique"):
        stored.run("UPDATE things SET code = 'c1'")


def test_a_step_in_between_keeps_values_unique(url: str, stored: Database) -> None:
    """Were the second step never to go through, version 2 must be as safe as it was."""

    def fails(data: Json) -> Json:
        raise ValueError("not yet")

    new = thing(3, step(1), step(2, data=fails), code=UNIQUE)
    store(url, thing(1, code=UNIQUE), {"code": "a"}, {"code": "b"})
    with pytest.raises(MigrationStopped, match="the step 2 to 3"):
        prepare(dialect_of(url), [new])
    assert stored.rows("SELECT DISTINCT schema_version FROM things") == [(2,)]
    with pytest.raises(Exception, match=r"(?i)unique"):
        stored.run("UPDATE things SET code = 'a'")


# --- what stops a step
# -----------------------------------------------------------------------------


def shape(stored: Database) -> Any:
    """The columns and indexes of the table, and every row of every table."""
    if "sqlite_master" in stored._tables:
        made = stored.rows("SELECT name, sql FROM sqlite_master ORDER BY name")
    else:
        made = stored.rows(
            "SELECT table_name, column_name, data_type, is_nullable FROM"
            " information_schema.columns WHERE table_schema = 'public' UNION ALL SELECT"
            " tablename, indexname, indexdef, '' FROM pg_indexes WHERE schemaname ="
            " 'public' ORDER BY 1, 2"
        )
    return made, stored.contents()


def assert_stopped(url: str, stored: Database, new: EntityType, *named: str) -> None:
    """The migration stops, says all this, and leaves everything as it was."""
    before = shape(stored)
    with pytest.raises(MigrationStopped) as stopped:
        prepare(dialect_of(url), [new])
    for words in ("things: ", *named):
        assert words in str(stopped.value)
    assert shape(stored) == before


ADD = "ALTER TABLE {table} ADD COLUMN more {integer}"
MORE = (int | None, Field(default=None, le=20))


def last_fails(data: Json) -> Any:
    return 1 // (2 - data["n"])


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (last_fails, "the step 1 to 2 raised ZeroDivisionError"),
        (lambda d: d["absent"], "the step 1 to 2 raised KeyError: 'absent'"),
        (lambda d: None, "returned NoneType, not an object"),
        (lambda d: {**d, "more": {1, 2}}, "returned what is not JSON"),
        (lambda d: {**d, "more": 21}, "/more Input should be less than or equal to 20"),
        (lambda d: {**d, "more": "1"}, "/more"),
        (lambda d: {**d, "other": 1}, "/other"),
        (lambda d: {"more": 1}, "/n"),
    ],
)
def test_a_function_that_fails_stops_the_step_and_nothing_happened(
    url: str, stored: Database, function: Callable[[Json], Any], named: str
) -> None:
    ids = store(url, thing(1, n=int), {"n": 1}, {"n": 2})
    failing = ids[1] if function is last_fails else ids[0]

    def only_once_passed(data: Json) -> Any:
        found = function(data)
        return {**data, "more": 1} if function is last_fails else found

    new = thing(2, step(1, ADD, only_once_passed), n=int, more=MORE)
    assert_stopped(
        url, stored, new, "the step 1 to 2 was undone", f"record {failing}", named
    )


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE {table} ADD COLUMN n {integer}",
        "ALTER TABLE nowhere ADD COLUMN more {integer}",
        "ALTER TABLE {table} ADD nonsense nonsense nonsense(",
        [ADD, "DROP INDEX nowhere"],
    ],
)
def test_sql_that_fails_stops_the_step_and_nothing_happened(
    url: str, stored: Database, sql: Sql
) -> None:
    store(url, thing(1, n=int), {"n": 1})
    assert_stopped(
        url,
        stored,
        thing(2, step(1, sql), n=int, more=MORE),
        "the step 1 to 2 was undone",
    )


def test_a_column_that_was_never_added_stops_the_step(
    url: str, stored: Database
) -> None:
    store(url, thing(1, n=int), {"n": 1})
    assert_stopped(
        url,
        stored,
        thing(2, step(1), n=int, more=MORE),
        "the step 1 to 2 was undone",
        "more",
    )


def test_a_member_that_a_step_in_between_would_lose_stops_it(
    url: str, stored: Database
) -> None:
    store(url, thing(1, n=int), {"n": 1})
    new = thing(
        3, step(1, data=lambda d: {**d, "more": 1}), step(2, ADD), n=int, more=MORE
    )
    assert_stopped(
        url,
        stored,
        new,
        "returns more, for which the table has no column; its SQL must add it",
    )


def test_values_that_collide_stop_the_step(url: str, stored: Database) -> None:
    store(url, thing(1, code=UNIQUE), {"code": "a"}, {"code": "b"})
    new = thing(2, step(1, data=lambda d: {"code": "same"}), code=UNIQUE)
    assert_stopped(url, stored, new, "the step 1 to 2 was undone", "code")


def test_the_code_of_a_plan_may_take_longer_than_a_group_of_writes_may_pause(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(url, thing(1, n=int), {"n": 1})
    pause = "idle_in_transaction_session_timeout"
    monkeypatch.setitem(postgresql.WRITER_SETTINGS, pause, 500)

    def slow(data: Json) -> Json:
        time.sleep(1)
        return data

    new = thing(2, step(1, data=slow), n=int)
    assert rehearse(dialect_of(url), [new]) == []
    prepare(dialect_of(url), [new])
    assert drift(dialect_of(url), [new]) == []


def test_a_step_that_went_through_stays_where_the_next_one_stops(
    url: str, stored: Database
) -> None:
    store(url, thing(1, n=int), {"n": 1})
    new = thing(
        3,
        step(1, ADD, lambda d: {**d, "more": 1}),
        step(2, data=lambda d: None),
        n=int,
        more=MORE,
    )
    with pytest.raises(MigrationStopped, match="the step 2 to 3"):
        prepare(dialect_of(url), [new])
    assert stored.rows("SELECT n, more, revision, schema_version FROM things") == [
        (1, 1, 2, 2)
    ]
    corrected = thing(
        3, step(1), step(2, data=lambda d: {**d, "more": 7}), n=int, more=MORE
    )
    (record,) = records(url, corrected)
    assert (record.data, record.revision, record.schema_version) == (
        {"n": 1, "more": 7},
        3,
        3,
    )


def test_without_a_way_from_what_is_stored_the_version_is_named(
    url: str, stored: Database
) -> None:
    store(url, thing(1, n=int), {"n": 1})
    assert_stopped(
        url, stored, thing(2, n=int), "no step from schema version 1; add one"
    )


def test_a_table_ahead_of_the_code_names_both_versions(
    url: str, stored: Database
) -> None:
    store(url, thing(1, n=int), {"n": 1})
    prepare(dialect_of(url), [thing(3, step(1), step(2), n=int)])
    before = shape(stored)
    with pytest.raises(
        SchemaMismatch, match=r"things is at schema version 3, this code knows 1"
    ):
        prepare(dialect_of(url), [thing(1, n=int)])
    assert shape(stored) == before


def test_without_auto_migrate_the_start_says_what_to_run(
    url: str, stored: Database
) -> None:
    store(url, thing(1, n=int), {"n": 1})
    before = shape(stored)
    with pytest.raises(SchemaMismatch, match=r"things \(1 to 2\).*persist migrate"):
        prepare(dialect_of(url), [thing(2, step(1), n=int)], auto_migrate=False)
    assert shape(stored) == before


def test_what_is_due_is_reported_with_counts_and_sql(
    url: str, stored: Database
) -> None:
    dialect = dialect_of(url)
    new = thing(2, step(1, ADD), n=int, more=MORE)
    assert due(dialect, [new]) == []
    store(url, thing(1, n=int), {"n": 1}, {"n": 2})
    before = shape(stored)
    (work,) = due(dialect, [new])
    assert (work.stored_version, work.rows, len(work.steps)) == (1, 2, 1)
    (sql,) = work.sql(dialect, work.steps[0])
    assert sql.startswith("ALTER TABLE things ADD COLUMN more ")
    assert shape(stored) == before


# --- every record, once
# ----------------------------------------------------------------------------


def test_every_record_of_every_workspace_takes_one_change_and_one_revision(
    url: str, stored: Database
) -> None:
    ids = store(url, thing(1, n=int), *({"n": n} for n in range(1_203)))
    stored.run("UPDATE things SET workspace = 'elsewhere' WHERE n >= 600")
    reports: list[tuple[str, int, int]] = []
    new = thing(2, step(1, data=lambda d: {"n": -d["n"]}), n=int)
    done = prepare(dialect_of(url), [new], progress=lambda *seen: reports.append(seen))
    assert [(work.type.name, work.rows) for work in done] == [("things", 1_203)]
    assert stored.rows(
        "SELECT min(n), max(n), count(*) FROM things WHERE revision = 2 AND"
        " schema_version = 2"
    ) == [(-1_202, 0, 1_203)]
    assert (
        stored.value(
            "SELECT count(*) FROM things WHERE workspace = 'elsewhere' AND n <= -600"
        )
        == 603
    )
    changes = stored.rows(
        "SELECT workspace, id, revision FROM journal WHERE operation = 'migrate' ORDER"
        " BY seq"
    )
    assert changes == [("", id, 2) for id in ids[:600]] + [
        ("elsewhere", id, 2) for id in ids[600:]
    ]
    assert (
        stored.value("SELECT max(seq) FROM journal")
        == stored.value("SELECT seq FROM journal_head")
        == 2_406
    )
    assert reports[0] == ("things 1 to 2", 0, 1_203)
    assert reports[-1] == ("things 1 to 2", 1_203, 1_203)
    assert [rows for _, rows, _ in reports] == sorted(rows for _, rows, _ in reports)


def test_what_others_have_attached_to_a_table_stays_attached(
    url: str, stored: Database
) -> None:
    store(url, thing(1, n=int), {"n": 1})
    stored.run("CREATE VIEW seen AS SELECT n FROM things")
    found = migrated(url, thing(1, n=int), thing(2, step(1, ADD), n=int, more=MORE))
    assert found == [{"n": 1, "more": None}]
    assert stored.rows("SELECT n FROM seen") == [(1,)]
    stored.run("DROP VIEW seen")


def test_an_empty_table_is_brought_up_to_date_as_well(url: str) -> None:
    store(url, thing(1, n=int))
    new = thing(2, step(1, ADD), n=int, more=MORE)
    assert records(url, new) == []
    assert drift(dialect_of(url), [new]) == []


def test_a_second_start_finds_nothing_to_do(url: str, stored: Database) -> None:
    store(url, thing(1, n=int), {"n": 1})
    new = thing(2, step(1), n=int)
    prepare(dialect_of(url), [new])
    before = shape(stored)
    assert prepare(dialect_of(url), [new]) == []
    assert shape(stored) == before


# --- several processes
# -----------------------------------------------------------------------------


GATE = '''
"""catalog-products at a version whose step waits at a gate, and counts what goes through."""
import os, pathlib, time
from sqlmodel import Field, SQLModel
from persist import MigrationPlan, MigrationStep, entity

HERE = pathlib.Path(__file__).parent

def through(data):
    with (HERE / "through").open("a") as file:
        file.write(f"{os.getpid()}\\n")
    while not (HERE / "open").exists():
        time.sleep(0.01)
    return data

@entity("catalog-products", schema_version=2, plan=MigrationPlan([MigrationStep(1, 2, data=through)]))
class CatalogProduct(SQLModel):
    sku: str = Field(min_length=1, max_length=64, unique=True)
    title: str = Field(min_length=1, max_length=200)
    price_cents: int = Field(ge=0, index=True)
'''


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_waiting(process: forked.Process, stored: Database, url: str) -> bool:
    """Whether it has come to the database, which another one has locked."""
    if url.startswith("sqlite:"):
        opened = []
        for file in Path(f"/proc/{process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
                opened.append(file.resolve())
        return Path(url.removeprefix("sqlite:///")).resolve() in opened
    return bool(
        stored.value(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        )
    )


def test_of_two_processes_that_start_at_once_one_migrates_and_both_serve(
    url: str, stored: Database, tmp_path: Path
) -> None:
    PRODUCTS_1.put_into(url)
    (tmp_path / "gated.py").write_text(GATE)
    environment = clean_environment(PERSIST_DATABASE_URL=url, PERSIST_MODELS="gated")
    written = tmp_path / "written"
    with contextlib.ExitStack() as running:
        output = running.enter_context(written.open("w")).fileno()
        processes = []
        for _ in range(2):
            process = forked.start(
                ["serve", "--port", "0"],
                tmp_path,
                environment,
                stdout=output,
                stderr=output,
            )
            running.callback(process.wait)
            running.callback(process.terminate)
            processes.append(process)
            wait_until((tmp_path / "through").exists)
        wait_until(lambda: is_waiting(processes[1], stored, url))
        (tmp_path / "open").touch()
        wait_until(lambda: written.read_text().count("answers on") == 2)
    through = (tmp_path / "through").read_text().split()
    assert through == [through[0]] * 3
    assert stored.rows(
        "SELECT revision FROM journal WHERE operation = 'migrate' ORDER BY id"
    ) == [
        (3,),
        (2,),
        (2,),
    ]


def test_a_process_of_the_old_version_serves_until_the_table_is_swapped(
    url: str, tmp_path: Path
) -> None:
    """A rolling upgrade: it reads and writes while `persist migrate` computes. What it
    cannot read any more it answers 503, and it is no longer ready."""
    PRODUCTS_1.put_into(url)
    (tmp_path / "gated.py").write_text(GATE)
    environment = {"PERSIST_DATABASE_URL": url, "PERSIST_MODELS": "gated"}
    old = {"MODELS": "tests.fixtures.catalog_products_v1"}
    migration = threading.Thread(
        target=persist, args=(tmp_path, "migrate"), kwargs=environment
    )
    with serving(url, tmp_path, settings=old) as before, before.client() as client:
        products = Collection(client, "catalog-products")
        changed, deleted, _ = RECORDS[PRODUCTS_1]
        migration.start()
        wait_until((tmp_path / "through").exists)
        created = products.created(sku="NEW", title="Now", price_cents=1)
        assert products.patch(changed, {"title": "Changed"}).status_code == 200
        assert products.delete(deleted).status_code == 204
        assert products.record(changed)["data"]["title"] == "Changed"
        (tmp_path / "open").touch()
        migration.join()
        refused = products.create({"sku": "LATE", "title": "Late", "price_cents": 1})
        assert_problem(refused, 503, "unavailable")
        assert int(refused.headers["retry-after"]) >= 1
        assert "schema version 2" in refused.json()["detail"]
        assert_ahead(client)
    with opened(url) as stored:
        found = stored.rows(
            "SELECT id, revision, schema_version, title FROM catalog_products"
        )
    by_id = {id: values for id, *values in found}
    assert by_id[created["id"]] == [2, 2, "Now"]
    assert by_id[changed][0] >= 3
    assert by_id[changed][1:] == [2, "Changed"]
    assert deleted not in by_id
    assert len(by_id) == 3


def assert_ahead(client: httpx.Client) -> None:
    assert client.get("/health/ready").status_code == 503
    assert client.get("/health/live").status_code == 200
    taken = client.post("/snapshots", json={"scope": "all"})
    assert_problem(taken, 503, "unavailable")
    assert "retry-after" in taken.headers
    assert_problem(
        client.post("/api/catalog-products/snapshots", json={}), 503, "unavailable"
    )
