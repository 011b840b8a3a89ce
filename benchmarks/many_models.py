"""Two hundred entity types of one shape: ``PERSIST_MODELS=benchmarks.many_models``."""

from sqlmodel import Field, SQLModel

from persist import entity


class TicketFields(SQLModel):
    """What ``app.models.OpsTicket`` has."""

    title: str = Field(min_length=1, max_length=200)
    severity: int = Field(ge=10, le=50, index=True)
    acknowledged: bool = False
    migration_note: str | None = None


def ticket(number: int) -> type[SQLModel]:
    """The entity of the collection ``tickets-<number>``."""
    model = type(
        f"Ticket{number}",
        (TicketFields,),
        {"__module__": __name__, "__doc__": f"Ticket {number}."},
    )
    return entity(f"tickets-{number}")(model)


globals().update({f"Ticket{number}": ticket(number) for number in range(1, 201)})
