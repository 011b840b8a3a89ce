"""Oddity: fields whose names the envelope, the query string or SQL take for their
own."""

from sqlmodel import SQLModel

from persist import entity


@entity("oddities", schema_version=1)
class Oddity(SQLModel):
    """Data may be named as it likes."""

    marker: str = ""
    id: int | None = None
    revision: str | None = None
    created_at: str | None = None
    workspace: str | None = None
    limit: int | None = None
    sort: str | None = None
    count: bool | None = None
    filter: str | None = None
    data: int | None = None
    record: str | None = None
    order: int | None = None
    group: str | None = None
