"""Persist without its metrics, its limits on requests and the names in its log: what
they cost."""

from typing import Any

import persist.api.gateway
import persist.application
import persist.cli
from persist.api.in_flight import Admitted, InFlightLimiter
from persist.api.metrics import Counted, Metrics


class Unlimited(InFlightLimiter):
    """Looks at no request."""

    def enter(self, request: Admitted) -> None:
        pass

    def assign(self, request: Admitted, caller: str) -> None:
        pass

    def leave(self, request: Admitted) -> None:
        pass


class Uncounted(Metrics):
    """Counts no request."""

    def count(self, request: Counted) -> None:
        pass


class Nameless:
    """Remembers no request."""

    def set(self, _: Any) -> None:
        pass


if __name__ == "__main__":
    setattr(persist.application, "InFlightLimiter", Unlimited)  # noqa: B010 - it is a constant for everybody else
    setattr(persist.application, "Metrics", Uncounted)  # noqa: B010
    setattr(persist.api.gateway, "CURRENT", Nameless())  # noqa: B010
    persist.cli.main()
