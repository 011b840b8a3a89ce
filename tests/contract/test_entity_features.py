"""The table of what an entity class may use: each row behaves as it says, on both
databases, and is in the reference."""

import importlib
import sys
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest

from persist.entity_types import supported_features as features
from persist.entity_types.command_check import COMMAND_FEATURES
from persist.entity_types.registry import InvalidModels, load_models
from tests.conftest import NewDatabase
from tests.contract.test_entity_classes import IMPORTS, module
from tests.support.collection import Collection
from tests.support.forked import ROOT
from tests.support.server import serving

PAGE = ROOT / "docs" / "reference" / "entity-classes.md"

KEPT: dict[str, list[tuple[str, Any, Any]]] = {
    "bool": [("bool", True, True)],
    "int": [("int", 30.0, 30), ("PositiveInt", 2**63 - 1, 2**63 - 1)],
    "float": [("float", 1.5, 1.5), ("float", 30.0, 30)],
    "str": [("str", "Ünï\\ncode 🐭", "Ünï\\ncode 🐭")],
    "Decimal": [("Decimal", "10.50", "10.50")],
    "datetime": [
        ("datetime", "2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05.000000Z")
    ],
    "date": [("date", "2026-01-02", "2026-01-02")],
    "time": [("time", "03:04:05.5", "03:04:05.500000")],
    "timedelta": [("timedelta", "PT90M", "PT1H30M")],
    "UUID": [
        (
            "UUID",
            "0199C000-0000-7000-8000-000000000101",
            "0199c000-0000-7000-8000-000000000101",
        )
    ],
    "IPv4Address": [("IPv4Address", "10.0.0.1", "10.0.0.1")],
    "IPv6Address": [("IPv6Address", "2001:DB8:0::1", "2001:db8::1")],
    "AnyUrl": [("AnyUrl", "ftp://Example.org", "ftp://example.org/")],
    "HttpUrl": [("HttpUrl", "https://example.org", "https://example.org/")],
    "EmailStr": [("EmailStr", "Ada@EXAMPLE.org", "Ada@example.org")],
    "AwareDatetime": [
        ("AwareDatetime", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000Z")
    ],
    "PastDatetime": [
        ("PastDatetime", "2020-01-02T03:04:05Z", "2020-01-02T03:04:05.000000Z")
    ],
    "PastDate": [("PastDate", "2020-01-02", "2020-01-02")],
    "Any": [("Any", {"a": [1, None]}, {"a": [1, None]})],
    "T | None": [("int | None", 1, 1)],
    "A | B": [("int | str", "1", "1"), ("Resource | Level", 2, 2)],
    "Literal[...]": [('Literal["a", 1]', 1, 1)],
    "Enum": [("Level", 2, 2), ("Colour", "red", "red")],
    "list[T]": [("list[date]", ["2026-01-02"], ["2026-01-02"])],
    "set[T]": [("set[str]", ["b", "a", "b"], ["a", "b"])],
    "frozenset[T]": [("frozenset[int]", [10, 9], [10, 9])],
    "tuple[A, B]": [("tuple[int, str]", [1, "a"], [1, "a"])],
    "tuple[T, ...]": [("tuple[int, ...]", [3, 1, 2], [3, 1, 2])],
    "dict[str, T]": [("dict[str, int]", {"b": 1, "a": 2}, {"b": 1, "a": 2})],
    "nested model": [("Resource", {"city": "Rome"}, {"city": "Rome", "floor": None})],
    "Annotated[T, ...]": [
        ("Annotated[str, Field(min_length=2), AfterValidator(str.strip)]", " ab ", "ab")
    ],
}
"""Annotations for each row, with a value as sent and as stored."""


def name_of(kind: Any) -> str:
    return kind if isinstance(kind, str) else str(kind.__name__)


CASES = [(row, *case) for row, cases in KEPT.items() for case in cases]


@pytest.fixture(scope="module")
def kept(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Collection]:
    """A live collection with a field for each case."""
    folder = tmp_path_factory.mktemp("features")
    fields = "\n".join(
        f"    member_{number}: ({annotation}) | None = None"
        if "|" in annotation
        else f"    member_{number}: {annotation} | None = None"
        for number, (_, annotation, _, _) in enumerate(CASES)
    )
    body = f'@entity("things")\nclass Thing(SQLModel):\n{fields}\n'
    (folder / "feature_models.py").write_text(IMPORTS + body)
    settings = {"MODELS": "feature_models"}
    with (
        serving(new_database(), folder, settings=settings) as server,
        server.client() as client,
    ):
        yield Collection(client, "things")


def test_every_row_of_what_is_kept_has_an_example() -> None:
    rows = {*map(name_of, features.SCALARS), *features.COMPOSITES}
    assert set(KEPT) == rows


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case[1] for case in CASES])
def test_what_is_kept_is_answered_as_the_table_says(
    kept: Collection, number: int
) -> None:
    _, _, sent, stored = CASES[number]
    member = f"member_{number}"
    record = kept.created(**{member: sent})
    assert record["data"][member] == stored
    assert kept.record(record["id"])["data"] == record["data"]
    for again in (record["data"], {member: sent}):
        assert kept.replace(record["id"], again).json()["revision"] == 1


