"""The official JSON Schema test suite, draft 2020-12, through the validator as it is
configured.

Where the service decides otherwise on purpose, the table below says so; a case that
leaves the table or joins it unnoticed fails.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]

from persist.domain.errors import InvalidData, InvalidSchema
from persist.domain.record import normalize_number
from persist.entity_types.json_schema.admission import check_schema
from persist.entity_types.json_schema.budget import CostBudget
from persist.entity_types.json_schema.compiled_schema import (
    CompiledSchema,
    compile_schema,
)
from persist.entity_types.json_schema.cost import CostModel
from persist.entity_types.json_schema.evaluation import Evaluation

SUITE = Path(__file__).parent / "json_schema_suite"
CASES = SUITE / "tests" / "draft2020-12"
HOST = "http://localhost:1234/"

REMOTE = (
    "references are followed within the schema only; below they are tried with the"
    " remotes bundled"
)
DIALECT = (
    "schemas are read as draft 2020-12; one that names another meta-schema is not"
    " let in"
)
NO_SCHEMA = (
    "a reference leads to a place where the draft knows no schema, which it leaves"
    " undefined"
)
FORMAT = "formats are asserted"
INT64 = "a number beyond 64 bits is no integer"
DEPENDENCIES = (
    "the draft has no such keyword any more, only this optional part of the suite"
)

REFUSED = {
    "defs.json: validate definition against metaschema": REMOTE,
    "dynamicRef.json: strict-tree schema, guards against misspelled properties": REMOTE,
    "dynamicRef.json: tests for implementation dynamic anchor and reference link": (
        REMOTE
    ),
    "dynamicRef.json: $ref and $dynamicAnchor are independent of order - $defs first": (
        REMOTE
    ),
    "dynamicRef.json: $ref and $dynamicAnchor are independent of order - $ref first": (
        REMOTE
    ),
    "dynamicRef.json: $ref to $dynamicRef finds detached $dynamicAnchor": REMOTE,
    "ref.json: remote ref, containing refs itself": REMOTE,
    "refRemote.json": REMOTE,
    "optional/cross-draft.json": REMOTE,
    "optional/refOfUnknownKeyword.json: reference internals of known non-applicator": (
        NO_SCHEMA
    ),
    "vocabulary.json": DIALECT,
    "optional/format-assertion.json": DIALECT,
}
"""What ``check_schema`` refuses of the suite: whole files, or groups of a file."""

DIFFERENT = {
    "format.json": FORMAT,
    "optional/float-overflow.json": INT64,
    "optional/bignum.json: integer": INT64,
    "optional/dependencies-compatibility.json": DEPENDENCIES,
}
"""Groups (or whole files of them) in which a document is judged otherwise than the
suite says."""

BY_LOCATION = {
    "refRemote.json: remote HTTP ref with different $id",
    "refRemote.json: remote HTTP ref with different URN $id",
    (
        "optional/cross-draft.json: refs to historic drafts are processed as historic"
        " drafts"
    ),
}
"""Groups that refer to a document by where it lies and not by its ``$id``, and one of
another draft."""


@dataclass(frozen=True, eq=False)
class Group:
    file: str
    description: str
    schema: Any
    tests: list[dict[str, Any]]

    @property
    def name(self) -> str:
        return f"{self.file}: {self.description}"

    def reason(self, table: dict[str, str]) -> str | None:
        return table.get(self.name, table.get(self.file))


def read(path: Path) -> Any:
    """JSON as the service reads it: whole numbers are integers."""
    return json.loads(
        path.read_text(), parse_float=lambda text: normalize_number(float(text))
    )


def groups() -> Iterator[Group]:
    for path in sorted(CASES.rglob("*.json")):
        for group in read(path):
            name = str(path.relative_to(CASES))
            yield Group(name, group["description"], group["schema"], group["tests"])


GROUPS = list(groups())


def remotes() -> Iterator[tuple[str, Any]]:
    for path in sorted((SUITE / "remotes").rglob("*.json")):
        url = HOST + str(path.relative_to(SUITE / "remotes"))
        document = read(path)
        yield url, document if "$id" in document else {"$id": url} | document
    for uri in REGISTRY:
        if "2020-12" in uri:
            yield uri, REGISTRY.contents(uri)


BUNDLE = {"$defs": dict(remotes())}


def bundled(schema: Any) -> Any:
    """The schema with every document it might refer to inside (Core, section 9.3)."""
    if not isinstance(schema, dict):
        return schema
    return schema | {
        "$defs": schema.get("$defs", {}) | {"the bundle of the remotes": BUNDLE}
    }


@cache
def compiled(group: Group) -> CompiledSchema:
    is_remote = group.reason(REFUSED) == REMOTE
    return CompiledSchema(bundled(group.schema) if is_remote else group.schema)


def accepts(group: Group, data: Any) -> bool:
    try:
        compiled(group).validator(InvalidData)(data)
    except InvalidData:
        return False
    return True


def misjudged(group: Group) -> list[str]:
    return [
        test["description"]
        for test in group.tests
        if accepts(group, test["data"]) != test["valid"]
    ]


def objections(group: Group) -> list[str]:
    """What ``check_schema`` has against a schema, its root aside: few roots of the
    suite are object types."""
    try:
        check_schema(group.schema)
    except InvalidSchema as refused:
        details = [violation.detail for violation in refused.errors]
        return [
            detail for detail in details if not detail.startswith("admits no object")
        ]
    return []


def is_compiled(group: Group) -> bool:
    refused = group.reason(REFUSED) in (NO_SCHEMA, DIALECT)
    return not refused and group.name not in BY_LOCATION


REFUSAL = "leads out of the schema|leads to no schema|is not known"
COMPILED = [group for group in GROUPS if is_compiled(group)]
UNBUNDLED = [group for group in GROUPS if not is_compiled(group)]


@pytest.mark.parametrize("group", COMPILED, ids=lambda group: group.name)
def test_the_official_suite_is_passed_but_for_what_the_table_names(
    group: Group,
) -> None:
    assert misjudged(group) == [] or group.reason(DIFFERENT) is not None


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_check_schema_lets_the_schemas_of_the_suite_in_but_for_what_the_table_names(
    group: Group,
) -> None:
    assert objections(group) == [] or group.reason(REFUSED) is not None


@pytest.mark.parametrize("group", COMPILED, ids=lambda group: group.name)
def test_evaluation_keyword_by_keyword_gives_the_verdicts_of_the_engine(
    group: Group,
) -> None:
    graph = compiled(group).graph
    for test in group.tests:
        evaluation = Evaluation(
            graph, CostModel(graph), CostBudget(10**9), counted=False
        )
        verdict = evaluation.is_valid(graph.root, test["data"])
        assert verdict == accepts(group, test["data"]), test["description"]


@pytest.mark.parametrize("group", UNBUNDLED, ids=lambda group: group.name)
def test_what_cannot_be_bundled_is_refused_when_it_is_compiled(group: Group) -> None:
    with pytest.raises(InvalidSchema, match=REFUSAL):
        compile_schema(bundled(group.schema))


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_the_table_calls_different_is(name: str) -> None:
    assert any(
        misjudged(group) for group in COMPILED if name in (group.name, group.file)
    )


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_table_calls_refused_is(name: str) -> None:
    assert any(
        objections(group) for group in GROUPS if name in (group.name, group.file)
    )
