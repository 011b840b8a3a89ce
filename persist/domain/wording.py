"""Numbers of things in messages."""

from persist.domain.errors import TooManyAffected


def counted(number: int, noun: str) -> str:
    """Return a number of things: "1 change", "2,000 changes"."""
    ending = "" if number == 1 else "s"
    return f"{number:,} {noun}{ending}"


def matching(number: int) -> str:
    """Return how many records match: "1 record matches", "2 records match"."""
    verb = "matches" if number == 1 else "match"
    return f"{counted(number, 'record')} {verb}"


def too_many(number: int, max_affected: int) -> TooManyAffected:
    """Return the refusal if more records match than the client expected."""
    return TooManyAffected(
        f"{matching(number)} and max_affected is {max_affected}; nothing was changed."
        " Narrow the filter or raise max_affected",
        matching=number,
    )
