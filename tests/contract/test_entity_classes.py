"""Entity classes: what is kept, kept with a rule, or refused (contract 13, `schema_version`
of a class; the reference page entity-classes)."""

import importlib
import json
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from persist.entity_types.registry import InvalidModels, load_models
from tests.conftest import NewDatabase
from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem
from tests.support.program import persist
from tests.support.server import serving

IMPORTS = """
import dataclasses
import functools
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

import pydantic
from pydantic import *
from pydantic import Field as PydanticField
from sqlalchemy import Column, String, UniqueConstraint
from sqlmodel import Field, Relationship, SQLModel

from persist import MigrationPlan, MigrationStep, Refused, command, entity

class Level(IntEnum):
    LOW = 1
    HIGH = 2

class Colour(StrEnum):
    RED = "red"

class Resource(SQLModel):
    city: str
    floor: int | None = None
"""

Compile = Callable[[str], list[Any]]


def module(body: str) -> str:
    """The text of a models module: a class `Thing` with `body`, or `body` itself."""
    if "\nclass " not in f"\n{body}":
        body = '@entity("things")\nclass Thing(SQLModel):\n' + textwrap.indent(
            textwrap.dedent(body), "    "
        )
    return IMPORTS + body + "\n"


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Compile]:
    """Compiles a models module of its own."""
    name = f"models_{uuid.uuid4().hex}"
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(body: str) -> list[Any]:
        (tmp_path / f"{name}.py").write_text(module(body))
        importlib.invalidate_caches()
        return load_models(name)

    yield load
    sys.modules.pop(name, None)


