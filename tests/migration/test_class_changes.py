"""A class that changed, compared with what the database recorded for its schema version
(contract 13, `schema_version` of a class)."""

import importlib
import json
import uuid
from pathlib import Path

import pytest

from persist.domain.entity_type import EntityType
from persist.entity_types.registry import load_models
from persist.storage.dialect import dialect_of
from persist.storage.migrations.database_schema import (
    SchemaMismatch,
    class_differences,
    drift,
    prepare,
    rehearse,
)
from persist.storage.migrations.migrator import MigrationStopped
from tests.conftest import NewDatabase
from tests.contract.test_entity_classes import IMPORTS
from tests.fixtures.database import opened
from tests.fixtures.storing import records, store
from tests.support.databases import sqlite_only
from tests.support.program import persist

BEFORE = '''
class Grade(StrEnum):
    LOW = "low"

class Spot(SQLModel):
    city: str = Field(max_length=10)

@entity("tickets")
class Ticket(SQLModel):
    """A ticket."""
    title: str = Field(max_length=10)
    code: str = ""
    size: int = Field(default=1, ge=1)
    grade: Grade = Grade.LOW
    spot: Spot | None = None
    owner: str | None = Field(default=None, unique=True)
    old: str | None = None
    site: AnyUrl | None = None
    share: float = Field(default=0, multiple_of=0.3)
'''


