"""Responses: records, changes and outcomes as bytes. Stored JSON is passed on
unparsed."""

import asyncio
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Iterable,
    MutableMapping,
    Sequence,
)
from dataclasses import dataclass
from typing import Any

from starlette import responses

from persist.api.in_flight import SMALL_RESPONSE_BYTES
from persist.domain.entity_type import Computed, EntityType
from persist.domain.record import Record, dumps, json_text, parse_data
from persist.storage.journal.seals import was_erased
from persist.storage.sql import Row

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
PROBLEM = (b"content-type", b"application/problem+json")
NDJSON = (b"content-type", b"application/x-ndjson")


PART_BYTES = 262_144
"""Bytes of a response that are given to the connection at once. It buffers what the
client does not take."""


class Response(responses.Response):
    """A complete response; FastAPI takes it as one of its own."""

    def __init__(self, status: int, body: bytes, headers: Headers) -> None:
        self.status_code = status
        self.body = body
        self.raw_headers = headers
        self.background = None

    async def send(self, send: Send, *, head: bool = False) -> None:
        """Send it; ``head`` leaves the body out and keeps its length."""
        headers = self.raw_headers
        if self.status_code not in (204, 304):  # RFC 9110, sections 8.6 and 15.4.5
            headers.append((b"content-length", b"%d" % len(self.body)))
        start = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": headers,
        }
        await send(start)
        await send({"type": "http.response.body", "body": b"" if head else self.body})

    async def __call__(self, scope: object, receive: object, send: Send) -> None:
        await self.send(send)


