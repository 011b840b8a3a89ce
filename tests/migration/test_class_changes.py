"""A class that changed, compared with what the database recorded for its schema version
(contract 13, `schema_version` of a class)."""

from pathlib import Path

import httpx
import pytest

from tests.conftest import NewDatabase
from tests.contract.test_entity_classes import IMPORTS
from tests.fixtures.database import opened
from tests.support.program import persist, serving

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
'''


class Deployment:
    """A models module and a database."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environment = {"PERSIST_MODELS": "shop", "PERSIST_DATABASE_URL": url}
        self.write(BEFORE)

    def write(self, body: str) -> None:
        (self.folder / "shop.py").write_text(IMPORTS + body)

    def change(self, *changes: tuple[str, str]) -> None:
        """Change the text of the class."""
        body = BEFORE
        for old, new in changes:
            assert old in body
            body = body.replace(old, new)
        self.write(body)

    def run(self, *command: str, **more: str) -> str:
        """What a command says that fails."""
        outcome = persist(self.folder, *command, **self.environment, **more)
        assert outcome.returncode != 0, outcome.stdout
        assert "Traceback" not in outcome.stderr
        return outcome.stdout + outcome.stderr

    def succeed(self, *command: str, **more: str) -> str:
        outcome = persist(self.folder, *command, **self.environment, **more)
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        return outcome.stdout

    def store(self, *tickets: dict[str, object]) -> list[str]:
        """Serve the class as it is, once; the ids of the tickets."""
        with serving(self.folder, **self.environment) as service:
            return [
                httpx.post(f"{service.url}/api/tickets", json=ticket)
                .raise_for_status()
                .json()["id"]
                for ticket in tickets
            ]


@pytest.fixture
def deployment(new_database: NewDatabase, tmp_path: Path) -> Deployment:
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


@pytest.mark.parametrize("case", NEEDS_A_VERSION)
def test_a_change_that_needs_a_version_stops_the_start_and_shows_the_step(
    deployment: Deployment, case: str
) -> None:
    change, reason = NEEDS_A_VERSION[case]
    deployment.store({"title": "a"})
    deployment.change(change)
    assert_needs_version(deployment.run("serve"), reason)


def assert_needs_version(said: str, reason: str) -> None:
    assert reason in said
    assert "shop, line" in said
    assert "class Ticket" in said
    assert "Raise schema_version from 1 to 2" in said
    assert "MigrationStep(1, 2" in said
    assert "persist makemigration tickets" in said


def test_every_command_says_the_same(deployment: Deployment) -> None:
    deployment.store({"title": "a"})
    change, reason = NEEDS_A_VERSION["a new optional field"]
    deployment.change(change)
    for said in (
        deployment.run("serve", PERSIST_AUTO_MIGRATE="false"),
        deployment.run("check"),
        deployment.run("migrate"),
        deployment.run("migrate", "--dry-run"),
    ):
        assert_needs_version(said, reason)


def test_the_step_that_is_shown_is_the_step_to_write(deployment: Deployment) -> None:
    deployment.store({"title": "a"})
    change = ("    old:", "    note: str | None = None\n    old:")
    deployment.change(change)
    said = deployment.run("serve")
    step = said[said.index("MigrationStep(") : said.index("; `persist make")]
    assert step == (
        'MigrationStep(1, 2, sql="ALTER TABLE {table} ADD COLUMN note {text}",'
        ' data=lambda data: {**data, "note": None})'
    )
    plan = f'@entity("tickets", schema_version=2, plan=MigrationPlan([{step}]))'
    deployment.change(change, ('@entity("tickets")', plan))
    deployment.succeed("migrate", "--dry-run")
    with serving(deployment.folder, **deployment.environment) as service:
        record = httpx.get(f"{service.url}/api/tickets").json()["items"][0]
        assert record["schema_version"] == 2
        assert record["data"]["note"] is None
    deployment.succeed("check")


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
    "one more choice": [('    LOW = "low"', '    LOW = "low"\n    HIGH = "high"')],
}


@pytest.mark.parametrize("case", TAKEN_OVER)
def test_what_only_widens_is_taken_over_without_a_version(
    deployment: Deployment, case: str
) -> None:
    deployment.store({"title": "a"})
    deployment.change(*TAKEN_OVER[case])
    deployment.store({"title": "b"})
    deployment.succeed("check")
    deployment.write(BEFORE)
    if case == "annotations":
        deployment.store({"title": "c"})
    else:  # what was taken over is what counts now
        assert "Raise schema_version from 1 to 2" in deployment.run("serve")


def indexes(deployment: Deployment) -> set[str]:
    with opened(deployment.environment["PERSIST_DATABASE_URL"]) as database:
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
    refusal = deployment.run("serve", PERSIST_AUTO_MIGRATE="false")
    assert "tickets: the index tickets_index_code is missing" in refusal
    assert "run `persist migrate`" in refusal
    assert "tickets_index_code is missing" in deployment.run("check")
    deployment.store({"title": "b"})
    found = indexes(deployment)
    assert {"tickets_index_code", "tickets_unique_owner"} < found
    assert len(found) == 3
    deployment.succeed("check")
    deployment.write(BEFORE)
    deployment.succeed("migrate")
    assert indexes(deployment) == {"tickets_unique_owner"}


def test_a_unique_value_that_the_records_keep_is_made_at_start(
    deployment: Deployment,
) -> None:
    deployment.store({"title": "a"}, {"title": "b", "old": "x"}, {"title": "c"})
    deployment.change(
        ("old: str | None = None", "old: str | None = Field(default=None, unique=True)")
    )
    with serving(deployment.folder, **deployment.environment) as service:
        again = httpx.post(
            f"{service.url}/api/tickets", json={"title": "d", "old": "x"}
        )
        assert again.status_code == 409
        assert httpx.get(f"{service.url}/collections/tickets").json()["unique"] == [
            ["owner"],
            ["old"],
        ]
    deployment.write(BEFORE)
    deployment.store({"title": "e", "old": "x"})


def test_a_unique_value_that_records_break_stops_the_start_and_names_them(
    deployment: Deployment,
) -> None:
    ids = deployment.store({"title": "a"}, {"title": "b"}, {"title": "a"})
    deployment.change(
        (
            "title: str = Field(max_length=10)",
            "title: str = Field(max_length=10, unique=True)",
        )
    )
    for command in (["serve"], ["check"], ["migrate"], ["migrate", "--dry-run"]):
        said = deployment.run(*command)
        assert "class Ticket, field title: it is to be unique" in said
        assert ids[0] in said
        assert ids[2] in said
        assert ids[1] not in said
    deployment.write(BEFORE)
    deployment.store({"title": "a"})


def test_what_an_older_release_recorded_is_taken_over_at_the_first_start(
    deployment: Deployment,
) -> None:
    deployment.store({"title": "a"})
    with opened(deployment.environment["PERSIST_DATABASE_URL"]) as database:
        database.run(
            "UPDATE definitions SET definition ="
            ' \'{"schema": {"type": "object", "properties": {"title": {"type": "string"}}}}\''
            " WHERE name = 'tickets'"
        )
    deployment.change(("max_length=10)\n    code", "max_length=5)\n    code"))
    deployment.store({"title": "b"})
    deployment.succeed("check")
    deployment.change(("    old:", "    note: str | None = None\n    old:"))
    assert "field note: it is new" in deployment.run("serve")


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
def test_a_dry_run_is_a_rehearsal_that_finds_what_the_run_would(
    deployment: Deployment, case: str
) -> None:
    changes, reasons = FAULTY[case]
    deployment.store({"title": "a"}, {"title": "b", "size": 2})
    deployment.change(*changes)
    with opened(deployment.environment["PERSIST_DATABASE_URL"]) as database:
        before = database.contents()
        for command in (["migrate", "--dry-run"], ["migrate"]):
            said = deployment.run(*command)
            for reason in reasons:
                assert reason in said, said
            assert database.contents() == before


def test_a_rehearsal_that_goes_through_changes_nothing(deployment: Deployment) -> None:
    deployment.store({"title": "a"})
    deployment.change(*second('return {**data, "given": "x"}', ADDED))
    with opened(deployment.environment["PERSIST_DATABASE_URL"]) as database:
        before = database.contents()
        said = deployment.succeed("migrate", "--dry-run")
        assert said.endswith("nothing was changed\n")
        assert database.contents() == before
    deployment.succeed("migrate")
    deployment.succeed("check")
