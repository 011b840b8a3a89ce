"""Patterns: ECMA-262 regular expressions, matched in linear time."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.entity_types.json_schema.patterns import PatternRefused, compile_pattern


@pytest.mark.parametrize(
    ("pattern", "matched", "unmatched"),
    [
        (r"^\d+$", "42", "४२"),
        (r"^\w$", "_", "é"),
        (r"^\s$", "\ufeff", "\u0085"),
        (r"^\S$", "\u0085", "\u2028"),
        (r"^.$", "é", "\u2028"),
        (r"^[^\n]$", "\u2028", "\n"),
        (r"\bcat\b", "a cat", "concat"),
        (r"^\p{Letter}+$", "Łódź", "a1"),
        (r"^\p{Script=Greek}$", "λ", "l"),
        (r"^[\w-.]+$", "a-b.c", "a b"),
        (r"^[.-\w]+$", "-", ","),
        (r"^[a-z&&[aeiou]]+$", "x]", "b"),
        (r"^[[:alpha:]]$", ":]", "b"),
        (r"^[~~--]$", "-", "a"),
        (r"^(a|[])$", "a", ""),
        (r"^[^]$", "\n", ""),
        (r"^\cJ\x41\u0042\u{1F600}$", "\nAB\U0001f600", "AB"),
        (r"^\uD83D\uDE00$", "\U0001f600", "\ufffd"),
        (r"^a{,2}$", "a{,2}", "aa"),
        (r"^a{2}$", "aa", "a"),
        (r"^\/\-\{$", "/-{", "/"),
        (r"^(?<year>\d{4})-(?:\d\d)$", "2026-11", "2026-1"),
        (r"^(?i)abc$", "ABC", "abd"),
        (r"^(?s:.)$", "\n", ""),
        (r"^abc$", "abc", "abc\n"),
        (r"", "", None),
    ],
)
def test_a_pattern_means_what_it_means_in_ecma_262(pattern: str, matched: str, unmatched: str | None) -> None:
    compiled = compile_pattern(pattern)
    assert compiled.matches(matched)
    assert unmatched is None or not compiled.matches(unmatched)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?=a)", "look-around"),
        ("(?!a)", "look-around"),
        ("(?<=a)", "look-around"),
        ("(?<!a)", "look-around"),
        (r"(a)\1", "back-references"),
        (r"(?<n>a)\k<n>", "back-references"),
        ("(a", "a group is not closed"),
        ("a)", "a group that was not opened is closed"),
        ("[a", "a set is not closed"),
        ("[z-a]", "runs backwards"),
        ("a{3,2}", "runs backwards"),
        ("a**", "nothing to repeat"),
        ("*a", "nothing to repeat"),
        ("(?x) a{ 1000 }", "this kind of group"),
        ("(?u:a)", "this kind of group"),
        (r"\Z", "means nothing"),
        (r"\a", "means nothing"),
        (r"\uD83D", "U+D83D is no character"),
        (r"\u{110000}", "is no character"),
        (r"\p{Nonsense}", "Unicode property not found"),
        ("a\\", "ends with a backslash"),
        ("(a{1000}){1000}", "unfolds to 1000000 states"),
        ("a{999999}", "unfolds to 999999 states"),
        (r"\p{L}{200}", "unfolds to 10200 states"),
        ("(" * 300 + ")" * 300, "no regular expression"),
    ],
)
def test_a_pattern_that_cannot_be_matched_in_linear_time_is_refused_with_the_reason(
    pattern: str, why: str
) -> None:
    with pytest.raises(PatternRefused, match=re.escape(why)):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", [r"\p{L}{90}", ".{2400}", r"\S{1600}", "(?i)[éa]{4900}", "(?:(a|b)*c){900}"]
)
def test_the_heaviest_pattern_let_in_compiles_in_a_blink(pattern: str) -> None:
    begun = time.process_time()
    compile_pattern(pattern)
    assert time.process_time() - begun < 0.5


PIECES = st.sampled_from(
    ["a", "b", "[ab]", "[^a]", "[a-c-]", ".", r"\d", r"\w", r"\.", "(a|b)", "(?:ab)", "1"]
)
REPEATED = st.builds(
    "".join, st.tuples(PIECES, st.sampled_from(["", "*", "+", "?", "{2}", "{0,2}", "{1,}", "+?"]))
)
PATTERNS = st.builds(
    lambda start, parts, end: start + "".join(parts) + end,
    st.sampled_from(["", "^"]),
    st.lists(REPEATED | st.just("|"), max_size=5),
    st.sampled_from(["", "$"]),
)


@given(PATTERNS, st.lists(st.text("abc1.-", max_size=6), max_size=8))
def test_a_plain_pattern_matches_what_pythons_own_engine_matches(pattern: str, texts: list[str]) -> None:
    ours, theirs = compile_pattern(pattern), re.compile(pattern)
    assert [ours.matches(text) for text in texts] == [bool(theirs.search(text)) for text in texts]
