"""Ticket: an entity whose commands have guards."""

from sqlmodel import Field, SQLModel

from persist import command, entity


@entity("tickets", schema_version=2)
class Ticket(SQLModel):
    """A fault someone has to deal with."""

    title: str = Field(
        min_length=1, max_length=200, schema_extra={"examples": ["Database degraded"]}
    )
    severity: int = Field(ge=10, le=50, index=True, schema_extra={"examples": [30]})
    acknowledged: bool = False
    migration_note: str | None = None

    @command(
        when=lambda ticket: ticket.severity >= 30,
        otherwise="only a major fault escalates",
    )
    def escalate(self, steps: int = 1) -> int:
        """Raise the severity, ten points a step, to at most 50."""
        self.severity = min(50, self.severity + 10 * steps)
        return self.severity

    @command(when=lambda ticket: not ticket.acknowledged)
    def ack(self) -> bool:
        """Acknowledge the fault."""
        self.acknowledged = True
        return True
