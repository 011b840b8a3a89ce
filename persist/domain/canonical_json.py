"""Canonical JSON: one text for each JSON value, for hashing and exact comparison."""

import hashlib
import json
from typing import Any

canonical_json = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
).encode
"""Return the canonical JSON text of a value: members sorted by code point, no spaces.

Two values have the same text exactly if they are the same JSON; ``true`` is not 1. The
value has whole numbers as ``int``, as the service stores and answers them.
"""


def json_sha256(value: Any) -> str:
    """Return the hex SHA-256 of the canonical JSON of a value, in UTF-8."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def same_json(one: Any, other: Any) -> bool:
    """Return whether two values are the same JSON; member order has no meaning."""
    # Python's equality is fast but takes true for 1, so a "yes" is checked once more.
    return bool(one == other) and canonical_json(one) == canonical_json(other)
