"""What computing may cost others (F3, F4, B9): the worst document of every keyword, and
of every operation of a patch, an expression and a comparison. A second thread measures
how long it waits for the interpreter's lock."""

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import Any

import jsonschema_specifications  # type: ignore[import-untyped]
import pytest

from persist.api.request_bodies import json_object
from persist.domain.canonical_json import same_json_text
from persist.domain.errors import InvalidData, InvalidSnapshot, PersistError
from persist.domain.json_diff import json_patch_between, merge
from persist.domain.patch import json_patch, merge_patch
from persist.domain.record import dumps, json_text
from persist.domain.snapshot import Inspection, has_too_many_values
from persist.domain.suggestions import nearest
from persist.entity_types.json_schema.compiled_schema import CompiledSchema
from tests.hostile.worst_documents import CASES, WITHOUT_COST
from tests.support.interpreter_lock import longest_wait
from tests.support.watchdog import ALLOWED_SECONDS, QUIET

BODY_BYTES = 1_048_576

TOTAL_SECONDS = 20
"""How long one computation may take in its thread, on a busy machine."""

VOCABULARIES = ("core", "applicator", "unevaluated", "validation", "format-assertion")


def keywords() -> set[str]:
    """Every keyword of the vocabularies of draft 2020-12."""
    registry = jsonschema_specifications.REGISTRY
    base = "https://json-schema.org/draft/2020-12/meta"
    names = (*VOCABULARIES, "content", "meta-data")
    return {
        keyword
        for name in names
        for keyword in registry.contents(f"{base}/{name}")["properties"]
    }


def test_every_keyword_has_a_worst_document() -> None:
    assert keywords() == CASES.keys() | WITHOUT_COST


def stops_nobody(work: Callable[[], Any]) -> None:
    """Run something that may refuse, and fail where other threads wait too long."""
    began = time.monotonic()
    with longest_wait() as wait, suppress(PersistError):
        work()
    assert wait.seconds <= ALLOWED_SECONDS
    assert time.monotonic() - began < TOTAL_SECONDS


SHORT = ("contains", "dependentRequired", "enum", "format", "maximum", "uniqueItems")
"""The keywords that a run of all tests looks at."""


@pytest.mark.parametrize("keyword", CASES if QUIET in os.environ else SHORT)
def test_the_worst_document_of_a_keyword_stops_no_other_thread(keyword: str) -> None:
    cases = CASES[keyword]() if QUIET in os.environ else islice(CASES[keyword](), 1)
    for number, (schema, value) in enumerate(cases):
        document = {"a": value}
        assert len(json.dumps(document, separators=(",", ":"))) <= BODY_BYTES, number
        properties = {"type": "object", "properties": {"a": schema}}
        validate = CompiledSchema(properties).validator(InvalidData)
        stops_nobody(lambda: validate(document))  # noqa: B023 - called at once


LIST = [0] * 500_000
MEMBERS: dict[str, Any] = {f"member{number:06}": [] for number in range(40_000)}


def pointers(op: str, **more: Any) -> list[dict[str, Any]]:
    return [{"op": op, **more}] * 100


PATCHES: dict[str, list[dict[str, Any]]] = {
    "add": pointers("add", path="/list/0", value=1),
    "add large": pointers("add", path="/new", value=list(range(1_500))),
    "copy": [
        {"op": "copy", "from": "/members", "path": f"/copy{number}"}
        for number in range(100)
    ],
    "copy into itself": pointers("copy", **{"from": "", "path": "/again"}),
    "copy and remove": [
        {"op": "copy", "from": "/list", "path": "/copy"},
        {"op": "remove", "path": "/copy"},
    ]
    * 50,
    "move": pointers("move", **{"from": "/list/199998", "path": "/list/0"}),
    "remove": pointers("remove", path="/list/0"),
    "replace": pointers("replace", path="/members/member000000", value=[1]),
    "test": pointers("test", path="", value={}),
    "test that holds": [{"op": "test", "path": "/list", "value": LIST[:200_000]}] * 2
    + [{"op": "test", "path": "/list/199999", "value": 0}] * 98,
    "test of a copy": [
        {"op": "copy", "from": "/members", "path": "/copy"},
        *pointers("test", path="/copy", value={})[:99],
    ],
}


@pytest.mark.parametrize("name", PATCHES)
def test_the_worst_operations_of_a_patch_stop_no_other_thread(name: str) -> None:
    few = dict(list(MEMBERS.items())[:15_000])
    data = {"list": LIST[:200_000], "members": few}
    patch = json_patch(PATCHES[name], BODY_BYTES)
    stops_nobody(lambda: patch.apply(data))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (MEMBERS, {}),
        (MEMBERS, dict.fromkeys(MEMBERS, 1)),
        ({"a": LIST}, {"a": [*LIST, 1]}),
        ({"a": [[]] * 300_000}, {"a": [[]] * 299_999 + [[1]]}),
    ],
    ids=["removed", "replaced", "numbers", "lists"],
)
def test_comparing_merging_and_patching_large_values_stops_no_other_thread(
    before: Any, after: Any
) -> None:
    stops_nobody(lambda: json_patch_between(before, after))
    stops_nobody(lambda: merge(before, after, {"other": 1}))
    stops_nobody(lambda: merge(before, {"other": 1}, after))
    stops_nobody(lambda: merge_patch(before, after))


@pytest.mark.parametrize("item", [[], 1e300], ids=["lists", "doubles"])
def test_several_threads_that_read_and_write_large_json_stop_no_other(
    item: object,
) -> None:
    text = dumps({"list": [item] * (160_000 if QUIET in os.environ else 20_000)})
    body = text.encode()
    store = CompiledSchema({"type": "object"}).validator(InvalidData)

    def work(_: int) -> None:
        data = store(json_object(body))
        same_json_text(text, json_text(data | {"more": 1}, len(text)))

    def work_in_threads() -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))

    stops_nobody(work_in_threads)


@pytest.mark.parametrize("value", ["[]", "{}", "1", '{"a":[1,2]}'])
def test_a_line_of_a_snapshot_with_too_many_values_is_refused_unparsed(
    value: str,
) -> None:
    # A parser would refuse the line as JSON that does not end.
    line = f'{{"manifest":[{",".join([value] * 1_100_000)}\n'.encode()
    with pytest.raises(InvalidSnapshot, match="values"):
        Inspection().read(line)


def test_text_in_a_line_of_a_snapshot_is_no_value() -> None:
    assert not has_too_many_values(b'{"a":"' + b'[,\\"{' * 2_000_000 + b'"}')


def test_the_nearest_of_10000_names_stops_no_other_thread() -> None:
    known = [f"some_long_name_of_a_property_{number:06}" for number in range(10_000)]
    stops_nobody(lambda: nearest("some_lnog_nmae_of_a_porperty_000001", known))
