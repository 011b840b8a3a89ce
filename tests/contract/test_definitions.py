"""Definitions as people write them: every draft, bundled schemas, roots of any form,
warnings, defaults and limits (contract 13)."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem, pointers
from tests.support.registered import Replicas, an_object, put, registered

pytest_plugins = ["tests.support.replicas"]

TEXT = {"type": "string"}
NUMBER = {"type": "integer"}
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


@pytest.fixture
def client(replicas: Replicas) -> Iterator[httpx.Client]:
    """A client that lets no internal error pass."""
    with replicas.second.checked_client() as found:
        yield found


def an_open_object(**properties: Any) -> Json:
    return {"type": "object", "properties": properties}


def definition(client: httpx.Client, name: str) -> Json:
    found: Json = client.get(f"/entity-types/{name}").json()
    return found


def warnings(answer: Json) -> dict[str, str]:
    return {each["pointer"]: each["detail"] for each in answer["warnings"]}


def refused(client: httpx.Client, name: str, schema: Any, **members: Any) -> Json:
    """The problem of a definition that is not accepted."""
    response = put(client, name, schema, **members)
    problem: Json = assert_problem(response, 422, "invalid-schema")
    assert client.get(f"/entity-types/{name}").status_code == 404
    return problem


def judged(own: Collection, valid: list[Json], invalid: list[Json]) -> None:
    """The collection takes these and refuses those."""
    for given in valid:
        assert own.create(given).status_code == 201, given
    for given in invalid:
        assert_problem(own.create(given), 422, "invalid-data")


# Migrations


def test_a_migration_of_a_type_that_does_not_exist_yet_is_kept_and_not_run(
    client: httpx.Client, name: str
) -> None:
    step = {"rename": {"ms": "duration_ms"}, "drop": ["host"]}
    answer = put(client, name, an_object(duration_ms=NUMBER), migration=step)
    assert answer.status_code == 201, answer.text
    (kept,) = definition(client, name)["migration"]
    assert kept["rename"] == step["rename"]
    assert kept["drop"] == step["drop"]
    own = Collection(client, name)
    record = own.created(duration_ms=1)
    assert record["schema_version"] == 1
    registered(
        client,
        name,
        an_object(millis=NUMBER),
        migration={"rename": {"duration_ms": "millis"}},
    )
    assert own.record(record["id"])["data"] == {"millis": 1}


@pytest.mark.parametrize(
    ("members", "pointer", "near"),
    [
        ({"comands": {}}, "/comands", "commands"),
        ({"migration": {"renam": {}}}, "/migration/renam", "rename"),
        ({"migration": [{"from": 1, "to": 2, "drp": []}]}, "/migration/0/drp", "drop"),
        ({"commands": {"go": {"wen": "true"}}}, "/commands/go/wen", "when"),
    ],
)
def test_a_misspelt_member_of_a_definition_is_named_with_the_nearest_one(
    client: httpx.Client, name: str, members: Json, pointer: str, near: str
) -> None:
    problem = refused(client, name, an_object(), **members)
    (error,) = problem["errors"]
    assert error["pointer"] == pointer
    assert f"did you mean {near}?" in error["detail"]


@pytest.mark.parametrize(
    ("step", "pointer", "near"),
    [
        ({"drop": ["b", "sourc"]}, "/migration/drop/1", "source"),
        ({"rename": {"sourc": "origin"}}, "/migration/rename/sourc", "source"),
        ({"rename": {"source": "orign"}}, "/migration/rename/source", "origin"),
        ({"set": {"orign": "data.b"}}, "/migration/set/orign", "origin"),
        ({"default": {"orign": "x"}}, "/migration/default/orign", "origin"),
    ],
)
def test_a_step_names_members_of_the_versions_it_starts_from_and_leads_to(
    client: httpx.Client, name: str, step: Json, pointer: str, near: str
) -> None:
    registered(client, name, an_object(b=TEXT, source=TEXT))
    response = put(client, name, an_object(origin=TEXT), migration=step)
    problem = assert_problem(response, 422, "invalid-schema")
    assert pointers(problem) == {pointer}
    assert f"did you mean {near}?" in problem["detail"]
    assert definition(client, name)["schema_version"] == 1


# $schema and $id


@pytest.mark.parametrize(
    ("keyword", "value", "detail"),
    [
        ("type", "objekt", 'must be one of "array", "boolean"'),
        ("required", True, "must be an array; if an older draft writes it so, name"),
        ("items", [{}], "must be an object or true or false; if an older draft"),
        ("multipleOf", 0, "must be more than 0"),
        ("required", ["a", "a"], "must not repeat an item"),
    ],
)
def test_what_a_meta_schema_refuses_is_said_as_of_data(
    client: httpx.Client, name: str, keyword: str, value: Any, detail: str
) -> None:
    schema = an_open_object() | {keyword: value}
    (error,) = refused(client, name, schema)["errors"]
    assert error["pointer"] == f"/schema/{keyword}"
    assert error["detail"].startswith(detail)


@pytest.mark.parametrize("named", [5, None, [], "draft-07", "https://example.com/own"])
def test_a_schema_of_no_known_draft_is_named_at_its_pointer(
    client: httpx.Client, name: str, named: Any
) -> None:
    schema = {"type": "object", "$schema": named}
    assert pointers(refused(client, name, schema)) == {"/schema/$schema"}
    command = {"commands": {"go": {"payload": schema}}}
    problem = refused(client, name, an_object(), **command)
    assert pointers(problem) == {"/commands/go/payload/$schema"}


@pytest.mark.parametrize("uri", [DRAFT_7, DIALECT])
def test_a_schema_with_the_address_of_a_meta_schema_gives_its_own_verdicts(
    client: httpx.Client, name: str, uri: str
) -> None:
    registered(client, name, an_object(a=TEXT) | {"$id": uri})
    judged(Collection(client, name), [{"a": "x"}], [{"a": 1}, {"type": "object"}])


# References and addresses


@pytest.mark.parametrize("given", ["http://example.com/x.json#", "my schema"])
def test_an_address_of_any_form_stands_next_to_references_and_defaults(
    client: httpx.Client, name: str, given: str
) -> None:
    schema = an_open_object(
        a={"$ref": "#/$defs/My Type"}, b={"$ref": "#/$defs/My%20Type"}
    )
    schema |= {"$id": given, "$defs": {"My Type": {"type": "integer", "default": 3}}}
    registered(client, name, schema)
    assert Collection(client, name).created()["data"] == {"a": 3, "b": 3}


def test_a_bundled_schema_works_in_validation_filters_and_openapi(
    client: httpx.Client, name: str
) -> None:
    bundle = {
        "$id": "https://example.com/schemas/order",
        "type": "object",
        "properties": {
            "customer": {"$ref": "customer"},
            "count": {"$ref": "customer#count"},
        },
        "$defs": {
            "customer": {
                "$id": "customer",
                "type": "object",
                "properties": {"name": {"$ref": "#/$defs/name"}},
                "$defs": {
                    "name": {"type": "string", "minLength": 2},
                    "count": {"$anchor": "count", "type": "integer", "default": 1},
                },
            }
        },
    }
    answer = registered(client, name, bundle)
    assert answer["source_schema"] == bundle
    assert definition(client, name)["source_schema"] == bundle
    own = Collection(client, name)
    record = own.created(customer={"name": "Ada"})
    assert record["data"]["count"] == 1
    assert_problem(own.create({"customer": {"name": "x"}}), 422, "invalid-data")
    assert own.items([("count__gte", "1"), ("customer.name", "Ada")]) == [record]
    assert own.items([("count__gte", "2")]) == []
    document = client.get(f"/collections/{name}/openapi.json").json()
    assert dangling(document) == []


def dangling(document: Json) -> list[str]:
    """The references of a document that lead nowhere."""
    found = []
    waiting: list[Any] = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            reference = part.get("$ref")
            if isinstance(reference, str) and not resolves(document, reference):
                found.append(reference)
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    return found


def resolves(document: Json, reference: str) -> bool:
    target: Any = document
    for step in httpx.URL(reference).fragment.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(target, dict) or name not in target:
            return "." in reference and not reference.startswith("#")
        target = target[name]
    return reference.startswith("#")


# Drafts


OLDER: dict[str, tuple[str, Json, list[Json], list[Json]]] = {
    "draft-04": (
        "http://json-schema.org/draft-04/schema#",
        {
            "id": "http://example.com/four#",
            "type": "object",
            "definitions": {"low": {"id": "#low", "minimum": 0, "maximum": 9}},
            "properties": {
                "a": {"minimum": 0, "exclusiveMinimum": True, "type": "number"},
                "b": {"$ref": "#low"},
                "const": {"const": 1},
            },
        },
        [{"a": 1}, {"b": 9}, {"const": 2}],
        [{"a": 0}, {"b": 10}],
    ),
    "draft-06": (
        "http://json-schema.org/draft-06/schema#",
        {
            "type": "object",
            "properties": {
                "a": {"exclusiveMinimum": 0},
                "b": {"items": [{"type": "string"}], "additionalItems": False},
            },
        },
        [{"a": 1}, {"b": ["x"]}, {"b": []}],
        [{"a": 0}, {"b": [1]}, {"b": ["x", "y"]}],
    ),
    "draft-07": (
        DRAFT_7,
        {
            "type": "object",
            "definitions": {"pos": {"$id": "#pos", "exclusiveMinimum": 0}},
            "properties": {"n": {"$ref": "#pos", "maximum": 1}, "card": TEXT},
            "dependencies": {"card": ["n"], "x": {"required": ["y"]}},
        },
        [{"n": 5}, {"card": "c", "n": 1}, {"x": 1, "y": 2}],
        [{"n": 0}, {"card": "c"}, {"x": 1}],
    ),
    "2019-09": (
        "https://json-schema.org/draft/2019-09/schema",
        {
            "$recursiveAnchor": True,
            "type": "object",
            "properties": {
                "value": NUMBER,
                "children": {"items": {"$recursiveRef": "#"}},
                "pair": {"items": [TEXT, NUMBER]},
            },
            "unevaluatedProperties": False,
        },
        [{"children": [{"value": 1}]}, {"pair": ["a", 1, None]}],
        [{"children": [{"value": "x"}]}, {"pair": [1]}, {"other": 1}],
    ),
    "drafts within drafts": (
        DRAFT_7,
        {
            "type": "object",
            "properties": {"four": {"$ref": "urn:four"}, "new": {"$ref": "urn:new"}},
            "definitions": {
                "four": {
                    "$schema": "http://json-schema.org/draft-04/schema#",
                    "id": "urn:four",
                    "minimum": 0,
                    "exclusiveMinimum": True,
                },
                "new": {
                    "$schema": DIALECT,
                    "$id": "urn:new",
                    "prefixItems": [{"$ref": "urn:six"}],
                    "$defs": {
                        "six": {
                            "$schema": "http://json-schema.org/draft-06/schema#",
                            "$id": "urn:six",
                            "items": [TEXT],
                            "additionalItems": False,
                        }
                    },
                },
            },
        },
        [{"four": 1}, {"new": [["x"]]}],
        [{"four": 0}, {"new": [[1]]}, {"new": [["x", "y"]]}],
    ),
}


@pytest.mark.parametrize("draft", OLDER)
def test_a_schema_of_an_older_draft_is_converted_and_judges_as_it_did(
    client: httpx.Client, name: str, draft: str
) -> None:
    uri, schema, valid, invalid = OLDER[draft]
    sent = {"$schema": uri, **schema}
    answer = registered(client, name, sent)
    assert answer["schema"]["$schema"] == DIALECT
    assert answer["source_schema"] == sent
    judged(Collection(client, name), valid, invalid)
    again = put(client, name, sent)
    assert again.status_code == 200
    assert again.json()["schema_version"] == 1


def test_a_schema_that_needs_no_conversion_is_answered_as_it_was_sent(
    client: httpx.Client, name: str
) -> None:
    schema = an_object(a={"$ref": "#/$defs/a"}) | {"$defs": {"a": TEXT}}
    answer = registered(client, name, schema)
    assert answer["schema"] == schema
    assert "source_schema" not in answer


# Warnings


def test_what_a_schema_does_not_mean_is_a_warning(
    client: httpx.Client, name: str
) -> None:
    schema = an_open_object(
        a={"type": "string", "nullable": True},
        b={"readOnly": True},
        c={"format": "emial"},
    )
    schema |= {"dependencies": {"a": ["b"]}, "propertys": {}, "x-order": 1}
    found = warnings(registered(client, name, schema))
    assert found.keys() == {
        "/schema/properties/a/nullable",
        "/schema/properties/b/readOnly",
        "/schema/properties/c/format",
        "/schema/dependencies",
        "/schema/propertys",
        "/schema/x-order",
    }
    assert '"null"' in found["/schema/properties/a/nullable"]
    assert "dependentRequired" in found["/schema/dependencies"]
    assert "did you mean properties?" in found["/schema/propertys"]
    assert "did you mean email?" in found["/schema/properties/c/format"]
    judged(Collection(client, name), [{"a": "x"}], [{"a": None}])


# Defaults


def test_a_default_that_does_not_fit_is_a_warning_and_not_filled_in(
    client: httpx.Client, name: str
) -> None:
    schema = an_open_object(
        a={"type": "string", "default": None},
        b={"type": "integer", "default": 2},
        c={"type": "number", "default": 2**70},
    )
    found = warnings(registered(client, name, schema))
    assert found.keys() == {
        "/schema/properties/a/default",
        "/schema/properties/c/default",
    }
    assert Collection(client, name).created()["data"] == {"b": 2}


@pytest.mark.parametrize(
    "rule", [{"not": {"required": ["matrix", "translation"]}}, {"maxProperties": 1}]
)
def test_filling_in_never_makes_a_valid_document_invalid(
    client: httpx.Client, name: str, rule: Json
) -> None:
    schema = an_open_object(matrix={"default": [1]}, translation={"default": [0]})
    registered(client, name, schema | rule)
    own = Collection(client, name)
    assert own.created()["data"] == {}
    assert own.created(matrix=[2])["data"] == {"matrix": [2]}


def test_defaults_may_be_kept_as_annotations_and_that_changes_in_place(
    client: httpx.Client, name: str
) -> None:
    schema = an_open_object(a={"default": 1}, b=TEXT, c=TEXT | {"default": 1})
    answer = registered(client, name, schema, defaults="keep")
    assert answer["defaults"] == "keep"
    assert pointers({"errors": answer["warnings"]}) == {"/schema/properties/c/default"}
    own = Collection(client, name)
    assert own.created(b="x")["data"] == {"b": "x"}
    answer = registered(client, name, schema)
    assert (answer["defaults"], answer["schema_version"]) == ("fill", 1)
    assert own.created(b="y")["data"] == {"a": 1, "b": "y"}
    problem = assert_problem(
        put(client, name, schema, defaults="never"), 422, "invalid-schema"
    )
    assert pointers(problem) == {"/defaults"}


# Filters and indexes


def test_a_member_is_found_through_every_form_of_reference_and_branch(
    client: httpx.Client, name: str
) -> None:
    schema = {
        "allOf": [an_open_object(n={"$ref": "#num"}, m={"$ref": "https://e.org/num"})],
        "oneOf": [
            an_open_object(type={"const": "Point"}, at=NUMBER) | {"required": ["at"]},
            an_open_object(type={"const": "Line"}, to=NUMBER) | {"required": ["to"]},
        ],
        "$defs": {
            "a": {"$anchor": "num", "type": "integer"},
            "b": {"$id": "https://e.org/num", "type": "integer"},
        },
    }
    registered(client, name, schema, indexes=["n", "type", "at"], unique=["m", "to"])
    own = Collection(client, name)
    point = own.created(type="Point", at=1, n=9, m=9)
    line = own.created(type="Line", to=1, n=10, m=10)
    assert own.items([("type", "Point")]) == [point]
    assert own.items([("at", "1")]) == [point]
    assert own.items([("n__gte", "10")]) == [line]
    assert own.items([("sort", "-n")]) == [line, point]
    for taken in ({"to": 2, "m": 10}, {"to": 1}):
        refusal = own.create({"type": "Line"} | taken)
        assert_problem(refusal, 409, "unique-violation")


AWKWARD = [
    *("@type", "package-ecosystem", "$schema", "a.b", "a b", "é", "", "a'b", "1"),
    *('a"b', "a\\b", "a\tb", "100%", "%(a)s", "a%%b", ":a", "?", "a~/b", "\\'"),
]


@pytest.mark.parametrize("member", AWKWARD)
def test_a_member_of_any_name_can_be_indexed_and_unique(
    client: httpx.Client, name: str, member: str
) -> None:
    inner = an_open_object(**{member: TEXT})
    schema = an_open_object(**{member: TEXT, "in": inner})
    path = json.dumps(member)
    answer = registered(
        client, name, schema, indexes=[f"in.{path}"], unique=[path, f"in.{path}"]
    )
    assert answer["unique"] == [[path], [f"in.{path}"]]
    own = Collection(client, name)
    assert own.create({member: "x", "in": {member: "y"}}).status_code == 201
    problem = assert_problem(own.create({member: "x"}), 409, "unique-violation")
    escaped = member.replace("~", "~0").replace("/", "~1")
    assert pointers(problem) == {f"/{escaped}"}
    refusal = own.create({"in": {member: "y"}})
    problem = assert_problem(refusal, 409, "unique-violation")
    assert pointers(problem) == {f"/in/{escaped}"}
    assert own.create({}).status_code == 201
    assert len(own.items(filter=f'data[{path}] == "x"')) == 1
    assert len(own.items(filter=f'data["in"][{path}] == "y"')) == 1


def test_an_undeclared_member_of_an_open_root_can_be_unique(
    client: httpx.Client, name: str
) -> None:
    registered(client, name, an_open_object(a=TEXT), unique=["data.extra"])
    own = Collection(client, name)
    judged(own, [{"extra": 1}, {"extra": "1"}, {}, {}], [])
    assert_problem(own.create({"extra": 1}), 409, "unique-violation")
    refusal = put(client, f"{name}-closed", an_object(a=TEXT), unique=["data.extra"])
    problem = assert_problem(refusal, 422, "invalid-schema")
    assert pointers(problem) == {"/unique/0"}


@pytest.mark.parametrize("path", ['"a', 'a."b"c', '"a"."', '"\\q"', "a-b"])
def test_a_path_that_is_not_written_as_one_is_named(
    client: httpx.Client, name: str, path: str
) -> None:
    problem = refused(client, name, an_open_object(a=TEXT), indexes=[path])
    assert pointers(problem) == {"/indexes/0"}


MISFITS: Json = {
    "title": 5,
    "description": ["a"],
    "examples": "3.15",
    "$comment": {},
    "deprecated": "yes",
    "readOnly": 1,
}


@pytest.mark.parametrize("keyword", MISFITS)
@pytest.mark.parametrize("draft", ["draft-07/schema#", "draft/2020-12/schema"])
def test_an_annotation_of_another_type_is_a_warning(
    client: httpx.Client, name: str, keyword: str, draft: str
) -> None:
    schema = an_open_object(a={"type": "string", keyword: MISFITS[keyword]})
    scheme = "http" if "07" in draft else "https"
    schema["$schema"] = f"{scheme}://json-schema.org/{draft}"
    answer = registered(client, name, schema)
    assert f"/schema/properties/a/{keyword}" in str(answer["warnings"])
    assert answer["source_schema"] == schema
    judged(Collection(client, name), [{"a": "x"}], [{"a": 1}])
    members = an_open_object(title={"type": "string"}, examples={"type": "string"})
    assert registered(client, f"{name}-b", members)["warnings"] == []


def test_an_annotation_of_a_schema_that_only_a_reference_leads_to(
    client: httpx.Client, name: str
) -> None:
    schema = an_open_object(a={"$ref": "#/$defs/kinds/text"})
    schema["$defs"] = {"kinds": {"text": {"type": "string", "examples": "3.15"}}}
    answer = registered(client, name, schema)
    assert "/schema/$defs/kinds/text/examples" in str(answer["warnings"])
    judged(Collection(client, name), [{"a": "x"}], [{"a": 1}])


def test_a_definition_that_is_too_large_cannot_be_imported(
    client: httpx.Client, name: str
) -> None:
    refusal = put(client, name, {"type": "object", "const": "x" * 1_100_000})
    assert "import" not in assert_problem(refusal, 413, "too-large")["detail"]


# Cost


def test_alternatives_that_are_ruled_out_at_once_cost_little(
    client: httpx.Client, name: str
) -> None:
    """A bundle of objects, each of one of sixty kinds that share a core."""
    core = an_open_object(**{f"common{n}": TEXT for n in range(60)})
    kinds = [
        {
            "allOf": [
                {"$ref": "#/$defs/core"},
                an_open_object(kind={"const": f"k{n}"}),
            ],
            "required": ["kind"],
        }
        for n in range(60)
    ]
    schema = an_open_object(objects={"type": "array", "items": {"oneOf": kinds}})
    registered(client, name, schema | {"$defs": {"core": core}})
    common = {f"common{n}": "x" for n in range(60)}
    objects = [{**common, "kind": f"k{n % 60}"} for n in range(100)]
    judged(Collection(client, name), [{"objects": objects}], [])


def test_a_fault_under_many_large_alternatives_is_explained_at_once(
    client: httpx.Client, name: str
) -> None:
    members = {f"p{n}": NUMBER for n in range(800)}
    large = an_open_object(**members) | {"required": ["q"]}
    schema = an_open_object(x={"anyOf": [{"$ref": "#/$defs/b"}] * 800})
    registered(client, name, schema | {"$defs": {"b": large}})
    begun = time.monotonic()
    problem = assert_problem(
        Collection(client, name).create({"x": {"p1": ""}}), 422, "invalid-data"
    )
    assert time.monotonic() - begun < 20
    assert pointers(problem) == {"/x/p1", "/x/q"}


def test_an_explanation_is_bounded_whatever_the_schema(
    client: httpx.Client, name: str
) -> None:
    branch = {"$ref": "#/$defs/node"}
    node = {
        "anyOf": [
            an_open_object(a=branch) | {"required": ["b"]},
            an_open_object(a=branch) | {"required": ["c"]},
        ]
    }
    registered(client, name, an_open_object(a=branch) | {"$defs": {"node": node}})
    text = '{"a":' * 30 + "{}" + "}" * 30
    response = client.post(
        f"/api/{name}", content=text, headers={"content-type": "application/json"}
    )
    problem = assert_problem(response, 422, "invalid-data")
    assert len(problem["errors"]) <= 100
    assert len(response.content) < 80_000


# Numbers


@pytest.mark.parametrize(
    "member",
    [
        {"type": "string", "minLength": 2**70},
        {"type": "array", "minItems": 10**12},
        {"type": "number", "minimum": 1e300, "multipleOf": 1e-300},
    ],
    ids=json.dumps,
)
def test_a_bound_that_no_value_reaches_leaves_the_documentation_as_it_is(
    client: httpx.Client, name: str, member: Json
) -> None:
    schema = an_object(a=member) | {"required": ["a"]}
    registered(client, name, schema)
    assert client.get(f"/collections/{name}/openapi.json").status_code == 200
    assert client.get(f"/collections/{name}").status_code == 200


def test_a_bound_in_a_schema_is_not_data(client: httpx.Client, name: str) -> None:
    bound = 18446744073709551615
    schema = an_open_object(a={"type": "number", "maximum": bound, "minimum": -bound})
    assert registered(client, name, schema)["schema"] == schema
    assert definition(client, name)["schema"] == schema
    judged(Collection(client, name), [{"a": 2**63 - 1}], [{"a": 1e30}])
    refusal = put(client, name, schema, migration={"default": {"a": 2**70}})
    problem = assert_problem(refusal, 422, "invalid-schema")
    assert pointers(problem) == {"/migration/default/a"}


# Annotations


@pytest.mark.parametrize(
    "annotation",
    [
        {"title": "Other"},
        {"description": "what it is"},
        {"examples": [{"a": "x"}]},
        {"$comment": "why"},
        {"deprecated": True},
    ],
    ids=lambda annotation: next(iter(annotation)),
)
def test_an_annotation_changes_in_place(
    client: httpx.Client, name: str, annotation: Json
) -> None:
    schema = an_object(a=TEXT)
    registered(client, name, schema)
    own = Collection(client, name)
    record = own.created(a="x")
    changed = an_object(a=TEXT | annotation) | annotation
    answer = registered(client, name, changed)
    assert (answer["schema_version"], answer["migrated"]) == (1, 0)
    assert answer["schema"] == definition(client, name)["schema"] == changed
    assert own.record(record["id"]) == record
    answer = registered(client, name, an_object(a=TEXT | {"maxLength": 9}))
    assert answer["schema_version"] == 2


def test_what_changes_no_verdict_makes_no_version(
    client: httpx.Client, name: str
) -> None:
    schema = an_object(a={"enum": ["x", 1]}, b=TEXT) | {"required": ["a", "b"]}
    registered(client, name, schema)
    same = an_object(a={"enum": [1, "x"]}, b={"type": ["string"]})
    same |= {"required": ["b", "a"], "$defs": {"unused": {"type": "null"}}}
    answer = registered(client, name, same)
    assert (answer["schema_version"], answer["schema"]) == (1, same)
    other = same | {"properties": {**same["properties"], "a": {"enum": ["x"]}}}
    assert registered(client, name, other)["schema_version"] == 2


# Messages


def test_a_message_names_one_place_and_one_reason(
    client: httpx.Client, name: str
) -> None:
    problem = refused(client, name, an_open_object(a={"$ref": "#/$defs/none"}))
    assert problem["detail"] == (
        "/schema/properties/a/$ref #/$defs/none leads to no schema of this document"
    )
    problem = refused(client, name, an_open_object(a={"pattern": "(?<=a)b"}))
    assert problem["detail"].startswith("/schema/properties/a/pattern '(?<=a)b' is")


# Roots


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {"properties": {"a": TEXT}},
        {"type": ["object", "null"], "properties": {"a": TEXT}},
        {"anyOf": [{"type": "string"}, an_object(a=TEXT)]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"a": TEXT}}}},
    ],
    ids=json.dumps,
)
def test_a_root_that_admits_an_object_is_accepted(
    client: httpx.Client, name: str, schema: Any
) -> None:
    registered(client, name, schema)
    judged(Collection(client, name), [{"a": "x"}, {}], [])
    assert client.get(f"/collections/{name}/openapi.json").status_code == 200


# The safety budget


def test_a_schema_of_many_nodes_and_much_description_is_accepted(
    client: httpx.Client, name: str
) -> None:
    members = {f"p{n}": {"type": "integer"} for n in range(9_000)}
    schema = an_open_object(**members) | {"description": "x" * 300_000}
    registered(client, name, schema)
    judged(Collection(client, name), [{"p1": 1}], [{"p1": "x"}])


def test_a_pattern_means_what_ecma_262_says(client: httpx.Client, name: str) -> None:
    schema = an_open_object(
        dot={"pattern": "^.$"}, digit={"pattern": r"^\d$"}, word={"pattern": r"^\w$"}
    )
    registered(client, name, schema)
    judged(
        Collection(client, name),
        [{"dot": "\U0001f600"}, {"digit": "1"}, {"word": "a"}],
        [
            *({"dot": text} for text in ("\n", "\r", "\u2028", "\u2029")),
            {"digit": "\u0663"},
            {"word": "\u00e9"},
        ],
    )
