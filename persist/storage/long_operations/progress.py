"""Progress of long operations, as their callers show it."""

from collections.abc import Callable

OnProgress = Callable[
    [str, int, int],
    None,
]
"""A function that takes what is done, how much of it is done, and how much there is."""


def ignore_progress(
    title: str,
    done: int,
    total: int,
) -> None:
    """Show nothing."""
