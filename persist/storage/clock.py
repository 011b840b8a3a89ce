"""The clock: the present moment, and moments as text."""

from datetime import UTC, datetime


def timestamp(moment: datetime) -> str:
    """Return a time as RFC 3339 in UTC with microseconds and ``Z``.

    The order of such texts is the order in time.
    """
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def now() -> str:
    """Return the present moment as a timestamp."""
    return timestamp(datetime.now(UTC))
