"""Undo over HTTP: the changes of a request, or of a range, are taken back."""

from collections.abc import Set

from persist.api.fastapi_registration import AuthorizedRequest
from persist.api.headers import request_id_of
from persist.api.parse_threads import parse_body
from persist.api.query_params import dry_run_of
from persist.api.request_bodies import Body
from persist.api.requests import Request
from persist.api.responses import Response, json_response
from persist.api.write_requests import Write, Writes, retry_on_stale_schema
from persist.domain.access import Level
from persist.domain.entity_type import EntityType
from persist.domain.errors import CollectionNotFound, Forbidden, InvalidPayload
from persist.domain.identifiers import COLLECTION_NAME
from persist.domain.record import INT64
from persist.domain.undo import OnConflict, SelectedChanges, UndoReport
from persist.storage.database import Database
from persist.storage.writes.undo import undo
from persist.storage.writes.unit_of_work import UnitOfWork
from persist.storage.writes.writer import Isolation

_SEQ = {"type": "integer", "minimum": 1, "maximum": INT64[-1]}
_NAME = f"^{COLLECTION_NAME.pattern}$"

BODY = Body(
    {"request_id": "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70"},
    request_id={
        "type": "string",
        "pattern": "^[!-~]{1,128}$",
        "description": "The request whose changes are taken back.",
    },
    from_seq={
        **_SEQ,
        "description": "The first change of a range; in place of request_id.",
    },
    to_seq={**_SEQ, "description": "The last change of the range."},
    collection={
        "type": "string",
        "pattern": _NAME,
        "description": "Only changes of this collection.",
    },
    workspace={
        "type": ["string", "null"],
        "pattern": _NAME,
        "description": "Only changes in this workspace; null is the default one.",
    },
    on_conflict={"enum": [each.value for each in OnConflict], "default": "fail"},
)
BODY.show_forms(ByRequest=["request_id"], ByRange=["from_seq", "to_seq"])

Parsed = tuple[SelectedChanges, OnConflict]


class UndoRoutes:
    """The handler of undo."""

    def __init__(self, database: Database, writes: Writes) -> None:
        self._database = database
        self._writes = writes

    async def undo(self, request: AuthorizedRequest) -> Response:
        """Take back changes in one transaction."""
        dry_run = dry_run_of(request.query)
        body = await request.body()

        def run(work: UnitOfWork, parsed: Parsed) -> UndoReport:
            return undo(
                work,
                *parsed,
                lambda collection: self._type(work, collection),
                lambda touched: _authorize(request, touched),
                request.origin,
            )

        write = Write(
            parse=lambda: parse_body(body, lambda: _allowed(request, _parsed(body))),
            run=run,
            render=lambda report: json_response(report.as_json()),
            body=body,
            isolation=Isolation.SEPARATE,
            dry_run=dry_run,
        )
        return await retry_on_stale_schema(
            self._database, lambda: self._writes.perform(request, write)
        )

    def _type(self, work: UnitOfWork, collection: str) -> EntityType | None:
        """Return the entity type of a collection, None if it was deleted.

        Raises ``CollectionNotFound`` if this process may not know it yet.
        """
        catalog = self._database.catalog
        try:
            return catalog.get(collection).type
        except CollectionNotFound:
            if work.definitions.epoch() != catalog.epoch:
                raise
            return None


def _allowed(request: Request, parsed: Parsed) -> Parsed:
    """Raise ``Forbidden`` if the caller may write nothing of what is named; otherwise
    the answer would tell them whether it was changed."""
    selected, _ = parsed
    request.access.require_within(Level.WRITE, selected.collection, selected.workspace)
    if selected.request_id == request.request_id:
        # Under one id, both would be selected by it, and the undo could not be undone.
        request.request_id = request_id_of(None)
    return parsed


def _authorize(request: Request, touched: Set[tuple[str, str]]) -> None:
    """Raise ``Forbidden``, which names no collection."""
    if not all(request.access.allows(Level.WRITE, *named) for named in touched):
        raise Forbidden(
            "this needs write access to every collection that the changes touched"
        )


def _parsed(body: bytes) -> Parsed:
    """Return the changes that a body selects. Raises ``InvalidPayload``."""
    given = BODY.read(body)
    has_range = [name in given for name in ("from_seq", "to_seq")]
    if any(has_range) == ("request_id" in given) or any(has_range) != all(has_range):
        raise InvalidPayload("name either request_id, or from_seq and to_seq")
    if all(has_range) and given["from_seq"] > given["to_seq"]:
        raise InvalidPayload("from_seq comes after to_seq")
    workspace = None
    if "workspace" in given:
        workspace = given["workspace"] or ""
    selected = SelectedChanges(
        given.get("request_id"),
        given.get("from_seq", 0),
        given.get("to_seq", 0),
        given.get("collection"),
        workspace,
    )
    return selected, OnConflict(given["on_conflict"])
