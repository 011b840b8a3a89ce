"""Persist's public face: all that an entity's code imports.

>>> from persist import Refused, command, entity
"""

from app.domain.errors import Refused
from app.entity_types.from_model import command, entity

__all__ = ["Refused", "command", "entity"]
