"""Patches: RFC 7396 merge patches and RFC 6902 JSON patches (contract 3)."""

import json
import time
from typing import Any

import pytest

from tests.support.collection import JSON_PATCH, MERGE, Collection
from tests.support.problems import Json, assert_problem, pointers

# RFC 7396, appendix A: original, patch, result.
APPENDIX_A: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("original", "patch", "result"), APPENDIX_A)
def test_a_merge_patch_follows_appendix_a_of_rfc_7396(
    samples: Collection, original: Any, patch: Any, result: Any
) -> None:
    record = samples.created(payload={"x": original, "other": 1})
    response = samples.patch(record["id"], {"payload": {"x": patch}})
    assert response.status_code == 200, response.text
    # A patch of null removes the member it stands for; at the root of a document it
    # would be null.
    expected = {"other": 1} if patch is None else {"other": 1, "x": result}
    assert samples.record(record["id"])["data"]["payload"] == expected


def test_a_merge_patch_touches_only_what_it_names(samples: Collection) -> None:
    record = samples.created(
        amount=1, name="a", place={"city": "Paris", "altitude": 35}, tags=["x"]
    )
    response = samples.patch(record["id"], {"amount": 2, "place": {"altitude": 36}})
    assert response.status_code == 200
    assert response.headers["etag"] == '"2"'
    expected = record["data"] | {
        "amount": 2,
        "place": {"city": "Paris", "altitude": 36},
    }
    assert response.json()["data"] == expected
    assert samples.record(record["id"])["data"] == expected


@pytest.mark.parametrize(
    "media_type", [MERGE, "application/json", f"{MERGE}; charset=utf-8"]
)
def test_plain_json_is_a_merge_patch_too(samples: Collection, media_type: str) -> None:
    record = samples.created(amount=1, name="a")
    response = samples.patch(record["id"], {"amount": 2}, type=media_type)
    assert response.json()["data"] == record["data"] | {"amount": 2}


def test_null_in_a_merge_patch_clears_an_optional_field(samples: Collection) -> None:
    record = samples.created(spare_name="x", spare_amount=3)
    response = samples.patch(record["id"], {"spare_name": None})
    assert response.json()["data"]["spare_name"] is None
    assert response.json()["data"]["spare_amount"] == 3


def test_a_field_removed_by_a_merge_patch_gets_its_default(samples: Collection) -> None:
    record = samples.created(amount=5, active=False)
    data = samples.patch(record["id"], {"amount": None, "active": None}).json()["data"]
    assert (data["amount"], data["active"]) == (0, True)


def test_a_merge_patch_cannot_remove_what_is_required(tickets: Collection) -> None:
    record = tickets.created(title="Slow", severity=30)
    problem = assert_problem(
        tickets.patch(record["id"], {"title": None}), 422, "invalid-data"
    )
    assert pointers(problem) == {"/title"}
    assert tickets.record(record["id"]) == record


@pytest.mark.parametrize("patch", [[], "text", 3, None, True])
def test_a_merge_patch_that_leaves_no_object_is_refused(
    samples: Collection, patch: Any
) -> None:
    record = samples.created(amount=1)
    response = samples.client.patch(
        samples.at(record["id"]),
        content=json.dumps(patch),
        headers={"content-type": MERGE},
    )
    assert response.status_code == 422, response.text
    assert_problem(response, 422, response.json()["code"])
    assert samples.record(record["id"]) == record


def test_the_result_of_a_patch_is_validated(tickets: Collection) -> None:
    record = tickets.created(title="Slow", severity=30)
    patches: list[tuple[Any, str]] = [
        ({"severity": 51, "colour": "red"}, MERGE),
        (
            [
                {"op": "replace", "path": "/severity", "value": 51},
                {"op": "add", "path": "/colour", "value": "red"},
            ],
            JSON_PATCH,
        ),
    ]
    for patch, media_type in patches:
        problem = assert_problem(
            tickets.patch(record["id"], patch, type=media_type), 422, "invalid-data"
        )
        assert pointers(problem) == {"/severity", "/colour"}
    assert tickets.record(record["id"]) == record


