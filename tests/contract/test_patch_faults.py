"""Faults of JSON Patch: the operation, the pointer, and what is wrong (RFC 6902)."""

from typing import Any

import pytest

from tests.support.collection import Collection
from tests.support.problems import assert_problem, pointers

JSON_PATCH = {"content-type": "application/json-patch+json"}

FAULTS: list[tuple[Any, str, str]] = [
    ("add", "/0", "an operation is a JSON object"),
    (["op"], "/0", "an operation is a JSON object"),
    ({}, "/0", "op must be one of add"),
    ({"op": "increase", "path": "/title"}, "/0", "op must be one of add"),
    ({"op": ["add"], "path": "/title"}, "/0", "op must be one of add"),
    ({"op": "add", "value": 1}, "/0", "add needs the member path"),
    ({"op": "add", "path": "/title"}, "/0", "add needs the member value"),
    ({"op": "test", "path": "/title"}, "/0", "test needs the member value"),
    ({"op": "move", "path": "/title"}, "/0", "move needs the member from"),
    ({"op": "remove", "path": 5}, "/0", "which is text"),
    ({"op": "remove", "path": None}, "/0", "which is text"),
    ({"op": "remove", "path": "title"}, "/0", "beginning with /"),
    ({"op": "remove", "path": "/a~2"}, "/0", "~ is written ~0"),
    ({"op": "copy", "from": {}, "path": "/title"}, "/0", "which is text"),
    ({"op": "remove", "path": "/nope"}, "/0", "no member 'nope' at the top"),
    ({"op": "remove", "path": ""}, "/0", "the complete data cannot be removed"),
    ({"op": "replace", "path": "/nope", "value": 1}, "/0", "no member 'nope'"),
    (
        {"op": "add", "path": "/title/x", "value": 1},
        "/0",
        "neither an object nor a list",
    ),
    ({"op": "add", "path": "/no/x", "value": 1}, "/0", "no member 'no'"),
    ({"op": "copy", "from": "/nope", "path": "/title"}, "/0", "no member 'nope'"),
    ({"op": "move", "from": "/nope", "path": "/title"}, "/0", "no member 'nope'"),
    ({"op": "move", "from": "/a", "path": "/a/b"}, "/0", "into itself"),
    ({"op": "add", "path": "/__class__/x", "value": 1}, "/0", "'__class__'"),
]


@pytest.mark.parametrize(("operation", "pointer", "detail"), FAULTS)
def test_a_fault_names_the_operation_the_pointer_and_what_is_wrong(
    tickets: Collection, operation: Any, pointer: str, detail: str
) -> None:
    record = tickets.created(title="A patch with a fault", severity=30)
    answer = tickets.client.patch(
        tickets.at(record["id"]), json=[operation], headers=JSON_PATCH
    )
    problem = assert_problem(answer, 422, "invalid-patch")
    assert pointers(problem) == {pointer}
    assert problem["detail"].startswith("operation 0")
    assert detail in problem["errors"][0]["detail"]
    assert "<class" not in answer.text
    assert "{'" not in answer.text
    assert tickets.record(record["id"])["revision"] == 1


LISTS: list[tuple[str, str]] = [
    ("/tags/9", "'9' is not an index from 0 to 1 of the list at /tags"),
    ("/tags/01", "'01' is not an index"),
    ("/tags/x", "'x' is not an index"),
    ("/tags/-", "'-' is not an index"),
    ("/tags/-1", "'-1' is not an index"),
    ("/tags/2", "'2' is not an index from 0 to 1"),
]


@pytest.mark.parametrize(("path", "detail"), LISTS)
def test_an_index_that_a_list_does_not_have_is_named(
    samples: Collection, path: str, detail: str
) -> None:
    record = samples.created(name="with a list", tags=["a", "b"])
    answer = samples.client.patch(
        samples.at(record["id"]),
        json=[{"op": "remove", "path": path}],
        headers=JSON_PATCH,
    )
    problem = assert_problem(answer, 422, "invalid-patch")
    assert detail in problem["errors"][0]["detail"]


def test_the_second_of_two_operations_is_named(tickets: Collection) -> None:
    record = tickets.created(title="Two operations", severity=30)
    operations = [
        {"op": "replace", "path": "/severity", "value": 40},
        {"op": "remove", "path": "/nope"},
    ]
    answer = tickets.client.patch(
        tickets.at(record["id"]), json=operations, headers=JSON_PATCH
    )
    problem = assert_problem(answer, 422, "invalid-patch")
    assert problem["detail"].startswith(
        "operation 1 (remove '/nope') cannot be applied"
    )
    assert pointers(problem) == {"/1"}


def test_copies_that_double_the_depth_are_refused(samples: Collection) -> None:
    record = samples.created(name="deep", payload={"a": {}})
    doubled = [
        {"op": "copy", "from": "/payload", "path": "/payload" + "/a" * (2**power)}
        for power in range(10)
    ]
    answer = samples.client.patch(
        samples.at(record["id"]), json=doubled, headers=JSON_PATCH
    )
    problem = assert_problem(answer, 422, "invalid-patch")
    assert "nest deeper than 64 levels" in problem["detail"]


def test_copies_that_multiply_the_size_are_refused_early(samples: Collection) -> None:
    record = samples.created(name="large", payload={"a": "x" * 100_000})
    copies = [
        {"op": "copy", "from": "/payload/a", "path": f"/payload/b{number}"}
        for number in range(100)
    ]
    answer = samples.client.patch(
        samples.at(record["id"]), json=copies, headers=JSON_PATCH
    )
    problem = assert_problem(answer, 422, "invalid-patch")
    assert "would be larger than 1,048,576 bytes" in problem["detail"]


def test_copies_of_what_is_removed_again_are_applied(samples: Collection) -> None:
    record = samples.created(name="large", payload={"a": "x" * 300_000})
    operations = [
        operation
        for _ in range(20)
        for operation in (
            {"op": "copy", "from": "/payload/a", "path": "/payload/b"},
            {"op": "remove", "path": "/payload/b"},
        )
    ]
    answer = samples.client.patch(
        samples.at(record["id"]), json=operations, headers=JSON_PATCH
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["revision"] == 1
