"""The OpenAPI document: what it says of each collection, and that it is so (contract 3
to 5, 11)."""

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from persist.api.openapi import document
from persist.api.openapi.document import collection_texts
from persist.api.openapi.shared import SHARED
from persist.api.problems import catalogue, status_of
from persist.api.routes import FASTAPI_ROUTES, ROUTES, WORKSPACE_COLLECTION_ROUTES
from persist.domain.command import Command
from persist.domain.entity_type import EntityType, Kind
from persist.domain.query import OPERATORS, Function
from persist.entity_types.json_schema.conversion import convert
from persist.entity_types.registry import load_models

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
METHODS = {"get", "put", "post", "patch", "delete"}
MAX_SCHEMA_BYTES = 524_288
ID = "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70"


@cache
def deployment() -> dict[str, EntityType]:
    return {
        type.name: type
        for module in ("app.models", "tests.deployment")
        for type in load_models(module)
    }


@cache
def complete_document() -> Json:
    return document(deployment().values(), version="1.2.3")


@cache
def printed_document() -> Json:
    """The document of the deployment with the routes of the service."""
    printed: Json = json.loads((ROOT / "openapi" / "openapi.json").read_text())
    return printed


def hand_made(name: str, schema: Json, *commands: str) -> EntityType:
    """Return a type whose schema has the form that every compiler gives it."""
    return EntityType(
        name=name,
        kind=Kind.REGISTERED,
        schema_version=1,
        schema=convert(schema).schema,
        validate=lambda data: data,
        commands={command: _command(command) for command in commands},
    )


def _command(name: str) -> Command:
    return Command(
        name,
        "",
        {"type": "object"},
        lambda data: data,
        lambda data: None,
        lambda data, _: (data, None),
    )


def nodes(value: Any) -> Iterator[Json]:
    """Every object in a document."""
    if isinstance(value, dict):
        yield value
    members = (
        value.values()
        if isinstance(value, dict)
        else value
        if isinstance(value, list)
        else ()
    )
    for member in members:
        yield from nodes(member)


