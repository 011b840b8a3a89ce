"""Writing records: one, or those that match."""

from collections.abc import Callable
from contextlib import closing
from functools import partial

from persist.api.headers import PATCH_TYPES
from persist.api.parse_threads import parse_body, parse_query
from persist.api.patches import Change, change_of, write_decimals_of
from persist.api.query_filters import conditions
from persist.api.query_params import (
    dry_run_of,
    flag,
    integer_of,
    pairs_of,
    split_filters,
)
from persist.api.request_bodies import Body, json_object
from persist.api.requests import Request
from persist.api.responses import (
    JSON,
    Response,
    created_response,
    deleted_response,
    etag,
    json_response,
    no_content,
    record_response,
    record_text,
)
from persist.api.selective_invoke import command_of, invoke_matching, payload_of
from persist.api.target import Target
from persist.api.write_requests import (
    Parsed,
    Value,
    Write,
    Writes,
    parse_nothing,
)
from persist.domain import strict_json
from persist.domain.collection import Collection, Invocation, Written
from persist.domain.entity_type import EntityType
from persist.domain.errors import InvalidQuery
from persist.domain.identifiers import new_id
from persist.domain.query import Query
from persist.domain.record import INT64, Data, Record, dumps
from persist.storage.long_operations.staging import Staging
from persist.storage.writes.bulk_delete import BulkDelete
from persist.storage.writes.unit_of_work import UnitOfWork
from persist.storage.writes.writer import Isolation

REVERT_BODY = Body(
    {"to_revision": 2},
    "to_revision",
    to_revision={"type": "integer", "minimum": 1, "maximum": INT64[-1]},
)


