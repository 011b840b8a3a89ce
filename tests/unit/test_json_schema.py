"""JSON Schema: what is said of data that does not fit, what is filled in, what it may
cost (contract 6)."""

import gc
import json
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import reduce
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from persist.domain.errors import Invalid, InvalidData, InvalidPayload, InvalidSchema
from persist.domain.record import Data
from persist.entity_types.json_schema.compiled_schema import (
    UNEXPLAINED,
    CompiledSchema,
    compile_schema,
)
from tests.support.depth import examples
from tests.support.registered import AUDIT_EVENT

DOCUMENT: Data = {
    "event_name": "login",
    "duration_ms": 12,
    "payload": {"user_id": "u-42"},
    "source": "web",
}


def errors(
    schema: Any, data: Any, error: type[Invalid] = InvalidData
) -> dict[str, str]:
    """What is wrong with the data, by pointer."""
    with pytest.raises(error) as caught:
        compile_schema(schema, error)(data)
    found = dict(caught.value.errors)
    assert len(found) == len(caught.value.errors), "one error for each place"
    return found


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


# What is said


def test_every_missing_and_every_unknown_member_is_named_itself() -> None:
    schema = of(a={"type": "string"}) | {
        "required": ["a", "b"],
        "additionalProperties": False,
    }
    assert errors(schema, {"c": 1, "d/e": 2}) == {
        "/a": "is required",
        "/b": "is required",
        "/c": "is not a member this object may have",
        "/d~1e": "is not a member this object may have",
    }


def test_members_that_no_keyword_evaluated_are_named_themselves() -> None:
    schema = {
        "allOf": [of(a={}), {"if": {"required": ["b"]}, "then": of(b={})}],
        "unevaluatedProperties": False,
    }
    assert compile_schema(schema)({"a": 1, "b": 2}) == {"a": 1, "b": 2}
    assert errors(schema, {"a": 1, "c": 2}) == {
        "/c": "is not a member this object may have"
    }


def test_members_that_additional_properties_let_through_are_evaluated() -> None:
    schema = {
        "patternProperties": {"^a": {}},
        "additionalProperties": True,
        "unevaluatedProperties": False,
    }
    assert compile_schema(schema)({"b": 1}) == {"b": 1}


def test_an_object_of_nested_arrays_gives_the_full_pointer() -> None:
    schema = of(rows={"type": "array", "items": of(tags={"items": {"type": "string"}})})
    assert errors(schema, {"rows": [{"tags": ["x"]}, {"tags": ["x", None, 4]}]}) == {
        "/rows/1/tags/1": "must be a string",
        "/rows/1/tags/2": "must be a string",
    }


@pytest.mark.parametrize(
    ("schema", "value", "detail"),
    [
        ({"type": ["integer", "null"]}, "3", "must be an integer or null"),
        ({"type": "integer"}, 3.5, "must be an integer within 64 bits"),
        ({"type": "integer"}, 1e22, "must be an integer within 64 bits"),
        ({"type": "string"}, 1.5, "must be a string"),
        ({"type": "integer"}, True, "must be an integer"),
        ({"type": "boolean"}, 1, "must be true or false"),
        ({"enum": ["a", 1, None]}, True, 'must be one of "a", 1, null'),
        ({"enum": [{"a": [1]}]}, {"a": [True]}, 'must be one of {"a":[1]}'),
        ({"const": 1}, 2, "must be 1"),
        ({"minimum": 10}, 9.5, "must be 10 or more"),
        ({"exclusiveMaximum": 10}, 10, "must be less than 10"),
        ({"multipleOf": 0.01}, 19.999, "must be a multiple of 0.01"),
        ({"minLength": 1}, "", "must have 1 or more characters"),
        ({"maxLength": 2, "pattern": "^a"}, "bcd", "must have 2 or fewer characters"),
        ({"pattern": "^[a-z]+$"}, "A", 'must match the pattern "^[a-z]+$"'),
        (
            {"format": "date-time"},
            "2026-11-22T17:00:00",
            "must be a date and time with its zone, such as ",
        ),
        ({"minItems": 1}, [], "must have 1 or more items"),
        ({"maxProperties": 0}, {"a": 1}, "must have 0 or fewer members"),
        (
            {"contains": {"type": "null"}},
            [1],
            "must contain 1 or more items of the kind asked for",
        ),
        (
            {"contains": {}, "maxContains": 1},
            [1, 2],
            "must contain 1 or fewer items of the kind asked for",
        ),
        ({"not": {"type": "string"}}, "a", "is of a kind that the schema excludes"),
        (
            {"oneOf": [{"minimum": 1}, {"minimum": 2}]},
            3,
            "fits 2 alternatives where exactly one is meant to fit",
        ),
        (False, 1, "is not allowed here"),
    ],
)
def test_a_sentence_says_what_a_value_must_be(
    schema: Any, value: Any, detail: str
) -> None:
    assert errors(of(x=schema), {"x": value})["/x"].startswith(detail)


