"""OpsTicket: a fault in operations."""

from typing import Annotated

from sqlmodel import Field, SQLModel

from migrations import ops_tickets
from persist import command, entity


@entity("ops-tickets", schema_version=2, plan=ops_tickets.PLAN)
class OpsTicket(SQLModel):
    """A fault someone has to deal with."""

    title: str = Field(
        min_length=1, max_length=200, schema_extra={"examples": ["Database degraded"]}
    )
    severity: int = Field(ge=10, le=50, index=True, schema_extra={"examples": [30]})
    acknowledged: bool = False
    migration_note: str | None = None

    @command(
        when=lambda ticket: ticket.severity >= 30,
        otherwise="only a major fault escalates: severity 30 or more",
    )
    def escalate(self, steps: Annotated[int, Field(ge=1)] = 1) -> int:
        """Raise the severity, ten points a step, to at most 50."""
        self.severity = min(50, self.severity + 10 * steps)
        return self.severity

    @command(
        when=lambda ticket: not ticket.acknowledged,
        otherwise="the ticket is acknowledged already",
    )
    def ack(self) -> bool:
        """Acknowledge the ticket."""
        self.acknowledged = True
        return True