class RecordWrites:
    """Answers the routes that write records of one collection."""

    def __init__(self, writes: Writes, *, require_if_match: bool) -> None:
        self._writes = writes
        self._require_if_match = require_if_match

    async def create(self, target: Target, request: Request) -> Response:
        """Create a record under an id that the service makes."""
        dry_run = dry_run_of(request.query)
        body = await request.body()
        record_id = new_id()
        location = request.url_path(f"{target.path}/{record_id}")
        return await self._perform(
            target,
            request,
            parse=lambda: _data(target.type, body),
            run=lambda records, data: records.create(data, record_id),
            render=lambda record: created_response(target.type, record, location),
            body=body,
            dry_run=dry_run,
        )

    async def replace(self, target: Target, request: Request) -> Response:
        """Replace the record, or create it under the client's id."""
        dry_run = dry_run_of(request.query)
        body = await request.body()
        precondition = request.precondition(required=self._require_if_match)
        return await self._perform(
            target,
            request,
            parse=lambda: _data(target.type, body),
            run=lambda records, data: records.replace(target.id, data, precondition),
            render=lambda written: _written_response(written, target, request),
            body=body,
            dry_run=dry_run,
        )

    async def patch(self, target: Target, request: Request) -> Response:
        """Change the record by a merge patch or a JSON Patch, as the body's media type
        says."""
        dry_run = dry_run_of(request.query)
        body = await request.body(PATCH_TYPES)
        precondition = request.precondition(required=self._require_if_match)
        media_type = request.media_type(PATCH_TYPES)
        limit = request.limits.body

        def parse() -> Change:
            write = write_decimals_of(target.type, media_type)
            patch = strict_json.parse(body, write_decimals=write)
            return change_of(patch, media_type, limit)

        return await self._perform(
            target,
            request,
            parse=parse,
            run=lambda records, change: records.patch(target.id, change, precondition),
            render=lambda written: _written_response(written, target, request),
            body=body,
            dry_run=dry_run,
        )

    async def delete(self, target: Target, request: Request) -> Response:
        """Delete the record; its history stays."""
        dry_run = dry_run_of(request.query)
        precondition = request.precondition(required=self._require_if_match)
        return await self._perform(
            target,
            request,
            parse=lambda: None,
            run=lambda records, _: records.delete(target.id, precondition),
            render=lambda _: deleted_response(dry_run=dry_run),
            dry_run=dry_run,
        )

    async def revert(self, target: Target, request: Request) -> Response:
        """Give the record the data of an earlier revision; a deleted one comes back."""
        dry_run = dry_run_of(request.query)
        body = await request.body()
        precondition = request.precondition(required=self._require_if_match)

        return await self._perform(
            target,
            request,
            parse=lambda: REVERT_BODY.read(body),
            run=lambda records, sent: records.revert(
                target.id, sent["to_revision"], precondition
            ),
            render=lambda record: record_response(target.type, record),
            body=body,
            dry_run=dry_run,
        )

    async def erase_history(self, target: Target, request: Request) -> Response:
        """Erase the data and payloads of the record's changes; their envelopes stay."""
        dry_run = dry_run_of(request.query)
        precondition = request.precondition()

        def render(erased: int) -> Response:
            if dry_run:
                return json_response({"erased": erased})
            return no_content()

        def run(work: UnitOfWork, _: None) -> int:
            records = target.collection(work, request)
            return records.erase_history(target.id, precondition)

        write = Write(
            parse=parse_nothing,
            run=run,
            render=render,
            keys=[target.key],
            # All changes of the record are rewritten: no group waits for that.
            isolation=Isolation.SEPARATE,
            dry_run=dry_run,
        )
        return await self._writes.perform(request, write)

    async def invoke(self, target: Target, request: Request) -> Response:
        """Run a command on the record."""
        dry_run = dry_run_of(request.query)
        command = command_of(target.type, target.command)
        body = await request.body()
        precondition = request.precondition(required=self._require_if_match)
        return await self._perform(
            target,
            request,
            parse=lambda: payload_of(command, body),
            run=lambda records, payload: records.run(
                target.id, command, payload, precondition
            ),
            render=lambda found: _invocation_response(target.type, found),
            body=body,
            dry_run=dry_run,
        )

    async def invoke_all(self, target: Target, request: Request) -> Response:
        """Run a command on every record that matches."""
        return await invoke_matching(
            self._writes,
            request,
            target.type,
            target.workspace,
            target.command,
        )

    async def delete_matching(self, target: Target, request: Request) -> Response:
        """Delete the records that match, up to ``max_affected``."""
        known = ("filter", "max_affected", "dry_run")
        control, filters = split_filters(pairs_of(request.query), known)
        where, values = await parse_query(
            request.query, lambda: conditions(target.type, filters, control, known)
        )
        max_affected = integer_of(control, "max_affected", minimum=0)
        if where is None or max_affected is None:
            raise InvalidQuery(
                "deleting many records takes at least one filter and max_affected"
            )
        database = self._writes.database
        layout = target.layout
        async with database.job():
            with closing(Staging(layout.dialect)) as staging:
                deletion = BulkDelete(
                    staging,
                    [layout],
                    target.workspace,
                    Query(where, values),
                    max_affected,
                    request.origin,
                )
                write = Write(
                    parse=lambda: database.jobs.run(deletion.stage),
                    run=lambda work, _: deletion.store(work),
                    render=lambda deleted: json_response({"deleted": deleted}),
                    isolation=Isolation.SEPARATE,
                    dry_run=flag(control, "dry_run"),
                    staging=staging,
                )
                return await self._writes.perform(request, write)

    async def _perform(
        self,
        target: Target,
        request: Request,
        *,
        parse: Callable[[], Parsed],
        run: Callable[[Collection, Parsed], Value],
        render: Callable[[Value], Response],
        dry_run: bool,
        body: bytes = b"",
    ) -> Response:
        """Perform a write of the record that the path names. A record that is created
        has a new id, which need not be looked for."""
        write = Write(
            parse=partial(parse_body, body, parse),
            run=lambda work, parsed: run(target.collection(work, request), parsed),
            render=render,
            body=body,
            keys=[target.key] if target.id else (),
            dry_run=dry_run,
            characters=_characters,
        )
        return await self._writes.perform(request, write)


def _characters(value: object) -> int:
    """Return the characters of the record that a write returns."""
    if isinstance(value, Written | Invocation):
        value = value.record
    return len(value.text) if isinstance(value, Record) else 0


def _written_response(written: Written, target: Target, request: Request) -> Response:
    if written.created:
        location = request.url_path(target.record_path)
        return created_response(target.type, written.record, location)
    response = record_response(target.type, written.record)
    if written.merged:
        response.raw_headers.append((b"preference-applied", b"merge"))
    return response


def _data(entity_type: EntityType, body: bytes) -> Data:
    write = entity_type.write_decimals
    return entity_type.validate(json_object(body, write_decimals=write))


def _invocation_response(entity_type: EntityType, invocation: Invocation) -> Response:
    result, record = invocation
    stored = record_text(entity_type, record)
    text = f'{{"result":{dumps(result)},"record":{stored}}}'
    headers = [JSON, etag(record.revision)]
    return Response(200, text.encode(), headers)
