"""What goes out: answers, records and changes as bytes. Stored JSON is passed on as it
stands."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from persist.domain.record import Record, dumps

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
PROBLEM = (b"content-type", b"application/problem+json")
NDJSON = (b"content-type", b"application/x-ndjson")


@dataclass(slots=True)
class Answer:
    """A response, all there."""

    status: int
    body: bytes
    headers: Headers

    async def send(self, send: Send, *, head: bool = False) -> None:
        """Hand it to the server; ``head`` leaves the body out and keeps its length."""
        headers = self.headers
        if self.status not in (204, 304):
            headers.append((b"content-length", str(len(self.body)).encode()))
        await send(
            {"type": "http.response.start", "status": self.status, "headers": headers}
        )
        await send({"type": "http.response.body", "body": b"" if head else self.body})


@dataclass(slots=True)
class Stream:
    """A response of which nobody knows the length; ``pieces`` is closed when the client
    goes."""

    pieces: AsyncIterator[bytes]
    headers: Headers
    status: int = 200

    async def send(self, send: Send, *, head: bool = False) -> None:
        """Hand it to the server piece by piece, at the client's pace."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status,
                "headers": self.headers,
            }
        )
        if not head:
            async for piece in self.pieces:
                await send(
                    {"type": "http.response.body", "body": piece, "more_body": True}
                )
        await send({"type": "http.response.body", "body": b""})


def json_answer(
    value: Any, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = ()
) -> Answer:
    """A JSON value as an answer."""
    return Answer(status, dumps(value).encode(), [JSON, *headers])


def etag(revision: int) -> tuple[bytes, bytes]:
    """A record's entity tag is its revision."""
    return b"etag", b'"%d"' % revision


def record_text(record: Record) -> str:
    """A record as JSON text."""
    row = (
        record.id,
        record.revision,
        record.schema_version,
        record.created_at,
        record.updated_at,
        record.text,
    )
    return row_text(record.collection, record.workspace, row)


def row_text(collection: str, workspace: str, row: tuple[Any, ...]) -> str:
    """A stored row (the envelope columns…, data as JSON text) as a record's JSON text.
    Names, ids and times have no character that JSON would escape."""
    id, revision, schema_version, created_at, updated_at, data = row[:6]
    place = f'"{workspace}"' if workspace else "null"
    return (
        f'{{"id":"{id}","collection":"{collection}","workspace":{place},"revision":{revision},'
        f'"schema_version":{schema_version},"created_at":"{created_at}","updated_at":"{updated_at}","data":{data}}}'
    )


def outcome_text(
    collection: str,
    id: str,
    status: str,
    reason: str | None,
    result: Any,
    revision: int,
) -> str:
    """What became of a record as JSON text."""
    told = "null" if reason is None else dumps(reason)
    given = "null" if result is None else dumps(result)
    return (
        f'{{"collection":"{collection}","id":"{id}","status":"{status}","reason":{told},"result":{given},'
        f'"revision":{revision}}}'
    )


def change_text(row: tuple[Any, ...]) -> str:
    """A row of ``storage.journal.HISTORY`` as a change's JSON text."""
    (
        seq,
        at,
        workspace,
        collection,
        id,
        revision,
        version,
        operation,
        command,
        payload,
        actor,
        request,
        data,
    ) = row
    return (
        f'{{"seq":{seq},"at":"{at}","workspace":{dumps(workspace or None)},'
        f'"collection":"{collection}","id":"{id}",'
        f'"revision":{revision},"schema_version":{version},"operation":"{operation}","command":{dumps(command)},'
        f'"payload":{payload or "null"},"actor":{dumps(actor or None)},"request_id":{dumps(request)},'  # noqa: E501
        f'"data":{data or "null"}}}'
    )
