"""Filters of a query string: ``field__op=value`` becomes a condition of the domain."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from persist.domain.entity_type import EntityType
from persist.domain.errors import InvalidQuery, PersistError
from persist.domain.field import ANYTHING, Field, FieldType
from persist.domain.field_types import NUMBER, VALUE_TYPES, parse_scalar
from persist.domain.query import (
    TEXT_FUNCTIONS,
    Call,
    Expression,
    Function,
    Member,
    Operator,
    Parameter,
    operators_of,
)
from persist.domain.query_values import (
    compared_value,
    described,
    is_choice,
    type_compared,
)
from persist.domain.record import dumps
from persist.domain.strict_json import is_storable
from persist.domain.suggestions import nearest
from persist.entity_types.cel.filter import compile_filter

Pairs = list[tuple[str, str]]

MAX_CONDITIONS = 250
"""Conditions a query string may have; SQLite nests them and allows a thousand."""

SIMILAR = 0.5
"""The least similarity of a suggested name, from 0 to 1."""

LENGTH_SUFFIX = "__len"


def conditions(
    entity_type: EntityType,
    filters: Pairs,
    control: dict[str, str],
    known: Iterable[str],
) -> tuple[Expression | None, tuple[object, ...]]:
    """Return the conjunction of all conditions of a request, with their values.

    ``known`` are its control parameters. Raises ``InvalidQuery``.
    """
    if len(filters) > MAX_CONDITIONS:
        raise InvalidQuery(
            f"a query may have {MAX_CONDITIONS} conditions, this one has {len(filters)}"
        )
    parser = _Parser(entity_type, frozenset(known))
    merged = _merged(filters)
    found = [parser.condition(name, texts) for name, texts in merged]
    values = parser.values
    if "filter" in control:
        code = control["filter"]
        expression, more = compile_filter(code, entity_type, len(values))
        found.append(expression)
        values += more
    if not found:
        return None, ()
    where = found[0] if len(found) == 1 else Call(Function.AND, tuple(found))
    return where, tuple(values)


def _merged(filters: Pairs) -> list[tuple[str, list[str]]]:
    """Return the values of each filter.

    ``in`` takes commas, or is repeated for values that contain one. Every other filter
    is a condition each time it is repeated.
    """
    merged: list[tuple[str, list[str]]] = []
    lists: dict[str, list[str]] = {}
    for name, value in filters:
        if name in lists:
            lists[name].append(value)
            continue
        values = [value]
        merged.append((name, values))
        if name.endswith("__in"):
            lists[name] = values
    for values in lists.values():
        if len(values) == 1:
            values[:] = values[0].split(",")
    return merged


class _Parser:
    """Parses the filters of one request; collects their values."""

    def __init__(
        self,
        entity_type: EntityType,
        known: frozenset[str],
    ) -> None:
        self.values: list[Any] = []
        self._type = entity_type
        self._known = known

    def condition(
        self,
        name: str,
        texts: list[str],
    ) -> Expression:
        field, operator = self._field(name)
        member = Member(field)
        if operator.function is Function.ISNULL:
            null = Call(Function.ISNULL, (member,))
            is_wanted = _parsed(
                name,
                FieldType.BOOLEAN,
                texts[0],
            )
            return null if is_wanted else Call(Function.NOT, (null,))
        if operator.of_length:
            length = Call(Function.LEN, (member,))
            sizes = [self._length(name, text) for text in texts]
            return Call(operator.function, (length, *sizes))
        function = operator.function
        compared = field
        if function is Function.HAS:
            compared = field.items or ANYTHING
        parameters = [self._parameter(name, compared, function, text) for text in texts]
        return Call(function, (member, *parameters))

    def _field(self, name: str) -> tuple[Field, Operator]:
        """Return the field and the operator that a parameter names."""
        path, suffix = _split_operator(name)
        field = named_field(self._type, path)
        if field is None:
            is_member = name in self._type.fields
            unknown = name if is_member else path
            raise unknown_field(self._type, unknown, self._known)
        operators = operators_of(field)
        if suffix not in operators:
            raise unknown_name(
                f"operator of {field.name}",
                suffix,
                operators,
            )
        return field, operators[suffix]

    def _length(self, name: str, text: str) -> Parameter:
        length = _parsed(name, FieldType.INTEGER, text)
        return self._added(FieldType.INTEGER, length)

    def _parameter(
        self,
        name: str,
        field: Field,
        function: Function,
        text: str,
    ) -> Parameter:
        try:
            kind, value = _value(
                field,
                function,
                text,
            )
            compared = compared_value(
                field,
                kind,
                function,
                value,
            )
        except ValueError as error:
            raise _wrong_value(name, error, text) from None
        return self._added(kind, compared)

    def _added(
        self,
        kind: FieldType,
        value: object,
    ) -> Parameter:
        self.values.append(value)
        return Parameter(len(self.values) - 1, kind)


def _split_operator(name: str) -> tuple[str, str]:
    """Return the path and the operator of a parameter: ``eq`` if it has none."""
    if "__" not in name[1:]:
        return name, Function.EQ.value
    path, _, operator = name.rpartition("__")
    if path.endswith(LENGTH_SUFFIX):
        return path.removesuffix(LENGTH_SUFFIX), f"len__{operator}"
    return path, operator


def _parsed(
    name: str,
    field_type: FieldType,
    text: str,
) -> Any:
    try:
        return parse_scalar(field_type, text)
    except ValueError as error:
        raise _wrong_value(name, error, text) from None


def _wrong_value(name: str, error: ValueError, text: str) -> InvalidQuery:
    shortened = text[:40]
    return InvalidQuery(f"{name} {error}, not {shortened!r}")


def _value(
    field: Field,
    function: Function,
    text: str,
) -> tuple[FieldType, Any]:
    """Return the JSON value that text is for a field, and the type it is compared as.

    Raises ``ValueError``.
    """
    if function in TEXT_FUNCTIONS:
        return FieldType.STRING, text
    if field.type is not FieldType.ANY:
        value = parse_scalar(field.type, text)
        VALUE_TYPES[field.type].value(value)
        return type_compared(field, value) or field.type, value
    found = list(_typed_readings(field, text))
    if not found:
        raise ValueError(f"takes {described(field.types)}")
    chosen = [reading for reading in found if is_choice(field, *reading)]
    return (chosen or found)[0]


def _typed_readings(
    field: Field,
    text: str,
) -> Iterator[tuple[FieldType, object]]:
    """Yield the JSON values that text can be for a field of several types."""
    for value in _readings(text):
        kind = type_compared(field, value)
        if kind is FieldType.NUMBER and not field.allows(kind):
            continue  # a fraction, where only integers are allowed
        if kind is not None:
            yield kind, value


def _readings(text: str) -> Iterator[object]:
    """Yield the JSON values that text can be, the likeliest first.

    ``8`` is a number, ``"8"`` and ``u-42`` are text, ``true`` is a boolean.
    """
    if text in ("true", "false"):
        yield text == "true"
    elif NUMBER.fullmatch(text):
        yield parse_scalar(FieldType.NUMBER, text)
    elif len(text) > 1 and text[0] == text[-1] == '"':
        quoted = _unquoted(text)
        if quoted is not None:
            yield quoted
    yield text


def _unquoted(text: str) -> str | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if not isinstance(value, str):
        return None
    return value if is_storable(value) else None


def named_field(
    entity_type: EntityType,
    name: str,
) -> Field | None:
    """Return the field that a query string names.

    ``_created_at`` is the envelope's. ``data.limit`` is a member whose name is that of
    a control parameter, or one that the schema does not declare. Dots lead into nested
    members. Members with other names are reached by ``filter=`` only.
    """
    if name.startswith("_"):
        return entity_type.envelope.get(name[1:])
    segments = name.removeprefix("data.").split(".")
    if not all(map(_is_plain, segments)):
        return None
    path = tuple(name.split("."))
    return entity_type.field_of(path)


def _is_plain(segment: str) -> bool:
    if not segment or segment.startswith("_"):
        return False
    return "__" not in segment


def unknown_field(
    entity_type: EntityType,
    name: str,
    controls: Iterable[str] = (),
) -> PersistError:
    """Return the error for a field that does not exist."""
    if name in entity_type.fields:
        return InvalidQuery(
            f"{name[:80]!r} is reached by filter only: filter=data[{dumps(name[:80])}]"
            " == …"
        )
    parent, _, _ = name.removeprefix("data.").rpartition(".")
    if parent:
        path = tuple(parent.split("."))
        siblings = entity_type.members.names(path)
        if siblings:
            nested = [f"{parent}.{known}" for known in siblings]
            return unknown_name("field", name, nested)
    envelope = [f"_{known}" for known in entity_type.envelope]
    return unknown_name(
        "field",
        name,
        [*entity_type.fields, *envelope, *sorted(controls)],
    )


def unknown_name(
    what: str,
    name: str,
    known: Iterable[str],
) -> InvalidQuery:
    """Return the error for a name that does not exist, with the nearest known one."""
    others = [one for one in known if one != name]
    near = nearest(name, others, cutoff=SIMILAR)
    listed = ", ".join(others[:20])
    known_ones = f"known: {listed}" if listed else "there is none here"
    hint = f"did you mean {near}?" if near else known_ones
    return InvalidQuery(f"unknown {what} {name[:80]!r}; {hint}")
