"""Import and export: many records as NDJSON, one per line."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, closing
from dataclasses import asdict, replace
from itertools import islice

from persist.api.headers import NDJSON_TYPES
from persist.api.parse_threads import parse_query
from persist.api.query_params import flag, listing
from persist.api.requests import Request
from persist.api.responses import (
    NDJSON,
    Response,
    StreamedResponse,
    json_response,
    row_texts,
    selected,
)
from persist.api.spooled_body import SpooledBody
from persist.api.write_requests import Write, Writes
from persist.domain import strict_json
from persist.domain.access import Level
from persist.domain.entity_type import EntityType
from persist.domain.errors import (
    InvalidData,
    InvalidJson,
    InvalidQuery,
    PersistError,
    TooLarge,
    UniqueViolation,
    Violation,
)
from persist.domain.record import Data
from persist.domain.snapshot import is_exported_record
from persist.domain.strict_json import WriteDecimals
from persist.storage.database import Database
from persist.storage.layout import Layout
from persist.storage.long_operations.staging import Staging
from persist.storage.queries.record_source import RecordSource
from persist.storage.snapshots.restore_writer import OnConflict
from persist.storage.writes.line_import import LineImport
from persist.storage.writes.record_import import RecordImport
from persist.storage.writes.writer import Isolation

MAX_ENVELOPE_BYTES = 4_096
"""Bytes that the envelope of a record takes in a line in addition to its data."""

MAX_FAULTS = 100
"""Faults that a refusal lists."""


async def import_records(
    writes: Writes,
    layout: Layout,
    workspace: str,
    request: Request,
    *,
    dry_run: bool,
) -> Response:
    """Create a record of every line, or none: the lines are spooled, validated and
    staged, then written.

    Raises ``InvalidData`` and ``InvalidJson`` naming the lines, ``TooLarge``.
    """
    request.media_type(NDJSON_TYPES)
    body = await request.spooled("send the records in parts")
    with closing(LineImport(layout, workspace, request.origin)) as lines:
        longest = request.limits.body
        valid = _valid_lines(layout.type, body, longest)
        write = Write(
            parse=lambda: writes.database.jobs.run(lines.stage, valid),
            run=lambda work, _: lines.store(work),
            render=lambda created: json_response({"created": created}),
            body=body.digest,
            isolation=Isolation.SEPARATE,
            dry_run=dry_run,
            staging=lines.staging,
        )
        try:
            return await writes.perform(request, write)
        except UniqueViolation as error:
            line = await writes.database.jobs.run(_violating_line, lines, body, longest)
            raise UniqueViolation(
                f"line {line}: {error.detail}", errors=error.errors, line=line
            ) from None


async def import_envelopes(
    writes: Writes,
    layout: Layout,
    workspace: str,
    request: Request,
    control: dict[str, str],
) -> Response:
    """Store records as ``export`` writes them, by the rules of a restore.

    Raises ``InvalidData`` and ``InvalidJson`` naming the line, ``TooLarge``,
    ``MigrationFailed``, ``RestoreConflict``.
    """
    request.media_type(NDJSON_TYPES)
    on_conflict = _on_conflict(control)
    body = await request.spooled("send the records in parts")
    # The data may have the size of a body.
    longest = request.limits.body + MAX_ENVELOPE_BYTES
    with closing(Staging(layout.dialect)) as staging:
        records = RecordImport(staging, layout, workspace, on_conflict, request.origin)
        lines = _envelopes(body, longest)
        jobs = writes.database.jobs
        write = Write(
            parse=lambda: jobs.run(records.prepare, lines),
            run=lambda work, _: records.run(work),
            render=lambda imported: json_response(asdict(imported)),
            body=body.digest,
            isolation=Isolation.SEPARATE,
            dry_run=flag(control, "dry_run"),
            staging=staging,
        )
        try:
            return await writes.perform(request, write)
        except UniqueViolation as error:
            raise await jobs.run(records.writer.refusal, error) from None


def _on_conflict(control: dict[str, str]) -> OnConflict:
    given = control.get("on_conflict", OnConflict.FAIL.value)
    try:
        return OnConflict(given)
    except ValueError:
        choices = ", ".join(choice.value for choice in OnConflict)
        raise InvalidQuery(
            f"on_conflict must be one of {choices}, not {given[:40]!r}"
        ) from None


def _envelopes(body: SpooledBody, longest: int) -> Iterator[Data]:
    """Yield the records of the lines. Raises ``InvalidData``, ``InvalidJson``,
    ``TooLarge``."""
    for number, line in _lines(body, longest):
        try:
            record = _object(line)
        except InvalidJson as error:
            raise InvalidJson(f"line {number}: {error.detail}", line=number) from None
        except InvalidData as error:
            raise InvalidData(
                f"line {number}: {error.detail}",
                errors=_on_line(number, error),
                line=number,
            ) from None
        if not is_exported_record(record):
            raise InvalidData(
                f"line {number} is not a record as an export has it",
                errors=[Violation(f"/{number}", "not a record of an export")],
                line=number,
            )
        yield record


def _violating_line(lines: LineImport, body: SpooledBody, longest: int) -> int:
    """Return the first line that violates a unique constraint; 0 if no line does so any
    more."""
    record = lines.first_violation()
    if record is None:
        return 0
    number, _ = next(islice(_lines(body, longest), record - 1, None))
    return number


def _valid_lines(
    entity_type: EntityType, body: SpooledBody, longest_line: int
) -> Iterator[Data]:
    """Yield valid data.

    Raises ``InvalidJson``, ``TooLarge`` and ``InvalidData`` with the faults of all
    lines.
    """
    faults: list[Violation] = []
    for data in _validated_lines(entity_type, body, longest_line, faults):
        if not faults:
            yield data
    if faults:
        raise _invalid_lines(faults)


def _validated_lines(
    entity_type: EntityType,
    body: SpooledBody,
    longest_line: int,
    faults: list[Violation],
) -> Iterator[Data]:
    """Yield valid data; add the faults of other lines to ``faults``.

    Raises ``InvalidJson``, ``TooLarge``.
    """
    for number, line in _lines(body, longest_line):
        try:
            data = entity_type.validate(_object(line, entity_type.write_decimals))
        except InvalidJson as error:
            raise InvalidJson(f"line {number}: {error.detail}", line=number) from None
        except PersistError as error:
            faults.extend(_on_line(number, error))
            if len(faults) >= MAX_FAULTS:
                return
        else:
            yield data


def _invalid_lines(faults: list[Violation]) -> InvalidData:
    first = faults[0].detail.partition(":")[0]
    return InvalidData(
        f"{first} is not valid; nothing was imported", errors=faults[:MAX_FAULTS]
    )


def _lines(body: SpooledBody, longest: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank with their numbers. Raises ``TooLarge``."""
    for number, line in enumerate(body.lines(longest), start=1):
        if len(line.rstrip(b"\r\n")) > longest:
            raise TooLarge(
                f"line {number} has more than {longest:,} bytes", line=number
            )
        if line.strip():
            yield number, line