REFUSED_ARGUMENTS: dict[str, str] = {
    "primary_key": "primary_key=True",
    "foreign_key": 'foreign_key="a.b"',
    "ondelete": 'foreign_key="a.b", ondelete="CASCADE"',
    "nullable": "nullable=False",
    "sa_type": "sa_type=String",
    "sa_column": "sa_column=Column(String)",
    "sa_column_args": "sa_column_args=[1]",
    "sa_column_kwargs": 'sa_column_kwargs={"index": True}',
    "exclude": "exclude=True",
    "validation_alias": 'validation_alias="b"',
    "serialization_alias": 'serialization_alias="b"',
    "regex": 'regex="^a"',
    "const": "const=True",
    "unique_items": "unique_items=True",
    "include": 'include={"a"}',
    "allow_mutation": "allow_mutation=False",
    "frozen": 'schema_extra={"frozen": True}',
    "exclude_if": 'schema_extra={"exclude_if": bool}',
    "json_schema_extra": 'schema_extra={"json_schema_extra": {"type": "integer"}}',
}

REFUSED_CONFIGURATION: dict[str, str] = {
    "extra": '"allow"',
    "json_schema_extra": '{"required": ["b"]}',
    "json_encoders": "{int: str}",
    "ser_json_timedelta": '"float"',
    "ser_json_temporal": '"seconds"',
    "ser_json_bytes": '"base64"',
    "ser_json_inf_nan": '"strings"',
    "val_json_bytes": '"base64"',
    "val_temporal_unit": '"seconds"',
    "regex_engine": '"python-re"',
    "json_schema_mode_override": '"serialization"',
    "validate_by_alias": "False",
}

REFUSED_FEATURES: dict[str, str] = {
    "table=True": '@entity("things")\nclass Row(SQLModel, table=True):\n    id: int = Field(primary_key=True)',
    "__tablename__": 'a: int\n__tablename__ = "b"',
    "__table_args__": 'a: int\n__table_args__ = (UniqueConstraint("a"),)',
    "frozen=True": 'a: int\nmodel_config = {"frozen": True}',
    "Relationship": 'a: list["Thing"] = Relationship()',
    "@field_serializer": 'a: int\n@field_serializer("a")\ndef written(self, value): return "x"',
    "@model_serializer": "a: int\n@model_serializer\ndef written(self): return {}",
    "PlainSerializer": "a: Annotated[int, PlainSerializer(str)]",
    "__get_pydantic_core_schema__": "a: int\n@classmethod\ndef __get_pydantic_core_schema__(cls, source, handler): return handler(source)",
    "__get_pydantic_json_schema__": "a: int\n@classmethod\ndef __get_pydantic_json_schema__(cls, core, handler): return {}",
    "equal names": 'a: int\nb: int = PydanticField(default=1, alias="a")',
    "many fields": "\n".join(f"member_{number}: int = 0" for number in range(401)),
    "compiled pattern": 'a: str = PydanticField(pattern=re.compile("(a+)+$"))',
    "constraint": "a: int | str = Field(ge=1)",
}

