"""Cursors: where a page ended, in a form that means nothing to the client and fits one
query."""

import base64
import json
from collections.abc import Sequence
from typing import Any

from persist.domain.errors import InvalidQuery
from persist.domain.record import dumps


def encode(bound: str, position: Sequence[Any]) -> str:
    """A cursor of ``[A-Za-z0-9_-]``; ``bound`` says what it belongs to."""
    return (
        base64.urlsafe_b64encode(dumps([bound, *position]).encode())
        .decode()
        .rstrip("=")
    )


def decode(cursor: str, bound: str) -> list[Any]:
    """The position a cursor holds. Raises ``InvalidQuery`` where it belongs to
    something else."""
    try:
        held = json.loads(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        )
    except (ValueError, RecursionError):
        raise foreign() from None
    if not isinstance(held, list) or not held:
        raise foreign()
    if held[0] != bound:
        raise InvalidQuery(
            "the cursor belongs to another collection, workspace or query; start again"
            " without it"
        )
    return held[1:]


def foreign() -> InvalidQuery:
    """The refusal of a cursor that was made elsewhere."""
    return InvalidQuery(
        "the cursor is not one this service gave; start again without it"
    )
