"""The public names of Persist: all that a deployment's code imports.

>>> from persist import MigrationPlan, MigrationStep, Refused, command, entity
"""

from typing import Any

from persist.domain.errors import Refused
from persist.domain.migration import MigrationPlan, MigrationStep
from persist.entity_types.from_model import command, entity

__all__ = [
    "MigrationPlan",
    "MigrationStep",
    "Refused",
    "command",
    "create_app",
    "entity",
]


def create_app() -> Any:
    """Create the ASGI application that the environment variables ``PERSIST_…``
    describe.

    It is imported here so that a module of entities does not load the whole service.
    """
    from persist.application import application

    return application()
