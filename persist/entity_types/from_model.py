"""The first compiler: an ordinary SQLModel class becomes an ``EntityType``."""

import inspect

from sqlmodel import SQLModel

from persist.domain.entity_type import EntityType, Kind
from persist.domain.migration import MigrationPlan
from persist.entity_types.class_check import (
    InvalidEntityClass,
    check_class,
    check_defaults,
    indexed_groups,
    naming_class,
    unexpected,
)
from persist.entity_types.declaration import declaration_of
from persist.entity_types.derived import example_of, set_command
from persist.entity_types.json_schema.compiled_schema import write_decimals_of
from persist.entity_types.model_codec import ModelCodec
from persist.entity_types.typed_commands import commands_of


def from_model(model: type[SQLModel]) -> EntityType:
    """Return the entity type of a class under ``@entity``.

    Raises ``InvalidEntityClass`` for what cannot be stored and answered as the class
    says.
    """
    try:
        check_class(model)
        return _compiled(model)
    except InvalidEntityClass:
        raise
    except Exception as error:
        raise unexpected(model, error) from error


def _compiled(model: type[SQLModel]) -> EntityType:
    """Return the entity type of a class that was checked."""
    declared = declaration_of(model)
    codec = ModelCodec(model)
    check_defaults(model, codec)
    schema = codec.schema
    description = inspect.cleandoc(model.__doc__ or "")
    schema.update(title=model.__name__, description=description)
    with naming_class(model):
        commands = commands_of(codec, model)
    write_decimals = write_decimals_of(schema)
    commands["set"] = set_command(schema, codec.check_members, write_decimals)
    return EntityType(
        name=declared.name,
        kind=Kind.TYPED,
        schema_version=declared.schema_version,
        schema=schema,
        validate=codec.validate,
        commands=commands,
        unique=indexed_groups(model, schema, "unique"),
        indexes=indexed_groups(model, schema, "index"),
        plan=declared.plan or MigrationPlan(current=declared.schema_version),
        description=description,
        example=example_of(schema),
        times=codec.times,
        model=model,
        computed=codec.computed(),
        write_decimals=write_decimals,
    )
