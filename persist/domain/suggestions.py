"""Suggestions: the known name that a misspelt one was meant to be."""

import difflib
import heapq
from collections.abc import Iterable

COMPARED_CHARACTERS = 64
"""Characters of a name that are compared; the comparison is cubic."""

COMPARED_NAMES = 8
"""Names that are compared closely: those that share most letters."""

SIMILAR = 0.6
"""How alike two names must be (0 to 1) for one to be suggested for the other."""


def nearest(name: str, known: Iterable[str], cutoff: float = SIMILAR) -> str | None:
    """Return the known name most like ``name``; None where none is like it."""
    matcher = difflib.SequenceMatcher(b=name[:COMPARED_CHARACTERS])

    def shared_letters(candidate: str) -> float:
        matcher.set_seq1(candidate[:COMPARED_CHARACTERS])
        return matcher.quick_ratio()

    likely = {
        candidate[:COMPARED_CHARACTERS]: candidate
        for candidate in heapq.nlargest(COMPARED_NAMES, known, key=shared_letters)
    }
    found = difflib.get_close_matches(
        name[:COMPARED_CHARACTERS], likely, n=1, cutoff=cutoff
    )
    return likely[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean x?"``, or nothing where no known name is alike."""
    found = nearest(name, known)
    return f"; did you mean {found}?" if found else ""
