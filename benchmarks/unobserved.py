"""Persist without its metrics, its limits on requests and the names in its log: what
they cost."""

from typing import Any

import persist.api.gateway
import persist.application
import persist.cli
from persist.api.in_flight import Counted, InFlightLimiter


class Uncounted(InFlightLimiter):
    """Looks at no request."""

    def enter(self, request: Counted, *, crowded: bool) -> None:
        pass

    def answered(self, request: Counted, status: int) -> None:
        pass

    def leave(self, request: Counted) -> None:
        pass


class Nameless:
    """Remembers no request."""

    def set(self, _: Any) -> None:
        pass


if __name__ == "__main__":
    setattr(persist.application, "Traffic", Uncounted)  # noqa: B010 - it is a constant for everybody else
    setattr(persist.api.gateway, "CURRENT", Nameless())  # noqa: B010
    persist.cli.main()