def test_several_reasons_at_one_pointer_are_one_error() -> None:
    schema = of(x={"minLength": 3, "pattern": "^[a-z]+$", "type": "string"})
    assert errors(schema, {"x": "A"}) == {
        "/x": 'must have 3 or more characters and must match the pattern "^[a-z]+$"'
    }


def test_a_repeated_item_is_named_with_the_one_it_repeats() -> None:
    schema = of(tags={"uniqueItems": True})
    assert errors(schema, {"tags": ["a", {"x": 1, "y": 2}, "a", {"y": 2, "x": 1}]}) == {
        "/tags/2": "repeats item 0",
        "/tags/3": "repeats item 1",
    }
    assert compile_schema(schema)({"tags": [1, True, "1", [1], ["1"], None, "null"]})


def test_a_surplus_item_is_named_itself() -> None:
    schema = of(pair={"prefixItems": [{}, {}], "items": False})
    assert errors(schema, {"pair": [1, 2, 3]}) == {"/pair/2": "is one item too many"}


def test_a_name_that_is_not_accepted_is_named_itself() -> None:
    schema = {"propertyNames": {"maxLength": 3}}
    assert errors(schema, {"long": 1, "ok": 1}) == {
        "/long": "has a name that is not accepted: it must have 3 or fewer characters"
    }


def test_what_another_member_demands_is_named_itself() -> None:
    schema = {"dependentRequired": {"card": ["address", "name"]}}
    assert errors(schema, {"card": 1, "name": 2}) == {
        "/address": "is required if card is present"
    }


def test_of_alternatives_the_one_of_the_right_type_speaks() -> None:
    schema = of(x={"anyOf": [{"type": "string", "minLength": 3}, {"type": "null"}]})
    assert errors(schema, {"x": "ab"}) == {"/x": "must have 3 or more characters"}
    assert errors(schema, {"x": 5}) == {"/x": "must be a string, or must be null"}


def test_of_alternatives_with_a_constant_the_one_that_was_meant_speaks() -> None:
    card = of(kind={"const": "card"}, number={"type": "string"}) | {
        "required": ["kind", "number"]
    }
    cash = of(kind={"const": "cash"}, till={"type": "integer"}) | {
        "required": ["kind", "till"]
    }
    schema = of(payment={"oneOf": [card, cash]})
    assert errors(schema, {"payment": {"kind": "cash", "till": "7"}}) == {
        "/payment/till": "must be an integer"
    }
    assert errors(schema, {"payment": {"kind": "card"}}) == {
        "/payment/number": "is required"
    }


def test_where_no_alternative_is_nearer_all_of_them_speak() -> None:
    schema = {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}
    assert errors(schema, {}) == {
        "": "fits none of 2 alternatives: /a is required; or /b is required"
    }


