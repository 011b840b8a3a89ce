"""Persist without its metrics, its limits on requests and the names in its log: what they cost."""

from typing import Any

import app.api.front
import app.cli
import app.main
from app.api.traffic import Counted, Traffic


class Uncounted(Traffic):
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
    setattr(app.main, "Traffic", Uncounted)  # noqa: B010 - it is a constant for everybody else
    setattr(app.api.front, "CURRENT", Nameless())  # noqa: B010
    app.cli.main()