REFUSED = {
    "a table": (
        """
        @entity("things")
        class Thing(SQLModel, table=True):
            id: int | None = Field(default=None, primary_key=True)
        """,
        (
            "class Thing: the service makes the table itself; write it without"
            " table=True and without id; the envelope has one"
        ),
    ),
    "a secret": ("token: SecretStr", "field token: SecretStr is refused"),
    "a secret in a list": ("tokens: list[SecretStr]", "field tokens: SecretStr"),
    "Json": ("j: Json", "field j: Json is refused"),
    "Json of a type": ("j: Json[list[int]]", "field j: Json is refused"),
    "bytes": ("b: bytes", "field b: bytes is refused: JSON has no bytes; write str"),
    "a naive time": ("t: NaiveDatetime", "field t: NaiveDatetime is refused"),
    "a set of anything": ("s: set[Any]", "field s: the elements of a set"),
    "a set of models": ("s: set[Resource]", "write list[...]"),
    "keys that are no text": ("d: dict[int, str]", "write dict[str, ...]"),
    "Decimal in a union": ("d: Decimal | int", "write Decimal or Decimal | None"),
    "a class of pydantic's own": ("p: Path", "field p: Path is refused"),
    "exclude": ("a: int = Field(exclude=True)", "exclude= is refused"),
    "a serialization alias": (
        'a: int = Field(serialization_alias="b")',
        "serialization_alias= is refused",
    ),
    "a validation alias": (
        'a: int = Field(validation_alias="b")',
        "validation_alias= is refused",
    ),
    "a field serializer": (
        """
        a: int
        @field_serializer("a")
        def written(self, value): return str(value)
        """,
        "method written: the value would be answered in another form",
    ),
    "a model serializer": (
        """
        a: int
        @model_serializer
        def written(self): return {}
        """,
        "method written",
    ),
    "a serializer in Annotated": (
        "a: list[Annotated[int, PlainSerializer(str)]]",
        "field a: the value would be answered in another form",
    ),
    "a nested serializer": (
        """
        class Inner(BaseModel):
            a: int
            @field_serializer("a")
            def written(self, value): return str(value)

        @entity("things")
        class Thing(SQLModel):
            inner: Inner
        """,
        "method written",
    ),
    "a relationship": (
        'other: list["Thing"] = Relationship()',
        "field other: a record holds its own data only",
    ),
    "a column": (
        "a: str = Field(sa_column=Column(String))",
        "field a: sa_column= is refused",
    ),
    "a primary key": ("a: str = Field(primary_key=True)", "primary_key= is refused"),
    "a foreign key": (
        'a: str = Field(foreign_key="b.id")',
        "foreign_key= is refused",
    ),
    "nullable": ("a: str = Field(nullable=False)", "nullable= is refused"),
    "table arguments": (
        """
        a: int
        __table_args__ = (UniqueConstraint("a"),)
        """,
        'write unique=[["a", "b"]]',
    ),
    "a table name": ('a: int\n__tablename__ = "other"', "__tablename__"),
    "open data": (
        'a: int\nmodel_config = ConfigDict(extra="allow")',
        "extra='allow': a record holds the declared members only",
    ),
    "open nested data": (
        """
        class Inner(BaseModel):
            model_config = ConfigDict(extra="allow")

        @entity("things")
        class Thing(SQLModel):
            inner: Inner
        """,
        "model_config of Inner, extra='allow'",
    ),
    "regex": ('a: str = Field(regex="^x")', "regex= is refused: pydantic ignores it"),
    "a constraint of another type": (
        "a: int | str = Field(ge=1)",
        "field a: pydantic cannot check the constraint on this type",
    ),
    "an index over a list": (
        "a: list[int] = Field(index=True)",
        "field a: it cannot have an index: it is not a single value of one type",
    ),
    "a unique union": (
        "a: int | str = Field(unique=True)",
        "field a: it cannot be unique",
    ),
    "a unique object": ("a: dict[str, int] = Field(unique=True)", "cannot be unique"),
    "an index below a member": (
        '@entity("things", indexes=[["place.city"]])\nclass Thing(SQLModel):\n    place: Resource',
        "field place.city: it cannot have an index",
    ),
    "an index over nothing": (
        '@entity("things", indexes=[["nope"]])\nclass Thing(SQLModel):\n    note: str',
        "field nope: it cannot have an index: the class has no member of that name; write 'note'",
    ),
    "a group that is text": (
        '@entity("things", unique="note")\nclass Thing(SQLModel):\n    note: str',
        "it is not a list of fields",
    ),
    "a default that does not fit": (
        'a: int = "x"',
        "field a: its default 'x' does not fit",
    ),
    "a default without a zone": (
        "a: datetime = datetime(2026, 1, 1)",
        "does not fit: the time has no zone",
    ),
    "an asynchronous command": (
        """
        a: int
        @command
        async def go(self) -> int: return 1
        """,
        "command go: a command runs inside the transaction",
    ),
    "a command called set": (
        """
        a: int
        @command
        def set(self): pass
        """,
        "command set: every collection has a command set already",
    ),
    "a command in camel case": (
        """
        a: int
        @command
        def payNow(self): pass
        """,
        "command payNow: its name does not match [a-z][a-z0-9_]{0,62}; write pay_now",
    ),
    "a command with any arguments": (
        """
        a: int
        @command
        def go(self, *args): pass
        """,
        "command go: the members of a payload have names",
    ),
    "a command with any members": (
        """
        a: int
        @command
        def go(self, **members): pass
        """,
        "command go: the members of a payload have names",
    ),
    "a command that gives bytes": (
        """
        a: int
        @command
        def go(self) -> bytes: return b""
        """,
        "command go result: bytes is refused",
    ),
    "a command that takes a secret": (
        """
        a: int
        @command
        def go(self, token: SecretStr): pass
        """,
        "command go parameter token: SecretStr is refused",
    ),
    "a command of the class": (
        """
        a: int
        @command
        @classmethod
        def go(cls): pass
        """,
        "command go: a command changes a record",
    ),
    "a name that is no collection's": (
        '@entity("Ops Tickets")\nclass Thing(SQLModel):\n    a: int',
        "'Ops Tickets' cannot name a collection; write a name like 'ops-tickets'",
    ),
    "a version that is text": (
        '@entity("things", schema_version="2")\nclass Thing(SQLModel):\n    a: int',
        "schema_version='2' is not a version",
    ),
    "a default that is no JSON": (
        'f: float = float("nan")',
        "field f: its default nan does not fit: a number must be finite",
    ),
    "a default beyond 64 bits": (
        (
            "class Inner(BaseModel):\n    n: int = 2**70\n"
            '@entity("things")\nclass Thing(SQLModel):\n    inner: Inner'
        ),
        "field Inner.n: its default",
    ),
    "a default of a parameter that does not fit": (
        "a: int\n@command\ndef go(self, t: datetime = datetime(2020, 1, 1)): pass",
        "command go parameter t: its default",
    ),
    "a computed field with the name of a member": (
        """
        a: int = PydanticField(default=1, alias="b")
        @computed_field
        @property
        def b(self) -> int: return 1
        """,
        "member b of Thing: two members have this name",
    ),
    "two classes of one collection": (
        (
            '@entity("things")\nclass Thing(SQLModel):\n    a: int\n'
            '@entity("things")\nclass Other(SQLModel):\n    a: int\n'
        ),
        "class Other are both the collection 'things'",
    ),
    "metadata with a schema of its own": (
        'a: Annotated[int, WithJsonSchema({"type": "string"})]',
        "field a: WithJsonSchema is refused",
    ),
    "an argument that Field does not know": (
        'a: int = Field(schema_extra={"max_lenght": 3})',
        "field a: max_lenght= is refused: Field has no such argument; write max_length=",
    ),
    "an alias that no database stores": (
        'a: int = Field(alias="\\x00")',
        "a name of JSON has no U+0000",
    ),
    "a method where a field has its name": (
        "a: int\ndef a(self): pass",
        "field a: its default <function",
    ),
    "a computed field of a secret": (
        """
        a: int
        @computed_field
        @property
        def b(self) -> SecretStr: return SecretStr("x")
        """,
        "field b: SecretStr is refused",
    ),
    "a guard that is asynchronous": (
        "a: int\nasync def may(record): pass\n@command(when=may)\ndef go(self): pass",
        "command go: its guard is not a function of a record",
    ),
    "a guard without a record": (
        "a: int\n@command(when=lambda: True)\ndef go(self): pass",
        "command go: its guard is not a function of a record",
    ),
    "an alias of a parameter": (
        'a: int\n@command\ndef go(self, b: int = Field(alias="c")): pass',
        "command go parameter b: alias= is refused",
    ),
    "open data in a parameter": (
        (
            'class Open(SQLModel):\n    model_config = {"extra": "allow"}\n'
            '@entity("things")\nclass Thing(SQLModel):\n    a: int\n'
            "    @command\n    def go(self, b: Open): pass\n"
        ),
        "command go parameter b: a record holds the declared members only",
    ),
    "a command below cached_property": (
        "a: int\n@functools.cached_property\n@command\ndef go(self): pass",
        "command go: a command changes a record",
    ),
    "a partial method": (
        (
            "a: int\ndef go_to(self, b: int): pass\n"
            "go = command(functools.partialmethod(go_to, b=1))"
        ),
        "command go: a command changes a record",
    ),
    "a type that is not imported": ('a: "Nope"', "name 'Nope' is not defined"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_kept_is_refused_by_class_field_and_reason(
    compiled: Compile, case: str
) -> None:
    body, reason = REFUSED[case]
    with pytest.raises(InvalidModels) as refused:
        compiled(textwrap.dedent(body))
    message = str(refused.value)
    assert reason in message, message
    assert "\n" not in message
    assert "class Thing" in message
    assert "; " in message  # what to write instead


RAISED = {
    "a syntax error": ("class Thing(SQLModel)\n", "expected ':'"),
    "an exception": ("class X: pass\nraise ValueError('boom')", "ValueError: boom"),
    "an incomplete plan": (
        (
            '@entity("things", schema_version=3,'
            " plan=MigrationPlan([MigrationStep(1, 2)]))\nclass Thing(SQLModel):\n    a: int"
        ),
        "InvalidPlan: the plan leads to schema version 2, the entity is at 3",
    ),
    "a dataclass": (
        '@entity("things")\n@dataclasses.dataclass\nclass Thing:\n    a: int',
        "Thing is not a SQLModel class; write @entity",
    ),
    "two collections of one class": (
        '@entity("others")\n@entity("things")\nclass Thing(SQLModel):\n    a: int',
        "Thing is already the entity 'things'",
    ),
    "a bare decorator": (
        "@entity\nclass Thing(SQLModel):\n    a: int",
        "@entity needs the name of a collection; write @entity",
    ),
    "an unknown class": (
        'class Foo: pass\n@entity("things")\nclass Thing(SQLModel):\n    a: Foo',
        "Unable to generate pydantic-core schema",
    ),
    "a pattern without linear time": (
        '@entity("things")\nclass Thing(SQLModel):\n    a: str = PydanticField(pattern="(?=x)")',
        "look-around",
    ),
}


@pytest.mark.parametrize("case", RAISED)
def test_what_a_models_module_raises_is_one_line_with_file_and_line(
    compiled: Compile, case: str, tmp_path: Path
) -> None:
    body, reason = RAISED[case]
    with pytest.raises(InvalidModels) as refused:
        compiled(body)
    message = str(refused.value)
    assert reason in message, message
    assert "\n" not in message
    assert message.startswith(f"{tmp_path}/models_")
    assert ".py, line " in message


@pytest.mark.parametrize("command", ["serve", "check", "migrate"])
def test_every_command_says_the_same_in_one_line(
    tmp_path: Path, new_database: NewDatabase, command: str
) -> None:
    (tmp_path / "shop.py").write_text(module("token: SecretStr"))
    chosen = {"PERSIST_MODELS": "shop", "PERSIST_DATABASE_URL": new_database()}
    outcome = persist(tmp_path, command, **chosen)
    assert outcome.returncode != 0
    said = outcome.stdout + outcome.stderr
    assert "class Thing, field token: SecretStr is refused" in said
    assert "Traceback" not in said


def test_the_traceback_is_there_at_the_level_debug(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    (tmp_path / "shop.py").write_text(module("class X: pass\nraise ValueError('boom')"))
    chosen = {"PERSIST_MODELS": "shop", "PERSIST_DATABASE_URL": new_database()}
    outcome = persist(tmp_path, "serve", "--log-level", "debug", **chosen)
    assert "ValueError: boom" in outcome.stderr
    assert "Traceback" in outcome.stderr


# --- what is kept, on a live service ---

KEPT = '''
class Cat(BaseModel):
    model_config = ConfigDict(loc_by_alias=False)
    kind: Literal["cat"] = PydanticField(alias="@type")
    lives: int = PydanticField(default=9, alias="@lives")

class Dog(BaseModel):
    kind: Literal["dog"] = PydanticField(alias="@type")


@entity("things")
class Thing(SQLModel):
    marker: str = ""
    level: Level | None = None
    choice: Literal[1, 2] | None = None
    flag: Literal[True, "auto"] | None = None
    tags: set[str] = Field(default_factory=set)
    numbers: frozenset[int] = Field(default_factory=frozenset)
    happened: datetime | None = None
    nested: list[datetime] = Field(default_factory=list)
    day: date | None = None
    at: time | None = None
    lasts: timedelta | None = None
    total: Decimal | None = None
    ref: UUID | None = None
    code: Annotated[str, PydanticField(pattern="^\\\\d+$")] | None = None
    pet: Annotated[Cat | Dog, PydanticField(discriminator="kind")] | None = None
    stock: dict[Annotated[str, PydanticField(pattern="^[a-z]+$")], int] = {}
    lenient: int = PydanticField(default=0, strict=False)
    children: list["Thing"] = Field(default_factory=list)

    @command
    def add(self, place: Resource, _reason: str = "", copy: int = 1) -> dict[str, Any]:
        """Return the payload."""
        return {"city": place.city, "reason": _reason, "copy": copy}

    @command
    def refuse(self) -> None:
        raise Refused("no", code="Not A Code!")


@entity("named")
class Named(SQLModel):
    marker: str = ""
    xmin: str | None = None
    ctid: int | None = None
    name: str | None = Field(default=None, unique=True)
    Name: str | None = Field(default=None, index=True)
    id: int | None = None
    data_id: int | None = None
    Workspace: str | None = None
    empty: int | None = PydanticField(default=None, alias="")
    strange: str | None = PydanticField(default=None, alias="%s \\"a\\" 'b' :c {d} [e] \\\\ ?")
    slash: str | None = PydanticField(default=None, alias="a/b.c~d")
    umlaut: str | None = PydanticField(default=None, alias="größe")
    first: int | None = PydanticField(default=None, alias="a" * 80 + "1")
    second: int | None = PydanticField(default=None, alias="a" * 80 + "2")
    metadata: str | None = None
    select: str | None = None


@entity("stamped")
class Stamped(SQLModel):
    marker: str = ""
    at: datetime = Field(default_factory=datetime.now)


@entity("doubled")
class Doubled(SQLModel):
    size: int

    @computed_field
    @property
    def double(self) -> int:
        return self.size * 2

    @computed_field
    @property
    def inverse(self) -> float:
        return 1 / self.size


@entity("priced")
class Priced(SQLModel):
    total: Decimal = Field(unique=True)
    net: Decimal | None = Field(default=None, index=True)
    at: datetime | None = Field(default=None, index=True)


@entity("paired")
class Paired(SQLModel):
    low: int = 0
    high: int = 9

    @field_validator("high")
    @classmethod
    def check_high(cls, high: int, info: ValidationInfo) -> int:
        if high < info.data["low"]:
            raise ValueError("below low")
        return high

    @command
    def leave(self) -> None:
        raise SystemExit(3)


@entity("growing")
class Growing(SQLModel):
    size: Annotated[int, AfterValidator(lambda size: size + 1)]


@entity("trimmed")
class Trimmed(SQLModel):
    model_config = ConfigDict(str_strip_whitespace=True)
    title: Annotated[str, BeforeValidator(str.strip), AfterValidator(str.lower)]

    @command
    def rename(self, title: Annotated[str, BeforeValidator(str.strip)]) -> None:
        self.title = title


@entity("wide")
class Wide(SQLModel):
    pass


@entity("broad")
class Broad(SQLModel):
    marker: str = ""
    ''' + "\n    ".join(f"member_{number}: int = {number}" for number in range(150))


@pytest.fixture(scope="module")
def kept(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("kept")
    (folder / "kept_models.py").write_text(IMPORTS + KEPT)
    settings = {"MODELS": "kept_models"}
    with (
        serving(new_database(), folder, settings=settings) as server,
        server.client() as client,
    ):
        yield client


@pytest.fixture(scope="module")
def things(kept: httpx.Client) -> Collection:
    return Collection(kept, "things")


SENT: list[tuple[Json, Json]] = [
    ({"level": 2}, {"level": 2}),
    ({"choice": 1}, {"choice": 1}),
    ({"flag": True}, {"flag": True}),
    ({"tags": ["b", "a", "c"]}, {"tags": ["a", "b", "c"]}),
    ({"numbers": [3, 1, 2]}, {"numbers": [1, 2, 3]}),
    (
        {"happened": "2026-01-02T03:04:05.1234560+02:00"},
        {"happened": "2026-01-02T01:04:05.123456Z"},
    ),
    ({"day": "2026-01-02"}, {"day": "2026-01-02"}),
    ({"at": "03:04:05"}, {"at": "03:04:05"}),
    ({"lasts": "PT60M"}, {"lasts": "PT1H"}),
    ({"lasts": "PT7H43S"}, {"lasts": "PT7H0M43S"}),
    ({"lasts": "-P7DT0.50S"}, {"lasts": "-P7DT0.5S"}),
    ({"total": "10.50"}, {"total": "10.50"}),
    ({"total": 10.5}, {"total": "10.5"}),
    ({"total": 7}, {"total": "7"}),
    (
        {"total": "1234567890123456789012345678901234.5678"},
        {"total": "1234567890123456789012345678901234.5678"},
    ),
    (
        {"ref": "0198C1D2-7C2F-7D6A-9F1E-2B3C4D5E6F70"},
        {"ref": "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70"},
    ),
    ({"code": "42"}, {"code": "42"}),
    ({"pet": {"@type": "dog"}}, {"pet": {"@type": "dog"}}),
    ({"stock": {"a": 1}}, {"stock": {"a": 1}}),
    ({"children": [{"marker": "x"}]}, {"marker": ""}),
]


@pytest.mark.parametrize(("sent", "stored"), SENT)
def test_a_value_is_kept_and_an_equal_put_changes_nothing(
    things: Collection, sent: Json, stored: Json
) -> None:
    record = things.created(**sent)
    assert stored.items() <= record["data"].items()
    assert things.record(record["id"])["data"] == record["data"]
    again = things.replace(record["id"], record["data"])
    assert again.json()["revision"] == 1
    assert things.replace(record["id"], sent).json()["revision"] == 1


WRONG: list[tuple[Json, str, str]] = [
    ({"level": True}, "/level", "Input should be 1 or 2"),
    ({"choice": True}, "/choice", "Input should be 1 or 2"),
    ({"flag": 1}, "/flag", "Input should be true"),
    ({"lenient": "5"}, "/lenient", "valid integer"),
    ({"happened": "1764000000"}, "/happened", "RFC 3339"),
    ({"happened": 1764000000}, "/happened", "RFC 3339"),
    ({"happened": "2026-01-02T03:04:05"}, "/happened", "no zone"),
    ({"happened": "2026-01-02T03:04:05.123456789Z"}, "/happened", "six digits"),
    ({"nested": ["2026-01-02T03:04:05"]}, "/nested/0", "no zone"),
    ({"at": "03:04:05.1234567"}, "/at", "six digits"),
    ({"lasts": "PT0.1234567S"}, "/lasts", "six digits"),
    ({"lasts": "1 day"}, "/lasts", "ISO 8601"),
    ({"lasts": "P1Y"}, "/lasts", "years and months"),
    ({"total": "1" * 39}, "/total", "38 digits"),
    ({"total": "NaN"}, "/total", "like 10.50"),
    ({"total": " 1.5 "}, "/total", "like 10.50"),
    ({"total": "1_000"}, "/total", "like 10.50"),
    ({"total": True}, "/total", "like 10.50"),
    ({"day": "-0"}, "/day", "like 2026-11-22"),
    ({"day": "2026-13-01"}, "/day", "month value is outside"),
    ({"ref": "0198c1d27c2f7d6a9f1e2b3c4d5e6f70"}, "/ref", "like 0198c1d2-"),
    ({"code": "\u0663"}, "/code", "String should match pattern '^\\d+$'"),
    ({"pet": {}}, "/pet/@type", "Field required"),
    ({"pet": {"kind": "cat"}}, "/pet/@type", "Field required"),
    ({"pet": {"@type": "cat", "@lives": "9"}}, "/pet/@lives", "valid integer"),
    ({"stock": {"A": 1}}, "/stock/A", "pattern"),
    ({"tags": ["a", 1]}, "/tags/1", "string"),
    ({"children": [{"nope": 1}]}, "/children/0/nope", "not permitted"),
]


@pytest.mark.parametrize(("sent", "pointer", "detail"), WRONG)
def test_a_value_that_does_not_fit_is_refused_with_its_pointer(
    things: Collection, sent: Json, pointer: str, detail: str
) -> None:
    problem = assert_problem(things.create(sent), 422, "invalid-data")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert detail in problem["errors"][0]["detail"]


def test_a_registered_type_of_the_schema_of_a_class_agrees_with_it(
    kept: httpx.Client, things: Collection
) -> None:
    schema = kept.get("/collections/things").json()["schema"]
    kept.put("/entity-types/copies", json={"schema": schema}).raise_for_status()
    copies = Collection(kept, "copies")
    wrong: list[Json] = [
        {"day": "-0"},
        {"stock": {"A": 1}},
        {"pet": {}},
        {"total": True},
    ]
    for sent in wrong:
        typed = things.create(sent).json()["errors"]
        registered = copies.create(sent).json()["errors"]
        assert [fault["pointer"] for fault in typed] == [
            fault["pointer"] for fault in registered
        ]


def test_a_set_is_stored_in_one_order_whatever_the_hash_seed(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop.py").write_text(module("tags: set[str]"))
    url, tags = new_database(), [f"tag-{number}" for number in range(20)]
    settings = {"MODELS": "shop"}
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    with serving(url, tmp_path, settings=settings) as server, server.client() as client:
        record = Collection(client, "things").created(tags=tags)
    monkeypatch.setenv("PYTHONHASHSEED", "2")
    with serving(url, tmp_path, settings=settings) as server, server.client() as client:
        put = Collection(client, "things").replace(record["id"], {"tags": tags[::-1]})
        assert put.json() == record


def test_a_default_without_a_zone_says_so(kept: httpx.Client) -> None:
    problem = assert_problem(kept.post("/api/stamped", json={}), 422, "invalid-data")
    assert problem["errors"][0]["pointer"] == "/at"
    assert "the time has no zone" in problem["errors"][0]["detail"]
    assert "datetime.now(UTC)" in problem["errors"][0]["detail"]
    sent = {"at": "2026-01-02T03:04:05Z"}
    assert kept.post("/api/stamped", json=sent).status_code == 201


def test_a_computed_field_is_answered_never_stored_and_not_accepted(
    kept: httpx.Client,
) -> None:
    doubled = Collection(kept, "doubled")
    record = doubled.created(size=4)
    assert record["data"] == {"size": 4, "double": 8, "inverse": 0.25}
    assert doubled.record(record["id"]) == record
    listed = doubled.find().json()["items"]
    assert [item["data"] for item in listed] == [record["data"]]
    stored = doubled.history(record["id"])[0]["data"]
    assert stored == {"size": 4}
    problem = assert_problem(
        doubled.replace(record["id"], record["data"]), 422, "invalid-data"
    )
    assert {error["pointer"] for error in problem["errors"]} == {"/double", "/inverse"}
    patched = doubled.patch(record["id"], {"size": 0}).json()["data"]
    assert patched == {"size": 0, "double": 0, "inverse": None}
    assert doubled.replace(record["id"], {"size": 0}).json()["revision"] == 2


def test_decimals_are_exact_in_filters_order_and_unique_values(
    kept: httpx.Client,
) -> None:
    priced = Collection(kept, "priced")
    for total in ("10.50", "9", "100", "0.1000000000000000000000000000000001"):
        assert priced.created(total=total, net=total)["data"]["total"] == total
    problem = assert_problem(priced.create({"total": 10.5}), 409, "unique-violation")
    assert problem["errors"][0]["pointer"] == "/total"

    def found(**query: str) -> list[str]:
        return [item["data"]["total"] for item in priced.items(**query)]

    assert found(total="10.5") == ["10.50"]
    assert set(found(total__gte="10")) == {"10.50", "100"}
    assert found(net__gt="0.1", net__lt="0.2") == [
        "0.1000000000000000000000000000000001"
    ]
    assert found(sort="-total")[:3] == ["100", "10.50", "9"]
    assert set(found(filter="data.total > 9.0")) == {"10.50", "100"}


def test_a_validator_that_goes_on_changing_the_data_is_refused(
    kept: httpx.Client,
) -> None:
    problem = assert_problem(
        kept.post("/api/growing", json={"size": 1}), 422, "invalid-data"
    )
    assert problem["errors"][0]["pointer"] == "/size"
    trimmed = kept.post("/api/trimmed", json={"title": "  Ünïcode  "})
    assert trimmed.json()["data"] == {"title": "ünïcode"}


def test_a_validator_may_expect_the_type_of_its_member(kept: httpx.Client) -> None:
    trimmed = Collection(kept, "trimmed")
    problem = assert_problem(trimmed.create({"title": 5}), 422, "invalid-data")
    assert problem["errors"] == [{"pointer": "/title", "detail": "must be a string"}]
    record = trimmed.created(title=" A ")
    assert record["data"] == {"title": "a"}
    answer = trimmed.command(record["id"], "rename", {"title": 5})
    problem = assert_problem(answer, 422, "invalid-payload")
    assert problem["errors"] == [{"pointer": "/title", "detail": "must be a string"}]


def test_a_validator_may_need_other_members(kept: httpx.Client) -> None:
    paired = Collection(kept, "paired")
    record = paired.created()
    refused = paired.command(record["id"], "set", {"low": 10})
    problem = assert_problem(refused, 422, "invalid-data")
    assert problem["errors"][0]["pointer"] == "/high"
    assert paired.command(record["id"], "set", {"high": 5}).status_code == 200


def test_a_command_that_ends_the_program_is_an_error_of_the_command(
    kept: httpx.Client,
) -> None:
    paired = Collection(kept, "paired")
    record = paired.created()
    failed = paired.command(record["id"], "leave", {})
    assert_problem(failed, 500, "internal-error")
    assert paired.patch(record["id"], {"low": 1}).status_code == 200


def test_a_payload_refuses_unknown_members_on_every_level(things: Collection) -> None:
    id = things.created()["id"]
    found = things.command(id, "add", {"place": {"city": "Rome", "planet": "Mars"}})
    problem = assert_problem(found, 422, "invalid-payload")
    assert [error["pointer"] for error in problem["errors"]] == ["/place/planet"]
    sent = {"place": {"city": "Rome"}, "_reason": "why", "copy": 2}
    assert things.command(id, "add", sent).json()["result"] == {
        "city": "Rome",
        "reason": "why",
        "copy": 2,
    }


def test_a_code_that_is_none_is_an_error_of_the_command(
    things: Collection, kept: httpx.Client
) -> None:
    response = things.command(things.created()["id"], "refuse")
    problem = assert_problem(response, 500, "internal-error")
    assert "Not A Code!" not in json.dumps(problem)


def test_a_class_without_a_docstring_has_no_description(kept: httpx.Client) -> None:
    schema = kept.get("/collections/named").json()["schema"]
    assert schema.get("description", "") == ""


MEMBERS: Json = {
    "marker": "",
    "xmin": "a",
    "ctid": 1,
    "name": "n",
    "Name": "N",
    "id": 2,
    "data_id": 3,
    "Workspace": "w",
    "": 4,
    "%s \"a\" 'b' :c {d} [e] \\ ?": "strange",
    "a/b.c~d": "slash",
    "größe": "g",
    "a" * 80 + "1": 5,
    "a" * 80 + "2": 6,
    "metadata": "m",
    "select": "s",
}


def test_a_member_may_have_any_name_that_json_allows(
    kept: httpx.Client, marker: str
) -> None:
    named = Collection(kept, "named")
    data = MEMBERS | {"marker": marker, "name": marker}
    record = named.created(**data)
    assert named.record(record["id"])["data"] == data
    assert named.patch(record["id"], {"Name": "other"}).json()["data"] == data | {
        "Name": "other"
    }
    assert [found["id"] for found in named.items(name=marker, xmin="a", ctid="1")] == [
        record["id"]
    ]
    problem = assert_problem(named.create(data), 409, "unique-violation")
    assert problem["errors"][0]["pointer"] == "/name"


def test_a_class_may_have_no_fields_and_many(kept: httpx.Client) -> None:
    assert kept.post("/api/wide", json={}).json()["data"] == {}
    data = kept.post("/api/broad", json={"member_7": -7}).json()["data"]
    assert data["member_149"] == 149
    assert data["member_7"] == -7
