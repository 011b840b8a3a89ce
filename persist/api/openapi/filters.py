"""The typed filters of a collection, and what its ``sort`` and ``fields`` may name.

A filter is a parameter ``<name>.<type>`` of the document: collections whose fields have
the same name and type refer to the same one.
"""

from collections import deque
from collections.abc import Iterator
from itertools import islice

from persist.api.openapi.components import LARGEST_INLINE
from persist.api.openapi.shared import SHARED, query_names
from persist.api.openapi.type_unions import any_of
from persist.domain.bounded_cache import bounded_cache, weight_of_texts
from persist.domain.entity_type import EntityType
from persist.domain.field import STORED_ENVELOPE, Field, FieldType, Path
from persist.domain.field_types import schema_of
from persist.domain.query import (
    EQUALITY,
    TEXT_FUNCTIONS,
    Function,
    Operator,
    operators_of,
)
from persist.domain.record import INT64_BOUNDS, Json

NESTED_LEVELS = 3
"""How deep members are listed; filters reach deeper ones as well."""

MAX_FIELDS = 500
"""Members that are searched for: schemas that refer to each other have any number of
them."""

MAX_FILTERS = 150
"""Filters of one collection that are listed: equality first, then the other operators
of the first fields. All of them work."""

PARAMETERS_BYTES = 16_777_216
"""What may be kept of parameters that were described."""

MAX_NAMES = 200
"""Names that ``sort`` and ``fields`` list each."""

_NAMES_OF_CONTROLS = query_names("list", "delete_matching", "invoke_all")
"""A field with such a name is filtered as ``data.<name>``."""

_MEANINGS = {
    Function.EQ: "equals",
    Function.NE: "differs; null and absent differ, too",
    Function.GT: "is greater than",
    Function.GTE: "is at least",
    Function.LT: "is less than",
    Function.LTE: "is at most",
    Function.IN: "is one of, separated by commas",
    Function.CONTAINS: "contains, case-sensitive",
    Function.STARTSWITH: "starts with, case-sensitive",
    Function.ENDSWITH: "ends with, case-sensitive",
    Function.IEQ: "equals, whatever the case",
    Function.ICONTAINS: "contains, whatever the case",
    Function.ISTARTSWITH: "starts with, whatever the case",
    Function.IENDSWITH: "ends with, whatever the case",
    Function.HAS: "is a list with this element; repeated: with all of them",
    Function.ISNULL: "is null or absent",
}


def filter_parameters(entity_type: EntityType) -> dict[str, Json]:
    """Return the filters of a collection by component name: one for each field of data
    and envelope and each operator of its type, as many as there is room for.

    The collection and the workspace, which all records of a list have in common, are
    not listed.
    """
    fields = [*_declared_fields(entity_type), *STORED_ENVELOPE.values()]
    of_fields = [_filters(_query_name(field), field) for field in fields]
    room = MAX_FILTERS - len(fields)
    found: dict[str, Json] = {}
    for of_field in of_fields[:MAX_FILTERS]:
        others = len(of_field) - 1
        if others <= room:
            found |= of_field
            room -= others
        else:
            first = next(iter(of_field))
            found[first] = of_field[first]
    return found


def is_equality_of_data(component: str) -> bool:
    """Return whether the filter of this component name is equality of a member of
    data."""
    return "__" not in component and not component.startswith("_")


def selection_parameters(entity_type: EntityType, base: str) -> dict[str, Json]:
    """Return the parameters ``sort`` and ``fields`` of a collection by component
    name."""
    fields = (*_declared_fields(entity_type), *STORED_ENVELOPE.values())
    sortable = [
        field.name for field in fields if field.is_scalar and "," not in field.name
    ]
    selectable = [name for name in entity_type.fields if name and "," not in name]
    return {
        f"{base}Sort": _selection("sort", sortable, "-?"),
        f"{base}Fields": _selection("fields", selectable),
    }


