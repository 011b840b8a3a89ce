"""Checks of types: whether a Python type can be kept exactly."""

import re
import types
import typing
from collections.abc import Iterable
from enum import Enum, Flag
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, networks
from pydantic.fields import FieldInfo
from pydantic.functional_serializers import PlainSerializer, WrapSerializer
from pydantic.functional_validators import (
    AfterValidator,
    BeforeValidator,
    PlainValidator,
    WrapValidator,
)
from pydantic.types import Discriminator, Tag, UuidVersion

from persist.entity_types.supported_features import (
    ANNOTATIONS,
    CLASS_FEATURES,
    FIELD_ARGUMENTS,
    REFUSED_TYPES,
    SCALARS,
    UNKNOWN_TYPE,
    Refusal,
)

NONE = (None, type(None))

SCHEMA_HOOKS = ("__get_pydantic_core_schema__", "__get_pydantic_json_schema__")
"""Methods by which a class or metadata makes its own schema."""

KNOWN_METADATA = (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    FieldInfo,
    PlainValidator,
    Tag,
    UuidVersion,
    WrapValidator,
)
"""Metadata of ``Annotated`` that make their own schema and keep the value."""


class Refused(Exception):
    """A feature that is refused; ``member`` is the field or method it belongs to."""

    def __init__(self, member: str, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.member = member
        self.refusal = refusal


Models = list[type[BaseModel]]


def check_type(given: object) -> Models:
    """Return the models that a type contains. Raises ``Refused``."""
    annotation: object = _resolved(given)
    if annotation is Any or annotation in NONE or _is_scalar(annotation):
        return []
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return _check_class(annotation)
    origin = get_origin(annotation)
    arguments = get_args(annotation)
    check = _GENERICS.get(origin)
    if check is None:
        raise Refused("", _refusal(origin or annotation))
    return check(arguments)


def check_metadata(metadata: Iterable[object]) -> None:
    """Raise ``Refused`` for metadata of ``Annotated`` that change what is answered."""
    for each in metadata:
        if isinstance(each, PlainSerializer | WrapSerializer):
            raise Refused("", CLASS_FEATURES["PlainSerializer"])
        if isinstance(getattr(each, "pattern", None), re.Pattern):
            raise Refused("", CLASS_FEATURES["compiled pattern"])
        kind = each if isinstance(each, type) else type(each)
        if kind in REFUSED_TYPES or _has_own_schema(each):
            raise Refused("", _refusal(kind))


def _has_own_schema(metadata: object) -> bool:
    has_hook = any(hasattr(metadata, hook) for hook in SCHEMA_HOOKS)
    return has_hook and not isinstance(metadata, KNOWN_METADATA)


def check_schema_extra(extra: object, refusal: Refusal, member: str = "") -> None:
    """Raise ``Refused`` for a ``json_schema_extra`` that is more than annotations."""
    if extra is None:
        return
    names = extra if isinstance(extra, dict) else ["a function"]
    for name in names:
        if name not in ANNOTATIONS and not name.startswith("x-"):
            argument = f"{name} in json_schema_extra= is refused: {refusal.reason}"
            raise Refused(member, Refusal(argument, refusal.instead))


def _resolved(annotation: Any) -> object:
    if hasattr(annotation, "__supertype__"):  # NewType
        return _resolved(annotation.__supertype__)
    if type(annotation).__name__ == "TypeAliasType":
        return _resolved(annotation.__value__)
    return annotation


def _is_scalar(annotation: object) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, networks.AnyUrl):
        return True
    return _hashable(annotation) and annotation in SCALARS


def _hashable(annotation: object) -> bool:
    return getattr(annotation, "__hash__", None) is not None


def _check_class(annotation: type) -> Models:
    if annotation in (list, dict, tuple):
        return []
    if issubclass(annotation, Enum) and not issubclass(annotation, Flag):
        _check_values([member.value for member in annotation])
        return []
    is_root = getattr(annotation, "__pydantic_root_model__", False)
    if issubclass(annotation, BaseModel) and not is_root:
        return [annotation]
    raise Refused("", _refusal(annotation))


def _refusal(annotation: object) -> Refusal:
    known = annotation if _hashable(annotation) else None
    return _named(annotation, REFUSED_TYPES.get(known, UNKNOWN_TYPE))


def _named(annotation: object, refusal: Refusal) -> Refusal:
    name = getattr(annotation, "__name__", str(annotation))
    return Refusal(f"{name} is refused: {refusal.reason}", refusal.instead)


def _check_values(values: Iterable[object]) -> None:
    for value in values:
        plain = value.value if isinstance(value, Enum) else value
        if not isinstance(plain, str | int | float | None):
            raise Refused(
                "",
                Refusal(
                    f"{plain!r} is not a single JSON value",
                    "write members of text, numbers or booleans",
                ),
            )


def _check_all(arguments: tuple[Any, ...]) -> Models:
    return [
        model
        for argument in arguments
        if argument is not Ellipsis
        for model in check_type(argument)
    ]


def _check_annotated(arguments: tuple[object, ...]) -> Models:
    check_metadata(arguments[1:])
    for each in arguments[1:]:
        if isinstance(each, FieldInfo):
            check_metadata(each.metadata)
            check_schema_extra(
                each.json_schema_extra, FIELD_ARGUMENTS["json_schema_extra"]
            )
    return check_type(arguments[0])


def _check_union(arguments: tuple[Any, ...]) -> Models:
    branches = [each for each in arguments if each not in NONE]
    exact = [name for name in map(_plain, branches) if name in REQUIRES_ITS_OWN_FIELD]
    if exact and len(branches) > 1:
        name = exact[0].__name__
        reason = f"{name} in a union cannot be distinguished from text or a number"
        raise Refused("", Refusal(reason, f"write {name} or {name} | None"))
    return _check_all(arguments)


def _check_literal(arguments: tuple[object, ...]) -> Models:
    _check_values(arguments)
    return []


def _check_set(arguments: tuple[object, ...]) -> Models:
    element = _plain(arguments[0])
    choice = get_origin(element) is Literal or (
        isinstance(element, type) and issubclass(element, Enum)
    )
    if not choice and (element is Any or not _is_scalar(element)):
        raise Refused(
            "",
            Refusal(
                "the elements of a set are single values of one type",
                "write list[...]",
            ),
        )
    return check_type(arguments[0])


def _check_dict(arguments: tuple[object, ...]) -> Models:
    key, value = arguments
    if _plain(key) not in (str, Any):
        raise Refused(
            "",
            Refusal("names of JSON members are strings", "write dict[str, ...]"),
        )
    return _check_all((key, value))


def _plain(annotation: object) -> Any:
    """Return a type without its constraints."""
    annotation = _resolved(annotation)
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    return annotation


REQUIRES_ITS_OWN_FIELD = tuple(
    each for each in SCALARS if getattr(each, "__name__", "") == "Decimal"
)

_GENERICS: dict[Any, typing.Callable[[tuple[Any, ...]], Models]] = {
    Annotated: _check_annotated,
    Literal: _check_literal,
    Union: _check_union,
    dict: _check_dict,
    frozenset: _check_set,
    list: _check_all,
    set: _check_set,
    tuple: _check_all,
    types.UnionType: _check_union,
}
"""How the arguments of a generic type are checked, by its origin."""