def _object(line: bytes, write_decimals: WriteDecimals | None = None) -> Data:
    value = strict_json.parse(line, write_decimals=write_decimals)
    if not isinstance(value, dict):
        raise InvalidData("a line must hold a JSON object")
    return value


def _on_line(number: int, error: PersistError) -> list[Violation]:
    violations = error.errors or (Violation("", error.detail),)
    return [
        Violation(f"/{number}{violation.pointer}", f"line {number}: {violation.detail}")
        for violation in violations
    ]


async def export(
    database: Database, layout: Layout, workspace: str, request: Request
) -> StreamedResponse:
    """Return every record that matches, one per line, from one moment. Faults are
    raised before the response begins."""
    entity_type = layout.type
    asked = await parse_query(
        request.query,
        lambda: listing(entity_type, workspace, request.query, paged=False),
    )
    query = asked.query
    source: RecordSource = layout
    if asked.as_of is not None:
        moment = asked.as_of
        as_of = await database.read(lambda reader: reader.last_change(moment))
        query = replace(query, as_of=as_of)
        source = layout.past.source(query)

    async def chunks() -> AsyncGenerator[bytes, None]:
        async with aclosing(database.stream(source, workspace, query)) as stream:
            async for rows in stream:
                # The key may have been revoked since the last batch.
                await request.admit_again(Level.READ, [(entity_type.name, workspace)])
                answered = rows
                if asked.fields is not None:
                    answered = [selected(row, asked.fields) for row in rows]
                lines = row_texts(entity_type.name, workspace, answered)
                yield "".join([f"{line}\n" for line in lines]).encode()

    return await _begun(chunks())


async def _begun(chunks: AsyncGenerator[bytes, None]) -> StreamedResponse:
    first = await anext(chunks, b"")

    async def all_chunks() -> AsyncGenerator[bytes, None]:
        async with aclosing(chunks):
            yield first
            async for chunk in chunks:
                yield chunk

    return StreamedResponse(all_chunks(), [NDJSON])
