"""Command: a named transition of one record's data, with a validated payload and a
guard."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from persist.domain.record import Data


@dataclass(frozen=True, slots=True)
class Command:
    """A command of an entity type, typed or registered.

    ``parse`` checks a payload (raises ``InvalidPayload``) and fills its defaults in.
    ``refusal`` is the guard: the reason why the command is not available, or None.
    ``run`` takes data (its own copy) and a parsed payload and gives the new data, not
    yet validated, and the result (a JSON value); it may raise ``Refused``.
    """

    name: str
    description: str
    payload_schema: dict[str, Any]
    parse: Callable[[Data], Any]
    refusal: Callable[[Data], str | None]
    run: Callable[[Data, Any], tuple[Data, Any]]
