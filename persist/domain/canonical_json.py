"""Hashes and exact comparison of JSON values, by their canonical text."""

import hashlib

from persist.domain.record import Data, canonical_json_text, parse_data


def json_sha256(
    value: object,
    characters: int = 0,
) -> str:
    """Return the hex SHA-256 of the canonical JSON of a value, in UTF-8. ``characters``
    is the approximate length of the text: a long one is written under a lock."""
    text = canonical_json_text(value, characters)
    digest = hashlib.sha256(text.encode())
    return digest.hexdigest()


def same_json(
    one: object,
    other: object,
    characters: int = 0,
) -> bool:
    """Return whether two values are the same JSON; member order has no meaning.
    ``characters`` is the approximate length of their texts: long ones are written under
    a lock."""
    # Python's == is fast, but True == 1: if the values seem equal, compare their texts.
    if one != other:
        return False
    text_of_one = canonical_json_text(one, characters)
    text_of_other = canonical_json_text(other, characters)
    return text_of_one == text_of_other


def same_json_text(
    one: str,
    other: str,
    value: Data | None = None,
) -> bool:
    """Return whether the texts of two JSON objects are the same JSON.

    ``value`` is the parsed ``other``, if it is known already.
    """
    if one == other:
        return True
    if value is None:
        value = parse_data(other)
    size = len(one)
    return same_json(parse_data(one), value, size)
