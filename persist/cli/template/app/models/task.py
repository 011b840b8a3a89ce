"""Task: something to do."""

from sqlmodel import Field, SQLModel

from migrations import tasks
from persist import command, entity


@entity("tasks", schema_version=2, plan=tasks.PLAN)
class Task(SQLModel):
    """Something to do."""

    title: str = Field(
        min_length=1,
        max_length=200,
    )
    priority: int = Field(
        default=2,
        ge=1,
        le=3,
        index=True,
    )
    done: bool = False

    @command(when=lambda task: not task.done, otherwise="the task is done already")
    def complete(self) -> bool:
        """Mark the task as done."""
        self.done = True
        return self.done
