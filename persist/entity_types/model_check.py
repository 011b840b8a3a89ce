"""Checks of models: the fields, the configuration and the methods of an entity class,
and of every model that is nested in it or in a parameter of a command."""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, PydanticUserError
from pydantic.errors import PydanticUndefinedAnnotation
from pydantic.fields import FieldInfo
from pydantic_core import (
    PydanticSerializationError,
    PydanticUndefined,
    to_jsonable_python,
)

from persist.domain.errors import InvalidData
from persist.domain.strict_json import is_storable
from persist.entity_types.pydantic_schema import (
    field_schemas,
    functions,
    is_incompatible,
)
from persist.entity_types.storable import checked
from persist.entity_types.supported_features import (
    CLASS_FEATURES,
    CONFIGURATION,
    FIELD_ARGUMENTS,
    KEPT_FIELD_ARGUMENTS,
    MAX_FIELDS,
    Refusal,
)
from persist.entity_types.type_check import (
    SCHEMA_HOOKS,
    Refused,
    check_metadata,
    check_schema_extra,
    check_type,
)


def check_model(model: type[BaseModel]) -> None:
    """Check an entity class and the models nested in it. Raises ``Refused``."""
    for owner in models_of(model):
        _check_configuration(owner)
        _check_computed(owner, nested=owner is not model)
        _check_fields(owner, nested=owner is not model)
        _check_names(owner)


def check_parameter_type(annotation: object) -> None:
    """Check a type and the models nested in it, as those of a class. Raises
    ``Refused``."""
    for model in check_type(annotation):
        for owner in models_of(model):
            _check_configuration(owner)
            _check_fields(owner, nested=True)
            _check_names(owner)


def check_result_type(annotation: object) -> None:
    """Check the type of what is only answered. Raises ``Refused``."""
    for model in check_type(annotation):
        for owner in models_of(model):
            for name, info in owner.model_fields.items():
                with _field(owner, name, nested=True):
                    check_metadata(info.metadata)


def models_of(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Return the class and the models nested in it, each once."""
    found: dict[type[BaseModel], None] = {}
    waiting = [model]
    while waiting:
        current = waiting.pop(0)
        if current in found:
            continue
        found[current] = None
        _complete(current)
        for name, info in current.model_fields.items():
            with _field(current, name, nested=current is not model):
                waiting += check_type(info.annotation)
    return list(found)


def _complete(model: type[BaseModel]) -> None:
    """Build the parts of a model that wait for a type or were deferred. Raises
    ``Refused``."""
    try:
        model.model_rebuild()
    except (PydanticUndefinedAnnotation, PydanticUserError) as error:
        reason = str(error).splitlines()[0]
        raise Refused(
            "", Refusal(reason, "import the type in the module of the class")
        ) from None


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
    allowed = {
        "extra": (None, "forbid"),
        "regex_engine": (None, "rust-regex"),
        "json_schema_mode_override": (None, "validation"),
        "validate_by_alias": (None, True),
    }
    where = f"model_config of {owner.__name__}"
    extra = owner.model_config.get("json_schema_extra")
    check_schema_extra(extra, CONFIGURATION["json_schema_extra"], where)
    for option, refusal in CONFIGURATION.items():
        value = owner.model_config.get(option)
        if option == "json_schema_extra":
            continue
        if value not in allowed.get(option, (None, {})):
            raise Refused(f"{where}, {option}={value!r}", refusal)
    _check_methods(owner)


def _check_methods(owner: type[BaseModel]) -> None:
    decorators = owner.__pydantic_decorators__
    for feature, found in (
        ("@field_serializer", decorators.field_serializers),
        ("@model_serializer", decorators.model_serializers),
    ):
        for name in found:
            raise Refused(f"method {name}", CLASS_FEATURES[feature])
    written = {name for base in own_classes(owner) for name in vars(base)}
    for hook, feature in _HOOKS.items():
        if hook in written:
            raise Refused(f"method {hook}", CLASS_FEATURES[feature])


_HOOKS = {hook: hook for hook in SCHEMA_HOOKS} | {"model_json_schema": SCHEMA_HOOKS[1]}
"""Methods that make their own schema, each with the feature that refuses it."""


def own_classes(model: type[BaseModel]) -> list[type]:
    """Return the classes that a deployment wrote, of those a class inherits."""
    return [base for base in model.__mro__ if base.__module__ not in _LIBRARIES]


_LIBRARIES = ("sqlmodel.main", "pydantic.main", "builtins", "typing")


def _check_computed(owner: type[BaseModel], *, nested: bool) -> None:
    for name, computed in owner.model_computed_fields.items():
        with _field(owner, name, nested=nested):
            if nested:
                raise Refused(
                    "",
                    Refusal(
                        "only the entity class itself has computed fields",
                        "move the computed field to the entity class",
                    ),
                )
            check_result_type(computed.return_type)


def _check_fields(owner: type[BaseModel], *, nested: bool) -> None:
    for name, info in owner.model_fields.items():
        with _field(owner, name, nested=nested):
            check_arguments(info)
            _check_default(info)
    for name, core in field_schemas(owner.__pydantic_core_schema__).items():
        if any(map(is_incompatible, functions(core["schema"]))):
            with _field(owner, name, nested=nested):
                raise Refused("", CLASS_FEATURES["constraint"])


def _check_default(info: FieldInfo) -> None:
    """Raise ``Refused`` for a default that no record can hold: NaN, 2**70."""
    if info.is_required() or info.default_factory is not None:
        return
    try:
        checked(to_jsonable_python(info.default), InvalidData)
    except InvalidData as error:
        reason = error.errors[0].detail
    except PydanticSerializationError:
        reason = "it cannot be written as JSON"
    else:
        return
    raise Refused("", refused_default(info.default, reason))


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
        if not is_storable(name):
            raise Refused(
                f"member {name!a} of {owner.__name__}",
                Refusal(
                    "a name of JSON has no U+0000 and no lone surrogate",
                    "write another alias=",
                ),
            )
        if names.count(name) > 1:
            raise Refused(
                f"member {name} of {owner.__name__}", CLASS_FEATURES["equal names"]
            )
    if len(names) > MAX_FIELDS:
        raise Refused(f"class {owner.__name__}", CLASS_FEATURES["many fields"])


def check_arguments(info: FieldInfo) -> None:
    """Raise ``Refused`` for an argument of ``Field`` that is refused or unknown."""
    extra = FIELD_ARGUMENTS["json_schema_extra"]
    check_schema_extra(info.json_schema_extra, extra)
    check_metadata(info.metadata)
    for argument, value in field_arguments(info).items():
        if value is None or argument in _KNOWN_ARGUMENTS:
            continue
        reason, instead = FIELD_ARGUMENTS.get(argument) or _unknown(argument)
        raise Refused("", Refusal(f"{argument}= is refused: {reason}", instead))


def _unknown(argument: str) -> Refusal:
    near = difflib.get_close_matches(argument, _KNOWN_ARGUMENTS, n=1)
    return Refusal(
        "Field has no such argument", f"write {near[0]}=" if near else "take it out"
    )


_KNOWN_ARGUMENTS = {
    *KEPT_FIELD_ARGUMENTS,
    *FieldInfo.__slots__,
    *FieldInfo.metadata_lookup,
    "json_schema_extra",
} - (FIELD_ARGUMENTS.keys() - {"json_schema_extra"})
"""Arguments of ``Field`` that are kept, or that only Python code sees."""


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
