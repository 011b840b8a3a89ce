import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persist.domain.entity_type import EntityType, Kind
from persist.domain.errors import InvalidQuery
from persist.domain.field import FieldType
from persist.domain.field_types import stored_time
from persist.domain.query import Call, Expression, Function, Member, Parameter
from persist.entity_types.cel.filter import compile_filter
from persist.entity_types.cel.parser import parse
from tests.support.depth import examples

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["title", "severity", "price", "acknowledged"],
    "properties": {
        "title": {"type": "string"},
        "severity": {"type": "integer"},
        "price": {"type": "number"},
        "acknowledged": {"type": "boolean"},
        "note": {"type": ["string", "null"]},
        "payload": {"type": "object"},
        "tags": {"type": "array"},
        "owner": {"$ref": "#/$defs/owner"},
        "odd name": {"type": "string"},
        "a.b": {"type": "integer"},
        "in": {"type": "integer"},
        "": {"type": "integer"},
        "__proto__": {"type": "string"},
        "größe": {"type": "integer"},
    },
    "$defs": {
        "owner": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"name": {"type": "string"}},
        }
    },
}
TICKETS = EntityType(
    name="tickets",
    kind=Kind.REGISTERED,
    schema_version=1,
    schema=SCHEMA,
    validate=lambda data: data,
    commands={},
)
ALWAYS = "not(isnull(_id))"
NEVER = "isnull(_id)"


def written(expression: Expression) -> str:
    if isinstance(expression, Member):
        return expression.field.name
    if isinstance(expression, Parameter):
        return f"${expression.index} {expression.type}"
    return f"{expression.function}({', '.join(map(written, expression.arguments))})"


def compiled(text: str) -> tuple[str, tuple[Any, ...]]:
    where, values = compile_filter(text, TICKETS)
    return written(where), values


def refusal(text: str, type: EntityType = TICKETS) -> str:
    with pytest.raises(InvalidQuery) as caught:
        compile_filter(text, type)
    return caught.value.detail


def test_the_example_of_the_contract_becomes_a_condition_with_its_values_apart() -> (
    None
):
    text = 'data.severity >= 30 && (data.acknowledged || data.title.contains("db"))'
    expected = (
        "and(gte(severity, $0 integer), or(acknowledged, contains(title, $1 string)))"
    )
    assert compiled(text) == (expected, (30, "db"))


def test_parameters_are_counted_from_the_offset() -> None:
    where, values = compile_filter(
        "data.severity > 1 && data.severity < 5", TICKETS, offset=7
    )
    assert (written(where), values) == (
        "and(gt(severity, $7 integer), lt(severity, $8 integer))",
        (1, 5),
    )


def test_two_filters_that_differ_in_their_values_only_have_the_same_condition() -> None:
    one, _ = compile_filter('data.title == "a" && data.price in [1.5, 2.5]', TICKETS)
    other, _ = compile_filter('data.title == "b" && data.price in [3.5, 4.5]', TICKETS)
    assert one == other


