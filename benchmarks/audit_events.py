"""The showcase's registered type as a class:
``PERSIST_MODELS=benchmarks.audit_events``."""

from typing import Any

from sqlmodel import Field, SQLModel

from persist import entity


@entity("typed-events", indexes=[["event_name", "source"]])
class TypedEvent(SQLModel):
    """What ``schemas/audit-event.json`` says."""

    event_name: str
    duration_ms: int | None = None
    payload: dict[str, Any] | None = None
    source: str | None = Field(default=None, index=True)
