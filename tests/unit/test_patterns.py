"""Patterns: ECMA-262 regular expressions, matched in linear time."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persist.entity_types.json_schema.engine import PatternRefused, matcher, weight


@pytest.mark.parametrize(
    ("pattern", "matched", "unmatched"),
    [
        (r"^\d+$", "42", "४२"),
        (r"^\w$", "_", "é"),
        (r"^\s$", "\ufeff", "\u0085"),
        (r"^\S$", "\u0085", "\u2028"),
        (r"^.$", "é", "\n"),
        (r"^[^\n]$", "\u2028", "\n"),
        (r"\bcat\b", "a cat", "concat"),
        (r"^\p{Letter}+$", "Łódź", "a1"),
        (r"^\p{Script=Greek}$", "λ", "l"),
        (r"^[a-z&&[aeiou]]+$", "x]", "b"),
        (r"^[[:alpha:]]$", ":]", "b"),
        (r"^\cJ\x41\u0042\u{1F600}$", "\nAB\U0001f600", "AB"),
        (r"^a{2}$", "aa", "a"),
        (r"^\/\-\{$", "/-{", "/"),
        (r"^(?<year>\d{4})-(?:\d\d)$", "2026-11", "2026-1"),
        (r"^(?i)abc$", "ABC", "abd"),
        (r"^(?s:.)$", "\n", ""),
        (r"^abc$", "abc", "abc\n"),
        (r"", "", None),
        (r"^.$", "\U0001f600", "\r"),
        (r"^.$", "a", "\u2028"),
        (r"^[.]$", ".", "a"),
        (r"^a.b$", "a\u0085b", "a\u2029b"),
        (r"^(a|[])$", "a", ""),
        (r"^[^]$", "\n", ""),
        (r"^\uD83D\uDE00$", "\U0001f600", "a"),
        (r"^[\uD83D\uDE00b]$", "\U0001f600", "a"),
        (r"^\0[\b]$", "\0\b", "0b"),
        (r"a\bé", "aé", "abé"),
        (r"^\<a\>$", "<a>", "a"),
    ],
)
def test_a_pattern_means_what_it_means_in_ecma_262(
    pattern: str, matched: str, unmatched: str | None
) -> None:
    matches = matcher(pattern)
    assert matches(matched)
    assert unmatched is None or not matches(unmatched)


@pytest.mark.parametrize(
    "pattern",
    [
        *("(?=a)", "(?!a)", "(?<=a)", "(?<!a)", r"(a)\1", r"(?<n>a)\k<n>"),
        *("(a{1000}){1000}", "a{999999}", r"\p{L}{200}", r"(?=\{1)[{2}](a{9,}){5000}"),
    ],
)
def test_a_pattern_that_cannot_be_matched_in_linear_time_is_refused(
    pattern: str,
) -> None:
    with pytest.raises(
        PatternRefused,
        match="no look-around, no back-references, and 32768 states at most",
    ):
        weight(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", "(a", "a)", "[a", "[z-a]", "a{3,2}", "*a", "a\\", "(" * 300 + ")" * 300),
        *(r"\Z", r"\a", r"\uD83D", r"\u{110000}", r"\p{Nonsense}", r"(a)\2", "^(?!a)("),
    ],
)
def test_what_is_no_regular_expression_is_not_called_slow(pattern: str) -> None:
    with pytest.raises(PatternRefused, match="cannot be read as a regular expression"):
        weight(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[\w-.]+$",
        r"^[.-\w]+$",
        "^[~~--]$",
        "^a{,2}$",
    ],
)
def test_what_the_engine_does_not_read_as_ecma_262_does_is_refused_rather_than_misread(
    pattern: str,
) -> None:
    """A range from or to a class, a doubled mark in a set, a brace without its pair:
    each can be written another way."""
    with pytest.raises(PatternRefused):
        weight(pattern)


@pytest.mark.parametrize(
    "pattern",
    [r"\p{L}{20}", ".{1000}", r"\S{400}", "(?i)[éa]{4000}", "(?:(a|b)*c){900}"],
)
def test_the_heaviest_pattern_let_in_compiles_in_a_blink(pattern: str) -> None:
    begun = time.process_time()
    weight(pattern)
    assert time.process_time() - begun < 2


FRAGMENTS = st.sampled_from(
    [
        "a",
        "b",
        "[ab]",
        "[^a]",
        "[a-c-]",
        ".",
        r"\d",
        r"\w",
        r"\.",
        "(a|b)",
        "(?:ab)",
        "1",
    ]
)
REPEATED = st.builds(
    "".join,
    st.tuples(
        FRAGMENTS, st.sampled_from(["", "*", "+", "?", "{2}", "{0,2}", "{1,}", "+?"])
    ),
)
PATTERNS = st.builds(
    lambda start, parts, end: start + "".join(parts) + end,
    st.sampled_from(["", "^"]),
    st.lists(REPEATED | st.just("|"), max_size=5),
    st.sampled_from(["", "$"]),
)


@given(PATTERNS, st.lists(st.text("abc1.-", max_size=6), max_size=8))
def test_a_plain_pattern_matches_what_pythons_own_engine_matches(
    pattern: str, texts: list[str]
) -> None:
    ours, theirs = matcher(pattern), re.compile(pattern)
    assert [ours(text) for text in texts] == [
        bool(theirs.search(text)) for text in texts
    ]