def test_a_condition_says_what_its_consequence_demands() -> None:
    schema = {
        "if": {"required": ["a"]},
        "then": {"required": ["b"]},
        "else": {"required": ["c"]},
    }
    assert errors(schema, {"a": 1}) == {"/b": "is required"}
    assert errors(schema, {}) == {"/c": "is required"}


def test_a_payload_that_does_not_fit_is_an_invalid_payload() -> None:
    assert errors({"required": ["a"]}, {}, InvalidPayload) == {"/a": "is required"}


def test_no_more_than_a_hundred_errors_are_reported() -> None:
    schema = of(rows={"items": {"type": "string"}})
    assert len(errors(schema, {"rows": list(range(100_000))})) == 100


def test_names_that_mean_something_elsewhere_are_plain_members() -> None:
    schema = of(
        **{
            "__proto__": {"type": "string"},
            "": {"type": "string"},
            "$ref": {"type": "string"},
        }
    )
    data = {"__proto__": "a", "": "b", "$ref": "c"}
    assert compile_schema(schema)(data) == data
    assert errors(schema, {"__proto__": 1, "": 2, "$ref": 3}).keys() == {
        "/__proto__",
        "/",
        "/$ref",
    }


# What is filled in


def filled(schema: Any, data: Data) -> Data:
    return compile_schema(schema)(data)