def _selection(name: str, allowed: list[str], before: str = "") -> Json:
    """Return a parameter that takes these names. A pattern, because the members of an
    enumeration cannot all be named in a program: ``-severity``."""
    control: Json = SHARED["parameters"][name]
    if len(allowed) > MAX_NAMES:
        return control
    items = {"type": "string", "pattern": any_of(allowed, before)}
    return control | {"schema": control["schema"] | {"items": items}}


def _query_name(field: Field) -> str:
    if field.envelope:
        return field.name
    outermost = field.path[0]
    is_taken = outermost in _NAMES_OF_CONTROLS
    is_prefixed = outermost == "data" and len(field.path) > 1
    if is_taken or is_prefixed:
        return f"data.{field.name}"
    return field.name


def _filters(name: str, field: Field) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for operator in operators_of(field).values():
        # Members of the envelope are never null, and no texts to search.
        unlisted = (*TEXT_FUNCTIONS, Function.ISNULL, Function.NE)
        if field.envelope and operator.function in unlisted:
            continue
        if operator.argument in (FieldType.ARRAY, FieldType.OBJECT):
            continue
        is_equality = operator.name == Function.EQ
        key = name if is_equality else f"{name}__{operator.name}"
        component = f"{_component_name(key)}.{_component_name(_kind(field))}"
        found[component] = _filter(key, operator, _choices(field, operator))
    return found


def _kind(field: Field) -> str:
    """Return the suffix that distinguishes fields of one name and different
    operators."""
    if field.items is not None:
        return f"{field.type}-{field.items.type}"
    if field.type is FieldType.ANY:
        return "-".join([field.type, *field.types])
    return "-".join([field.type, *_members(field)])


def _members(field: Field) -> list[str]:
    """Return the members of a text's enumeration, unless they are too long to list."""
    members = [member for member in field.choices if isinstance(member, str)]
    is_text = field.type is FieldType.STRING
    return members if is_text and len(any_of(members)) <= LARGEST_INLINE else []


def _choices(field: Field, operator: Operator) -> str | None:
    """Return the pattern of the values that an enumeration has with an operator."""
    members = _members(field)
    if not members or operator.function not in EQUALITY:
        return None
    return any_of(members)


def _component_name(text: str) -> str:
    """Return ``text`` in the characters that a component's name may have."""
    return "".join(
        character
        if character.isascii() and (character.isalnum() or character in "_-")
        else f".{ord(character):x}."
        for character in text
    )


@bounded_cache(PARAMETERS_BYTES, weight_of_texts)
def _filter(name: str, operator: Operator, pattern: str | None) -> Json:
    value: Json = {"type": "string", **schema_of(operator.argument)}
    if pattern is not None:
        value["pattern"] = pattern
    if operator.argument is FieldType.INTEGER:
        value |= INT64_BOUNDS
    meaning = _MEANINGS[operator.function]
    if operator.of_length:
        meaning = f"is a list whose length {meaning}"
    parameter: Json = {"name": name, "in": "query", "schema": value}
    parameter["description"] = meaning
    if operator.function in (Function.IN, Function.HAS):
        parameter["schema"] = {"type": "array", "minItems": 1, "items": value}
        parameter["style"] = "form"
        parameter["explode"] = operator.function is Function.HAS
    return parameter


def _declared_fields(entity_type: EntityType) -> Iterator[Field]:
    """Yield the members of data that a query string can name; others are reached by
    ``filter`` only."""
    for field in islice(_declared(entity_type), MAX_FIELDS):
        if all(map(_is_plain, field.path)):
            yield field


def _is_plain(name: str) -> bool:
    if not name or name.startswith("_"):
        return False
    return "." not in name and "__" not in name


def _declared(entity_type: EntityType) -> Iterator[Field]:
    """Yield the declared members, outer ones first."""
    waiting: deque[Path] = deque([()])
    while waiting:
        before = waiting.popleft()
        for name in entity_type.members.names(before):
            field = entity_type.field_at((*before, name))
            if field is None:
                continue
            yield field
            if field.type is FieldType.OBJECT and len(field.path) < NESTED_LEVELS:
                waiting.append(field.path)
