"""What cannot be beaten: an answer that costs nothing, and a create that stores
nothing."""

from typing import Any

from fastapi import FastAPI, Response
from sqlmodel import Field, SQLModel

ANSWER = (
    b'{"id":"0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70","collection":"ops-tickets","workspace":null,"revision":1,"schema_version":2,"created_at":"2026-11-22T17:00:00.123456Z","updated_at":"2026-11-22T17:00:00.123456Z","data":{"title":"Fault'
    b' 100000","severity":40,"acknowledged":false,"migration_note":null}}'
)
HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(ANSWER)).encode()),
]


async def raw(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """A bare ASGI callable with a fixed answer of the same size as Persist's."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": ANSWER})


class Ticket(SQLModel):
    title: str = Field(min_length=1, max_length=200)
    severity: int = Field(ge=10, le=50)
    acknowledged: bool = False
    migration_note: str | None = None


stores_nothing = FastAPI()


@stores_nothing.post("/api/ops-tickets")
async def create(ticket: Ticket) -> Response:
    """Parse, validate and answer."""
    return Response(
        ticket.model_dump_json(), status_code=201, media_type="application/json"
    )
