"""Query strings: filters, order and pages become a ``Query`` of the domain."""

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from persist.api import pagination
from persist.api.query_filters import (
    Pairs,
    conditions,
    named_field,
    unknown_field,
    unknown_name,
)
from persist.domain.bounded_cache import bounded_cache, of_type, weight_of_texts
from persist.domain.entity_type import EntityType, Kind
from persist.domain.errors import InvalidQuery
from persist.domain.field import DELETION, ENVELOPE, Field, FieldType
from persist.domain.field_types import TEXT_TYPES, stored_time
from persist.domain.query import BY_ID, Query, SortKey
from persist.domain.record import INT64, canonical_text
from persist.domain.strict_json import is_storable
from persist.storage.reads.moments import Moment

DEFAULT_LIMIT = 50
"""Records of a page if the request names no limit."""

MAX_LIMIT = 500
"""Most records of a page; a larger limit is lowered to it."""

MAX_WAIT_SECONDS = 30
"""Seconds that a long poll waits at most."""

MAX_SORT_KEYS = 16
"""Fields that ``sort`` may name."""

NANOSECONDS = re.compile(r"(?<=\.\d{6})\d{1,20}(?=[Zz+-])", re.ASCII)
"""The digits of a second's fraction beyond microseconds."""

EXPORT_PARAMETERS = frozenset(("filter", "sort", "fields", "as_of"))
"""The parameters of an export that are not filters of one field."""

LIST_PARAMETERS = EXPORT_PARAMETERS | {"limit", "cursor", "count"}
"""The parameters of a list, likewise."""

WORKSPACE_PARAMETERS = frozenset(("limit", "cursor", "filter", "as_of"))
"""The parameters of a list of several collections, likewise."""

QUERY_BYTES = 16_777_216
"""What may be kept of query strings that were parsed."""

SEQ_DIGITS = 20
"""Digits of a ``seq`` that are read: one of 64 bits has fewer."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A list request: the query, and what its answer contains.

    ``as_of`` is the moment that is asked for, None for the present; ``time`` is the
    time that the first page named, None if it named none.
    """

    query: Query
    fields: tuple[str, ...] | None
    count: bool
    digest: str
    as_of: Moment | None = None
    time: str | None = None


def pairs_of(query: bytes) -> Pairs:
    """Return the parameters of a query string in their order.

    Raises ``InvalidQuery``.
    """
    if not query:
        return []
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=1000,
        )
    except ValueError:
        raise InvalidQuery(
            "the query string is not percent-encoded UTF-8, or has over 1,000"
            " parameters"
        ) from None
    if any("\0" in part for pair in pairs for part in pair):
        raise InvalidQuery("the query string must not contain U+0000")
    return pairs


def controls(
    pairs: Pairs,
    known: Iterable[str],
) -> dict[str, str]:
    """Return the parameters of a request that takes no filters.

    Raises ``InvalidQuery`` for others, and for one that is repeated.
    """
    known = tuple(known)
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            raise unknown_name(
                "parameter",
                name,
                known,
            )
        if name in found:
            raise InvalidQuery(f"{name} is given twice; give it once")
        found[name] = value
    return found


def dry_run_of(query: bytes) -> bool:
    """Return ``dry_run``, if it is the only parameter that a request may have."""
    if not query:
        return False
    control = controls(pairs_of(query), ("dry_run",))
    return flag(control, "dry_run")


def flag(
    values: dict[str, str],
    name: str,
) -> bool:
    """Return a parameter that is ``true`` or ``false``; false if absent."""
    given = values.get(name, "false")
    if given not in ("true", "false"):
        raise InvalidQuery(f"{name} is true or false, not {given[:40]!r}")
    return given == "true"


def integer_of(
    values: dict[str, str],
    name: str,
    default: int | None = None,
    minimum: int = 1,
) -> int | None:
    """Return a parameter that is a whole number of at least ``minimum``."""
    given = values.get(name)
    if given is None:
        return default
    if (
        not re.fullmatch(
            r"\d{1,400}",
            given,
            re.ASCII,
        )
        or int(given) < minimum
    ):
        raise InvalidQuery(
            f"{name} is a whole number from {minimum}, not {given[:40]!r}"
        )
    return int(given)


def split_filters(
    pairs: Pairs,
    known: Iterable[str],
) -> tuple[dict[str, str], Pairs]:
    """Return the control parameters and the filters of a query string."""
    names = frozenset(known)
    control = controls([pair for pair in pairs if pair[0] in names], names)
    return control, [pair for pair in pairs if pair[0] not in names]


