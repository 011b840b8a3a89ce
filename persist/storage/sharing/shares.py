"""Shares: how much of a limited resource one caller may take.

A caller gets at most half of what all others leave, rounded up. So one caller takes at
most half of a limit, and another caller always finds some of it.
"""

from contextvars import ContextVar

from persist.domain.errors import TooManyRequests, Unavailable

SERVICE = ""
"""The service itself as a caller. It has no share: only the limit counts."""

CALLER: ContextVar[str] = ContextVar("caller", default=SERVICE)
"""The caller of the present request: a key, or an address if there is no key."""


class Shares:
    """What callers have taken of a resource. ``what`` is its name in refusals."""

    def __init__(self, what: str, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self._what = what
        self._of: dict[str, int] = {}

    def allows(
        self,
        caller: str,
        amount: int = 1,
    ) -> bool:
        """Return whether a caller may take an amount now."""
        left = self.limit - self.taken - amount
        if caller == SERVICE:
            return left >= 0
        own = self._of.get(caller, 0)
        # At most half of what others leave, rounded up.
        return own + amount <= left + 1

    def take(
        self,
        caller: str,
        amount: int = 1,
    ) -> None:
        """Take an amount, which ``give_back`` returns.

        Raises ``TooManyRequests`` if the caller has taken its share, and
        ``Unavailable`` if others have too much.
        """
        # Nobody has too much before half is taken.
        if 2 * (self.taken + amount) > self.limit and not self.allows(caller, amount):
            raise self.refusal(caller)
        self.count(caller, amount)

    def count(self, caller: str, amount: int) -> None:
        """Take an amount that is in use already, even beyond the limit."""
        self.taken += amount
        if caller != SERVICE:
            own = self._of.get(caller, 0)
            self._of[caller] = own + amount

    def check(self, caller: str) -> None:
        """Raise what ``take`` does if a caller may not take anything now."""
        if 2 * self.taken > self.limit and not self.allows(caller):
            raise self.refusal(caller)

    def refusal(self, caller: str) -> TooManyRequests | Unavailable:
        """Return the refusal of a caller who may take no more."""
        if caller in self._of:
            return TooManyRequests(f"the caller has too many {self._what}; try again")
        return Unavailable(f"there are too many {self._what}; try again")

    def give_back(
        self,
        caller: str,
        amount: int = 1,
    ) -> None:
        """Give back an amount that a caller took."""
        self.taken -= amount
        if caller == SERVICE:
            return
        left = self._of[caller] - amount
        if left:
            self._of[caller] = left
        else:
            del self._of[caller]

    def taking(self, caller: str) -> "Taking":
        """Take one during a block.

        Raises what ``take`` does.
        """
        return Taking(self, caller)


class Taking:
    """A block during which a caller has one.

    A generator would take twice the time.
    """

    __slots__ = ("_caller", "_shares")

    def __init__(self, shares: Shares, caller: str) -> None:
        self._shares = shares
        self._caller = caller

    def __enter__(self) -> None:
        self._shares.take(self._caller)

    def __exit__(self, *_: object) -> None:
        self._shares.give_back(self._caller)