def test_defaults_are_filled_through_properties_items_references_and_all_of() -> None:
    schema = of(
        acknowledged={"type": "boolean", "default": False},
        note={"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        rows={"type": "array", "items": {"$ref": "#/$defs/row"}},
        origin={"$ref": "#/$defs/origin"},
    ) | {
        "allOf": [of(severity={"default": 10})],
        "$defs": {
            "row": of(unit={"default": "ms"}),
            "origin": of(host={"default": "h"}) | {"default": {}},
        },
    }
    assert filled(schema, {"rows": [{}, {"unit": "s"}]}) == {
        "acknowledged": False,
        "note": None,
        "severity": 10,
        "rows": [{"unit": "ms"}, {"unit": "s"}],
        "origin": {"host": "h"},
    }


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
def test_defaults_are_not_filled_through_branches(keyword: str) -> None:
    assert (
        filled(
            {
                keyword: [of(a={"default": 1})],
                "if": of(b={"default": 1}),
                "then": of(c={"default": 1}),
            },
            {},
        )
        == {}
    )


def test_a_required_member_with_a_default_may_be_left_out() -> None:
    assert filled(of(a={"default": 1}) | {"required": ["a"]}, {}) == {"a": 1}


def test_a_default_that_does_not_fit_its_own_schema_is_not_filled_in() -> None:
    schema = of(a={"default": 1, "type": "string"}, b={"default": 2})
    assert filled(schema, {}) == {"b": 2}


@pytest.mark.parametrize(
    "rule",
    [
        {"not": {"required": ["matrix", "translation"]}},
        {"maxProperties": 1},
        {"dependentRequired": {"matrix": ["scale"]}},
        {"propertyNames": {"enum": ["scale", "matrix"]}},
    ],
)
def test_filling_in_never_makes_a_valid_value_invalid(rule: Any) -> None:
    schema = of(matrix={"default": [1]}, translation={"default": [0]}) | rule
    assert filled(schema, {"scale": 1} if "maxProperties" in rule else {}) == (
        {"scale": 1} if "maxProperties" in rule else {}
    )


def test_what_is_invalid_with_and_without_defaults_is_refused() -> None:
    schema = of(a={"default": 1}, b={"type": "string"}) | {"maxProperties": 1}
    assert errors(schema, {"b": 2})["/b"] == "must be a string"


def test_filling_in_leaves_the_callers_data_unchanged_and_shares_no_default() -> None:
    validate = compile_schema(
        of(a={"default": {"list": []}}, rows={"items": of(x={"default": 1})})
    )
    data: Data = {"rows": [{}]}
    first, second = validate(data), validate(data)
    first["a"]["list"].append(1)
    assert data == {"rows": [{}]}
    assert second == {"rows": [{"x": 1}], "a": {"list": []}}


def test_where_nothing_is_to_be_filled_in_the_data_itself_is_given_back() -> None:
    assert filled(AUDIT_EVENT, DOCUMENT) is DOCUMENT
    complete = {"a": 1, "rows": [{"x": 2}]}
    assert (
        filled(of(a={"default": 0}, rows={"items": of(x={"default": 1})}), complete)
        is complete
    )


def test_a_default_of_a_whole_double_is_an_integer() -> None:
    value = filled(of(a={"type": "integer", "default": 30.0}), {})["a"]
    assert (value, type(value)) == (30, int)


# Some members of an object


def test_members_are_judged_by_themselves_without_the_others() -> None:
    schema = of(a={"$ref": "#/definitions/a"}, child={"$ref": "#"}) | {
        "$id": "https://example.com/node",
        "required": ["a"],
        "additionalProperties": False,
        "definitions": {"a": {"type": "string", "default": "x"}},
    }
    validate = CompiledSchema(schema).members_validator(InvalidPayload)
    assert validate({"child": {"a": "y"}}) == {"child": {"a": "y"}}
    with pytest.raises(InvalidPayload) as caught:
        validate({"a": 1, "b": 2, "child": {}})
    assert dict(caught.value.errors) == {
        "/a": "must be a string",
        "/b": "is not a member this object may have",
        "/child/a": "is required",
    }


def test_members_are_found_through_references_and_all_of() -> None:
    schema = {
        "$ref": "#/$defs/a",
        "allOf": [of(b={"type": "string"})],
        "$defs": {"a": of(a={"type": "integer"})},
    }
    with pytest.raises(InvalidPayload) as caught:
        CompiledSchema(schema).members_validator(InvalidPayload)(
            {"a": "1", "b": 2, "c": 3}
        )
    assert dict(caught.value.errors) == {
        "/a": "must be an integer",
        "/b": "must be a string",
    }


def test_no_members_at_all_are_refused() -> None:
    with pytest.raises(InvalidPayload, match="must have 1 or more members"):
        CompiledSchema(AUDIT_EVENT).members_validator(InvalidPayload)({})


def chain_of(keyword: str, length: int) -> dict[str, Any]:
    """A schema whose branches refer from one definition to the next."""
    links: dict[str, Any] = {
        f"link{number}": {
            keyword: [{"type": "integer"}, {"$ref": f"#/$defs/link{number + 1}"}]
        }
        for number in range(length)
    }
    links[f"link{length}"] = {"type": "object", "required": ["z"]}
    return of(a={"$ref": "#/$defs/link0"}) | {"$defs": links}


@pytest.mark.parametrize("length", [50, 300])
def test_a_deep_chain_of_branches_is_judged_and_explained(length: int) -> None:
    validate = compile_schema(chain_of("anyOf", length))
    for valid in ({"a": 1}, {"a": {"z": 1}}):
        assert validate(valid) == valid
    with pytest.raises(InvalidData) as refused:
        validate({"a": {"y": 1}})
    [(pointer, detail)] = refused.value.errors
    explained = {"/a/z": "is required", "": UNEXPLAINED}
    assert explained[pointer] == detail
    assert bool(pointer) is (length < 100)


# What it may cost


def seconds(action: Callable[[], Any]) -> float:
    """Processor time, so that a busy machine does not matter."""
    gc.collect()
    begun = time.process_time()
    action()
    return time.process_time() - begun


def refusal(schema: Any, data: Any) -> str:
    with pytest.raises(InvalidData) as caught:
        compile_schema(schema)(data)
    return caught.value.detail


def test_a_small_document_is_validated_in_microseconds() -> None:
    validate = compile_schema(AUDIT_EVENT)
    best = min(
        seconds(lambda: [validate(DOCUMENT) for _ in range(1_000)]) for _ in range(5)
    )
    assert best / 1_000 < 50e-6  # the engine in Python takes hundreds


def test_a_lawful_document_of_thirty_thousand_small_objects_is_validated_within_a_second() -> (
    None
):
    row = of(
        id={"type": "integer", "minimum": 0}, name={"type": "string", "minLength": 1}
    ) | {"required": ["id"]}
    data = {"rows": [{"id": number, "name": "n"} for number in range(30_000)]}
    validate = compile_schema(of(rows={"type": "array", "items": row}))
    assert seconds(lambda: validate(data)) < 1


def test_a_hundred_thousand_unique_objects_are_compared_within_two_seconds() -> None:
    validate = compile_schema(of(rows={"uniqueItems": True}))
    data = {"rows": [{"a": number} for number in range(100_000)]}
    assert seconds(lambda: validate(data)) < 2


def test_a_pattern_that_backtracks_elsewhere_takes_linear_time() -> None:
    schema = of(text={"pattern": "^(a+)+$"})
    assert seconds(lambda: errors(schema, {"text": "a" * 10_000 + "!"})) < 0.5


def test_a_text_too_long_for_a_heavy_pattern_is_refused_before_it_is_matched() -> None:
    """The engine would take half a minute, and hold the interpreter's lock the
    while."""
    schema = of(text={"pattern": "[a-m][a-z]{4000}[^a-z]"})
    assert "1000000 characters are too many" in refusal(
        schema, {"text": "abcdefghij" * 100_000}
    )


def test_what_takes_more_than_half_a_million_visits_is_refused_by_that_name() -> None:
    rows = {"rows": [0] * 300_000}
    validate = compile_schema(of(rows={"items": {"minimum": 0}}))
    with pytest.raises(InvalidData, match="more than 500000 visits") as caught:
        validate(rows)
    assert [violation.pointer for violation in caught.value.errors] == [""]


def test_versions_of_a_format_in_one_schema_cost_what_the_engine_does() -> None:
    """As the schema of CMakePresets.json has them: one branch a version, each of which
    describes the whole document."""
    text = {"type": "string"}
    variable = {"anyOf": [{"type": "null"}, {"type": "boolean"}, text, of(value=text)]}
    condition = {
        "oneOf": [
            of(type={"const": kind}, lhs=text, rhs=text) | {"required": ["type"]}
            for kind in ("const", "equals", "inList", "matches", "anyOf", "not")
        ]
    }
    preset = of(
        name=text,
        condition={"anyOf": [{"type": "boolean"}, condition]},
        cacheVariables={"additionalProperties": variable},
    )
    schema = {
        "type": "object",
        "oneOf": [
            of(version={"const": version}, presets={"items": preset})
            for version in range(2, 10)
        ],
    }
    made = {
        "name": "release",
        "condition": {"type": "equals", "lhs": "${hostSystemName}", "rhs": "Linux"},
        "cacheVariables": {f"CMAKE_VARIABLE_{number}": "ON" for number in range(6)},
    }
    document = {"version": 9, "presets": [made] * 180}
    assert 45_000 < len(json.dumps(document)) < 50_000
    assert compile_schema(schema)(document) == document


def test_a_bundle_of_one_of_many_kinds_costs_what_the_engine_does() -> None:
    """As STIX has them: every kind extends what all have in common."""
    text = {"type": "string"}
    common = of(type=text, id=text, labels={"items": text}) | {
        "required": ["type", "id"]
    }
    kinds = {
        f"kind-{number}": {
            "allOf": [
                {"$ref": "#/$defs/common"},
                of(
                    type={"enum": [f"kind-{number}"]},
                    id={"pattern": f"^kind-{number}--[0-9a-f-]{{36}}$"},
                ),
            ]
        }
        for number in range(60)
    }
    branches = [{"$ref": f"#/$defs/{kind}"} for kind in kinds]
    schema = of(objects={"items": {"oneOf": branches}}) | {
        "$defs": {"common": common, **kinds}
    }
    objects = [
        {
            "type": kind,
            "id": f"{kind}--0198c1d2-7c2f-4d6a-9f1e-2b3c4d5e6f70",
            "labels": ["malicious-activity", "attribution"],
        }
        for kind in kinds
    ]
    bundle = {"objects": objects}
    assert compile_schema(schema)(bundle) == bundle


def test_what_stands_after_a_part_that_does_not_hold_costs_nothing() -> None:
    common = of(**{f"m{number}": {"type": "string"} for number in range(10)})
    branches = [
        {"allOf": [of(kind={"const": f"kind-{number}"}), {"$ref": "#/$defs/common"}]}
        for number in range(40)
    ]
    schema = of(rows={"items": {"oneOf": branches}}) | {"$defs": {"common": common}}
    members = {f"m{number}": "x" for number in range(10)}
    rows = [{"kind": f"kind-{number % 40}", **members} for number in range(1_000)]
    assert compile_schema(schema)({"rows": rows}) == {"rows": rows}


@pytest.mark.parametrize(
    "below",
    [
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"oneOf": [{"$ref": "#"}, {"$ref": "#", "required": ["b"]}, {"type": "null"}]},
        {"if": {"$ref": "#"}, "then": {"$ref": "#"}, "else": {"$ref": "#"}},
        {
            "anyOf": [
                {"$ref": "#", "required": ["b"]},
                {"$ref": "#", "minProperties": 0},
            ]
        },
    ],
    ids=lambda below: next(iter(below)),
)
@pytest.mark.parametrize("innermost", [{}, {"d": 0}], ids=["valid", "invalid"])
def test_a_question_that_doubles_with_every_level_is_answered_once(
    below: Any, innermost: Data
) -> None:
    schema = {"type": "object", "properties": {"c": below, "d": {"type": "string"}}}
    data: Data = reduce(lambda inner, _: {"c": inner}, range(60), innermost)
    validate = compile_schema(schema)

    def attempt() -> None:
        with (
            nullcontext()
            if innermost == {}
            else pytest.raises(InvalidData, match="must be a string")
        ):
            validate(data)

    assert seconds(attempt) < 0.2


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (
            {"anyOf": [{"contains": {"const": number}} for number in range(500)]},
            [-1] * 50_000,
        ),
        ({"items": {"enum": [[number] for number in range(1_000)]}}, [[999]] * 100_000),
        (
            {"items": {"anyOf": [{"required": [str(n) for n in range(1_000)]}, {}]}},
            [{}] * 50_000,
        ),
        (
            {
                "unevaluatedItems": False,
                "anyOf": [{"items": {"minimum": n}} for n in range(300)],
            },
            [500] * 100_000,
        ),
        (
            {"patternProperties": {f"x{n}$": {} for n in range(500)}},
            {f"m{n}": 0 for n in range(50_000)},
        ),
        ({"items": {"format": "regex"}}, ["(a|b)" * 1_000] * 100),
        ({"items": {"format": "idn-hostname"}}, ["é" * 60] * 10_000),
        ({"items": of(**{f"m{n}": {"default": n} for n in range(500)})}, [{}] * 50_000),
    ],
    ids=[
        "contains",
        "enum",
        "required",
        "unevaluated",
        "patterns",
        "regex",
        "hostnames",
        "defaults",
    ],
)
def test_no_keyword_is_dearer_than_the_visits_it_is_charged(
    schema: Any, value: Any
) -> None:
    validate = compile_schema(of(x=schema))

    def attempt() -> None:
        with suppress(InvalidData):
            validate({"x": value})

    assert seconds(attempt) < 3