# --- JSON Patch
# ----------------------------------------------------------------------------------

START: Json = {
    "a": 1,
    "list": ["x", "y"],
    "deep": {"b": {"c": [0]}},
    "sl/ash": 1,
    "til~de": 2,
    "": 3,
}

OPERATIONS: list[tuple[list[Json], Json]] = [
    ([{"op": "add", "path": "/new", "value": None}], {**START, "new": None}),
    ([{"op": "add", "path": "/a", "value": {"x": 1}}], {**START, "a": {"x": 1}}),
    (
        [{"op": "add", "path": "/list/-", "value": "z"}],
        {**START, "list": ["x", "y", "z"]},
    ),
    (
        [{"op": "add", "path": "/list/0", "value": "w"}],
        {**START, "list": ["w", "x", "y"]},
    ),
    (
        [{"op": "add", "path": "/list/2", "value": "w"}],
        {**START, "list": ["x", "y", "w"]},
    ),
    ([{"op": "remove", "path": "/list/0"}], {**START, "list": ["y"]}),
    ([{"op": "remove", "path": "/deep/b"}], {**START, "deep": {}}),
    ([{"op": "replace", "path": "/list/1", "value": 5}], {**START, "list": ["x", 5]}),
    ([{"op": "replace", "path": "/sl~1ash", "value": 7}], {**START, "sl/ash": 7}),
    ([{"op": "replace", "path": "/til~0de", "value": 7}], {**START, "til~de": 7}),
    ([{"op": "replace", "path": "/", "value": 7}], {**START, "": 7}),
    (
        [
            {"op": "copy", "from": "/deep/b/c", "path": "/c"},
            {"op": "add", "path": "/c/-", "value": 1},
        ],
        {**START, "c": [0, 1]},
    ),
    (
        [{"op": "move", "from": "/deep/b", "path": "/moved"}],
        {**START, "deep": {}, "moved": {"c": [0]}},
    ),
    ([{"op": "move", "from": "/a", "path": "/a"}], START),
    (
        [
            {"op": "test", "path": "/deep", "value": {"b": {"c": [0]}}},
            {"op": "replace", "path": "/a", "value": 2},
        ],
        {**START, "a": 2},
    ),
    (
        [
            {"op": "test", "path": "/a", "value": 1.0},
            {"op": "add", "path": "/a", "value": 2},
        ],
        {**START, "a": 2},
    ),
    (
        [
            {
                "op": "add",
                "path": "/a",
                "value": 2,
                "comment": "other members are ignored",
            }
        ],
        {**START, "a": 2},
    ),
]


def under_payload(operations: list[Json]) -> list[Json]:
    """The same operations on the member ``payload`` of a document."""
    return [
        operation
        | {
            name: f"/payload{operation[name]}"
            for name in ("path", "from")
            if name in operation
        }
        for operation in operations
    ]


@pytest.mark.parametrize(("operations", "result"), OPERATIONS)
def test_a_json_patch_does_what_rfc_6902_says(
    samples: Collection, operations: list[Json], result: Json
) -> None:
    record = samples.created(payload=START)
    response = samples.patch(record["id"], under_payload(operations), type=JSON_PATCH)
    assert response.status_code == 200, response.text
    assert samples.record(record["id"])["data"]["payload"] == result


def test_a_json_patch_may_replace_the_whole_document(samples: Collection) -> None:
    record = samples.created(amount=1, name="a")
    operations = [{"op": "replace", "path": "", "value": {"amount": 7}}]
    response = samples.patch(record["id"], operations, type=JSON_PATCH)
    assert response.status_code == 200, response.text
    assert (response.json()["data"]["amount"], response.json()["data"]["name"]) == (
        7,
        "",
    )


