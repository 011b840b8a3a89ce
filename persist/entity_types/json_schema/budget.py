"""Budget: how much work one validation may take.

The unit is a visit: one keyword looked at, for which the engine takes 10 to 250 ns.
"""

MAX_VISITS = 500_000
"""Visits that one validation may take, the explanation of its faults included."""

BRIEF_VISITS = 25_000
"""Visits that may be made where others wait, about 5 ms."""


class BudgetExceeded(Exception):
    """The value takes more work than one validation may."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or f"it takes more than {MAX_VISITS} visits")


class CostBudget:
    """The visits that are left of one validation."""

    def __init__(self, visits: int = MAX_VISITS) -> None:
        self.left = visits
        self.filled_characters = 0

    @property
    def is_long(self) -> bool:
        """Whether more was spent than may be where others wait."""
        return MAX_VISITS - self.left > BRIEF_VISITS

    def spend(self, visits: int) -> None:
        """Pay for work. Raises ``BudgetExceeded`` once the budget is spent."""
        self.left -= visits
        if self.left < 0:
            raise BudgetExceeded
