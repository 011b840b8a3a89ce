"""The registry of a deployment's typed entities: the module of ``PERSIST_MODELS``."""

import importlib
import re

from persist.domain.entity_type import EntityType
from persist.entity_types.from_model import from_model, is_entity

COLLECTION_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


class InvalidModels(ValueError):
    """The module of ``PERSIST_MODELS`` cannot be served; the message says why."""


def load_models(module_name: str) -> list[EntityType]:
    """The entity types of a module: every class under ``@entity`` in its namespace.

    Raises ``InvalidModels``.
    """
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InvalidModels(
            f"the module {module_name!r} cannot be imported: {error}"
        ) from error
    types = [
        from_model(model)
        for model in dict.fromkeys(filter(is_entity, vars(module).values()))
    ]
    if not types:
        raise InvalidModels(f"the module {module_name!r} holds no class under @entity")
    for type in types:
        if not COLLECTION_NAME.fullmatch(type.name):
            raise InvalidModels(
                f"{type.name!r} cannot name a collection: {COLLECTION_NAME.pattern}"
            )
        if [other.name for other in types].count(type.name) > 1:
            raise InvalidModels(f"two classes claim the collection {type.name!r}")
    return types
