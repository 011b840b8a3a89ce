"""Hashes and exact comparison of JSON values, by their canonical text."""

import hashlib

from persist.domain.record import canonical_text


def json_sha256(value: object) -> str:
    """Return the hex SHA-256 of the canonical JSON of a value, in UTF-8."""
    text = canonical_text(value)
    digest = hashlib.sha256(text.encode())
    return digest.hexdigest()


def same_json(one: object, other: object) -> bool:
    """Return whether two values are the same JSON; member order has no meaning."""
    # Python's equality is fast but takes true for 1, so a "yes" is checked once more.
    if one != other:
        return False
    text = canonical_text(one)
    return text == canonical_text(other)
