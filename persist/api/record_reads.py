"""Reading one record: as it is, as it was, and its history."""

from persist.api import pagination
from persist.api.pagination import page_response
from persist.api.past_reads import record_as_of
from persist.api.query_params import (
    QUERY_BYTES,
    controls,
    integer_of,
    moment_of,
    page_size,
    pairs_of,
)
from persist.api.render_threads import in_thread, rendered
from persist.api.requests import Request
from persist.api.responses import (
    JSON,
    Response,
    change_text,
    etag,
    json_response,
    record_response,
    row_text,
)
from persist.api.target import Target
from persist.domain.bounded_cache import bounded_cache, weight_of_texts
from persist.domain.errors import (
    InvalidQuery,
    PreconditionFailed,
    RecordNotFound,
    RevisionNotFound,
)
from persist.domain.json_diff import json_patch_between
from persist.domain.precondition import NO_PRECONDITION, Precondition
from persist.domain.record import INT64, Record
from persist.storage.database import Database
from persist.storage.journal.changes import past_record
from persist.storage.queries.result_size import fitting, of_changes
from persist.storage.reads.moments import Moment
from persist.storage.reads.reader import Reader
from persist.storage.sql import Row

LAST_REVISION = INT64[-1]
"""No revision is higher."""


class RecordReads:
    """Answers the routes that read one record."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, target: Target, request: Request) -> Response:
        """Return the record, or as it was at ``?revision=`` or ``?as_of=``."""
        if request.query:
            record = await self._past(target, request.query)
            if record is not None:
                return _past_response(target, request, record)
        row = await self._database.find(target.layout, target.workspace, target.id)
        if row is None:
            raise RecordNotFound(f"{target.type.name} has no record {target.id}")
        tag = etag(row[1])
        precondition = request.precondition()
        if precondition is not NO_PRECONDITION and _is_known(precondition, row[1]):
            return Response(304, b"", [tag])
        text = row_text(target.type, target.workspace, row)
        return Response(200, text.encode(), [JSON, tag])

    async def _past(self, target: Target, query: bytes) -> Record | None:
        """Return the record as it was at the revision or moment that a query names."""
        revision, as_of = _asked(query)
        if as_of is None:
            if revision is None:
                return None
            return await self._revision(target, revision)
        record = await record_as_of(
            self._database,
            target.type.name,
            target.workspace,
            target.id,
            as_of,
        )
        if isinstance(record, int):
            return await self._revision(target, record)
        return record

    async def _revision(self, target: Target, revision: int) -> Record:
        """Return the record as it was at a revision. Raises ``RevisionNotFound``."""
        record = None
        if revision in INT64:
            record = await self._changed_record(target, revision)
        if record is None:
            # The change may be erased or trimmed, and the record still be at it.
            row = await self._database.find(target.layout, target.workspace, target.id)
            if row is not None:
                record = target.layout.record(target.workspace, row)
        if record is None or record.revision != revision:
            raise RevisionNotFound(
                f"{target.type.name} has no revision {revision} of {target.id} to show"
            )
        return record

    async def _changed_record(self, target: Target, revision: int) -> Record | None:
        name = target.type.name
        workspace = target.workspace
        record_id = target.id
        row = await self._database.read(
            lambda reader: reader.revision(name, workspace, record_id, revision)
        )
        return None if row is None else past_record(name, workspace, row)

    async def history(self, target: Target, request: Request) -> Response:
        """Return a page of the record's changes, newest first."""
        name = target.type.name
        workspace = target.workspace
        record_id = target.id
        control = controls(pairs_of(request.query), ("limit", "cursor"))
        size = page_size(control)
        bound = f"history\n{name}\n{workspace}\n{record_id}"
        before = LAST_REVISION
        if "cursor" in control:
            before = _revision_in(control["cursor"], bound)

        def read(reader: Reader) -> tuple[list[Row], bool]:
            rows = reader.history(name, workspace, record_id, before, size + 1)
            if rows:
                return rows, True
            return rows, reader.knows(name, workspace, record_id)

        rows, known = await self._database.read(read)
        # All changes of a record may be trimmed.
        if not known and not await self._database.find(
            target.layout, workspace, record_id
        ):
            raise RecordNotFound(f"{name} never had a record {record_id}")
        kept = fitting(rows, size, of_changes)
        more = kept < len(rows)
        rows = rows[:kept]
        cursor = None
        if more:
            last_revision = rows[-1][5]
            cursor = pagination.encode(bound, [last_revision])
        path = f"{target.record_path}/history"

        def render() -> Response:
            return page_response(request, path, map(change_text, rows), cursor)

        return await rendered(request, render, rows, of_changes)

    async def diff(self, target: Target, request: Request) -> Response:
        """Return the JSON Patch that turns one revision into another."""
        control = controls(pairs_of(request.query), ("from", "to"))
        revisions = [integer_of(control, name) for name in ("from", "to")]
        records = [
            await self._revision(target, _required(name, revision))
            for name, revision in zip(("from", "to"), revisions, strict=True)
        ]

        def render() -> Response:
            before, after = (record.data for record in records)
            return json_response(
                {
                    "from": revisions[0],
                    "to": revisions[1],
                    "patch": json_patch_between(before, after),
                }
            )

        return await in_thread(render)


def _is_known(precondition: Precondition, revision: int) -> bool:
    """Return whether the client has a revision. Raises ``PreconditionFailed`` if it
    wants another."""
    tag = f'"{revision}"'
    if precondition.if_match and not precondition.if_match_names(tag):
        raise PreconditionFailed(
            f"If-Match does not hold: the record is at {tag}", revision=revision
        )
    return precondition.if_none_match_names(tag)


@bounded_cache(QUERY_BYTES, weight_of_texts)
def _asked(query: bytes) -> tuple[int | None, Moment | None]:
    """Return the revision or the moment that a query names. Raises ``InvalidQuery``."""
    control = controls(pairs_of(query), ("revision", "as_of"))
    revision = integer_of(control, "revision")
    as_of = moment_of(control)
    if revision is not None and as_of is not None:
        raise InvalidQuery("revision and as_of exclude each other")
    return revision, as_of


def _past_response(target: Target, request: Request, record: Record) -> Response:
    """Return a record as it was, unless the client has it. Raises
    ``PreconditionFailed``."""
    if _is_known(request.precondition(), record.revision):
        return Response(304, b"", [etag(record.revision)])
    return record_response(target.type, record)


def _required(name: str, revision: int | None) -> int:
    if revision is None:
        raise InvalidQuery(f"{name} is required: the number of a revision")
    return revision


def _revision_in(cursor: str, bound: str) -> int:
    position = pagination.decode(cursor, bound)
    if len(position) != 1:
        raise pagination.foreign_cursor()
    revision = position[0]
    if type(revision) is not int or revision not in INT64:
        raise pagination.foreign_cursor()
    return revision
