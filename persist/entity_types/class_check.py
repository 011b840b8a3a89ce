"""Checks of entity classes.

Every field, method and option of a class is kept exactly, supported with a rule, or
refused with the class, the member, the reason and what to write instead. The tables are
in ``entity_features``; the answer is the same on every database.
"""

import difflib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from pydantic import BaseModel, PydanticUserError
from pydantic.errors import PydanticUndefinedAnnotation
from pydantic.fields import FieldInfo
from pydantic_core import (
    PydanticSerializationError,
    PydanticUndefined,
    to_jsonable_python,
)
from sqlmodel import SQLModel

from persist.domain.entity_type import EntityType, Paths
from persist.domain.errors import InvalidData
from persist.domain.field import Field, FieldType
from persist.domain.identifiers import COLLECTION_NAME
from persist.domain.migration import MigrationPlan
from persist.domain.record import INT64
from persist.entity_types import command_check
from persist.entity_types.declaration import Declaration, declaration_of
from persist.entity_types.entity_features import (
    CLASS_FEATURES,
    CONFIGURATION,
    FIELD_ARGUMENTS,
    MAX_FIELDS,
    Refusal,
)
from persist.entity_types.json_schema.fields import fields_of
from persist.entity_types.model_codec import ModelCodec
from persist.entity_types.pydantic_schema import (
    default_fault,
    field_schemas,
    functions,
    is_incompatible,
)
from persist.entity_types.storable import checked
from persist.entity_types.type_check import Refused, check_metadata, check_type


class InvalidEntityClass(ValueError):
    """A class that cannot be an entity. The message is one line: module, line, class,
    member, reason, what to write instead."""

    def __init__(self, model: type, member: str, refusal: Refusal) -> None:
        named = f", {member}" if member else ""
        super().__init__(
            f"{_location(model)}{named}: {refusal.reason}; {refusal.instead}"
        )


def location(entity_type: EntityType) -> str:
    """Return module, line and class of a typed entity."""
    return (
        entity_type.name if entity_type.model is None else _location(entity_type.model)
    )


def _location(model: type) -> str:
    return f"{model.__module__}, {_line(model)}class {model.__name__}"


def _line(model: type) -> str:
    try:
        return f"line {inspect.getsourcelines(model)[1]}, "
    except (OSError, TypeError):  # a class that no file contains
        return ""


def check_class(model: type[SQLModel]) -> None:
    """Raise ``InvalidEntityClass`` for the first thing that cannot be kept."""
    with naming_class(model):
        _check_declaration(declaration_of(model))
        _check_options(model)
        for owner in _models(model):
            _check_configuration(owner)
            _check_fields(owner, nested=owner is not model)
            _check_names(owner)
        for name, method in command_check.command_methods(model):
            command_check.check_command(name, method, model)


@contextmanager
def naming_class(model: type[SQLModel]) -> Iterator[None]:
    """Raise ``InvalidEntityClass`` for what is ``Refused`` in the block."""
    try:
        yield
    except Refused as found:
        raise InvalidEntityClass(model, found.member, found.refusal) from None


def _check_declaration(declared: Declaration) -> None:
    if not COLLECTION_NAME.fullmatch(declared.name):
        raise Refused(
            "@entity",
            Refusal(
                f"{declared.name!r} cannot name a collection",
                f"write a name like {_collection_name(declared.name)!r}:"
                f" {COLLECTION_NAME.pattern}",
            ),
        )
    version = declared.schema_version
    if type(version) is not int or not 1 <= version < INT64.stop:
        raise Refused(
            "@entity",
            Refusal(
                f"schema_version={version!r} is no version", "write 1, 2, 3 and so on"
            ),
        )
    if not isinstance(declared.plan, MigrationPlan | None):
        raise Refused(
            "@entity",
            Refusal(
                f"plan= is a {type(declared.plan).__name__}, no plan",
                "write plan=MigrationPlan([MigrationStep(1, 2)])",
            ),
        )


def _collection_name(name: str) -> str:
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1-\2", name).lower()
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-0123456789")[:63] or "tickets"