@pytest.mark.parametrize(
    "value",
    [2, "1", True, None, [1], {"a": 1}],
    ids=["other", "text", "true", "null", "array", "object"],
)
def test_a_failed_test_changes_nothing(samples: Collection, value: Any) -> None:
    record = samples.created(payload={"a": 1})
    operations = [
        {"op": "replace", "path": "/name", "value": "changed"},
        {"op": "test", "path": "/payload/a", "value": value},
    ]
    response = samples.patch(record["id"], operations, type=JSON_PATCH)
    assert_problem(response, 409, "patch-test-failed")
    assert samples.record(record["id"]) == record


def test_a_test_of_the_place_behind_an_array_fails(samples: Collection) -> None:
    record = samples.created(tags=["a"])
    operations = [{"op": "test", "path": "/tags/-", "value": "a"}]
    assert_problem(
        samples.patch(record["id"], operations, type=JSON_PATCH),
        409,
        "patch-test-failed",
    )


def test_a_test_tells_true_from_one_deep_inside(samples: Collection) -> None:
    record = samples.created(payload={"a": {"b": [0, {"c": False}]}})
    operations = [
        {"op": "test", "path": "/payload/a", "value": {"b": [False, {"c": 0}]}}
    ]
    response = samples.patch(record["id"], operations, type=JSON_PATCH)
    assert_problem(response, 409, "patch-test-failed")


NOT_APPLICABLE: list[Any] = [
    [{"op": "remove", "path": "/payload/nothing"}],
    [{"op": "replace", "path": "/payload/nothing", "value": 1}],
    [{"op": "add", "path": "/payload/nothing/below", "value": 1}],
    [{"op": "add", "path": "/payload/list/3", "value": 1}],
    [{"op": "add", "path": "/payload/list/01", "value": 1}],
    [{"op": "add", "path": "/payload/list/-1", "value": 1}],
    [{"op": "add", "path": "/payload/list/x", "value": 1}],
    [{"op": "add", "path": "/payload/list/\u0661", "value": 1}],
    [{"op": "remove", "path": "/payload/list/-"}],
    [{"op": "replace", "path": "/payload/a/deeper", "value": 1}],
    [{"op": "copy", "from": "/payload/nothing", "path": "/payload/x"}],
    [{"op": "move", "from": "/payload/deep", "path": "/payload/deep/b/inside"}],
    [{"op": "move", "from": "/payload/nothing", "path": "/payload/x"}],
]

MALFORMED: list[Any] = [
    {"op": "add", "path": "/name", "value": "x"},
    "text",
    [1],
    [[]],
    [{"path": "/name", "value": "x"}],
    [{"op": "add", "value": "x"}],
    [{"op": "add", "path": "/name"}],
    [{"op": "replace", "path": "/name"}],
    [{"op": "test", "path": "/name"}],
    [{"op": "copy", "path": "/name"}],
    [{"op": "move", "path": "/name"}],
    [{"op": "merge", "path": "/name", "value": "x"}],
    [{"op": "ADD", "path": "/name", "value": "x"}],
    [{"op": None, "path": "/name", "value": "x"}],
    [{"op": ["add"], "path": "/name", "value": "x"}],
    [{"op": "add", "path": "name", "value": "x"}],
    [{"op": "add", "path": "/na~2me", "value": "x"}],
    [{"op": "add", "path": 5, "value": "x"}],
    [{"op": "add", "path": None, "value": "x"}],
    [{"op": "add", "path": ["name"], "value": "x"}],
    [{"op": "copy", "from": {}, "path": "/name"}],
]


@pytest.mark.parametrize("patch", [*NOT_APPLICABLE, *MALFORMED], ids=json.dumps)
def test_a_json_patch_that_cannot_be_applied_is_refused(
    samples: Collection, patch: Any
) -> None:
    record = samples.created(payload=START)
    assert_problem(
        samples.patch(record["id"], patch, type=JSON_PATCH), 422, "invalid-patch"
    )
    assert samples.record(record["id"]) == record


