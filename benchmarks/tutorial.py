"""The service one writes by following the FastAPI and SQLModel tutorials: the same job,
no journal.

It is given what Persist gives itself: WAL, ``synchronous=FULL``, an index on
``severity``, uvloop and no access log.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import Depends, FastAPI, HTTPException, Query
from sqlalchemy import Engine, create_engine, event, insert
from sqlmodel import Field, Session, SQLModel, col, select


class TicketBase(SQLModel):
    title: str = Field(min_length=1, max_length=200)
    severity: int = Field(ge=10, le=50, index=True)
    acknowledged: bool = False
    migration_note: str | None = None


class Ticket(TicketBase, table=True):
    id: str = Field(default_factory=lambda: str(uuid4()), primary_key=True)


class TicketPublic(TicketBase):
    id: str


class TicketUpdate(SQLModel):
    title: str | None = Field(default=None, min_length=1, max_length=200)
    severity: int | None = Field(default=None, ge=10, le=50)
    acknowledged: bool | None = None
    migration_note: str | None = None


def engine_for(url: str) -> Engine:
    """An engine whose commits are durable, on either database."""
    if not url.startswith("sqlite"):
        return create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    engine = create_engine(
        url, connect_args={"check_same_thread": False, "timeout": 30}
    )

    @event.listens_for(engine, "connect")
    def make_durable(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return engine


def fill(url: str, tickets: Iterable[dict[str, Any]]) -> None:
    """Make the table and store ``tickets`` in bulk."""
    engine = engine_for(url)
    SQLModel.metadata.create_all(engine, tables=[SQLModel.metadata.tables["ticket"]])
    with engine.begin() as connection:
        connection.execute(insert(SQLModel.metadata.tables["ticket"]), list(tickets))
    engine.dispose()


engine = engine_for(os.environ.get("PERSIST_DATABASE_URL", "sqlite://"))
app = FastAPI()


def get_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]


@app.get("/api/ops-tickets/{ticket_id}", response_model=TicketPublic)
def read_ticket(ticket_id: str, session: SessionDep) -> Ticket:
    ticket = session.get(Ticket, ticket_id)
    if ticket is None:
        raise HTTPException(status_code=404, detail="Ticket not found")
    return ticket


@app.get("/api/ops-tickets", response_model=list[TicketPublic])
def read_tickets(
    session: SessionDep,
    severity__gte: int | None = None,
    sort: Literal["severity", "-severity"] | None = None,
    limit: Annotated[int, Query(le=500)] = 50,
) -> Any:
    statement = select(Ticket).limit(limit)
    if severity__gte is not None:
        statement = statement.where(Ticket.severity >= severity__gte)
    if sort is not None:
        order = col(Ticket.severity)
        statement = statement.order_by(order.desc() if sort == "-severity" else order)
    return session.exec(statement).all()


@app.post("/api/ops-tickets", response_model=TicketPublic, status_code=201)
def create_ticket(ticket: TicketBase, session: SessionDep) -> Ticket:
    stored = Ticket.model_validate(ticket)
    session.add(stored)
    session.commit()
    session.refresh(stored)
    return stored


# Under the command's address, too, so that one script drives both peers.
@app.post("/api/ops-tickets/{ticket_id}/commands/set", response_model=TicketPublic)
@app.patch("/api/ops-tickets/{ticket_id}", response_model=TicketPublic)
def update_ticket(ticket_id: str, ticket: TicketUpdate, session: SessionDep) -> Ticket:
    stored = session.get(Ticket, ticket_id)
    if stored is None:
        raise HTTPException(status_code=404, detail="Ticket not found")
    stored.sqlmodel_update(ticket.model_dump(exclude_unset=True))
    session.add(stored)
    session.commit()
    session.refresh(stored)
    return stored
