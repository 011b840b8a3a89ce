"""Command: a named operation on one record's data, with a validated payload and a
guard."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from persist.domain.record import Data, Json
from persist.domain.strict_json import WriteDecimals

Guard = Callable[[Data], str | None]
Transition = Callable[[Data, Any], tuple[Data, Any]]


@dataclass(frozen=True, slots=True)
class Command:
    """A command of an entity type, typed or registered.

    ``parse`` checks a payload and fills its defaults in; it raises ``InvalidPayload``.
    ``refusal`` is the guard: it returns why the command is not available, or None.
    ``run`` takes a copy of the data and a parsed payload. It returns the new data, not
    yet validated, and the result, a JSON value; it may raise ``Refused``.
    ``result_schema`` describes the result as a JSON Schema; it is empty if the result
    may be anything. ``write_decimals`` is None if a payload has no decimals.
    """

    name: str
    description: str
    payload_schema: Json
    parse: Callable[[Data], Any]
    refusal: Guard
    run: Transition
    result_schema: dict[str, object] = field(default_factory=dict)
    write_decimals: WriteDecimals | None = None