REFUSED_COMMANDS: dict[str, str] = {
    "async def": "@command\nasync def go(self): pass",
    "yield": "@command\ndef go(self): yield 1",
    "staticmethod": "@command\n@staticmethod\ndef go(): pass",
    "set": "@command\ndef set(self): pass",
    "when=5": "@command(when=5)\ndef go(self): pass",
    "otherwise=5": "@command(otherwise=5)\ndef go(self): pass",
    "*args": "@command\ndef go(self, *args): pass",
    "positional-only": "@command\ndef go(self, a, /): pass",
}

TYPES = {
    kind: f"a: {'re.' if name_of(kind) == 'Pattern' else ''}{name_of(kind)}"
    for kind in features.REFUSED_TYPES
}

REFUSED: list[tuple[str, str, features.Refusal]] = [
    *(
        (name_of(kind), TYPES[kind], refusal)
        for kind, refusal in features.REFUSED_TYPES.items()
    ),
    *(
        (name, f"a: str = Field({REFUSED_ARGUMENTS[name]})", refusal)
        for name, refusal in features.FIELD_ARGUMENTS.items()
        if name != "ondelete"  # SQLModel wants foreign_key with it, which is refused
    ),
    *(
        (
            name,
            f"a: int\nmodel_config = ConfigDict({name}={REFUSED_CONFIGURATION[name]})",
            refusal,
        )
        for name, refusal in features.CONFIGURATION.items()
    ),
    *(
        (name, REFUSED_FEATURES[name], refusal)
        for name, refusal in features.CLASS_FEATURES.items()
    ),
    *(
        (name, f"a: int\n{REFUSED_COMMANDS[name]}", refusal)
        for name, refusal in COMMAND_FEATURES.items()
    ),
]


@pytest.mark.filterwarnings("ignore:`json_encoders` is deprecated")
@pytest.mark.parametrize(
    ("body", "refusal"),
    [(body, refusal) for _, body, refusal in REFUSED],
    ids=[name for name, _, _ in REFUSED],
)
def test_what_is_refused_says_why_and_what_to_write_instead(
    body: str,
    refusal: features.Refusal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = f"models_{uuid.uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(module(textwrap.dedent(body)))
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    with pytest.raises(InvalidModels) as refused:
        load_models(name)
    sys.modules.pop(name, None)
    assert f"{refusal.reason}; {refusal.instead}" in str(refused.value)


def test_an_email_without_its_library_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "email_validator", None)
    monkeypatch.setattr(pydantic.networks, "email_validator", None)
    name = f"models_{uuid.uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(module("a: EmailStr"))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InvalidModels, match="email-validator is not installed, run"):
        load_models(name)


def rows() -> list[list[str]]:
    """The cells of every table of the reference."""
    lines = PAGE.read_text().splitlines()
    return [
        [cell.strip() for cell in line.replace(r"\|", "¦").strip("|").split("|")]
        for line in lines
        if line.startswith("|")
    ]


def test_the_reference_has_a_row_for_every_feature() -> None:
    found = {row[0].replace("¦", "|").strip("`"): row[1:] for row in rows()}
    kept = [
        features.SCALARS,
        features.COMPOSITES,
        features.KEPT_FIELD_ARGUMENTS,
        features.KEPT_CLASS_FEATURES,
    ]
    for table in kept:
        for kind, rule in table.items():
            assert found[name_of(kind)] == [rule]
    refused = [
        features.REFUSED_TYPES,
        features.FIELD_ARGUMENTS,
        features.CONFIGURATION,
        features.CLASS_FEATURES,
        COMMAND_FEATURES,
    ]
    for refusals in refused:
        for kind, refusal in refusals.items():
            name = "command set" if kind == "set" else name_of(kind)
            assert [cell.replace("¦", "|") for cell in found[name]] == list(refusal)


def test_the_tables_of_pydantic_are_those_of_its_bounded_version() -> None:
    """The compiler reads private members of core schemas: see `pydantic_schema`."""
    assert pydantic.VERSION.startswith("2.14.")