class Deployment:
    """A class that changes, and a database."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.dialect = dialect_of(url)
        self.body = BEFORE

    def change(self, *changes: tuple[str, str]) -> None:
        """Change the text of the class as it was."""
        self.body = BEFORE
        for old, new in changes:
            assert old in self.body, old
            self.body = self.body.replace(old, new)

    def types(self) -> list[EntityType]:
        """Compile the class as it is now."""
        name = f"shop_{uuid.uuid4().hex}"
        (self.folder / f"{name}.py").write_text(IMPORTS + self.body)
        importlib.invalidate_caches()
        return load_models(name)

    def store(self, *tickets: dict[str, object]) -> list[str]:
        """Start, and store the first tickets; their ids."""
        return store(self.url, self.types()[0], *tickets)

    def start(self, *, auto_migrate: bool = True) -> None:
        prepare(self.dialect, self.types(), auto_migrate=auto_migrate)

    def refused(self, *, auto_migrate: bool = True) -> str:
        """Why a start is refused."""
        with pytest.raises((SchemaMismatch, MigrationStopped)) as refused:
            self.start(auto_migrate=auto_migrate)
        return str(refused.value)

    def rehearsed(self) -> str:
        """Why a rehearsal of migrations fails."""
        with pytest.raises((SchemaMismatch, MigrationStopped)) as refused:
            rehearse(self.dialect, self.types())
        return str(refused.value)

    def assert_current(self) -> None:
        """Nothing differs: `persist check` has nothing to say."""
        types = self.types()
        assert class_differences(self.dialect, types) == {}
        assert drift(self.dialect, types) == []


@pytest.fixture
def deployment(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Deployment:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Deployment(tmp_path, new_database())


NEEDS_A_VERSION: dict[str, tuple[tuple[str, str], str]] = {
    "a new optional field": (
        ("    old:", "    note: str | None = None\n    old:"),
        "field note: it is new",
    ),
    "a field taken out": (
        ("    old: str | None = None\n", ""),
        "field old: it was taken out",
    ),
    "another type": (
        ('    code: str = ""', "    code: int = 0"),
        "field code: its type was string and is integer",
    ),
    "a field that may be null": (
        ('    code: str = ""', "    code: str | None = None"),
        "field code: it may be null now",
    ),
    "a field that may no longer be null": (
        ("old: str | None = None", 'old: str = ""'),
        "field old: it may no longer be null",
    ),
    "another default": (
        ('    code: str = ""', '    code: str = "x"'),
        "field code: default was",
    ),
    "a default": (
        (
            "title: str = Field(max_length=10)",
            'title: str = Field(default="", max_length=10)',
        ),
        "field title: it has a default now",
    ),
    "a narrower constraint": (
        ("max_length=10)\n    code", "max_length=9)\n    code"),
        "field title: maxLength was 10 and is 9",
    ),
    "another constraint": (("ge=1)", "ge=1, le=5)"), "field size: maximum is 5 now"),
    "a nested member": (
        ("    city:", "    floor: int = 0\n    city:"),
        "field spot: its member floor is new",
    ),
    "a format": (
        ('    code: str = ""', "    code: date = date(2026, 1, 1)"),
        "field code: ",
    ),
}


@sqlite_only  # what is compared is the class and what was recorded of it
@pytest.mark.parametrize("case", NEEDS_A_VERSION)
def test_a_change_that_needs_a_version_stops_the_start_and_shows_the_step(
    deployment: Deployment, case: str
) -> None:
    change, reason = NEEDS_A_VERSION[case]
    deployment.store({"title": "a"})
    deployment.change(change)
    for said in (
        deployment.refused(),
        deployment.refused(auto_migrate=False),
        deployment.rehearsed(),
        class_differences(deployment.dialect, deployment.types())["tickets"],
    ):
        assert_needs_version(said, reason)


def assert_needs_version(said: str, reason: str) -> None:
    assert reason in said
    assert ", line" in said
    assert "class Ticket" in said
    assert "Raise schema_version from 1 to 2" in said
    assert "MigrationStep(1, 2" in said
    assert "persist makemigration tickets" in said


def test_every_command_says_the_same(deployment: Deployment) -> None:
    deployment.store({"title": "a"})
    change, reason = NEEDS_A_VERSION["a new optional field"]
    deployment.change(change)
    (deployment.folder / "shop.py").write_text(IMPORTS + deployment.body)
    chosen = {"PERSIST_MODELS": "shop", "PERSIST_DATABASE_URL": deployment.url}
    for command in (["serve"], ["check"], ["migrate", "--dry-run"]):
        outcome = persist(deployment.folder, *command, **chosen)
        assert outcome.returncode != 0
        assert "Traceback" not in outcome.stderr
        assert_needs_version(outcome.stdout + outcome.stderr, reason)


@pytest.mark.parametrize("case", NEEDS_A_VERSION)
def test_the_step_that_is_suggested_is_the_step_to_write(
    deployment: Deployment, case: str
) -> None:
    deployment.store({"title": "5"}, {"title": "7", "code": "12", "old": "x"})
    change, _ = NEEDS_A_VERSION[case]
    deployment.change(change)
    said = deployment.refused()
    step = said[said.index("MigrationStep(") : said.index("; `persist make")]
    plan = f'@entity("tickets", schema_version=2, plan=MigrationPlan([{step}]))'
    deployment.change(change, ('@entity("tickets")', plan))
    if case in EDITED:
        assert "of 2 records fail" in deployment.rehearsed()
        return
    assert rehearse(deployment.dialect, deployment.types()) == []
    found = records(deployment.url, deployment.types()[0])
    assert {record.schema_version for record in found} == {2}
    deployment.assert_current()


EDITED = ("another type", "a format")
"""The values cannot be guessed: the function has to be edited."""


def test_the_step_for_a_new_optional_field(deployment: Deployment) -> None:
    deployment.store({"title": "a"})
    deployment.change(NEEDS_A_VERSION["a new optional field"][0])
    assert (
        'MigrationStep(1, 2, sql="ALTER TABLE {table} ADD COLUMN note {text}",'
        ' data=lambda data: {**data, "note": None})'
    ) in deployment.refused()


TAKEN_OVER: dict[str, list[tuple[str, str]]] = {
    "annotations": [
        ('"""A ticket."""', '"""Another description."""'),
        (
            "title: str = Field(max_length=10)",
            'title: str = Field(max_length=10, description="What")',
        ),
    ],
    "a constraint that widens": [
        ("max_length=10)\n    code", "max_length=11)\n    code")
    ],
    "a constraint that goes": [("ge=1)", ")")],
    "a nested constraint that widens": [
        ("city: str = Field(max_length=10)", "city: str")
    ],
    "a format that goes": [("site: AnyUrl | None", "site: str | None")],
    "a multiple of a decimal that divides the one before": [
        ("multiple_of=0.3", "multiple_of=0.1")
    ],
    "one more choice": [('    LOW = "low"', '    LOW = "low"\n    HIGH = "high"')],
}


@pytest.mark.parametrize("case", TAKEN_OVER)
def test_what_only_widens_is_taken_over_without_a_version(
    deployment: Deployment, case: str
) -> None:
    deployment.store({"title": "a"})
    deployment.change(*TAKEN_OVER[case])
    deployment.start(auto_migrate=False)
    deployment.assert_current()
    deployment.change()
    if case == "annotations":
        deployment.start()
    else:  # what was taken over is what counts now
        assert "Raise schema_version from 1 to 2" in deployment.refused()


def indexes(deployment: Deployment) -> set[str]:
    with opened(deployment.url) as database:
        if "sqlite_master" in database._tables:
            query = "SELECT name FROM sqlite_master WHERE type = 'index'"
        else:
            query = "SELECT indexname FROM pg_indexes WHERE schemaname = 'public'"
        names = {str(row[0]) for row in database.rows(query)}
    return {name for name in names if name.startswith("tickets_")} - {"tickets_pkey"}


def test_an_index_is_made_and_dropped_at_start(deployment: Deployment) -> None:
    deployment.store({"title": "a"})
    deployment.change(
        ('code: str = ""', 'code: str = Field(default="", index=True)'),
        ('@entity("tickets")', '@entity("tickets", indexes=[["title", "size"]])'),
    )
    refusal = deployment.refused(auto_migrate=False)
    assert "tickets: the index tickets_index_code is missing" in refusal
    assert "run `persist migrate`" in refusal
    assert len(rehearse(deployment.dialect, deployment.types())) == 2
    assert indexes(deployment) == {"tickets_unique_owner"}
    deployment.start()
    found = indexes(deployment)
    assert {"tickets_index_code", "tickets_unique_owner"} < found
    assert len(found) == 3
    deployment.assert_current()
    deployment.change()
    deployment.start()
    assert indexes(deployment) == {"tickets_unique_owner"}


UNIQUE_TITLE = (
    "title: str = Field(max_length=10)",
    "title: str = Field(max_length=10, unique=True)",
)


def test_a_unique_value_that_the_records_keep_is_made_at_start(
    deployment: Deployment,
) -> None:
    deployment.store({"title": "a"}, {"title": "b"})
    deployment.change(UNIQUE_TITLE)
    deployment.start()
    deployment.assert_current()
    with (
        opened(deployment.url) as database,
        pytest.raises(Exception, match=r"(?i)uniq"),
    ):
        database.run("UPDATE tickets SET title = 'a'")
    deployment.change()
    deployment.start()
    with opened(deployment.url) as database:
        database.run("UPDATE tickets SET title = 'a'")


def test_a_unique_value_that_records_break_stops_the_start_and_names_them(
    deployment: Deployment,
) -> None:
    ids = deployment.store({"title": "a"}, {"title": "b"}, {"title": "a"})
    deployment.change(UNIQUE_TITLE)
    for said in (deployment.refused(), deployment.rehearsed()):
        assert "class Ticket, field title: it is to be unique" in said
        assert ids[0] in said
        assert ids[2] in said
        assert ids[1] not in said
    assert indexes(deployment) == {"tickets_unique_owner"}


def test_what_an_older_release_recorded_is_taken_over_at_the_first_start(
    deployment: Deployment,
) -> None:
    deployment.store({"title": "a"})
    with opened(deployment.url) as database:
        database.run(
            "UPDATE definitions SET definition ="
            ' \'{"schema": {"type": "object", "properties": {"title": {"type": "string"}}}}\''
            " WHERE name = 'tickets'"
        )
    narrower = ("max_length=10)\n    code", "max_length=5)\n    code")
    deployment.change(narrower)
    deployment.start()
    deployment.assert_current()
    deployment.change(NEEDS_A_VERSION["a new optional field"][0], narrower)
    assert "field note: it is new" in deployment.refused()


EARLIER_FORMS: dict[str, tuple[str, dict[str, object], dict[str, object]]] = {
    "a decimal with an exponent": (
        'Decimal = Decimal("1E+2")',
        {"format": "decimal", "type": "string", "default": "1E+2"},
        {"format": "decimal", "type": "string", "default": "1E+3"},
    ),
    "a duration in years": (
        "timedelta | None = timedelta(days=400, hours=1)",
        {
            "anyOf": [{"format": "duration", "type": "string"}, {"type": "null"}],
            "default": "P1Y35DT1H",
        },
        {
            "anyOf": [{"format": "duration", "type": "string"}, {"type": "null"}],
            "default": "P1Y36DT1H",
        },
    ),
    "a pattern of keys": (
        'dict[Annotated[str, PydanticField(pattern="^a")], int] = {}',
        {
            "type": "object",
            "patternProperties": {"^a": {"type": "integer"}},
            "default": {},
        },
        {
            "type": "object",
            "patternProperties": {"^b": {"type": "integer"}},
            "default": {},
        },
    ),
}


@sqlite_only  # what is compared is the class and what was recorded of it
@pytest.mark.parametrize("case", EARLIER_FORMS)
def test_what_an_older_release_wrote_in_another_form_is_no_change(
    deployment: Deployment, case: str
) -> None:
    declared, earlier, different = EARLIER_FORMS[case]
    deployment.change(("old: str | None = None", f"old: {declared}"))
    deployment.store({"title": "a"})
    for recorded in (different, earlier):
        part = json.dumps(recorded)
        with opened(deployment.url) as database:
            database.run(
                "UPDATE definitions SET definition = json_set(definition,"
                f" '$.schema.properties.old', json('{part}')) WHERE name = 'tickets'"
            )
        if recorded is different:
            assert "field old:" in deployment.refused()
    deployment.start(auto_migrate=False)
    deployment.assert_current()


def test_a_class_that_an_older_release_recorded_lacks_a_column(
    deployment: Deployment,
) -> None:
    deployment.store({"title": "a"})
    with opened(deployment.url) as database:
        database.run(
            """UPDATE definitions SET definition = '{"schema": {}}'"""
            " WHERE name = 'tickets'"
        )
    deployment.change(NEEDS_A_VERSION["a new optional field"][0])
    said = deployment.refused()
    assert "field note: the table has no column note" in said
    assert "ALTER TABLE {table} ADD COLUMN note {text}" in said


# --- the rehearsal ---

STEP = """
def changed(data):
    {body}