@bounded_cache(QUERY_BYTES, weight_of_texts, of_type)
def listing(
    entity_type: EntityType, workspace: str, query: bytes, *, paged: bool = True
) -> Listing:
    """Return a list request.

    Raises ``InvalidQuery``, which names the nearest known parameter or field.
    """
    known = LIST_PARAMETERS if paged else EXPORT_PARAMETERS
    control, filters = split_filters(pairs_of(query), known)
    digest = _digest(entity_type.name, workspace, filters, control)
    position, as_of, time = _position_and_moment(control, digest)
    if as_of is not None:
        entity_type = entity_type.past
    where, values = conditions(entity_type, filters, control, known)
    sort = _sort(entity_type, control["sort"]) if "sort" in control else BY_ID
    limit = page_size(control) if paged else None
    after = None if position is None else _after(position, sort)
    found = Query(where, values, sort, after, limit)
    fields = _fields(entity_type, control["fields"]) if "fields" in control else None
    return Listing(found, fields, flag(control, "count"), digest, as_of, time)


NEWEST_DELETION_FIRST: tuple[SortKey, ...] = (
    SortKey(DELETION["deleted_at"], descending=True),
    SortKey(ENVELOPE["id"], descending=True),
)


@bounded_cache(QUERY_BYTES, weight_of_texts, of_type)
def trash_listing(entity_type: EntityType, workspace: str, query: bytes) -> Listing:
    """Return a request for deleted records.

    Raises ``InvalidQuery``, which names the nearest known parameter or field.
    """
    known = LIST_PARAMETERS - {"as_of"}
    control, filters = split_filters(pairs_of(query), known)
    digest = _digest(f"{entity_type.name}/trash", workspace, filters, control)
    deleted = entity_type.trash
    where, values = conditions(deleted, filters, control, known)
    sort = NEWEST_DELETION_FIRST
    if "sort" in control:
        sort = _sort(deleted, control["sort"])
    after = None
    if "cursor" in control:
        position = pagination.decode(control["cursor"], digest)
        after = _after(position, sort)
    found = Query(where, values, sort, after, page_size(control))
    fields = _fields(deleted, control["fields"]) if "fields" in control else None
    return Listing(found, fields, flag(control, "count"), digest)


def moment_of(control: dict[str, str]) -> Moment | None:
    """Return the moment that ``as_of`` names: a ``seq`` or a time.

    Raises ``InvalidQuery``.
    """
    given = control.get("as_of")
    if given is None:
        return None
    if given.isascii() and given.isdigit():
        # Converting thousands of digits would take long, and any of them is beyond the
        # last change.
        significant = given.lstrip("0")[:SEQ_DIGITS]
        return min(int(significant or "0"), INT64[-1])
    try:
        # Seals have microseconds, so digits beyond them make no difference.
        return stored_time(NANOSECONDS.sub("", given))
    except ValueError:
        hint = "; a + is written %2B in a query string" if " " in given else ""
        raise InvalidQuery(
            "as_of is the seq of a change or a time from year 1 to 9999, such as"
            f" 2026-11-22T17:00:00Z, not {given[:40]!r}{hint}"
        ) from None


def _position_and_moment(
    control: dict[str, str], digest: str
) -> tuple[list[object] | None, Moment | None, str | None]:
    """Return where the page before ended, the moment of the list, and the time that
    its first page named.

    A cursor carries the moment and the time. Raises ``InvalidQuery``.
    """
    as_of = moment_of(control)
    if "cursor" not in control:
        return None, as_of, as_of if isinstance(as_of, str) else None
    position = pagination.decode(control["cursor"], digest)
    if not position or not isinstance(position[0], dict):
        if as_of is not None:
            raise pagination.cursor_of_other_query()
        return position, None, None
    seq, time = _moment_in_cursor(position.pop(0))
    if as_of is not None and as_of not in (seq, time):
        raise pagination.cursor_of_other_query()
    return position, seq, time


def _moment_in_cursor(moment: dict[str, object]) -> tuple[int, str | None]:
    """Return the ``seq`` and the time in a cursor. Raises ``InvalidQuery``."""
    seq = moment.get("as_of")
    time = moment.get("time")
    if type(seq) is not int or seq not in INT64 or seq < 0:
        raise pagination.foreign_cursor()
    if time is not None and not isinstance(time, str):
        raise pagination.foreign_cursor()
    return seq, time


def page_size(control: dict[str, str]) -> int:
    """Return how many items a page may have: ``limit``, within its bounds."""
    wanted = integer_of(control, "limit", DEFAULT_LIMIT)
    return min(wanted or DEFAULT_LIMIT, MAX_LIMIT)


ENVELOPE_ONLY = EntityType(
    "records",
    Kind.REGISTERED,
    0,
    {"type": "object", "additionalProperties": False},
    lambda data: data,
    {},
)
"""What filters can name when collections differ in everything else."""

_BY_ID_AND_COLLECTION = (SortKey(ENVELOPE["id"]), SortKey(ENVELOPE["collection"]))