@pytest.mark.parametrize(
    ("text", "condition", "values"),
    [
        ("data.severity == 30", "eq(severity, $0 integer)", (30,)),
        ("data.severity != 30", "ne(severity, $0 integer)", (30,)),
        ("data.severity < 30.5", "lt(severity, $0 number)", (30.5,)),
        ("data.severity == 30.0", "eq(severity, $0 integer)", (30,)),
        ("data.price <= 3", "lte(price, $0 integer)", (3,)),
        ("data.price > -2.5", "gt(price, $0 number)", (-2.5,)),
        ("data.severity == -(5)", "eq(severity, $0 integer)", (-5,)),
        (
            "data.severity >= -9223372036854775808",
            "gte(severity, $0 integer)",
            (-(2**63),),
        ),
        ("data.severity + 1 > 2", "gt(add(severity, $0 integer), $1 integer)", (1, 2)),
        (
            "data.price * 2 > 3",
            "gt(multiply(price, $0 number), $1 number)",
            (2.0, 3.0),
        ),
        ("data.severity == 2 * 3 + 1", "eq(severity, $0 integer)", (7,)),
        ("data.severity == 0x1F", "eq(severity, $0 integer)", (31,)),
        ("data.severity == 7u", "eq(severity, $0 integer)", (7,)),
        ("data.acknowledged == false", "eq(acknowledged, $0 boolean)", (False,)),
        ("data.title == ''", "eq(title, $0 string)", ("",)),
        (r'data.title == "\u00e9😀\n"', "eq(title, $0 string)", ("é😀\n",)),
        ("!data.acknowledged", "not(acknowledged)", ()),
        ("data.payload.flag", "eq(payload.flag, $0 boolean)", (True,)),
        ("data.payload.a.b == 'u-42'", "eq(payload.a.b, $0 string)", ("u-42",)),
        ("data.owner.name == 'x'", "eq(owner.name, $0 string)", ("x",)),
        ("record.revision > 3", "gt(_revision, $0 integer)", (3,)),
        ("record.schema_version == 1", "eq(_schema_version, $0 integer)", (1,)),
        ("record.collection == 'a'", "eq(_collection, $0 string)", ("a",)),
        ("record.workspace == null", "isnull(_workspace)", ()),
        ("record.id.startsWith('0198')", "startswith(_id, $0 string)", ("0198",)),
        ("data.title.endsWith('x')", "endswith(title, $0 string)", ("x",)),
        ("data.payload.s.contains('x')", "contains(payload.s, $0 string)", ("x",)),
    ],
)
def test_a_comparison_takes_the_literals_own_type(
    text: str, condition: str, values: tuple[Any, ...]
) -> None:
    assert compiled(text) == (condition, values)


@pytest.mark.parametrize(
    ("turned", "straight"),
    [
        ("30 < data.severity", "data.severity > 30"),
        ("30 <= data.severity", "data.severity >= 30"),
        ("30 > data.severity", "data.severity < 30"),
        ("30 >= data.severity", "data.severity <= 30"),
        ("30 == data.severity", "data.severity == 30"),
        ("null != data.note", "data.note != null"),
    ],
)
def test_a_literal_on_the_left_is_turned_to_the_right(
    turned: str, straight: str
) -> None:
    assert compiled(turned) == compiled(straight)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("data.note == null", "isnull(note)"),
        ("data.note != null", "not(isnull(note))"),
        ("data.tags == null", "isnull(tags)"),
        ("has(data.note)", "not(isnull(note))"),
        ("has(data.title)", "not(isnull(title))"),
        ("has(record.id)", ALWAYS),
        ("!has(data.payload.user_id)", "not(not(isnull(payload.user_id)))"),
        ('"note" in data', "not(isnull(note))"),
        ('"a.b" in data', "not(isnull(a.b))"),
        ('"x y" in data.payload', "not(isnull(payload.x y))"),
    ],
)
def test_null_and_presence_are_one_question(text: str, condition: str) -> None:
    assert compiled(text) == (condition, ())


@pytest.mark.parametrize(
    ("text", "condition", "values"),
    [
        ("'red' in data.tags", "has(tags, $0 string)", ("red",)),
        ("2.5 in data.tags", "has(tags, $0 number)", (2.5,)),
        ("size(data.tags) >= 2", "gte(len(tags), $0 integer)", (2,)),
        ("data.tags.size() == 0", "eq(len(tags), $0 integer)", (0,)),
        (
            "'x y' in data.payload.deep",
            "or(not(isnull(payload.deep.x y)), has(payload.deep, $0 string))",
            ("x y",),
        ),
    ],
)
def test_a_list_is_searched_and_measured(
    text: str, condition: str, values: tuple[Any, ...]
) -> None:
    assert compiled(text) == (condition, values)


def test_a_list_of_literals_is_one_call_and_null_in_it_is_asked_apart() -> None:
    assert compiled("data.severity in [1, 2.5]") == (
        "in(severity, $0 integer, $1 number)",
        (1, 2.5),
    )
    assert compiled("data.note in ['a', null]") == (
        "or(in(note, $0 string), isnull(note))",
        ("a",),
    )
    assert compiled("data.note in [null]") == ("isnull(note)", ())
    assert compiled("data.note in []") == (NEVER, ())


def test_a_bare_truth_value_holds_always_or_never() -> None:
    assert compiled("true") == (ALWAYS, ())
    assert compiled("false") == (NEVER, ())
    assert compiled("data.acknowledged || true") == (f"or(acknowledged, {ALWAYS})", ())