def test_defaults_do_not_swell_a_document_beyond_measure() -> None:
    schema = of(rows={"items": of(text={"default": "x" * 60_000})})
    assert "would add more than" in refusal(schema, {"rows": [{}] * 100_000})


def test_a_document_nested_too_deeply_is_refused_cleanly() -> None:
    schema = {
        "type": "object",
        "properties": {"next": {"$ref": "#"}},
        "additionalProperties": False,
    }
    data: Data = reduce(lambda below, _: {"next": below}, range(3_000), {})
    assert "nested too deeply" in refusal(schema, data)
    shallow: Data = reduce(lambda below, _: {"next": below}, range(64), {})
    assert compile_schema(schema)(shallow) is shallow


def test_a_pattern_beyond_the_engine_asserts_nothing_for_a_class_in_code() -> None:
    """Pydantic writes look-ahead into the schema of a decimal; the class itself judges
    the text."""
    schema = of(price={"type": "string", "pattern": r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"})
    assert compile_schema(schema)({"price": "1.50"}) == {"price": "1.50"}


def test_references_that_lead_nowhere_are_not_compiled() -> None:
    with pytest.raises(
        InvalidSchema, match="/properties/a/\\$ref: #/\\$defs/none leads to no schema"
    ):
        compile_schema(of(a={"$ref": "#/$defs/none"}))


# Agreement with jsonschema, on schemas and documents nobody thought of

NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from(["", "a", "ab", "b", 0.5]),
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
    ),
    max_leaves=8,
)
COUNTS, LIMITS = st.integers(0, 3), st.integers(-2, 2)
TYPES = st.sampled_from(
    ["object", "array", "string", "number", "integer", "boolean", "null"]
)
NAME_LISTS = st.lists(NAMES, max_size=2, unique=True)
PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
    "enum": st.lists(DOCUMENTS, min_size=1, max_size=3),
    "const": DOCUMENTS,
    "required": NAME_LISTS,
    "dependentRequired": st.dictionaries(NAMES, NAME_LISTS, max_size=2),
    "uniqueItems": st.booleans(),
    "multipleOf": st.integers(1, 3),
    "pattern": st.sampled_from(["^a", "b$", "^$"]),
    **dict.fromkeys(
        ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), LIMITS
    ),
    **dict.fromkeys(
        (
            "minLength",
            "maxLength",
            "minItems",
            "maxItems",
            "minProperties",
            "maxProperties",
        ),
        COUNTS,
    ),
}
ONE = (
    *(
        "additionalProperties",
        "items",
        "contains",
        "not",
        "if",
        "then",
        "else",
        "propertyNames",
    ),
    *("unevaluatedProperties", "unevaluatedItems"),
)
SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems")
NAMED = ("properties", "dependentSchemas", "patternProperties")


