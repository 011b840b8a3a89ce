"""Suggestions: the known name that a misspelt one was meant to be."""

import difflib
import heapq
from collections.abc import Iterable
from operator import eq

COMPARED_CHARACTERS = 64
"""Characters of a name that are compared; the comparison is cubic."""

SEARCHED_NAMES = 256
"""Names that are compared by their letters at most. If there are more, these are the
names that share most letters at the same positions, counted from either end."""

COMPARED_NAMES = 8
"""Names that are compared closely: those that share most letters."""

SIMILAR = 0.6
"""How alike two names must be (0 to 1) for one to be suggested for the other."""


def nearest(name: str, known: Iterable[str], cutoff: float = SIMILAR) -> str | None:
    """Return the known name most like ``name``; None if none is like it."""
    matcher = difflib.SequenceMatcher(b=name[:COMPARED_CHARACTERS])

    def shared_letters(candidate: str) -> float:
        matcher.set_seq1(candidate[:COMPARED_CHARACTERS])
        return matcher.quick_ratio()

    similar = _alike_names(name, list(known))
    likely = {
        candidate[:COMPARED_CHARACTERS]: candidate
        for candidate in heapq.nlargest(COMPARED_NAMES, similar, key=shared_letters)
    }
    found = difflib.get_close_matches(
        name[:COMPARED_CHARACTERS], likely, n=1, cutoff=cutoff
    )
    return likely[found[0]] if found else None


def _alike_names(name: str, known: list[str]) -> list[str]:
    """Return the names with most of a name's letters at the same positions, counted
    from both ends; all of them if they are few."""
    if len(known) <= SEARCHED_NAMES:
        return known
    begin = name[:COMPARED_CHARACTERS]
    end = name[: -COMPARED_CHARACTERS - 1 : -1]

    def alike(candidate: str) -> int:
        backwards = candidate[: -COMPARED_CHARACTERS - 1 : -1]
        count: int = sum(map(eq, begin, candidate))
        count += sum(map(eq, end, backwards))
        return count

    return heapq.nlargest(SEARCHED_NAMES, known, key=alike)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean x?"``, or nothing if no known name is similar."""
    found = nearest(name, known)
    return f"; did you mean {found}?" if found else ""
