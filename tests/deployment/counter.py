"""Counter: the smallest entity with a command that must never lose a call."""

from sqlmodel import Field, SQLModel

from persist import command, entity


@entity("counters", schema_version=1)
class Counter(SQLModel):
    """Something that is counted."""

    value: int = Field(default=0, schema_extra={"examples": [7]})
    name: str | None = None

    @command
    def increment(self, by: int = 1) -> int:
        """Add to the value and tell the new one."""
        self.value += by
        return self.value