@bounded_cache(QUERY_BYTES, weight_of_texts)
def workspace_listing(workspace: str, query: bytes) -> Listing:
    """Return a list request over several collections, with filters of the envelope.

    Raises ``InvalidQuery``.
    """
    control, filters = split_filters(pairs_of(query), WORKSPACE_PARAMETERS)
    where, values = conditions(
        ENVELOPE_ONLY,
        filters,
        control,
        WORKSPACE_PARAMETERS,
    )
    digest = _digest(
        "",
        workspace,
        filters,
        control,
    )
    sort = _BY_ID_AND_COLLECTION
    position, as_of, time = _position_and_moment(control, digest)
    after = None if position is None else _after(position, sort)
    found = Query(where, values, sort, after, page_size(control))
    return Listing(found, None, False, digest, as_of, time)


def _sort(entity_type: EntityType, text: str) -> tuple[SortKey, ...]:
    keys: list[SortKey] = []
    for part in text.split(","):
        key = SortKey(
            _sort_field(entity_type, part.removeprefix("-")), part.startswith("-")
        )
        if any(known.field == key.field for known in keys):
            raise InvalidQuery(f"sort names {key.field.name} twice; name it once")
        keys.append(key)
    if len(keys) > MAX_SORT_KEYS:
        raise InvalidQuery(f"sort may name {MAX_SORT_KEYS} fields, not {len(keys)}")
    # Every page needs a last record that no other one equals.
    if keys[-1].field != ENVELOPE["id"]:
        keys.append(SortKey(ENVELOPE["id"], keys[-1].descending))
    return tuple(keys)


def _sort_field(entity_type: EntityType, name: str) -> Field:
    found = named_field(entity_type, name)
    if found is None:
        raise unknown_field(entity_type, name)
    if not found.is_scalar:
        raise InvalidQuery(
            f"records cannot be sorted by {found.name}: the schema does not say that"
            " all of its values are of one scalar type"
        )
    return found


def _fields(entity_type: EntityType, text: str) -> tuple[str, ...]:
    names = [_member(entity_type, name) for name in text.split(",")]
    return tuple(dict.fromkeys(names))


def _member(entity_type: EntityType, name: str) -> str:
    inner = name.removeprefix("data.")
    for known in (name, inner):
        if known in entity_type.fields:
            return known
    # One that a branch of the schema declares, or that an open object may have.
    path = (name,) if inner == name else ("data", inner)
    if entity_type.field_of(path) is None:
        raise unknown_field(entity_type, name)
    return inner


def _digest(
    collection: str,
    workspace: str,
    filters: Pairs,
    control: dict[str, str],
) -> str:
    """Return the text that identifies the query of a cursor."""
    bound = [collection, workspace, filters, control.get("filter"), control.get("sort")]
    return hashlib.blake2b(canonical_text(bound).encode(), digest_size=9).hexdigest()


def cursor_of(
    listing: Listing,
    position: Sequence[object],
    as_of: int | None = None,
) -> str:
    """Return the cursor of a record, given its sort values as the database has them.

    ``as_of`` is the moment of the list, None for the present.
    """
    pairs = zip(
        position,
        listing.query.sort,
        strict=True,
    )
    values = [_json_value(value, key.field.type) for value, key in pairs]
    if as_of is not None:
        values = [{"as_of": as_of, "time": listing.time}, *values]
    return pagination.encode(listing.digest, values)


def _json_value(
    value: Any,
    field_type: FieldType,
) -> Any:
    if value is None or isinstance(value, str):
        return value
    if field_type is FieldType.BOOLEAN:
        return bool(value)
    if isinstance(value, int | float):
        return value
    integer = int(value)  # as a double 2**53 + 1 would be one of its neighbours
    return integer if integer == value and integer in INT64 else float(value)


def _after(
    values: list[object],
    sort: tuple[SortKey, ...],
) -> tuple[object, ...]:
    """Return the position in a cursor if it can be one in an order."""
    if len(values) != len(sort):
        raise pagination.foreign_cursor()
    for value, key in zip(
        values,
        sort,
        strict=True,
    ):
        # A cursor may have been made when the field had another type.
        if not _fits(value, key.field):
            raise pagination.foreign_cursor()
    return tuple(values)


def _fits(
    value: object,
    field: Field,
) -> bool:
    """Return whether a value of a cursor can be a sort value of a field."""
    match value:
        case None:
            return True
        case bool():
            return field.type is FieldType.BOOLEAN
        case int():
            is_number = field.type in (FieldType.INTEGER, FieldType.NUMBER)
            return is_number and value in INT64
        case float():
            return field.type is FieldType.NUMBER and math.isfinite(value)
        case str():
            return field.type in TEXT_TYPES and is_storable(value)
    return False
