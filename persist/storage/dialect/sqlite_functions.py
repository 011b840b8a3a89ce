"""Functions written in Python that SQL calls on each connection to SQLite."""

import json
import sqlite3
from collections.abc import Callable
from typing import Any

from persist.domain.arithmetic import calculate
from persist.domain.case_folding import fold
from persist.domain.comparable import (
    date_time_form,
    decimal_form,
    duration_form,
    time_form,
)
from persist.domain.record import canonical_json_text, json_text, parse_data


def _canonical_json(text: str | None) -> str | None:
    if text is None or text[0] not in "{[":
        return text
    value = parse_data(text)
    return canonical_json_text(value, len(text))


def _member(text: str | None, name: str) -> str | None:
    """Return a member of an object as JSON text; None for anything else."""
    if text is None or text[0] != "{":
        return None
    value = parse_data(text)
    if name not in value:
        return None
    member = value[name]
    return json_text(member, len(text))


def _json_number(value: float | None) -> str:
    """Write a double as Python and PostgreSQL do; SQLite itself keeps 15 digits."""
    if value is not None and value.is_integer() and abs(value) < 2**63:
        return json.dumps(int(value))
    return json.dumps(value)


FUNCTIONS: dict[str, Callable[[Any], str | None]] = {
    "persist_decimal_form": decimal_form,
    "persist_date_time_form": date_time_form,
    "persist_time_form": time_form,
    "persist_duration_form": duration_form,
    "persist_canonical_json": _canonical_json,
    "persist_fold": lambda text: fold(text) if isinstance(text, str) else None,
    "json_number": _json_number,
}
"""The functions of one argument."""


def create_functions(connection: sqlite3.Connection) -> None:
    """Create the functions for a connection."""
    for name, function in FUNCTIONS.items():
        connection.create_function(
            name,
            1,
            function,
            deterministic=True,
        )
    connection.create_function(
        "persist_member",
        2,
        _member,
        deterministic=True,
    )
    connection.create_function(
        "persist_calculate",
        3,
        calculate,
        deterministic=True,
    )
