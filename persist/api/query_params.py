"""Query strings: filters, order, pages. They become a ``Query`` of the domain."""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from persist.api import pagination
from persist.domain.entity_type import EntityType, Kind
from persist.domain.errors import InvalidQuery, PersistError
from persist.domain.field import ENVELOPE, Field, FieldType
from persist.domain.query import (
    BY_ID,
    OPERATORS,
    TEXT,
    Call,
    Expression,
    Function,
    Member,
    Parameter,
    Query,
    SortKey,
)
from persist.domain.record import INT64, canonical_text, dumps, normalize_number
from persist.domain.suggestions import nearest
from persist.entity_types.cel.filter import compile_filter
from persist.entity_types.cel.operands import stored_time

LIMIT = 50
MOST = 500
CONDITIONS = 250
"""Conditions a query string may have; SQLite nests them and allows a thousand."""

FILTERS = frozenset(("filter",))
PAGE = frozenset(("sort", "fields", "limit", "cursor", "count"))
TOGETHER = frozenset(("limit", "cursor", "filter"))
SCALARS = (FieldType.INTEGER, FieldType.NUMBER, FieldType.STRING, FieldType.BOOLEAN)
NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list request: the query, and how its answer is shown."""

    query: Query
    fields: tuple[str, ...] | None
    count: bool
    digest: str


def pairs_of(query: bytes) -> Pairs:
    """The parameters of a query string in their order. Raises ``InvalidQuery``."""
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
        raise InvalidQuery("the query string must not hold U+0000")
    return pairs


def controls(pairs: Pairs, known: Iterable[str]) -> dict[str, str]:
    """Parameters of a request that takes no filters. Raises ``InvalidQuery`` for
    others, and for one that stands twice."""
    known = tuple(known)
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            raise _unknown("parameter", name, known)
        if name in found:
            raise InvalidQuery(f"{name} stands twice")
        found[name] = value
    return found


def flag(values: dict[str, str], name: str) -> bool:
    """A parameter that is ``true`` or ``false``, false where absent."""
    given = values.get(name, "false")
    if given not in ("true", "false"):
        raise InvalidQuery(f"{name} is true or false, not {given[:40]!r}")
    return given == "true"


def natural(
    values: dict[str, str], name: str, default: int | None = None, least: int = 1
) -> int | None:
    """A whole-number parameter of at least ``least``."""
    given = values.get(name)
    if given is None:
        return default
    if not re.fullmatch(r"\d{1,400}", given, re.ASCII) or int(given) < least:
        raise InvalidQuery(f"{name} is a whole number from {least}, not {given[:40]!r}")
    return int(given)


def split(pairs: Pairs, known: Iterable[str]) -> tuple[dict[str, str], Pairs]:
    """The control parameters and the filters of a query string."""
    known = frozenset(known)
    control = controls([pair for pair in pairs if pair[0] in known], known)
    return control, [pair for pair in pairs if pair[0] not in known]


@lru_cache(maxsize=4096)
def listing(
    type: EntityType, workspace: str, query: bytes, *, paged: bool = True
) -> Listing:
    """A list request. Raises ``InvalidQuery`` naming what is wrong and the nearest
    known name."""
    pairs = pairs_of(query)
    known = PAGE | FILTERS if paged else FILTERS | {"sort", "fields"}
    control, filters = split(pairs, known)
    where, values = conditions(type, filters, control, known)
    sort = _sort(type, control["sort"]) if "sort" in control else BY_ID
    digest = _digest(type.name, workspace, filters, control)
    limit = min(natural(control, "limit", LIMIT) or LIMIT, MOST) if paged else None
    made = Query(where, values, sort, None, limit)
    if "cursor" in control:
        made = replace(made, after=_position(control["cursor"], digest, sort))
    fields = _fields(type, control["fields"]) if "fields" in control else None
    return Listing(made, fields, flag(control, "count"), digest)


ENVELOPE_ONLY = EntityType(
    "records",
    Kind.REGISTERED,
    0,
    {"type": "object", "additionalProperties": False},
    lambda data: data,
    {},
)
"""What filters may name where collections differ in all else."""

_ID = ENVELOPE["id"]
_BY_PLACE = (
    SortKey(_ID),
    SortKey(Field(("collection",), FieldType.STRING, nullable=False, envelope=True)),
)


@lru_cache(maxsize=4096)
def listing_together(workspace: str, query: bytes) -> Listing:
    """A list request over several collections, with filters over the envelope. Raises
    ``InvalidQuery``."""
    control, filters = split(pairs_of(query), TOGETHER)
    where, values = conditions(ENVELOPE_ONLY, filters, control, TOGETHER)
    digest = _digest("", workspace, filters, control)
    after = (
        _position(control["cursor"], digest, _BY_PLACE) if "cursor" in control else None
    )
    limit = min(natural(control, "limit", LIMIT) or LIMIT, MOST)
    return Listing(Query(where, values, _BY_PLACE, after, limit), None, False, digest)


def conditions(
    type: EntityType, filters: Pairs, control: dict[str, str], known: Iterable[str]
) -> tuple[Expression | None, tuple[Any, ...]]:
    """All conditions of a request, ANDed, with their values. ``known`` are its control
    parameters."""
    if len(filters) > CONDITIONS:
        raise InvalidQuery(
            f"a query may have {CONDITIONS} conditions, this one has {len(filters)}"
        )
    values: list[Any] = []
    found = [
        _condition(type, name, value, values, known) for name, value in _merged(filters)
    ]
    if "filter" in control:
        expression, more = compile_filter(control["filter"], type, len(values))
        found.append(expression)
        values.extend(more)
    if not found:
        return None, ()
    return (found[0] if len(found) == 1 else Call(Function.AND, tuple(found))), tuple(
        values
    )


def _merged(filters: Pairs) -> list[tuple[str, list[str]]]:
    """``in`` takes commas, or the parameter repeated for values that hold one."""
    merged: list[tuple[str, list[str]]] = []
    repeated: dict[str, list[str]] = {}
    for name, value in filters:
        if not name.endswith("__in"):
            merged.append((name, [value]))
        elif name in repeated:
            repeated[name].append(value)
        else:
            repeated[name] = [value]
            merged.append((name, repeated[name]))
    return [
        (
            name,
            given[0].split(",") if name.endswith("__in") and len(given) == 1 else given,
        )
        for name, given in merged
    ]


def _condition(
    type: EntityType,
    name: str,
    given: list[str],
    values: list[Any],
    known: Iterable[str],
) -> Expression:
    path, _, operator = name.rpartition("__") if "__" in name[1:] else (name, "", "eq")
    found = resolve(type, path)
    if found is None:
        raise _unknown_field(type, name if name in type.fields else path, known)
    offered = OPERATORS[found.type]
    if operator not in offered:
        raise _unknown(
            f"operator of {found.name}",
            operator,
            [function.value for function in offered],
        )
    function = Function(operator)
    if function is Function.ISNULL:
        null = Call(function, (Member(found),))
        return null if flag({name: given[0]}, name) else Call(Function.NOT, (null,))
    parameters = tuple(
        _parameter(found, function, name, text, values, _is_time(type, found))
        for text in given
    )
    return Call(function, (Member(found), *parameters))


def resolve(type: EntityType, name: str) -> Field | None:
    """The field a query string means: ``_created_at`` the envelope's, ``data.limit``
    one whose name is taken by a control parameter, dots reach into nested members;
    other names need filter=."""
    if name.startswith("_"):
        return ENVELOPE.get(name[1:])
    stripped = name.removeprefix("data.")
    if any(
        not part or part.startswith("_") or "__" in part for part in stripped.split(".")
    ):
        return None
    return type.field_at(tuple(stripped.split("."))) or (
        type.field_at(tuple(name.split("."))) if stripped != name else None
    )


def _is_time(type: EntityType, found: Field) -> bool:
    if found.envelope:
        return found.path[0].endswith("_at")
    return len(found.path) == 1 and found.path[0] in type.times


def _parameter(
    found: Field,
    function: Function,
    name: str,
    text: str,
    values: list[Any],
    is_time: bool,
) -> Parameter:
    value: Any
    if is_time and function not in TEXT:
        kind, value = FieldType.STRING, _moment(name, text)
    elif found.type is FieldType.STRING or function in (
        Function.CONTAINS,
        Function.STARTSWITH,
    ):
        kind, value = FieldType.STRING, text
    elif found.type is FieldType.BOOLEAN:
        kind, value = FieldType.BOOLEAN, flag({name: text}, name)
    elif found.type is FieldType.ANY:
        kind, value = _open(text)
    else:
        kind, value = _number(name, text, whole_only=found.type is FieldType.INTEGER)
    values.append(value)
    return Parameter(len(values) - 1, kind)


def _moment(name: str, text: str) -> str:
    try:
        return stored_time(text)
    except ValueError:
        raise InvalidQuery(
            f"{name} takes a time such as 2026-11-22T17:00:00Z, not {text[:40]!r}"
        ) from None


def _number(name: str, text: str, *, whole_only: bool) -> tuple[FieldType, int | float]:
    if not NUMBER.fullmatch(text) or len(text) > 400:
        raise InvalidQuery(f"{name} takes a number, not {text[:40]!r}")
    value = int(text) if re.fullmatch(r"-?\d+", text) else normalize_number(float(text))
    if isinstance(value, int) and value in INT64:
        return FieldType.INTEGER, value
    if whole_only or not math.isfinite(float(text)):
        kind = "a whole number within 64 bits" if whole_only else "a finite number"
        raise InvalidQuery(f"{name} takes {kind}, not {text[:40]}")
    return FieldType.NUMBER, float(text)


def _open(text: str) -> tuple[FieldType, Any]:
    """A value compared with a member of any type, by its own: ``8`` a number, ``"8"``
    and ``u-42`` text, ``true`` a boolean."""
    if text in ("true", "false"):
        return FieldType.BOOLEAN, text == "true"
    if NUMBER.fullmatch(text):
        return _number("the value", text, whole_only=False)
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            unquoted = json.loads(text)
        except ValueError:
            return FieldType.STRING, text
        if "\0" not in unquoted and _sound(unquoted):
            return FieldType.STRING, unquoted
    return FieldType.STRING, text


def _sort(type: EntityType, text: str) -> tuple[SortKey, ...]:
    keys: list[SortKey] = []
    for part in text.split(","):
        name = part.removeprefix("-")
        found = resolve(type, name)
        if found is None:
            raise _unknown_field(type, name)
        if found.type not in SCALARS:
            raise InvalidQuery(
                f"records cannot be sorted by {found.name}: it holds no single kind of"
                " scalar"
            )
        if any(key.field == found for key in keys):
            raise InvalidQuery(f"sort names {found.name} twice")
        keys.append(SortKey(found, part.startswith("-")))
    if len(keys) > 16:
        raise InvalidQuery("sort may name 16 fields")
    if keys[-1].field != ENVELOPE["id"]:
        keys.append(SortKey(ENVELOPE["id"], keys[-1].descending))
    return tuple(keys)


def _fields(type: EntityType, text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name.removeprefix("data.") not in type.fields and name not in type.fields:
            raise _unknown_field(type, name)
    return tuple(
        name if name in type.fields else name.removeprefix("data.") for name in names
    )


def _digest(
    collection: str, workspace: str, filters: Pairs, control: dict[str, str]
) -> str:
    """What a cursor is bound to."""
    bound = [collection, workspace, filters, control.get("filter"), control.get("sort")]
    return hashlib.blake2b(canonical_text(bound).encode(), digest_size=9).hexdigest()


def cursor_of(listing: Listing, position: Sequence[Any]) -> str:
    """The cursor that goes on behind a record, given its sort values as the database
    has them."""
    pairs = zip(position, listing.query.sort, strict=True)
    return pagination.encode(
        listing.digest, [_plain(value, key.field.type) for value, key in pairs]
    )


def _plain(value: Any, type: FieldType) -> Any:
    """A sort value as JSON has it."""
    if value is None or isinstance(value, str):
        return value
    if type is FieldType.BOOLEAN:
        return bool(value)
    if isinstance(value, int | float):
        return value
    exact = int(value)  # a double would tell 2**53 + 1 from neither of its neighbours
    return exact if exact == value and exact in INT64 else float(value)


def _position(cursor: str, digest: str, sort: tuple[SortKey, ...]) -> tuple[Any, ...]:
    held = pagination.decode(cursor, digest)
    if len(held) != len(sort) or not all(
        _fits(value, key.field) for value, key in zip(held, sort, strict=True)
    ):
        raise pagination.foreign()
    return tuple(held)


def _fits(value: Any, found: Field) -> bool:
    if value is None:
        return found.nullable
    if isinstance(value, bool):
        return found.type is FieldType.BOOLEAN
    if isinstance(value, int):
        return found.type in (FieldType.INTEGER, FieldType.NUMBER) and value in INT64
    if isinstance(value, float):
        return found.type is FieldType.NUMBER and math.isfinite(value)
    return (
        isinstance(value, str)
        and found.type is FieldType.STRING
        and "\0" not in value
        and _sound(value)
    )


def _sound(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _unknown_field(
    type: EntityType, name: str, controls: Iterable[str] = ()
) -> PersistError:
    if name in type.fields:
        return InvalidQuery(
            f"{name[:80]!r} is reached by filter only: filter=data[{dumps(name[:80])}]"
            " == …"
        )
    prefix, dot, _ = name.removeprefix("data.").rpartition(".")
    nested = (
        [f"{prefix}.{known}" for known in type.members.names(tuple(prefix.split(".")))]
        if dot
        else []
    )
    fields = [*type.fields, *("_" + known for known in ENVELOPE), *sorted(controls)]
    return _unknown("field", name, nested or fields)


def _unknown(what: str, name: str, known: Iterable[str]) -> InvalidQuery:
    known = [one for one in known if one != name]
    near = nearest(name, known, 0.5)
    hint = f"did you mean {near}?" if near else f"known: {', '.join(known[:20])}"
    return InvalidQuery(f"unknown {what} {name[:80]!r}; {hint}")
