"""Import and export: many records as NDJSON, one a line."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import IO

from persist.api.lists import selected
from persist.api.query_params import listing
from persist.api.requests import NDJSON_TYPES, Request
from persist.api.responses import NDJSON, Answer, Stream, json_answer, row_text
from persist.api.write_requests import Writes
from persist.domain import strict_json
from persist.domain.entity_type import EntityType
from persist.domain.errors import (
    InvalidData,
    InvalidJson,
    PersistError,
    TooLarge,
    UniqueViolation,
    Violation,
)
from persist.domain.identifiers import new_id
from persist.domain.record import Data
from persist.storage.database import Database
from persist.storage.layout import Layout
from persist.storage.spool import Spool
from persist.storage.unit_of_work import UnitOfWork
from persist.storage.writer import Isolation

PIECE = 500
"""Records that are held in memory at once."""

FAULTS = 100
"""Errors an answer lists."""


async def import_records(
    writes: Writes, type: EntityType, workspace: str, request: Request, *, dry_run: bool
) -> Answer:
    """Create a record of every line, or none: the lines are spooled, checked, then
    written.

    Raises ``InvalidData`` and ``InvalidJson`` naming the lines, ``TooLarge``.
    """
    request.media_type(NDJSON_TYPES)
    with tempfile.TemporaryFile() as lines, Spool() as checked:
        digest = await _spool(request, lines)
        await asyncio.to_thread(_check, type, lines, checked, request.limits.body)

        def operation(work: UnitOfWork) -> Answer:
            collection = work.collection(type, workspace, request.origin)
            created = 0
            for piece in checked:
                created += collection.create_all((new_id(), data) for _, data in piece)
                work.release_records()
            return json_answer({"created": created})

        try:
            return await writes.perform(
                request,
                operation,
                body=digest,
                isolation=Isolation.SEPARATE,
                dry_run=dry_run,
            )
        except UniqueViolation as error:
            line = await _line_of(writes, type, workspace, checked)
            raise UniqueViolation(
                f"line {line}: {error.detail}", errors=error.errors, line=line
            ) from None


async def _line_of(
    writes: Writes, type: EntityType, workspace: str, checked: Spool
) -> int:
    """The line that violates a unique constraint: the records go in one by one, and out
    again."""
    line = 0

    def operation(work: UnitOfWork) -> None:
        nonlocal line
        collection = work.collection(type, workspace)
        for line, data in (numbered for piece in checked for numbered in piece):  # noqa: B007 - told outside
            collection.create_all([(new_id(), data)])
            work.release_records()

    with suppress(UniqueViolation):
        await writes.database.write(
            operation, isolation=Isolation.SEPARATE, dry_run=True
        )
    return line


async def _spool(request: Request, lines: IO[bytes]) -> bytes:
    """Put the body on the disk; gives its digest, which stands for it in a
    fingerprint."""
    digest, size = hashlib.sha256(), 0
    async for piece in request.pieces():
        size += len(piece)
        if size > request.limits.upload:
            raise TooLarge(
                f"an import may have {request.limits.upload:,} bytes; send it in parts"
            )
        digest.update(piece)
        lines.write(piece)
    lines.seek(0)
    return digest.digest()


def _check(type: EntityType, lines: IO[bytes], checked: Spool, limit: int) -> None:
    """Write the valid data of every line to ``checked``, in pieces."""
    valid: list[tuple[int, Data]] = []
    faults: list[Violation] = []
    for number, line in enumerate(_lines(lines, limit), start=1):
        if not line.strip():
            continue
        try:
            valid.append((number, type.validate(_object(line))))
        except InvalidJson as error:
            raise InvalidJson(f"line {number}: {error.detail}", line=number) from None
        except PersistError as error:
            faults.extend(_placed(number, error))
            if len(faults) >= FAULTS:
                break
        if len(valid) >= PIECE:
            checked.put(valid)
            valid = []
    if faults:
        raise InvalidData(
            f"{faults[0].detail.partition(':')[0]} is not valid; nothing was imported",
            errors=faults[:FAULTS],
        )
    checked.put(valid)


def _lines(lines: IO[bytes], limit: int) -> Iterator[bytes]:
    number = 0
    while line := lines.readline(limit + 2):
        number += 1
        if len(line.rstrip(b"\r\n")) > limit:
            raise TooLarge(f"line {number} has more than {limit:,} bytes", line=number)
        yield line


def _object(line: bytes) -> Data:
    value = strict_json.parse(line)
    if not isinstance(value, dict):
        raise InvalidData("a line must hold a JSON object")
    return value


def _placed(number: int, error: PersistError) -> list[Violation]:
    found = error.errors or (Violation("", error.detail),)
    return [
        Violation(f"/{number}{violation.pointer}", f"line {number}: {violation.detail}")
        for violation in found
    ]


async def export(
    database: Database, layout: Layout, workspace: str, request: Request
) -> Stream:
    """Every record that matches, one a line, from one moment. What is wrong shows at
    the first piece, before anything is answered."""
    type = layout.type
    asked = listing(type, workspace, request.query, paged=False)

    async def pieces() -> AsyncIterator[bytes]:
        async for rows in database.stream(layout, workspace, asked.query):
            lines = [
                row_text(type.name, workspace, selected(row, asked.fields)) + "\n"
                for row in rows
            ]
            yield "".join(lines).encode()

    return await _begun(pieces())


async def _begun(pieces: AsyncIterator[bytes]) -> Stream:
    first = await anext(pieces, b"")

    async def all_pieces() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return Stream(all_pieces(), [NDJSON])