def test_a_json_patch_that_removes_the_document_is_refused(samples: Collection) -> None:
    record = samples.created(amount=1)
    for operation in (
        {"op": "remove", "path": ""},
        {"op": "replace", "path": "", "value": []},
        {"op": "replace", "path": "", "value": None},
    ):
        response = samples.patch(record["id"], [operation], type=JSON_PATCH)
        assert response.status_code == 422, response.text
    assert samples.record(record["id"]) == record


def test_a_hundred_operations_are_allowed_and_no_more(counters: Collection) -> None:
    record_id = counters.created()["id"]
    operations = [{"op": "replace", "path": "/value", "value": n} for n in range(100)]
    response = counters.patch(record_id, operations, type=JSON_PATCH)
    assert response.json()["data"]["value"] == 99
    assert response.json()["revision"] == 2
    response = counters.patch(record_id, [*operations, operations[0]], type=JSON_PATCH)
    assert response.status_code in (413, 422)
    assert_problem(
        response,
        response.status_code,
        "too-large" if response.status_code == 413 else "invalid-patch",
    )
    assert counters.record(record_id)["data"]["value"] == 99


@pytest.mark.parametrize("kind_of_bomb", ["siblings", "nested"])
def test_a_patch_cannot_blow_a_document_up_by_copying(
    samples: Collection, kind_of_bomb: str
) -> None:
    record = samples.created(payload={"x0": ["0123456789" * 10]})
    if kind_of_bomb == "siblings":
        operations = [
            {"op": "copy", "from": "/payload", "path": f"/payload/x{n}"}
            for n in range(1, 61)
        ]
    else:
        operations = [
            {"op": "copy", "from": "/payload/x0", "path": "/payload/x0/-"}
            for _ in range(100)
        ]
    before = time.monotonic()
    response = samples.patch(record["id"], operations, type=JSON_PATCH)
    assert time.monotonic() - before < 20  # some of them would be of exabytes
    assert response.status_code in (413, 422), response.text[:200]
    assert_problem(response, response.status_code, response.json()["code"])
    assert samples.record(record["id"]) == record


def test_a_patch_cannot_make_a_record_larger_than_a_body(samples: Collection) -> None:
    record = samples.created(payload={"a": "x" * 600_000})
    response = samples.patch(record["id"], {"payload": {"b": "x" * 600_000}})
    assert response.status_code in (413, 422), response.text[:200]
    assert_problem(response, response.status_code, response.json()["code"])
    assert samples.record(record["id"]) == record


def test_a_patch_cannot_make_a_record_deeper_than_a_body(samples: Collection) -> None:
    deep: Json = {}
    for _ in range(40):
        deep = {"d": deep}
    record = samples.created(payload={"a": deep})
    path = "/payload/a" + "/d" * 40
    operations = [{"op": "copy", "from": "/payload/a", "path": f"{path}/d"}]
    response = samples.patch(record["id"], operations, type=JSON_PATCH)
    assert response.status_code in (413, 422), response.text[:200]
    assert samples.record(record["id"]) == record


# --- media types
# ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/xml", "application/x-ndjson", "nonsense"]
)
def test_another_type_of_patch_is_refused_naming_those_there_are(
    counters: Collection, media_type: str
) -> None:
    record = counters.created()
    response = counters.patch(record["id"], {"value": 5}, type=media_type)
    assert_problem(response, 415, "unsupported-media-type")
    accepted = {part.strip() for part in response.headers["accept-patch"].split(",")}
    assert {MERGE, JSON_PATCH} <= accepted
    assert counters.record(record["id"]) == record


def test_a_patch_is_one_change(samples: Collection) -> None:
    record = samples.created(amount=1)
    samples.patch(record["id"], {"amount": 2, "name": "x"})
    samples.patch(
        record["id"],
        [
            {"op": "replace", "path": "/amount", "value": 3},
            {"op": "replace", "path": "/name", "value": "y"},
        ],
        type=JSON_PATCH,
    )
    changes = samples.history(record["id"])
    assert [(change["operation"], change["revision"]) for change in changes] == [
        ("patch", 3),
        ("patch", 2),
        ("create", 1),
    ]
