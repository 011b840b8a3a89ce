"""Persist's public face: all that an entity's code imports.

>>> from persist import MigrationPlan, MigrationStep, Refused, command, entity
"""

from app.domain.errors import Refused
from app.domain.migration import MigrationPlan, MigrationStep
from app.entity_types.from_model import command, entity

__all__ = ["MigrationPlan", "MigrationStep", "Refused", "command", "entity"]
