"""The typed entities: every class under ``@entity`` that is imported here is served."""

from app.models.task import Task

__all__ = ["Task"]
