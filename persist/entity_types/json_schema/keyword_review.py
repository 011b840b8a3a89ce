"""Review of keywords: which ones a draft ignores, and what an author should know."""

from typing import NamedTuple

from persist.domain.bounded_cache import bounded_cache, weight_of_texts
from persist.domain.suggestions import did_you_mean
from persist.entity_types.json_schema.dialects import (
    ALL_KEYWORDS,
    OLDER_KEYWORDS,
    UNENFORCED,
    Dialect,
)
from persist.entity_types.json_schema.references import Located

ADDRESSING = frozenset(
    (
        "$schema",
        "$id",
        "id",
        "$anchor",
        "$dynamicAnchor",
        "$recursiveAnchor",
        "$vocabulary",
    )
)
FORMATS = (
    *("date-time", "date", "time", "duration", "email", "idn-email", "hostname"),
    *("idn-hostname", "ipv4", "ipv6", "uri", "uri-reference", "iri", "iri-reference"),
    *("uuid", "uri-template", "json-pointer", "relative-json-pointer", "regex"),
    "decimal",
)
"""The formats that are asserted."""

_WARNINGS_BYTES = 4_194_304
"""What may be kept of warnings about unknown keywords."""

_KEPT_WITH_REF = frozenset(
    ("$ref", "title", "description", "$comment", "examples", "definitions", "$defs")
)


class Review(NamedTuple):
    """Whether a keyword is ignored, and the warning to its author."""

    is_ignored: bool
    warning: str | None = None


def review(located: Located, keyword: str) -> Review:
    """Return the review of a keyword by the schema's own draft."""
    dialect = located.dialect
    if dialect.ref_hides_siblings and "$ref" in located.schema:
        return _next_to_ref(dialect, keyword)
    if keyword == "format":
        return Review(False, _unknown_format(located.schema["format"]))
    if keyword in UNENFORCED and keyword in dialect.keywords:
        return Review(False, f"{keyword} is an annotation; it is not enforced")
    if keyword in dialect.keywords or keyword in ("$defs", "definitions"):
        return Review(False)
    return Review(keyword in ALL_KEYWORDS, _unknown(keyword, dialect))


def _next_to_ref(dialect: Dialect, keyword: str) -> Review:
    if keyword in _KEPT_WITH_REF:
        return Review(False)
    if keyword not in dialect.keywords - ADDRESSING:
        return Review(True)
    return Review(
        True, f"{dialect.title} ignores what stands next to $ref; so it is here"
    )


def _unknown_format(name: object) -> str | None:
    if not isinstance(name, str) or name in FORMATS:
        return None
    hint = did_you_mean(name, FORMATS)
    return f"the format {name[:100]} is not known and is not checked{hint}"


@bounded_cache(_WARNINGS_BYTES, weight_of_texts)
def _unknown(keyword: str, dialect: Dialect) -> str:
    """Return the warning of a keyword that a draft does not know."""
    if keyword in OLDER_KEYWORDS:
        return (
            f"{keyword} is a keyword of older drafts and is ignored; {dialect.title}"
            f" has {OLDER_KEYWORDS[keyword]}"
        )
    if keyword in ALL_KEYWORDS:
        return f"{keyword} is not a keyword of {dialect.title}; it is ignored"
    if keyword == "nullable":
        return (
            'nullable is not a keyword of JSON Schema and is ignored; write "type":'
            ' ["string", "null"]'
        )
    hint = did_you_mean(keyword, dialect.keywords)
    return f"{keyword[:100]} is not a keyword of {dialect.title} and is ignored{hint}"
