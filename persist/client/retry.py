"""Retries: which failures are worth another attempt, and when."""

import random
from dataclasses import dataclass

import httpx

RETRIED_STATUSES = frozenset({429, 503})
IN_PROGRESS = "idempotency-in-progress"
LONGEST_DELAY_SECONDS = 30.0
"""Seconds between two attempts at most, unless the service says more."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Try a request again at most ``retries`` times.

    A write is sent with an ``Idempotency-Key``, so that a second attempt cannot store
    it twice. The delay is what ``Retry-After`` says, otherwise it doubles from
    ``first_delay_seconds``, half of it random.
    """

    retries: int = 3
    first_delay_seconds: float = 0.2

    def delay_after(self, attempt: int, outcome: httpx.Response | Exception) -> float:
        """Return the seconds to wait after an attempt (from 0), negative: give up."""
        if attempt >= self.retries or not _can_be_retried(outcome):
            return -1.0
        if isinstance(outcome, httpx.Response):
            asked = outcome.headers.get("Retry-After", "")
            if asked.isdigit():
                return min(float(asked), LONGEST_DELAY_SECONDS)
        doubled = self.first_delay_seconds * 2**attempt
        longest = min(doubled, LONGEST_DELAY_SECONDS)
        # Clients that failed at the same moment come back at different ones.
        return random.uniform(longest / 2, longest)  # noqa: S311 - no secret


def _can_be_retried(outcome: httpx.Response | Exception) -> bool:
    if isinstance(outcome, httpx.Response):
        is_retried = outcome.status_code in RETRIED_STATUSES
        return is_retried or _is_in_progress(outcome)
    return isinstance(outcome, httpx.TransportError)


def _is_in_progress(response: httpx.Response) -> bool:
    """Return whether an earlier attempt of the same request still runs."""
    if response.status_code != 409:
        return False
    return f'"{IN_PROGRESS}"' in response.text
