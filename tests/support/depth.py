"""How long property tests look for a counterexample."""

import os

DEPTH = int(os.environ.get("TEST_DEPTH", "1"))
"""What `make test-deep` raises; each run draws other examples."""


def examples(number: int) -> int:
    """Return how many examples a property test tries."""
    return number * DEPTH
