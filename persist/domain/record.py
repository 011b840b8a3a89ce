"""Record: one persisted object, an envelope around ``data``."""

import json
from dataclasses import dataclass, field
from typing import Any

Data = dict[str, Any]
"""The members of a record, JSON values only; integers within 64 bits, whole numbers as
``int``."""

dumps = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":")
).encode
"""JSON text of a value, compact, in the value's own member order."""

canonical_text = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
).encode
"""JSON text of a value with sorted members: equal exactly for equal JSON (``true`` is
not 1)."""

INT64 = range(-(2**63), 2**63)


def whole(number: float) -> int | float:
    """``30.0`` as 30 where it is an integer within 64 bits; other doubles as they
    are."""
    return int(number) if number.is_integer() and int(number) in INT64 else number


@dataclass(frozen=True, slots=True)
class Record:
    """One stored object.

    ``text`` is ``data`` as the JSON text that is stored; times are RFC 3339 in UTC with
    microseconds and ``Z``, so that their order as text is their order in time;
    ``workspace`` is ``""`` for the default one; ``parsed`` is the data where it is at
    hand, to be read only.
    """

    id: str
    collection: str
    workspace: str
    revision: int
    schema_version: int
    created_at: str
    updated_at: str
    text: str
    parsed: Data | None = field(default=None, compare=False, repr=False)

    @property
    def data(self) -> Data:
        """A fresh copy of the data: the caller may change it."""
        data: Data = json.loads(self.text)
        return data


def json_equal(before: str, after: str, parsed: Data | None = None) -> bool:
    """Whether two texts of data mean the same JSON; the order of members means nothing.
    ``parsed`` is the data after, where it is at hand."""
    if before == after:
        return True
    one, other = json.loads(before), json.loads(after) if parsed is None else parsed
    # Python's equality is quick and takes true for 1; only where it says yes is JSON
    # asked
    return bool(one == other) and canonical_text(one) == canonical_text(other)
