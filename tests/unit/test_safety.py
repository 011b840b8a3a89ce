"""Safety: which schemas are let in (contract 6, the safety budget).

Without the bounds tested here, the schemas below hang a validator, fetch what they
name, or fill the memory.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from persist.domain.errors import InvalidSchema
from persist.entity_types.json_schema.admission import admit, check_schema
from persist.entity_types.json_schema.compiled_schema import compile_schema

OBJECT = {"type": "object"}


def refused(schema: Any) -> dict[str, str]:
    """What ``check_schema`` has against a schema, by pointer; said within seconds of
    work."""
    begun = time.process_time()
    with pytest.raises(InvalidSchema) as caught:
        check_schema(schema)
    assert time.process_time() - begun < 5
    return dict(caught.value.errors)


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def nested(levels: int) -> Any:
    innermost: Any = {}
    return reduce(lambda below, _: {"not": below}, range(levels - 1), innermost)


# Size


def test_a_schema_of_512_kib_is_accepted_and_one_more_byte_is_not() -> None:
    room = 512 * 1024 - len('{"not":{"const":""}}')
    check_schema({"not": {"const": "x" * room}})
    assert refused({"not": {"const": "x" * (room + 1)}}) == {
        "": "takes 524289 bytes as JSON, 524288 are allowed"
    }


def test_size_counts_bytes_and_not_characters() -> None:
    assert "" in refused(OBJECT | {"const": "é" * 264_000})


@pytest.mark.parametrize("keyword", ["description", "title", "$comment"])
def test_annotations_do_not_count(keyword: str) -> None:
    check_schema(of(**{keyword: {keyword: "x" * 600_000}}))


def test_a_schema_48_deep_is_accepted_and_one_deeper_is_not() -> None:
    check_schema(OBJECT | {"not": nested(47)})
    assert refused(OBJECT | {"not": nested(48)}) == {
        "/not" * 48: "is nested more than 48 deep"
    }


def test_a_schema_thousands_deep_is_refused_like_any_other() -> None:
    innermost: Any = []
    deep = reduce(lambda below, _: [below], range(5_000), innermost)
    assert list(refused(OBJECT | {"x": deep}).values()) == [
        "is nested more than 48 deep"
    ]


def test_a_schema_of_10000_nodes_is_accepted_and_one_more_is_not() -> None:
    check_schema(of(**{f"p{number}": {} for number in range(9_998)}))
    assert refused(of(**{f"p{number}": {} for number in range(9_999)})) == {
        "": "has 10001 objects and arrays, 10000 are allowed"
    }


def test_a_schema_as_large_as_may_be_is_judged_at_once() -> None:
    schema = of(**{f"p{number}": {"type": "string"} for number in range(1_990)})
    check_schema(OBJECT)
    begun = time.process_time()
    check_schema(schema)
    assert time.process_time() - begun < 2


# Form


def test_every_violation_of_the_meta_schema_is_named() -> None:
    schema = of(a=5, b={"minLength": -1, "type": ["string", "strung"]}) | {
        "required": "a"
    }
    assert refused(schema).keys() == {
        "/properties/a",
        "/properties/b/minLength",
        "/properties/b/type",
        "/required",
    }


@pytest.mark.parametrize("schema", [[], "object", None, 5])
def test_a_schema_is_an_object(schema: Any) -> None:
    assert refused(schema) == {
        "": "must be an object, the JSON Schema of an object type"
    }


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        OBJECT,
        {"type": ["object", "null"]},
        {"properties": {"a": {}}},
        {"anyOf": [OBJECT, {}]},
        {"anyOf": [OBJECT, {"type": "string"}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": OBJECT}},
        {"allOf": [{}, {"$ref": "#/$defs/a"}], "$defs": {"a": OBJECT}},
        {"oneOf": [of(a={}), of(b={})]},
        {"enum": [1, {"a": 1}]},
        {"not": {"required": ["a"], "type": "object"}},
    ],
)
def test_a_root_that_admits_objects_is_accepted(schema: Any) -> None:
    check_schema(schema)


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        (False, ""),
        ({"type": "string"}, "/type"),
        ({"allOf": [OBJECT, {"type": "array"}]}, ""),
        ({"enum": [1, "x"]}, ""),
        ({"allOf": [{"const": []}]}, ""),
        ({"not": {"type": ["object", "null"]}}, ""),
        ({"not": {}}, ""),
        (
            {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}], "$defs": {"a": False}},
            "",
        ),
    ],
)
def test_a_root_that_admits_no_object_is_refused(schema: Any, pointer: str) -> None:
    assert refused(schema) == {
        pointer: "admits no object, so no record could be stored"
    }


@pytest.mark.parametrize(
    "named", [5, None, {}, "draft-07", "http://json-schema.org/draft-03/schema#"]
)
def test_a_draft_that_is_not_known_is_named(named: Any) -> None:
    assert refused(OBJECT | {"$schema": named}).keys() == {"/$schema"}


def test_the_draft_itself_may_be_named() -> None:
    check_schema(OBJECT | {"$schema": "https://json-schema.org/draft/2020-12/schema"})


# References


@contextmanager
def listener() -> Iterator[tuple[int, list[str]]]:
    """A port on loopback, and who has called."""
    calls: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def accept() -> None:
            while True:
                connection, _ = server.accept()
                with connection:
                    request = connection.recv(1_000).decode()
                    if request == "stop":
                        return
                    calls.append(request)
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Length:"
                        b' 17\r\n\r\n{"type":"string"}'
                    )

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield port, calls
        finally:
            with socket.create_connection(("127.0.0.1", port)) as last:
                last.sendall(b"stop")
            thread.join()


def test_a_remote_reference_is_refused_and_nothing_is_fetched() -> None:
    with listener() as (port, calls):
        url = f"http://127.0.0.1:{port}/type.json"
        schema = of(a={"$ref": url}, b={"$dynamicRef": f"{url}#a"}) | {
            "$id": f"http://127.0.0.1:{port}/root"
        }
        outside = "leads out of the schema; only references within it are followed"
        assert refused(schema | {"$defs": {"c": {"$ref": "other.json"}}}) == {
            "/properties/a/$ref": f"{url} {outside}",
            "/properties/b/$dynamicRef": f"{url}#a {outside}",
            "/$defs/c/$ref": f"other.json {outside}",
        }
        with pytest.raises(InvalidSchema, match="leads out of the schema"):
            compile_schema(schema)
    assert calls == []


def test_a_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "type.json"
    file.write_text('{"type": "string"}')
    assert refused(of(a={"$ref": file.as_uri()})).keys() == {"/properties/a/$ref"}


@pytest.mark.parametrize(
    "reference",
    ["#/$defs/none", "#none", "#/type", "#/examples/0", "#/required/-", "http://[bad"],
)
def test_a_reference_that_leads_to_no_schema_is_named(reference: str) -> None:
    schema = of(a={"$ref": reference}) | {
        "examples": [{"type": "string"}],
        "required": ["a"],
    }
    assert refused(schema).keys() == {"/properties/a/$ref"}


def test_an_id_that_is_no_reference_is_named() -> None:
    assert refused(of(a={"$id": "http://[bad"})) == {
        "/properties/a/$id": "must be a URI reference"
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {
            "allOf": [{"$ref": "#/$defs/a"}],
            "$defs": {"a": {"anyOf": [{"not": {"$ref": "#"}}]}},
        },
        {
            "if": {"$ref": "#/$defs/a"},
            "$defs": {"a": {"dependentSchemas": {"b": {"$ref": "#"}}}},
        },
        {"$dynamicRef": "#a", "$dynamicAnchor": "a"},
        of(a={"$ref": "#/properties/a"}),
    ],
)
def test_a_reference_that_consumes_nothing_of_the_value_is_refused(schema: Any) -> None:
    assert list(refused(OBJECT | schema).values()) == ["refers to itself forever"]


def test_a_recursive_schema_that_goes_down_the_value_is_let_in() -> None:
    check_schema(
        of(left={"$ref": "#"}, right={"$ref": "#"}, rows={"items": {"$ref": "#"}})
    )


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_references_that_fan_out_are_refused(keyword: str) -> None:
    """Thirty lines that unfold to a billion schemas."""
    levels = {
        f"a{n}": {keyword: [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(30)
    }
    schema = OBJECT | {"$ref": "#/$defs/a0", "$defs": levels | {"a30": {}}}
    assert list(refused(schema).values()) == [
        "unfolds to more than 2000 schemas for one value: its references fan out"
    ]


def test_a_definition_used_in_many_places_is_no_fan_out() -> None:
    address = of(**{f"line{number}": {"type": "string"} for number in range(20)})
    check_schema(
        of(**{f"a{n}": {"$ref": "#/$defs/address"} for n in range(200)})
        | {"$defs": {"address": address}}
    )


# Patterns


def test_patterns_that_need_backtracking_are_named() -> None:
    schema = of(a={"pattern": "(?=a)"}, b={"pattern": r"(a)\1"}) | {
        "patternProperties": {"a/(": {}}
    }
    assert refused(schema | {"$defs": {"unused": {"pattern": "("}}}).keys() == {
        "/properties/a/pattern",
        "/properties/b/pattern",
        "/patternProperties/a~1(",
        "/$defs/unused/pattern",
    }


def test_patterns_that_are_too_heavy_in_sum_are_refused() -> None:
    patterns = {f"p{number}": {"pattern": "a{4000}"} for number in range(25)}
    assert refused(of(**patterns)) == {
        "": "its patterns unfold to 51200 states in sum, 50000 are allowed"
    }


# Defaults


def warned(schema: Any) -> dict[str, str]:
    """What the author of a schema is warned of, by pointer."""
    return dict(admit(schema).warnings)


def test_a_default_that_does_not_fit_its_own_schema_is_a_warning() -> None:
    schema = of(
        a={"type": "string", "default": None},
        b={"$ref": "#/$defs/b"},
        c={"items": {"default": 1}},
    )
    warning = "does not fit its own schema and is not filled in: it must be"
    assert warned(schema | {"$defs": {"b": {"type": "integer", "default": "n"}}}) == {
        "/properties/a/default": f"{warning} a string",
        "/$defs/b/default": f"{warning} an integer",
    }


def test_a_default_that_fills_itself_without_end_is_a_warning() -> None:
    schema = of(child={"$ref": "#", "default": {}})
    assert list(warned(schema)) == ["/properties/child/default"]


def test_a_default_that_is_only_an_annotation_is_not_judged() -> None:
    check_schema(of(a={"anyOf": [{"type": "string", "default": 5}, {"type": "null"}]}))


# Names


def test_any_text_may_be_the_name_of_a_member() -> None:
    names = [
        "__proto__",
        "",
        "$ref",
        "constructor",
        "名前",
        "a/b~c",
        "a b",
        "\U0001f600",
    ]
    check_schema(
        of(**{name: {"type": "string"} for name in names}) | {"required": names}
    )