@st.composite
def schemas(draw: st.DrawFn, depth: int = 3) -> Any:
    if draw(st.integers(0, 9)) == 0:
        return draw(st.booleans())
    deeper = (*ONE, *SEVERAL, *NAMED, "$ref") if depth else ()
    keywords = draw(
        st.lists(st.sampled_from([*PLAIN, *deeper, *deeper]), max_size=4, unique=True)
    )
    return {keyword: draw(value_of(keyword, depth - 1)) for keyword in keywords}


def value_of(keyword: str, depth: int) -> st.SearchStrategy[Any]:
    if keyword in ONE:
        return schemas(depth)
    if keyword in SEVERAL:
        return st.lists(schemas(depth), min_size=1, max_size=3)
    if keyword in NAMED:
        return st.dictionaries(NAMES, schemas(depth), max_size=3)
    return PLAIN.get(keyword, st.sampled_from(["#/$defs/a", "#/$defs/b"]))


@settings(max_examples=examples(50), deadline=None)
@given(schemas(), schemas(0), schemas(0), st.lists(DOCUMENTS, min_size=1, max_size=6))
def test_data_is_accepted_exactly_where_jsonschema_accepts_it(
    schema: Any, a: Any, b: Any, documents: list[Any]
) -> None:
    whole = schema | {"$defs": {"a": a, "b": b}} if isinstance(schema, dict) else schema
    judge, validate = Draft202012Validator(whole), compile_schema(whole)
    for document in documents:
        if judge.is_valid(document):
            assert validate(document) is document
        else:
            assert errors(whole, document)
