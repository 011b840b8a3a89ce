"""Selective invoke over HTTP: the query string, the payload, the answer."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from persist.api.deferred_validation import draft
from persist.api.entity_types import sent
from persist.api.fastapi_errors import Asked
from persist.api.query_params import (
    ENVELOPE_ONLY,
    conditions,
    flag,
    natural,
    pairs_of,
    split,
)
from persist.api.requests import Request, json_object
from persist.api.responses import JSON, Answer, outcome_text
from persist.api.retry import retry_on_stale_schema
from persist.api.write_requests import Writes
from persist.domain.access import EVERY, Level
from persist.domain.command import Command
from persist.domain.entity_type import EntityType
from persist.domain.errors import CommandNotFound, InvalidPayload, InvalidQuery
from persist.domain.query import Query
from persist.domain.record import Data
from persist.domain.selective_invoke import Outcome, RestoreTarget, Status, invoke
from persist.storage.database import Database
from persist.storage.unit_of_work import UnitOfWork
from persist.storage.writer import Isolation

DEFAULT = 1_000
MOST = 10_000
"""Records a command may be run on at once."""


def command_of(type: EntityType, name: str) -> Command:
    """A command of a collection. Raises ``CommandNotFound``, naming those there are."""
    command = type.commands.get(name)
    if command is None:
        known = ", ".join(sorted(type.commands))
        raise CommandNotFound(
            f"{type.name} has no command {name[:80]!r}; it has {known}"
        )
    return command


def payload_of(command: Command, body: bytes) -> Data:
    """A command's payload, which may be left out where it has defaults. Raises
    ``InvalidPayload``."""
    parsed: Data = command.parse(json_object(body, InvalidPayload) if body else {})
    return parsed


async def invoke_matching(
    writes: Writes, request: Request, type: EntityType, workspace: str, name: str
) -> Answer:
    """Run a command on every record of a collection that matches."""
    command_of(type, name)
    return await _invoke(writes, request, [type], workspace, name, type)


def invoking_router(database: Database, writes: Writes) -> APIRouter:
    """The route of selective invoke over all collections of a workspace."""
    router = APIRouter(tags=["workspaces"])

    @router.post(
        "/workspaces/{workspace}/commands/{command}",
        summary="Run a command on every record that matches, of all collections",
        openapi_extra=BODY,
    )
    async def invoke_together(workspace: str, command: str, request: Asked) -> Response:
        async def attempt() -> Answer:
            await database.refresh()
            names = database.catalog.workspaces.get(workspace, ())
            request.access.require_all(
                Level.WRITE, [(name, workspace) for name in names or (EVERY,)]
            )
            types = [
                database.catalog.get(name, workspace).type
                for name in database.catalog.names_in(workspace)
            ]
            if not any(command in type.commands for type in types):
                raise CommandNotFound(
                    f"no collection of {workspace} has a command {command[:80]!r}"
                )
            return await _invoke(
                writes, request, types, workspace, command, ENVELOPE_ONLY
            )

        return sent(await retry_on_stale_schema(database, request, attempt))

    return router


async def _invoke(
    writes: Writes,
    request: Request,
    types: Sequence[EntityType],
    workspace: str,
    name: str,
    filtered: EntityType,
) -> Answer:
    """``filtered`` has the fields that the filters may name."""
    known = ("filter", "max_affected", "atomic", "dry_run")
    control, filters = split(pairs_of(request.query), known)
    query = Query(*conditions(filtered, filters, control, known))
    most, atomic = _most(control), flag(control, "atomic")
    commands = {
        type.name: type.commands[name] for type in types if name in type.commands
    }
    body = await request.body()
    payloads = await draft(request, body, lambda: _payloads(commands, body))

    def operation(work: UnitOfWork) -> Answer:
        given = payloads()
        targets = [
            RestoreTarget(
                work.collection(type, workspace, request.origin),
                query,
                commands.get(type.name),
                given.get(type.name),
            )
            for type in types
        ]
        return _told(invoke(work, targets, most, atomic=atomic))

    return await writes.perform(
        request,
        operation,
        body=body,
        isolation=Isolation.SEPARATE,
        dry_run=flag(control, "dry_run"),
    )


def _payloads(commands: Mapping[str, Command], body: bytes) -> dict[str, Data]:
    """The payload of each collection's command. Raises ``InvalidPayload`` naming the
    collection."""
    found: dict[str, Data] = {}
    for collection, command in commands.items():
        try:
            found[collection] = payload_of(command, body)
        except InvalidPayload as error:
            raise InvalidPayload(
                f"{collection}: {error.detail}", errors=error.errors
            ) from None
    return found


def _most(control: dict[str, str]) -> int:
    most = natural(control, "max_affected", DEFAULT, least=0)
    if most is None or most > MOST:
        raise InvalidQuery(
            f"max_affected is at most {MOST:,} here; narrow the filter and call several"
            " times"
        )
    return most


def _told(outcomes: Sequence[Outcome]) -> Answer:
    counts = Counter(outcome.status for outcome in outcomes)
    told = ",".join([f'"{status}":{counts[status]}' for status in Status])
    listed = ",".join([outcome_text(*outcome) for outcome in outcomes])
    return Answer(200, f'{{{told},"outcomes":[{listed}]}}'.encode(), [JSON])


BODY: dict[str, Any] = {
    "description": (
        "Filters name fields of the envelope only (`_created_at__lt=…`). The payload"
        " has to fit the command of each collection that has one; records of the others"
        " are skipped as `unsupported`."
    ),
    "parameters": [
        {"$ref": f"#/components/parameters/{name}"}
        for name in (
            "filter",
            "max_affected.invoke",
            "atomic",
            "dry_run",
            "Idempotency-Key",
            "Prefer",
        )
    ],
    "requestBody": {
        "description": "The command's payload.",
        "content": {"application/json": {"schema": {"type": "object"}, "example": {}}},
    },
    "responses": {
        "200": {
            "description": "What became of each record.",
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/Outcomes"}
                }
            },
        }
    },
}