@dataclass(slots=True)
class StreamedResponse:
    """A response of unknown length; ``chunks`` is closed when the client goes."""

    chunks: AsyncGenerator[bytes, None]
    raw_headers: Headers
    status_code: int = 200

    async def send(self, send: Send, receive: Receive, *, head: bool = False) -> None:
        """Send it chunk by chunk, as fast as the client reads, until it goes."""
        start = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        sending = asyncio.ensure_future(self._send_chunks(send, start, head=head))
        leaving = asyncio.ensure_future(disconnected(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            await self.chunks.aclose()

    async def _send_chunks(
        self, send: Send, start: MutableMapping[str, Any], *, head: bool
    ) -> None:
        await send(start)
        if not head:
            async for chunk in self.chunks:
                await send(
                    {"type": "http.response.body", "body": chunk, "more_body": True}
                )
        await send({"type": "http.response.body", "body": b""})


def in_parts(
    send: Send,
    count: Callable[[int], None],
    turn: Callable[[], Awaitable[None]],
) -> Send:
    """Return ``send`` that gives a large body to the connection in parts, each when
    the client has taken those before, and in turn with other responses. ``count`` is
    called with its size."""

    async def sending(message: MutableMapping[str, Any]) -> None:
        body = message.get("body", b"")
        if len(body) <= SMALL_RESPONSE_BYTES:
            await send(message)
            return
        count(len(body))
        view = memoryview(body)
        for start in range(0, len(body), PART_BYTES):
            part = view[start : start + PART_BYTES]
            await turn()
            await send({"type": message["type"], "body": part, "more_body": True})
        if not message.get("more_body"):
            await send({"type": message["type"], "body": b""})

    return sending


async def disconnected(receive: Receive) -> None:
    """Wait until the client has disconnected; a body is discarded."""
    while (await receive())["type"] != "http.disconnect":
        pass


def json_response(
    value: object, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = ()
) -> Response:
    """Return a JSON value as a response."""
    return Response(status, dumps(value).encode(), [JSON, *headers])


def no_content() -> Response:
    """Return a response without a body."""
    return Response(204, b"", [])


def deleted_response(*, dry_run: bool) -> Response:
    """Return the answer to the deletion of one resource."""
    return json_response({"deleted": 1}) if dry_run else no_content()


def etag(revision: int) -> tuple[bytes, bytes]:
    """Return the header with a record's entity tag, which is its revision."""
    return b"etag", b'"%d"' % revision


def record_response(entity_type: EntityType, record: Record) -> Response:
    """Return a record, with its entity tag."""
    text = record_text(entity_type, record)
    return Response(200, text.encode(), [JSON, etag(record.revision)])


def created_response(
    entity_type: EntityType, record: Record, location: str
) -> Response:
    """Return a record that was created at ``location``."""
    headers = [JSON, etag(record.revision), (b"location", location.encode())]
    return Response(201, record_text(entity_type, record).encode(), headers)


def record_text(entity_type: EntityType, record: Record) -> str:
    """Return a record as JSON text."""
    row = (
        record.id,
        record.revision,
        record.schema_version,
        record.created_at,
        record.updated_at,
        record.text,
    )
    return row_text(entity_type, record.workspace, row)


def row_text(entity_type: EntityType, workspace: str, row: Row) -> str:
    """Return a stored row, with the computed members of its data, as the JSON text of
    a record."""
    if entity_type.computed is not None:
        row = with_computed(entity_type.computed, row)
    (text,) = row_texts(entity_type.name, workspace, (row,))
    return text


def with_computed(computed: Computed, row: Row) -> Row:
    """Return a stored row with the computed members of its data; one that cannot be
    computed is null."""
    data = parse_data(row[5])
    members = dict.fromkeys(computed.properties) | computed.compute(data)
    return (*row[:5], json_text(data | members, len(row[5])), *row[6:])


def row_texts(collection: str, workspace: str, rows: Iterable[Row]) -> list[str]:
    """Return stored rows (the envelope's columns, then data as JSON text) as the JSON
    texts of records. Names, ids and times have no character that JSON would escape."""
    named = f'"{workspace}"' if workspace else "null"
    middle = f'","collection":"{collection}","workspace":{named},"revision":'
    return [
        f'{{"id":"{row[0]}{middle}{row[1]},"schema_version":{row[2]},'
        f'"created_at":"{row[3]}","updated_at":"{row[4]}","data":{row[5]}}}'
        for row in rows
    ]


def deleted_text(record: str, deleted_at: str, deleted_by: str | None) -> str:
    """Return the JSON text of a record with when and by whom it was deleted."""
    members = record.removesuffix("}")
    actor = dumps(deleted_by)
    return f'{members},"deleted_at":"{deleted_at}","deleted_by":{actor}}}'


def selected(row: Row, fields: Sequence[str]) -> Row:
    """Return a stored row with only some fields of its data."""
    data = parse_data(row[5])
    some = {name: data[name] for name in fields if name in data}
    return (*row[:5], json_text(some, len(row[5])))


def outcome_text(
    collection: str,
    record_id: str,
    status: str,
    reason: str | None,
    result: object,
    revision: int,
) -> str:
    """Return the outcome of a command on one record as JSON text."""
    return (
        f'{{"collection":"{collection}","id":"{record_id}","status":"{status}",'
        f'"reason":{dumps(reason)},"result":{dumps(result)},"revision":{revision}}}'
    )


def change_text(row: Row) -> str:
    """Return a row of ``journal.rows.CHANGE_COLUMNS`` as the JSON text of a change."""
    (
        seq,
        at,
        workspace,
        collection,
        record_id,
        revision,
        version,
        operation,
        command,
        actor,
        request,
        payload,
        data,
        leaf_hash,
        payload_sha256,
        data_sha256,
    ) = row
    erased = ""
    if was_erased(operation, data, payload_sha256, data_sha256):
        erased = (
            f',"erased":true,"payload_sha256":{_hex_text(payload_sha256)},'
            f'"data_sha256":{_hex_text(data_sha256)}'
        )
    return (
        f'{{"seq":{seq},"at":"{at}","workspace":{dumps(workspace or None)},'
        f'"collection":"{collection}","id":"{record_id}",'
        f'"revision":{revision},"schema_version":{version},'
        f'"operation":"{operation}","command":{dumps(command)},'
        f'"payload":{payload or "null"},"actor":{dumps(actor or None)},'
        f'"request_id":{dumps(request)},"data":{data or "null"},'
        f'"hash":{_hex_text(leaf_hash)}{erased}}}'
    )


def _hex_text(found: bytes | None) -> str:
    """Return a hash as JSON text."""
    return "null" if found is None else f'"{found.hex()}"'
