"""Values of request headers: media types, preferences, entity tags, hosts and ids."""

import re
from collections.abc import Sequence
from functools import lru_cache

from persist.domain.errors import MalformedRequest, UnsupportedMediaType
from persist.domain.identifiers import new_request_id
from persist.domain.precondition import ANY

JSON_TYPES = ("application/json",)
NDJSON_TYPES = (
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/octet-stream",  # all that some generated clients can send
)
PATCH_TYPES = (
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/json",
)
JSON_RANGES = (*JSON_TYPES, "application/*", "*/*")
"""What ``Accept`` names if a client takes JSON, the closest first."""

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
HOST = re.compile(
    rb"(?:[\w.~!$&'()*+;=%-]+|\[[0-9a-f:.]+\])(?::\d{0,5})?", re.IGNORECASE
)
MAX_HOST_BYTES = 300
"""Bytes of a host with its port: names have up to 253."""

MAX_ELEMENTS = 100
"""Elements of ``Accept`` and ``Prefer`` that are read; browsers send about ten."""

MAX_IDEMPOTENCY_KEY_CHARACTERS = 255
IDEMPOTENCY_KEY = re.compile(rf"[\x21-\x7e]{{1,{MAX_IDEMPOTENCY_KEY_CHARACTERS}}}")
WEIGHT = re.compile(r"[01](\.\d{0,3})?", re.ASCII)
CHARSET = re.compile(r"charset\s*=\s*\"?([^\s\";]+)", re.IGNORECASE)
TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
TAGS = re.compile(rf"[\s,]*{TAG.pattern}(?:\s*,[\s,]*{TAG.pattern})*[\s,]*")
"""A list, in which elements may be empty (RFC 9110, section 5.6.1)."""


def is_host(value: bytes) -> bool:
    """Return whether a header names one host with an optional port (RFC 9110, section
    7.2)."""
    return len(value) <= MAX_HOST_BYTES and _is_host(value)


@lru_cache(maxsize=256)
def _is_host(value: bytes) -> bool:
    return HOST.fullmatch(value) is not None


def request_id_of(given: bytes | None) -> str:
    """Return the client's ``X-Request-ID`` if it is 1 to 128 visible ASCII characters,
    otherwise a new one."""
    if given is not None and REQUEST_ID.fullmatch(text := given.decode("latin-1")):
        return text
    return new_request_id()


def media_type_of(
    given: str | None,
    content_coding: str | None,
    accepted: Sequence[str],
) -> str:
    """Return the media type of a body, the first of ``accepted`` if none is given.

    Raises ``UnsupportedMediaType``.
    """
    encoding = content_coding or "identity"
    if encoding.lower() != "identity":
        raise UnsupportedMediaType(
            f"the content coding {encoding[:40]!r} is not supported; send the body"
            " without Content-Encoding",
            accepted,
        )
    if given is None or given in accepted:
        return given or accepted[0]
    name, _, parameters = given.partition(";")
    charset = CHARSET.search(parameters)
    if name.strip().lower() not in accepted:
        raise UnsupportedMediaType(
            f"the media type {given[:100]!r} is not supported here; send"
            f" {' or '.join(accepted)}",
            accepted,
        )
    if charset and charset[1].lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType(
            f"the charset {charset[1][:40]!r} is not supported; send UTF-8", accepted
        )
    return name.strip().lower()


def accepts_before_json(accept: str, media_type: str) -> bool:
    """Return whether ``Accept`` names a media type and does not prefer JSON (RFC 9110,
    section 12.5.1)."""
    weights: dict[str, float] = {}
    for part in _elements(accept):
        name, *parameters = (each.strip() for each in part.split(";"))
        given = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        weights[name] = float(given) if WEIGHT.fullmatch(given) else 1.0
    json = next((weights[name] for name in JSON_RANGES if name in weights), 0)
    return 0 < weights.get(media_type, 0) >= json


def preference(prefer: str, name: str) -> str | None:
    """Return the value of a preference in ``Prefer``, empty if it has none, None
    if it is not there. The first counts if it is there twice (RFC 7240, section 2).
    """
    for part in _elements(prefer):
        found, _, value = part.split(";")[0].partition("=")
        if found.strip() == name:
            return value.strip()
    return None


def _elements(header: str) -> list[str]:
    """Return the first elements of a list, in lower case."""
    elements = header.lower().split(",", MAX_ELEMENTS)
    return elements[:MAX_ELEMENTS]


def entity_tags(header: str, text: str | None) -> tuple[str, ...]:
    """Return the entity tags of a precondition (RFC 9110, section 13.1). Raises
    ``MalformedRequest``."""
    if text is None:
        return ()
    text = text.strip()
    if text == ANY:
        return (ANY,)
    if not TAGS.fullmatch(text):
        raise MalformedRequest(
            f'{header} takes "<revision>" in double quotes, a list of them, or *'
        )
    return tuple(TAG.findall(text))