def test_chains_of_and_and_or_become_one_call_each() -> None:
    terms = [f"data.severity == {n}" for n in range(60)]
    where, values = compile_filter(" || ".join(terms), TICKETS)
    assert isinstance(where, Call)
    assert (where.function, len(where.arguments), values) == (
        Function.OR,
        60,
        tuple(range(60)),
    )


def test_members_are_compared_with_members_of_a_like_type() -> None:
    assert compiled("data.title == data.note") == ("eq(title, note)", ())
    assert compiled("data.severity < data.price") == ("lt(severity, price)", ())
    assert compiled("record.updated_at > record.created_at") == (
        "gt(_updated_at, _created_at)",
        (),
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('data["odd name"] == "x"', "odd name"),
        ("data.`odd name` == 'x'", "odd name"),
        ('data["in"] == 1', "in"),
        ('data["a.b"] == 1', "a.b"),
        ('data[""] == 1', ""),
        ('data["größe"] == 1', "größe"),
        ("data.__proto__ == 'x'", "__proto__"),
    ],
)
def test_any_member_name_can_be_written(text: str, name: str) -> None:
    where, _ = compile_filter(text, TICKETS)
    assert isinstance(where, Call)
    assert isinstance(where.arguments[0], Member)
    assert where.arguments[0].field.path == (name,)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("2026-11-22T17:00:00Z", "2026-11-22T17:00:00.000000Z"),
        ("2026-11-22t18:00:00.5+01:00", "2026-11-22T17:00:00.500000Z"),
        ("2026-11-22T17:00:00.123456000Z", "2026-11-22T17:00:00.123456Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_a_time_is_compared_as_the_envelope_stores_it(given: str, stored: str) -> None:
    assert stored_time(given) == stored
    assert compiled(f'record.created_at < timestamp("{given}")') == (
        "lt(_created_at, $0 date-time)",
        (stored,),
    )


@pytest.mark.parametrize(
    "given",
    [
        "yesterday",
        "2026-11-22",
        "2026-11-22 17:00:00Z",
        "2026-11-22T17:00:00",
        "2026-13-22T17:00:00Z",
        "2026-11-22T17:00:60Z",
        "2026-11-22T17:00:00.1234567Z",
        "0001-01-01T00:00:00+05:00",
        "２026-11-22T17:00:00Z",
    ],
)
def test_what_is_no_storable_time_is_refused(given: str) -> None:
    assert given in refusal(f'record.created_at < timestamp("{given}")')


def test_times_compare_with_times_only() -> None:
    assert 'timestamp("…")' in refusal('record.created_at < "2026-11-22T17:00:00Z"')
    assert 'timestamp("…")' in refusal("record.created_at in ['2026-11-22T17:00:00Z']")
    assert "data.title" in refusal('data.title < timestamp("2026-11-22T17:00:00Z")')
    assert "a time" in refusal("record.created_at == data.title")
    assert "a time" in refusal("record.created_at.startsWith('2026')")
    assert "one literal" in refusal("record.created_at < timestamp(data.title)")
    assert "takes text" in refusal(
        'data.title.contains(timestamp("2026-11-22T17:00:00Z"))'
    )


@pytest.mark.parametrize(
    ("text", "unknown", "nearest"),
    [
        ("data.sevrity > 1", "data.sevrity", "data.severity"),
        ("has(data.tilte)", "data.tilte", "data.title"),
        ('"notes" in data', "data.notes", "data.note"),
        ("data.owner.nam == 'x'", "data.owner.nam", "data.owner.name"),
        ('data["odd-name"] == 1', 'data["odd-name"]', 'data["odd name"]'),
        ("record.create_at > 1", "record.create_at", "record.created_at"),
        ('data["grösse"] == 1', 'data["grösse"]', 'data["größe"]'),
    ],
)
def test_an_unknown_member_is_named_with_the_nearest_known_one(
    text: str, unknown: str, nearest: str
) -> None:
    detail = refusal(text)
    assert f"unknown member {unknown}" in detail
    assert f"the nearest known one is {nearest}" in detail


def test_a_member_below_a_scalar_and_an_unknown_name_are_explained() -> None:
    assert "data.title is of type string and has no members" in refusal(
        "data.title.length == 1"
    )
    assert "unknown name severity; members are written data.<name>" in refusal(
        "severity > 1"
    )
    assert "unknown name .data" in refusal(".data.title == 'x'")
    assert "name a member" in refusal("data == 1")
    assert "name a member" in refusal("record")


def test_a_type_without_any_member_has_no_nearest_one() -> None:
    empty = EntityType(
        "empty",
        Kind.REGISTERED,
        1,
        {"type": "object", "additionalProperties": False},
        lambda data: data,
        {},
    )
    assert (
        refusal("data.x == 1", empty)
        == "filter: unknown member data.x (at character 5)"
    )


@pytest.mark.parametrize(
    "text",
    [
        'data.severity == "x"',
        "data.severity == true",
        "data.severity in [1, 'x']",
        "data.title == 1",
        "data.title < false",
        "data.acknowledged == 1",
        "data.acknowledged > true",
        "data.acknowledged < data.acknowledged",
        "data.payload.x > true",
        "data.note > null",
        "data.tags == 1",
        "data.payload == 'x'",
        "data.tags == data.tags",
        "data.title == data.severity",
        "data.title == data.acknowledged",
        "data.title == data.payload.a",
        "data.payload.a == data.payload.b",
    ],
)
def test_a_comparison_between_types_that_do_not_compare_is_refused(text: str) -> None:
    assert "cannot compare" in refusal(text)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("size(data.title) > 1", "size()"),
        ("data.title.size() > 1", "size()"),
        ("data.title.matches('(a*)*b')", "matches()"),
        ("data.tags.exists(tag, tag == 'x')", "exists()"),
        ("data.tags.all(a, data.tags.all(b, a == b))", "all()"),
        ("int(data.title) == 1", "int()"),
        ("data.title.contains()", "contains()"),
        ("contains(data.title)", "contains()"),
        ("data.acknowledged ? true : false", "?:"),
        ("data.tags[0] == 1", "an element of a stored list"),
        ("{'a': 1} == data.payload", "a map"),
    ],
)
def test_what_a_filter_cannot_say_is_refused_by_name(text: str, part: str) -> None:
    assert f"{part} is not available in a filter" in refusal(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("data.title == 'a' + 'b'", '+ takes numbers, not the string "a"'),
        ("data.title + 1 == 2", "+ takes numbers, not data.title (of type string)"),
        ("-data.tags == 1", "- takes numbers, not data.tags (of type array)"),
        ("record.created_at - 1 < 2", "- takes numbers, not record.created_at"),
        ("data.severity + true == 2", "+ takes numbers, not the boolean true"),
        ("data.severity * 2 == null", "== takes numbers, not null"),
        ("data.severity * 2 in ['x']", '== takes numbers, not the string "x"'),
        ("data.price % 2 == 0", "% takes whole numbers"),
        ("data.severity == 1 / 0", "1 / 0 is not a number that can be stored"),
        ("data.severity + 1", "size() and arithmetic are compared with a number"),
        ("data.severity" + " + 1" * 9 + " > 0", "nests at most 8 deep"),
        (f"-data.severity in {list(range(101))}", "at most 100 literals"),
        (
            "9223372036854775807 + 1 > data.severity",
            "is not a number that can be stored",
        ),
    ],
)
def test_arithmetic_takes_numbers_only(text: str, reason: str) -> None:
    assert reason in refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "1",
        '"x"',
        "null",
        "data.title",
        "data.tags",
        "1 == 1",
        "1 in [1]",
        "data.severity in data.tags",
        "data.severity in [data.price]",
        "has(data.tags[0].x)",
        "(data.severity > 1) == true",
        "[1] == data.tags",
        "data.title == b'x'",
        "data.title.contains(data.note)",
        "'x'.contains(data.title)",
        "data.severity.contains('x')",
        "data.title.startsWith(1)",
        "data.severity == 9223372036854775808",
        "data.severity == -(-9223372036854775808)",
        "data.severity == 18446744073709551615u",
        "data.severity > 1e999",
        r"data.title == '\u0000'",
        r"data.title == '\ud800'",
        "data.title == '\0'",
        "data.title == '\ud800'",
        "tickets{title: 'x'} == data",
        "data.?title == 'x'",
        "int == int",
    ],
)
def test_nonsense_is_an_invalid_query_and_not_a_crash(text: str) -> None:
    assert refusal(text).startswith("filter: ")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("data.severity >", 16),
        ("data.severity = 1", 15),
        ("", 1),
        ("data.severity > 1 &&\n data.title == ", 37),
        ("data.title == 'a' && data.sevrity > 1", 26),
    ],
)
def test_a_refusal_says_at_which_character(text: str, place: int) -> None:
    assert refusal(text).endswith(f"(at character {place})")


