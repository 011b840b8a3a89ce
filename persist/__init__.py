"""The public names of Persist: all that a deployment's code imports.

>>> from persist import MigrationPlan, MigrationStep, Refused, command, entity

A name is loaded when it is first used: ``persist.client`` and a module of entities do
not load the whole service.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from persist.application import application as create_app
    from persist.domain.errors import Refused
    from persist.domain.migration import MigrationPlan, MigrationStep
    from persist.entity_types.declaration import command, entity

__all__ = [
    "MigrationPlan",
    "MigrationStep",
    "Refused",
    "command",
    "create_app",
    "entity",
]

_SOURCES = {
    "MigrationPlan": ("persist.domain.migration", "MigrationPlan"),
    "MigrationStep": ("persist.domain.migration", "MigrationStep"),
    "Refused": ("persist.domain.errors", "Refused"),
    "command": ("persist.entity_types.declaration", "command"),
    "create_app": ("persist.application", "application"),
    "entity": ("persist.entity_types.declaration", "entity"),
}


def __getattr__(name: str) -> Any:
    """Load a public name (PEP 562)."""
    if name not in _SOURCES:
        raise AttributeError(f"module 'persist' has no attribute {name!r}")
    module, attribute = _SOURCES[name]
    return getattr(import_module(module), attribute)
