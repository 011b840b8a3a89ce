"""The decorators of a deployment's classes: ``entity`` and ``command``.

They only note what was declared; ``from_model`` checks and compiles it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from sqlmodel import SQLModel

from persist.domain.migration import MigrationPlan

Model = TypeVar("Model", bound=SQLModel)
Method = TypeVar("Method", bound=Callable[..., Any])

WRITE_ENTITY = 'write @entity("tickets") above a class that inherits SQLModel'


@dataclass(frozen=True)
class Declaration:
    """What ``@entity`` says of a class."""

    name: str
    schema_version: int
    unique: Iterable[Any]
    indexes: Iterable[Any]
    plan: MigrationPlan | None


@dataclass(frozen=True)
class Guard:
    """When a command is available, and the reason that is given while it is not."""

    when: Callable[[Any], bool] | None
    otherwise: str


def entity(
    name: str,
    *,
    schema_version: int = 1,
    plan: MigrationPlan | None = None,
    unique: Iterable[str | Iterable[str]] = (),
    indexes: Iterable[str | Iterable[str]] = (),
) -> Callable[[type[Model]], type[Model]]:
    """Make a SQLModel class the entity type of the collection ``name``.

    ``plan`` brings data of older schema versions to ``schema_version``. Data of older
    versions cannot be restored without a plan. ``unique`` and ``indexes`` take fields
    and groups of fields; a single field can also say ``Field(unique=True)`` or
    ``Field(index=True)``. The class is checked when the service loads it. Raises
    ``InvalidPlan`` if the plan does not lead to ``schema_version``, and ``TypeError``
    for anything that is not a SQLModel class.
    """
    if not isinstance(name, str):
        raise TypeError(f"@entity needs the name of a collection; {WRITE_ENTITY}")
    if isinstance(plan, MigrationPlan):
        plan.check_complete(schema_version)
    declared = Declaration(name, schema_version, unique, indexes, plan)

    def declare(model: type[Model]) -> type[Model]:
        _check_is_model(model)
        if is_entity(model):
            first = declaration_of(model).name
            raise TypeError(
                f"{model.__name__} is already the entity {first!r}; write a separate"
                f" class for {name!r}, which may inherit from this one"
            )
        model.__persist_entity__ = declared
        return model

    return declare


def _check_is_model(model: object) -> None:
    if not (isinstance(model, type) and issubclass(model, SQLModel)):
        named = getattr(model, "__name__", repr(model))
        raise TypeError(f"{named} is not a SQLModel class; {WRITE_ENTITY}")


@overload
def command(method: Method) -> Method: ...
@overload
def command(
    method: None = None,
    *,
    when: Callable[[Any], bool] | None = None,
    otherwise: str = "",
) -> Callable[[Method], Method]: ...
def command(
    method: Method | None = None,
    *,
    when: Callable[[Any], bool] | None = None,
    otherwise: str = "",
) -> Method | Callable[[Method], Method]:
    """Make a method a command of its entity.

    The method's parameters are the payload, its docstring is the description. The
    command is available while ``when(record)`` is true; ``otherwise`` is the reason
    given while it is not.
    """

    def declare(method: Method) -> Method:
        try:
            method.__persist_command__ = Guard(when, otherwise)  # type: ignore[attr-defined]
        except AttributeError:
            raise TypeError(
                f"{method!r} is not a method; write @command above def"
            ) from None
        return method

    return declare if method is None else declare(method)


def is_entity(value: object) -> bool:
    """Return whether ``value`` itself is a class under ``@entity``.

    A subclass of an entity class is not one.
    """
    return isinstance(value, type) and "__persist_entity__" in vars(value)


def declaration_of(model: type[SQLModel]) -> Declaration:
    """Return the declaration of a class under ``@entity``."""
    declared: Declaration = vars(model)["__persist_entity__"]
    return declared