def operations(source: Json) -> list[tuple[str, str, Json]]:
    return [
        (path, method, operation)
        for path, item in source["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def resolved(source: Json, reference: str) -> Any:
    target: Any = source
    for part in reference.removeprefix("#/").split("/"):
        target = target[part.replace("~1", "/").replace("~0", "~").replace("%25", "%")]
    return target


def accepts(source: Json, schema: Json, value: Any) -> bool:
    whole_schema = {**schema, "components": source["components"]}
    return bool(jsonschema.Draft202012Validator(whole_schema).is_valid(value))


def filters(source: Json, collection: str) -> dict[str, Json]:
    """The query parameters of a list, by name."""
    given = source["paths"][f"/api/{collection}"]["get"]["parameters"]
    found = [resolved(source, parameter["$ref"]) for parameter in given]
    return {
        parameter["name"]: parameter
        for parameter in found
        if parameter["in"] == "query"
    }


# --- the document as a whole
# ---------------------------------------------------------------------


def test_the_document_passes_a_validator_for_openapi_3_1() -> None:
    assert [
        error.message
        for error in OpenAPIV31SpecValidator(complete_document()).iter_errors()
    ] == []


def test_the_document_of_one_collection_passes_the_validator_and_names_no_other() -> (
    None
):
    one = document([deployment()["ops-tickets"]], version="1.2.3")
    assert [error.message for error in OpenAPIV31SpecValidator(one).iter_errors()] == []
    assert {path.split("/")[2] for path in one["paths"]} == {"ops-tickets"}


def test_every_reference_leads_somewhere() -> None:
    references = {
        node["$ref"]
        for node in nodes(complete_document())
        if isinstance(node.get("$ref"), str)
    }
    assert len(references) > 200
    for reference in references:
        assert resolved(complete_document(), reference) is not None


def test_every_collection_has_all_its_paths() -> None:
    paths = {
        path: METHODS & item.keys()
        for path, item in complete_document()["paths"].items()
    }
    root = "/api/ops-tickets"
    assert {
        path: methods
        for path, methods in paths.items()
        if path.split("/")[2] == "ops-tickets"
    } == {
        root: {"get", "post", "delete"},
        f"{root}/commands": {"get"},
        f"{root}/commands/ack": {"post"},
        f"{root}/commands/escalate": {"post"},
        f"{root}/commands/set": {"post"},
        f"{root}/export": {"get"},
        f"{root}/import": {"post"},
        f"{root}/snapshots": {"get", "post"},
        f"{root}/trash": {"get"},
        f"{root}/{{id}}": {"get", "put", "patch", "delete"},
        f"{root}/{{id}}/history": {"get", "delete"},
        f"{root}/{{id}}/history/diff": {"get"},
        f"{root}/{{id}}/revert": {"post"},
        f"{root}/{{id}}/commands/ack": {"post"},
        f"{root}/{{id}}/commands/escalate": {"post"},
        f"{root}/{{id}}/commands/set": {"post"},
    }


def test_operation_ids_are_unique_whatever_collections_and_commands_are_called() -> (
    None
):
    names = [
        "a",
        "a-",
        "a--b",
        "a-b",
        "ab",
        "a-create",
        "create",
        "a-invoke",
        "a-list-list",
    ]
    commands = ["create", "list", "a_create", "invoke", "x", "all_x"]
    made = document(
        [hand_made(name, {"type": "object"}, *commands) for name in names], version="1"
    )
    ids = [operation["operationId"] for _, _, operation in operations(made)]
    assert len(ids) == len(set(ids)) == len(names) * (17 + 2 * len(commands))


def test_the_document_is_the_same_in_whatever_order_the_types_come() -> None:
    forward, backward = deployment().values(), reversed(list(deployment().values()))
    texts = {json.dumps(document(types, version="1")) for types in (forward, backward)}
    assert len(texts) == 1


def test_a_collection_is_written_once_for_each_value_of_its_type() -> None:
    type = deployment()["ops-tickets"]
    first = collection_texts(type, "OpsTicket", "ops_tickets")
    assert collection_texts(type, "OpsTicket", "ops_tickets") is first
    changed = replace(type, schema_version=9)
    assert collection_texts(changed, "OpsTicket", "ops_tickets") is not first


def test_the_routes_of_the_service_stand_next_to_the_collections() -> None:
    made = document([deployment()["ops-tickets"]], version="1", with_service=True)
    documented = {
        (method.upper(), path)
        for path, method, _ in operations(made)
        if not path.startswith("/api/")
    }
    assert documented == {
        (route.method, route.path)
        for route in (*WORKSPACE_COLLECTION_ROUTES, *FASTAPI_ROUTES)
        if route.documented
    }
    assert made["tags"][0]["name"] == "ops-tickets"


def test_every_operation_of_the_route_table_is_described_and_no_other() -> None:
    documented = {route.operation for route in ROUTES if route.documented}
    assert SHARED["operations"].keys() == documented


def test_no_component_is_unused() -> None:
    for source in (
        complete_document(),
        document([deployment()["counters"]], version="1"),
    ):
        used = {node["$ref"] for node in nodes(source) if "$ref" in node}
        assert {
            f"#/components/{kind}/{name}"
            for kind, members in source["components"].items()
            if kind != "securitySchemes"
            for name in members
        } == {reference for reference in used if isinstance(reference, str)}


def test_eighty_collections_take_at_most_two_and_a_half_megabytes() -> None:
    models = [
        type
        for type in deployment().values()
        if type.model is not None and type.model.__module__.startswith("app.")
    ]
    types = [
        replace(models[number % len(models)], name=f"collection-{number:02}")
        for number in range(80)
    ]
    made = document(types, version="1", with_service=True)
    size = len(json.dumps(made, separators=(",", ":")))
    assert size <= 2_500_000


def test_a_large_schema_takes_at_most_eight_times_its_size() -> None:
    members = {
        f"member_{number}": {
            "type": "object",
            "description": "A member with a description of a usual length, and more.",
            "properties": {
                name: {"type": "string", "maxLength": 100, "pattern": "^[a-z]+$"}
                for name in ("first", "second", "third")
            },
        }
        for number in range(200)
    }
    schema: Json = {"type": "object", "properties": members}
    empty = document([hand_made("large", {"type": "object"})], version="1")
    made = document([hand_made("large", schema)], version="1")
    assert len(json.dumps(made)) - len(json.dumps(empty)) <= 8 * len(json.dumps(schema))


def test_schemas_are_written_as_generators_read_them() -> None:
    schema: Json = {
        "type": "object",
        "title": "Thing",
        "properties": {
            "either": {"type": ["string", "null"], "maxLength": 3, "title": "Either"},
            "size": {"enum": ["s", "m", None]},
            "any": True,
            "pair": {
                "prefixItems": [{"type": "number"}] * 2,
                "items": False,
                "type": "array",
            },
            "again": {"$ref": "#/properties/either"},
            "bundled": {"$ref": "https://example.com/part.json"},
            "spaced": {"$ref": "#/$defs/My%20Part"},
            "signs": {"enum": ["+", "-"]},
            "sample": {"type": "object", "examples": [{"$ref": "ticket.id"}]},
        },
        "$defs": {
            "My Part": {"type": "integer"},
            "part": {"$id": "https://example.com/part.json", "type": "boolean"},
        },
        "if": {"required": ["either"]},
        "then": {"required": ["size"]},
    }
    made = document([hand_made("things", schema)], version="1")
    assert list(OpenAPIV31SpecValidator(made).iter_errors()) == []
    for node in nodes(made["components"]["schemas"]):
        assert not isinstance(node.get("type"), list)
        assert "title" not in node or isinstance(node["title"], dict)
        assert "if" not in node
        reference = node.get("$ref")
        assert not isinstance(reference, str) or reference.count("/") == 3
    create = {"$ref": "#/components/schemas/ThingCreate"}
    for right in (
        {"either": None, "size": None, "any": [1], "pair": [1, 2]},
        {"again": "abc", "bundled": True, "spaced": 3, "signs": "+"},
    ):
        assert accepts(made, create, right), right
    for wrong in (
        {"either": "abcd"},
        {"again": 1},
        {"size": "l"},
        {"pair": [1, 2, 3]},
        {"bundled": 1},
        {"spaced": "a"},
        {"signs": "*"},
    ):
        assert not accepts(made, create, wrong), wrong


@pytest.mark.parametrize("count", [12, pytest.param(150, marks=pytest.mark.slow)])
def test_types_with_schemas_of_well_known_tools_make_a_valid_document(
    count: int,
) -> None:
    spec = find_spec("check_jsonschema")
    assert spec is not None
    package = Path(str(spec.origin)).parent
    files = [
        path
        for path in sorted(package.rglob("builtin_schemas/**/*.json"))
        if path.stat().st_size <= MAX_SCHEMA_BYTES
    ]
    schemas = [json.loads(path.read_text()) for path in files]
    types = [
        hand_made(f"type-{number:03}", schemas[number % len(schemas)])
        for number in range(count)
    ]
    made = document(types, version="1")
    assert [
        error.message for error in OpenAPIV31SpecValidator(made).iter_errors()
    ] == []
    for reference in {
        node["$ref"] for node in nodes(made) if isinstance(node.get("$ref"), str)
    }:
        assert resolved(made, reference) is not None


def test_results_of_commands_have_the_type_of_their_method() -> None:
    results = {
        name: complete_document()["components"]["schemas"][name]["properties"]["result"]
        for name in ("OpsTicketEscalateResult", "OpsTicketAckResult")
    }
    assert results["OpsTicketEscalateResult"]["type"] == "integer"
    assert results["OpsTicketAckResult"]["type"] == "boolean"


def test_names_are_those_that_people_would_choose() -> None:
    schemas = complete_document()["components"]["schemas"].keys()
    for name in ("Create", "Read", "Record", "Page", "MergePatch", "EscalatePayload"):
        assert f"OpsTicket{name}" in schemas
    ids = {
        operation["operationId"] for _, _, operation in operations(complete_document())
    }
    assert {
        "ops_tickets_list",
        "ops_tickets_get",
        "ops_tickets_invoke_escalate",
        "ops_tickets_selective_invoke_escalate",
    } <= ids
    assert all(re.fullmatch("[a-z0-9_]+", each) for each in ids)
    assert all(re.fullmatch("[A-Z][A-Za-z0-9]*", each) for each in schemas)


def test_the_document_in_the_repository_is_the_one_the_program_prints() -> None:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PERSIST_")
    }
    code = (
        "from persist.cli import main; import sys; sys.argv = ['persist', 'openapi'];"
        " main()"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=inherited,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    kept = (ROOT / "openapi" / "openapi.json").read_text(encoding="utf-8")
    assert kept == printed, "run `make openapi`"


# --- problems
# ------------------------------------------------------------------------------------


def examples_of(response: Json) -> dict[str, Json]:
    """The problems that an error response shows, by code."""
    content = response["content"].get("application/problem+json", {})
    return {
        code: example["value"] for code, example in content.get("examples", {}).items()
    }


def test_every_problem_of_a_response_has_its_status_and_fits_the_schema() -> None:
    problem = {"$ref": "#/components/schemas/Problem"}
    codes = set()
    for _, _, operation in operations(complete_document()):
        for status, answer in operation["responses"].items():
            response = (
                resolved(complete_document(), answer["$ref"])
                if "$ref" in answer
                else answer
            )
            for code, example in examples_of(
                response if "content" in response else {"content": {}}
            ).items():
                codes.add(code)
                assert example["code"] == code
                assert (
                    status
                    == str(example["status"])
                    == str(status_of(catalogue()[code]))
                )
                assert accepts(complete_document(), problem, example)
    assert len(codes) > 15


@pytest.mark.parametrize(
    ("path", "method", "codes"),
    [
        ("", "get", {"invalid-query", "collection-not-found", "unavailable"}),
        (
            "",
            "post",
            {
                "invalid-data",
                "invalid-json",
                "unique-violation",
                "idempotency-mismatch",
                "too-large",
            },
        ),
        ("", "delete", {"invalid-query", "too-many-affected"}),
        ("/{id}", "get", {"record-not-found", "revision-not-found"}),
        (
            "/{id}",
            "put",
            {"invalid-data", "precondition-failed", "precondition-required"},
        ),
        (
            "/{id}",
            "patch",
            {
                "unsupported-media-type",
                "patch-test-failed",
                "invalid-patch",
                "record-not-found",
            },
        ),
        ("/{id}", "delete", {"record-not-found", "precondition-failed"}),
        (
            "/{id}/commands/escalate",
            "post",
            {"command-unavailable", "invalid-payload", "invalid-data"},
        ),
        (
            "/commands/escalate",
            "post",
            {"command-failed", "invalid-payload", "too-many-affected"},
        ),
    ],
)
def test_an_operation_names_the_problems_it_can_give(
    path: str, method: str, codes: set[str]
) -> None:
    responses = complete_document()["paths"][f"/api/ops-tickets{path}"][method][
        "responses"
    ]
    described = " ".join(
        resolved(complete_document(), answer["$ref"])["description"]
        for answer in responses.values()
        if "$ref" in answer
    )
    assert {code for code in codes if f"`{code}`" not in described} == set()


# --- schemas
# -------------------------------------------------------------------------------------


def test_every_example_fits_its_schema() -> None:
    tried = 0
    for path, method, operation in operations(complete_document()):
        for type, content in operation.get("requestBody", {"content": {}})[
            "content"
        ].items():
            example = content.get("example")
            if example is not None:
                tried += 1
                assert accepts(complete_document(), content["schema"], example), (
                    method,
                    path,
                    type,
                    example,
                )
    for name, schema in complete_document()["components"]["schemas"].items():
        for value in schema.get("examples", ()):
            tried += 1
            assert accepts(
                complete_document(), {"$ref": f"#/components/schemas/{name}"}, value
            ), (
                name,
                value,
            )
    assert tried > 40


def test_every_collection_of_the_deployment_has_an_example_to_create() -> None:
    for name in deployment():
        body = complete_document()["paths"][f"/api/{name}"]["post"]["requestBody"][
            "content"
        ]["application/json"]
        assert deployment()[name].validate(dict(body["example"]))


def test_data_is_as_strict_as_the_service() -> None:
    data = {"$ref": "#/components/schemas/OpsTicketCreate"}
    good = {"title": "x", "severity": 30}
    assert accepts(complete_document(), data, good)
    for wrong in (
        {"severity": 51},
        {"severity": "30"},
        {"unknown": 1},
        {"acknowledged": 0},
    ):
        assert not accepts(complete_document(), data, good | wrong), wrong
    payload = {"$ref": "#/components/schemas/OpsTicketEscalatePayload"}
    assert accepts(complete_document(), payload, {"steps": 2**63 - 1})
    assert not accepts(complete_document(), payload, {"steps": 2**63})


def test_a_merge_patch_may_leave_members_out_and_take_optional_ones_away() -> None:
    patch = {"$ref": "#/components/schemas/OpsTicketMergePatch"}
    for right in (
        {},
        {"severity": 10},
        {"acknowledged": None},
        {"migration_note": None},
    ):
        assert accepts(complete_document(), patch, right), right
    wrong: Any
    for wrong in ([], {"severity": 9}, {"severity": None}, {"unknown": 1}):
        assert not accepts(complete_document(), patch, wrong), wrong


def test_a_json_patch_has_the_members_its_operations_need() -> None:
    patch = {"$ref": "#/components/schemas/JsonPatch"}
    add = {"op": "add", "path": "/title", "value": [None, {"a": 1.5}]}
    for right in (
        [],
        [add],
        [{"op": "remove", "path": ""}],
        [{"op": "move", "path": "/a~1b", "from": "/c"}],
    ):
        assert accepts(complete_document(), patch, right), right
    wrong: Any
    for wrong in (
        {},
        [{**add, "path": "title"}],
        [{"op": "add", "path": "/a"}],
        [add] * 101,
    ):
        assert not accepts(complete_document(), patch, wrong), wrong


def test_definitions_of_two_collections_stay_apart_and_keep_their_references() -> None:
    city = {"type": "object", "properties": {"city": {"type": "string"}}}
    height = {"type": "object", "properties": {"height": {"type": "integer"}}}
    types = [
        hand_made(
            name,
            {
                "type": "object",
                "properties": {"at": {"$ref": "#/$defs/a place"}},
                "$defs": {"a place": it},
            },
        )
        for name, it in (("towns", city), ("hills", height))
    ]
    made = document(types, version="1")
    assert [
        error.message for error in OpenAPIV31SpecValidator(made).iter_errors()
    ] == []
    towns, hills = (
        {"$ref": f"#/components/schemas/{name}Create"} for name in ("Towns", "Hills")
    )
    assert accepts(made, towns, {"at": {"city": "Rome", "height": "tall"}})
    assert not accepts(made, hills, {"at": {"height": "tall"}})


def test_what_tools_fail_at_is_left_out() -> None:
    member = {"type": "string", "pattern": "(?i)get|put"}
    names = {"type": "object", "patternProperties": {"(?i:x)": {"type": "integer"}}}
    properties = {"$ref": {"type": "string"}, "method": member, "names": names}
    made = document(
        [hand_made("notes", {"type": "object", "properties": properties})], version="1"
    )
    create = made["components"]["schemas"]["NotesCreate"]["properties"]
    assert create["method"] == {"type": "string"}
    assert create["names"]["patternProperties"] == {}
    body = made["paths"]["/api/notes"]["post"]["requestBody"]["content"]
    assert "$ref" not in body["application/json"]["example"]
    assert OpenAPIV31SpecValidator(made).is_valid()


@pytest.mark.parametrize("composed", [{}, {"anyOf": [{"required": ["text"]}]}])
def test_data_are_objects_where_the_root_has_several_types(composed: Json) -> None:
    properties = {"flag": {"type": "boolean", "default": False}}
    root = {"type": ["object", "boolean"], "properties": properties} | composed
    made = document([hand_made("notes", root)], version="1")
    create = {"$ref": "#/components/schemas/NotesCreate"}
    assert accepts(made, create, {"flag": True, "text": "x"})
    assert not accepts(made, create, {"flag": 1, "text": "x"})
    assert OpenAPIV31SpecValidator(made).is_valid()


def test_a_schema_may_refer_to_itself_by_root_anchor_and_path() -> None:
    schema = {
        "type": "object",
        "properties": {
            "child": {"$ref": "#"},
            "twin": {"$ref": "#/properties/size"},
            "size": {"type": "integer", "$anchor": "size"},
            "third": {"$ref": "#size"},
            "$ref": {"type": "string", "const": "#size"},
        },
    }
    made = document([hand_made("boxes", schema)], version="1")
    data = {"$ref": "#/components/schemas/BoxesCreate"}
    assert accepts(
        made,
        data,
        {"child": {"child": {"size": 1}}, "twin": 2, "third": 3, "$ref": "#size"},
    )
    for wrong in (
        {"child": {"size": "1"}},
        {"twin": "2"},
        {"third": "3"},
        {"$ref": "#boxes"},
    ):
        assert not accepts(made, data, wrong), wrong


# --- parameters
# ----------------------------------------------------------------------------------


def test_a_field_is_filtered_by_the_operators_of_its_type_and_no_others() -> None:
    given = filters(complete_document(), "ops-tickets")
    for name, field in deployment()["ops-tickets"].fields.items():
        offered = {
            known for known in given if known == name or known.startswith(f"{name}__")
        }
        assert offered == {
            name if function is Function.EQ else f"{name}__{function.value}"
            for function in OPERATORS[field.type]
        }


def test_a_filters_value_has_the_type_of_its_field() -> None:
    given = {
        name: parameter["schema"]
        for name, parameter in filters(complete_document(), "ops-tickets").items()
    }
    assert (
        given["severity__gte"]["type"]
        == given["severity__in"]["items"]["type"]
        == "integer"
    )
    assert given["acknowledged"]["type"] == given["title__isnull"]["type"] == "boolean"
    assert given["title__contains"]["type"] == "string"
    assert given["_created_at__lt"]["format"] == "date-time"


def test_a_filter_takes_the_members_of_an_enumeration() -> None:
    given = filters(complete_document(), "samples")
    for name, one in (("colour", "red"), ("size__ne", "small"), ("size", "large")):
        schema = given[name]["schema"]
        assert accepts(complete_document(), schema, one)
        assert not accepts(complete_document(), schema, "purple")
    several = given["colour__in"]["schema"]
    assert accepts(complete_document(), several, ["red", "green"])
    assert not accepts(complete_document(), several, ["red", "blue"])
    assert "pattern" not in given["colour__contains"]["schema"]


def test_fields_of_one_name_and_two_types_do_not_share_a_filter() -> None:
    types = [
        hand_made(name, {"type": "object", "properties": {"size": {"type": type}}})
        for name, type in (("boxes", "integer"), ("shirts", "string"))
    ]
    made = document(types, version="1")
    assert filters(made, "boxes")["size"]["schema"]["type"] == "integer"
    assert filters(made, "shirts")["size"]["schema"]["type"] == "string"


def test_nested_members_have_filters_and_lists_only_the_question_whether_they_are_null() -> (
    None
):
    given = filters(complete_document(), "samples")
    assert given["place.altitude__gt"]["schema"]["type"] == "integer"
    assert {name for name in given if name.startswith("tags")} == {
        "tags__isnull",
        "tags__has",
        "tags__len",
        *(
            f"tags__len__{each}"
            for each in ("eq", "ne", "in", "gt", "gte", "lt", "lte")
        ),
    }


def test_a_field_whose_name_a_control_parameter_has_is_filtered_behind_data() -> None:
    given = filters(complete_document(), "oddities")
    assert given["limit"]["schema"]["minimum"] == 1
    assert given["data.limit"]["schema"]["minimum"] == -(2**63)
    assert {"data", "id", "_id"} <= given.keys()


def test_sort_and_fields_take_the_names_of_the_collection() -> None:
    given = filters(complete_document(), "samples")
    for right in (["name"], ["-name"], ["place.city", "-_revision"], ["_created_at"]):
        assert accepts(complete_document(), given["sort"]["schema"], right), right
    for wrong in (["tags"], ["place"], ["nam"], ["+name"], []):
        assert not accepts(complete_document(), given["sort"]["schema"], wrong), wrong
    assert accepts(
        complete_document(),
        given["fields"]["schema"],
        list(deployment()["samples"].fields),
    )
    assert not accepts(complete_document(), given["fields"]["schema"], ["-name"])


def test_an_undo_names_either_a_request_or_a_range() -> None:
    undo = {"$ref": "#/components/schemas/UndoRequest"}
    for right in (
        {"request_id": "r-1"},
        {"from_seq": 1, "to_seq": 2, "workspace": None, "on_conflict": "skip"},
    ):
        assert accepts(printed_document(), undo, right), right
    for wrong in (
        {},
        {"from_seq": 1},
        {"request_id": "r-1", "from_seq": 1, "to_seq": 2},
        {"request_id": "r-1", "unknown": 1},
    ):
        assert not accepts(printed_document(), undo, wrong), wrong


@pytest.mark.parametrize("tags", ["*", 'W/"3"', "3", '"3", "4"'])
def test_operations_of_a_transaction_take_entity_tags_or_a_revision(tags: str) -> None:
    delete = {"$ref": "#/components/schemas/TransactionOperationsDelete"}
    operation = {"op": "delete", "collection": "samples", "id": ID}
    assert accepts(printed_document(), delete, operation | {"if_match": tags})
    for wrong in ("", f"{tags} x"):
        assert not accepts(printed_document(), delete, operation | {"if_match": wrong})


@pytest.mark.parametrize("tags", ["*", '"3"', 'W/"3"', '"3", "4" ,W/""'])
def test_preconditions_take_entity_tags(tags: str) -> None:
    for header in ("If-Match", "If-None-Match"):
        schema = complete_document()["components"]["parameters"][header]["schema"]
        assert accepts(complete_document(), schema, tags)
        assert not any(
            accepts(complete_document(), schema, wrong)
            for wrong in ("", "3", f"{tags},", f"{tags} x")
        )


# --- the examples, tried
# -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def live(client: httpx.Client) -> Json:
    """The document the service gives."""
    served: Json = client.get("/openapi.json").json()
    return served


@pytest.mark.parametrize(
    "collection", ["accounts", "counters", "oddities", "samples", "tickets"]
)
def test_the_examples_of_a_collection_work_when_tried(
    client: httpx.Client, live: Json, collection: str
) -> None:
    def tried(path: str, method: str, record_id: str = ID) -> Iterator[httpx.Response]:
        contents = live["paths"][path][method]["requestBody"]["content"]
        for type, content in contents.items():
            if type == "application/octet-stream":
                continue
            example = content["example"]
            body = example if isinstance(example, str) else json.dumps(example)
            address = path.replace("{id}", record_id)
            query = {"dry_run": "true"} if record_id == ID else {}
            if path.startswith(f"{root}/commands"):
                query["_id"] = record_id
            yield client.request(
                method,
                address,
                content=body,
                headers={"content-type": type},
                params=query,
            )

    root, record_id = f"/api/{collection}", str(uuid.uuid4())
    assert [answer.status_code for answer in tried(root, "post")] == [200]
    assert [answer.status_code for answer in tried(f"{root}/import", "post")] == [200]
    assert [
        answer.status_code for answer in tried(f"{root}/{{id}}", "put", record_id)
    ] == [201]
    try:
        assert [
            answer.status_code for answer in tried(f"{root}/{{id}}", "patch", record_id)
        ] == [200] * 3
        for commands in (f"{root}/{{id}}/commands", f"{root}/commands"):
            assert [
                answer.status_code
                for answer in tried(f"{commands}/set", "post", record_id)
            ] == [200]
    finally:
        assert client.delete(f"{root}/{record_id}").status_code == 204


def test_what_a_service_gives_for_a_record_fits_its_schema(
    client: httpx.Client, live: Json
) -> None:
    made = client.post("/api/tickets", json={"title": "x", "severity": 30})
    address = f"/api/tickets/{made.json()['id']}"
    client.post(f"{address}/commands/escalate", json={})
    answers = {
        "TicketRecord": made,
        "TicketAckResult": client.post(f"{address}/commands/ack"),
        "TicketPage": client.get(
            "/api/tickets", params={"fields": "title", "limit": "2"}
        ),
        "History": client.get(f"{address}/history"),
        "Invocations": client.post(
            f"/api/tickets/commands/ack?_id={made.json()['id']}"
        ),
    }
    for name, answer in answers.items():
        schema = {"$ref": f"#/components/schemas/{name}"}
        assert accepts(live, schema, answer.json()), (name, answer.text)