def test_a_name_that_is_a_keyword_is_refused_with_the_way_to_write_it() -> None:
    assert 'data["name"]' in refusal("data.in == 1")
    assert 'data["name"]' in refusal("data.größe == 1")


def test_a_filter_of_more_than_2000_characters_is_refused_with_the_limit() -> None:
    at_the_limit = "data.title == '" + "x" * 1_984 + "'"
    assert len(at_the_limit) == 2_000
    assert compiled(at_the_limit)[1] == ("x" * 1_984,)
    assert "2000 are allowed" in refusal(at_the_limit + " ")
    assert "2000 are allowed" in refusal(" || ".join(["data.acknowledged"] * 2_000))


HOSTILE = {
    "parentheses": "(" * 990 + "true" + ")" * 990,
    "open parentheses": "(" * 2_000,
    "brackets": "[" * 1_000 + "]" * 1_000,
    "braces": "{1:" * 500 + "1" + "}" * 500,
    "calls": "f(" * 600 + ")" * 600,
    "sums": "1+" * 999 + "1",
    "selections": "data" + ".a" * 990,
    "indexes": "data" + "[0]" * 660,
    "conditionals": "a?b:" * 499 + "c",
    "negations of brackets": "!(" * 600 + "true" + ")" * 600,
    "an open string": "'" + "a" * 1_990,
    "emoji": "😀" * 2_000,
    "dots": "." * 2_000,
    "backslashes": "\\" * 2_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_is_refused_at_once(text: str) -> None:
    started = time.process_time()
    assert refusal(text)
    assert time.process_time() - started < 2


TOKENS = (
    "data record .title .severity .tags .payload .x [ ] ( ) { } , ? : && || ! - + == !="
    " < >= in has( timestamp( .contains( .all( 1 1.5 1u 0x1 'a' \"b\" '' `a.b` true"
    " null data.title data.acknowledged == \\ ''' b'x' é // 😀"
)


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(st.sampled_from(TOKENS.split()), max_size=30).map(" ".join)
    | st.text(max_size=60)
)
def test_any_text_is_a_condition_or_an_invalid_query(text: str) -> None:
    try:
        where, values = compile_filter(text, TICKETS)
    except InvalidQuery:
        return
    assert written(where).count("$") == len(values)