PLAN = MigrationPlan([MigrationStep(1, 2, sql={sql!r}, data=changed)])
"""


def second(
    body: str, sql: object, field: str = "given: str | None = None"
) -> list[tuple[str, str]]:
    """The class at version 2, with a plan of one step."""
    return [
        ("class Grade", STEP.format(body=body, sql=sql) + "\nclass Grade"),
        ('@entity("tickets")', '@entity("tickets", schema_version=2, plan=PLAN)'),
        ("    old:", f"    {field}\n    old:"),
    ]


ADDED = "ALTER TABLE {table} ADD COLUMN given {text}"
FAULTY: dict[str, tuple[list[tuple[str, str]], list[str]]] = {
    "a function that raises": (
        second('return {**data, "given": data["nope"]}', ADDED),
        ["the step 1 to 2 was undone", "2 of 2 records fail", "KeyError: 'nope'"],
    ),
    "a function that fails for one": (
        second('return {**data, "given": str(1 // (data["size"] - 1))}', ADDED),
        ["1 of 2 records fail", "ZeroDivisionError"],
    ),
    "a missing column": (
        second('return {**data, "given": "x"}', ()),
        ["field given: the table has no column given", ADDED],
    ),
    "an unknown placeholder": (
        second("return data", "ALTER TABLE {table} ADD COLUMN given {string_}"),
        ["the placeholder {string_}", "{text}"],
    ),
    "a column that may be null": (
        second('return {**data, "given": "x"}', ADDED, "given: str"),
        [
            "field given: its column may be null",
            "ALTER TABLE {table} ADD COLUMN given {text} NOT NULL DEFAULT ''",
        ],
    ),
    "a column of another type": (
        second('return {**data, "given": 1}', ADDED, "given: int | None = None"),
        ["field given: its column is of the type TEXT", "ADD COLUMN given {integer}"],
    ),
    "SQL that fails": (
        second("return data", "ALTER TABLE {table} DROP COLUMN nope"),
        ["the step 1 to 2 was undone", "nope"],
    ),
    "data that does not fit": (
        second('return {**data, "given": "x", "size": 0}', ADDED),
        ["2 of 2 records fail", "/size"],
    ),
    "values that are no longer unique": (
        second('return {**data, "given": None, "owner": "same"}', ADDED),
        ["field owner: it is to be unique"],
    ),
}


@pytest.mark.parametrize("case", FAULTY)
def test_a_rehearsal_finds_what_the_run_would(
    deployment: Deployment, case: str
) -> None:
    changes, reasons = FAULTY[case]
    deployment.store({"title": "a"}, {"title": "b", "size": 2})
    deployment.change(*changes)
    with opened(deployment.url) as database:
        before = database.contents()
        for said in (deployment.rehearsed(), deployment.refused()):
            for reason in reasons:
                assert reason in said, said
            assert database.contents() == before


def test_a_rehearsal_that_goes_through_changes_nothing(deployment: Deployment) -> None:
    deployment.store({"title": "a"})
    deployment.change(*second('return {**data, "given": "x"}', ADDED))
    with opened(deployment.url) as database:
        before = database.contents()
        assert rehearse(deployment.dialect, deployment.types()) == []
        assert database.contents() == before
    deployment.start()
    deployment.assert_current()
