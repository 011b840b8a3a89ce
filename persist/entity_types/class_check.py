"""Checks of entity classes.

Every field, method and option of a class is kept exactly, supported with a rule, or
refused with the class, the member, the reason and what to write instead. The tables are
in ``entity_features``; the answer is the same on every database.
"""

import difflib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlmodel import SQLModel

from persist.domain.entity_type import EntityType, Paths
from persist.domain.field import Field, FieldType
from persist.domain.identifiers import COLLECTION_NAME
from persist.domain.migration import MigrationPlan
from persist.domain.record import INT64
from persist.entity_types import command_check
from persist.entity_types.declaration import Declaration, declaration_of
from persist.entity_types.json_schema.fields import fields_of
from persist.entity_types.model_check import (
    check_model,
    field_arguments,
    own_classes,
    refused_default,
)
from persist.entity_types.model_codec import ModelCodec
from persist.entity_types.pydantic_schema import default_fault
from persist.entity_types.supported_features import (
    CLASS_FEATURES,
    Refusal,
)
from persist.entity_types.type_check import Refused


class InvalidEntityClass(ValueError):
    """A class that cannot be an entity. The message is one line: module, line, class,
    member, reason, what to write instead."""

    def __init__(self, model: type, member: str, refusal: Refusal) -> None:
        named = f", {member}" if member else ""
        super().__init__(
            f"{_location(model)}{named}: {refusal.reason}; {refusal.instead}"
        )


def unexpected(model: type, error: Exception) -> InvalidEntityClass:
    """Return the refusal of a class that nothing else refuses and no library can
    compile."""
    reason = " ".join(str(error).split())
    return InvalidEntityClass(
        model,
        "",
        Refusal(
            f"it cannot be compiled ({type(error).__name__}: {reason})",
            "write it as the reference of entity classes says",
        ),
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
        check_model(model)
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
                f"schema_version={version!r} is not a version",
                "write 1, 2, 3 and so on",
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


def _class_features(model: type[SQLModel]) -> Iterator[tuple[str, str]]:
    """Yield each refused feature of the class, with the member it belongs to."""
    if model.model_config.get("table"):
        yield "table=True", ""
    if model.model_config.get("frozen"):
        yield "frozen=True", ""
    for feature in ("__tablename__", "__table_args__"):
        if any(feature in vars(base) for base in own_classes(model)):
            yield feature, feature
    for name in getattr(model, "__sqlmodel_relationships__", {}):
        yield "Relationship", f"field {name}"


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
                "it is not a list of fields or groups of fields",
                f'write {argument}=["a", ["b", "c"]]',
            ),
        )
    return found


def _check_indexed(fields: Mapping[str, Field], name: Any, flag: str) -> None:
    member = f"field {name}"
    problem = "it cannot be unique" if flag == "unique" else "it cannot have an index"
    found = fields.get(name)
    if found is None:
        near = difflib.get_close_matches(str(name), fields, n=1)
        raise Refused(
            member,
            Refusal(
                f"{problem}: the class has no member of that name",
                f"write {near[0]!r}" if near else f"write one of {', '.join(fields)}",
            ),
        )
    if found.type in (FieldType.OBJECT, FieldType.ARRAY, FieldType.ANY):
        raise Refused(
            member,
            Refusal(
                f"{problem}: it is not a single value of one type",
                "take it out, or give the field the type of a single value",
            ),
        )