def _check_options(model: type[SQLModel]) -> None:
    found = next(_class_features(model), None)
    if found is not None:
        feature, member = found
        raise Refused(member, CLASS_FEATURES[feature])
    try:
        model.model_rebuild()
    except (PydanticUndefinedAnnotation, PydanticUserError) as error:
        reason = str(error).splitlines()[0]
        raise Refused(
            "", Refusal(reason, "import the type in the module of the class")
        ) from None


def _class_features(model: type[SQLModel]) -> Iterator[tuple[str, str]]:
    """Yield each refused feature of the class, with the member it belongs to."""
    if model.model_config.get("table"):
        yield "table=True", ""
    if model.model_config.get("frozen"):
        yield "frozen=True", ""
    own = [base for base in model.__mro__ if base.__module__ not in _LIBRARIES]
    for feature in ("__tablename__", "__table_args__"):
        if any(feature in vars(base) for base in own):
            yield feature, feature
    for name in getattr(model, "__sqlmodel_relationships__", {}):
        yield "Relationship", f"field {name}"


_LIBRARIES = ("sqlmodel.main", "pydantic.main", "builtins")


def _models(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Return the class and the models nested in it, each once."""
    found: dict[type[BaseModel], None] = {}
    waiting = [model]
    while waiting:
        current = waiting.pop(0)
        if current in found:
            continue
        found[current] = None
        for name, info in current.model_fields.items():
            with _field(current, name, nested=current is not model):
                waiting += check_type(info.annotation)
    return list(found)


@contextmanager
def _field(owner: type, name: str, *, nested: bool) -> Iterator[None]:
    """Add the name of a field to a refusal inside the block."""
    try:
        yield
    except Refused as found:
        prefix = f"{owner.__name__}." if nested else ""
        found.member = found.member or f"field {prefix}{name}"
        raise


def _check_configuration(owner: type[BaseModel]) -> None:
    allowed = {"extra": (None, "forbid"), "regex_engine": (None, "rust-regex")}
    for option, refusal in CONFIGURATION.items():
        value = owner.model_config.get(option)
        if value not in allowed.get(option, (None, {})):
            raise Refused(
                f"model_config of {owner.__name__}, {option}={value!r}", refusal
            )
    decorators = owner.__pydantic_decorators__
    for feature, found in (
        ("@field_serializer", decorators.field_serializers),
        ("@model_serializer", decorators.model_serializers),
    ):
        for name in found:
            raise Refused(f"method {name}", CLASS_FEATURES[feature])


def _check_fields(owner: type[BaseModel], *, nested: bool) -> None:
    if nested and owner.model_computed_fields:
        raise Refused(
            f"field {owner.__name__}.{next(iter(owner.model_computed_fields))}",
            Refusal(
                "only the entity class itself has computed fields",
                "move the computed field to the entity class",
            ),
        )
    for name, info in owner.model_fields.items():
        with _field(owner, name, nested=nested):
            _check_arguments(info)
            _check_default(info)
            check_metadata(info.metadata)
    for name, core in field_schemas(owner.__pydantic_core_schema__).items():
        if any(map(is_incompatible, functions(core["schema"]))):
            with _field(owner, name, nested=nested):
                raise Refused("", CLASS_FEATURES["constraint"])


def _check_default(info: FieldInfo) -> None:
    """Raise ``Refused`` for a default that no record can hold: NaN, 2**70."""
    default = None if info.is_required() else info.default
    with suppress(PydanticSerializationError, ValueError):
        default = to_jsonable_python(default)
    try:
        checked(default, InvalidData)
    except InvalidData as error:
        reason = error.errors[0].detail
        raise Refused("", refused_default(info.default, reason)) from None


def refused_default(default: object, reason: str) -> Refusal:
    """Return the refusal of a default that does not fit its own field."""
    return Refusal(
        f"its default {default!r} does not fit: {reason}",
        "write a default that the field accepts",
    )


def _check_names(owner: type[BaseModel]) -> None:
    """Raise ``Refused`` for two members of one name, and for too many."""
    names = [info.alias or name for name, info in owner.model_fields.items()]
    names += [
        field.alias or name for name, field in owner.model_computed_fields.items()
    ]
    for name in names:
        if names.count(name) > 1:
            raise Refused(
                f"member {name} of {owner.__name__}", CLASS_FEATURES["equal names"]
            )
    if len(names) > MAX_FIELDS:
        raise Refused(f"class {owner.__name__}", CLASS_FEATURES["many fields"])


def _check_arguments(info: FieldInfo) -> None:
    for argument, value in field_arguments(info).items():
        if value is None or argument not in FIELD_ARGUMENTS:
            continue
        reason, instead = FIELD_ARGUMENTS[argument]
        raise Refused("", Refusal(f"{argument}= is refused: {reason}", instead))


def _column_arguments(info: FieldInfo) -> dict[str, object]:
    """Return the arguments of SQLModel's ``Field`` that are about the column."""
    given: dict[str, Any] = {}
    for metadata in info.metadata:
        if type(metadata).__name__ == "FieldInfoMetadata":
            given |= vars(metadata)
    return {
        name: value for name, value in given.items() if value is not PydanticUndefined
    }


_CHANGES_NOTHING = {
    "allow_mutation": True,
    "primary_key": False,
    "exclude": False,
    "frozen": False,
}
"""Arguments of ``Field`` at the values that change nothing."""


def field_arguments(info: FieldInfo) -> dict[str, object]:
    """Return the arguments of ``Field`` other than those that pydantic and SQLModel
    fill in."""
    given = info._attributes_set | _column_arguments(info)
    for name, value in _CHANGES_NOTHING.items():
        if given.get(name) is value:
            del given[name]
    for name in ("validation_alias", "serialization_alias"):
        own = getattr(info, name)
        given[name] = None if own == info.alias else own
    return given


def check_defaults(model: type[SQLModel], codec: ModelCodec) -> None:
    """Raise ``InvalidEntityClass`` for a default that its own field refuses."""
    core = codec.model.__pydantic_core_schema__
    for name, info in model.model_fields.items():
        if info.is_required() or info.default_factory is not None:
            continue
        reason = default_fault(core, name, info.default)
        if reason:
            refusal = refused_default(info.default, reason)
            raise InvalidEntityClass(model, f"field {name}", refusal)


def indexed_groups(
    model: type[SQLModel], schema: dict[str, object], flag: str
) -> tuple[Paths, ...]:
    """Return the groups of members that are unique or have an index, by the flag
    ``unique`` or ``index``. Raises ``InvalidEntityClass``."""
    declared = declaration_of(model)
    given = declared.unique if flag == "unique" else declared.indexes
    flagged = [
        (info.alias or name,)
        for name, info in model.model_fields.items()
        if field_arguments(info).get(flag)
    ]
    fields = fields_of(schema)
    with naming_class(model):
        groups = [*flagged, *_groups(given, flag)]
        for group in groups:
            for name in group:
                _check_indexed(fields, name, flag)
    return tuple(dict.fromkeys(groups))


def _groups(given: object, flag: str) -> list[Paths]:
    argument = "unique" if flag == "unique" else "indexes"
    groups = [] if isinstance(given, str) or not isinstance(given, Iterable) else given
    found = [(group,) if isinstance(group, str) else tuple(group) for group in groups]
    if groups is not given or any(not group for group in found):
        raise Refused(
            f"@entity, {argument}={given!r}",
            Refusal(
                "it is no list of fields or groups of fields",
                f'write {argument}=["a", ["b", "c"]]',
            ),
        )
    return found


def _check_indexed(fields: Mapping[str, Field], name: Any, flag: str) -> None:
    member = f"field {name}"
    wish = "it cannot be unique" if flag == "unique" else "it cannot have an index"
    found = fields.get(name)
    if found is None:
        near = difflib.get_close_matches(str(name), fields, n=1)
        raise Refused(
            member,
            Refusal(
                f"{wish}: the class has no member of that name",
                f"write {near[0]!r}" if near else f"write one of {', '.join(fields)}",
            ),
        )
    if found.type in (FieldType.OBJECT, FieldType.ARRAY, FieldType.ANY):
        raise Refused(
            member,
            Refusal(
                f"{wish}: it is no single value of one type",
                "take it out, or give the field the type of a single value",
            ),
        )