def test_a_deeply_nested_filter_is_refused_as_such() -> None:
    assert "nested more than 32 deep" in refusal(HOSTILE["parentheses"])
    assert compiled("(" * 25 + "data.acknowledged" + ")" * 25) == ("acknowledged", ())
    assert compiled("!" * 1_980 + "data.acknowledged") == ("acknowledged", ())


def test_an_unknown_name_of_2000_characters_among_many_is_answered_at_once() -> None:
    names = {f"{n:04d}{'x' * 90}": {"type": "string"} for n in range(600)}
    wide = EntityType(
        "wide",
        Kind.REGISTERED,
        1,
        {"type": "object", "properties": names, "additionalProperties": False},
        lambda data: data,
        {},
    )
    started = time.process_time()
    assert "unknown member" in refusal("data." + "xy" * 990, wide)
    assert time.process_time() - started < 5


def test_a_stream_of_different_filters_leaves_little_memory_behind() -> None:
    for n in range(300):
        compile_filter(f"data.severity > {n} && data.title == 'x'", TICKETS)
    assert parse.cache_info().currsize == parse.cache_info().maxsize == 256


def test_compiling_an_ordinary_filter_again_parses_nothing() -> None:
    text = 'data.severity >= 30 && (data.acknowledged || data.title.contains("db"))'
    compile_filter(text, TICKETS)
    parsed = parse.cache_info().misses
    compile_filter(text, TICKETS)
    assert parse.cache_info().misses == parsed


def test_the_values_type_is_distinguished_from_the_fields() -> None:
    where, _ = compile_filter("data.price == 3", TICKETS)
    assert isinstance(where, Call)
    assert isinstance(where.arguments[1], Parameter)
    assert where.arguments[1].type is FieldType.INTEGER
