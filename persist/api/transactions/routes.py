"""`POST /transactions`: operations on any collections that stand or fall together."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from persist.api.deferred_validation import draft
from persist.api.documented_bodies import documented
from persist.api.entity_types import sent
from persist.api.fastapi_errors import Asked
from persist.api.query_params import controls, flag, pairs_of
from persist.api.requests import Request, json_object
from persist.api.responses import JSON, Answer, record_text
from persist.api.retry import retry_on_stale_schema
from persist.api.transactions.operations import (
    FORMS,
    OPERATIONS,
    Preparation,
    Step,
    check_forms,
    of_operation,
    operations_of,
)
from persist.api.transactions.references import REFERENCE, VALUE, Done, Known
from persist.api.write_requests import Writes
from persist.domain.access import Level
from persist.domain.errors import InvalidPayload, UniqueViolation
from persist.domain.workspace import DEFAULT
from persist.storage.catalog import Catalog
from persist.storage.database import Database
from persist.storage.unit_of_work import RecordKey, UnitOfWork
from persist.storage.writer import Isolation


def transaction_router(
    database: Database, writes: Writes, *, require_if_match: bool
) -> APIRouter:
    """The one route of transactions."""
    router = APIRouter(tags=["transactions"])

    @router.post(
        "/transactions",
        summary="Several writes that stand or fall together",
        openapi_extra=BODY,
    )
    async def transact(request: Asked) -> Response:
        request.access.require_some(Level.WRITE)
        dry_run = flag(controls(pairs_of(request.query), ("dry_run",)), "dry_run")

        async def attempt() -> Answer:
            body = await request.body()
            steps = await draft(
                request,
                body,
                lambda: _steps(database.catalog, request, body, require_if_match),
            )
            operation = _transaction(steps, request)
            return await writes.perform(
                request,
                operation,
                body=body,
                isolation=Isolation.SEPARATE,
                dry_run=dry_run,
            )

        return sent(await retry_on_stale_schema(database, request, attempt))

    return router


def _steps(
    catalog: Catalog, request: Request, body: bytes, require_if_match: bool
) -> list[Step]:
    """The operations of a body, ready to be run. Raises what is wrong with them; first
    of all ``Forbidden``, where one of them is."""
    operations = operations_of(json_object(body, InvalidPayload))
    for index, operation in enumerate(operations):
        with of_operation(index):
            _check_access(request, operation)
    check_forms(operations)
    preparation, steps = (
        Preparation(request.limits.body, require_if_match=require_if_match),
        list[Step](),
    )
    for index, operation in enumerate(operations):
        with of_operation(index):
            layout = catalog.get(
                operation["collection"], operation.get("workspace") or DEFAULT
            )
            steps.append(preparation.step(layout.type, operation))
    return steps


def _check_access(request: Request, operation: Any) -> None:
    if isinstance(operation, dict) and isinstance(
        collection := operation.get("collection"), str
    ):
        workspace = operation.get("workspace")
        request.access.require(
            Level.WRITE,
            collection,
            workspace if isinstance(workspace, str) else DEFAULT,
        )


def _transaction(
    steps: Callable[[], Sequence[Step]], request: Request
) -> Callable[[UnitOfWork], Answer]:
    def operation(work: UnitOfWork) -> Answer:
        ready = steps()
        work.lock(
            RecordKey(step.type.name, step.workspace, step.key)
            for step in ready
            if step.key
        )
        results = ",".join([_shown(each) for each in _done(work, ready, request)])
        return Answer(200, f'{{"results":[{results}]}}'.encode(), [JSON])

    return operation


def _done(work: UnitOfWork, steps: Sequence[Step], request: Request) -> list[Done]:
    if not any(step.frees for step in steps):
        with suppress(UniqueViolation), work.savepoint():
            return list(_run(work, steps, request))
    return list(_run(work, steps, request, one_by_one=True))  # tells which it was


def _run(
    work: UnitOfWork,
    steps: Sequence[Step],
    request: Request,
    *,
    one_by_one: bool = False,
) -> Iterator[Done]:
    known = Known()
    for index, step in enumerate(steps):
        with of_operation(index):
            collection = work.collection(step.type, step.workspace, request.origin)
            if one_by_one:
                with work.savepoint():
                    done = step.run(collection, known)
            else:
                done = step.run(collection, known)
        yield done


def _shown(done: Done) -> str:
    record = "null" if done.gone else record_text(done.record)
    result = "" if done.result is None else f',"result":{done.result}'
    return f'{{"status":{done.status},"record":{record}{result}}}'


RESULT: dict[str, Any] = {
    "type": "object",
    "required": ["status", "record"],
    "properties": {
        "status": {"enum": [200, 201, 204]},
        "record": {
            "type": ["object", "null"],
            "description": "The record after the operation.",
        },
        "result": {"description": "What a command gave."},
    },
}
RESULTS: dict[str, Any] = {
    "type": "object",
    "required": ["results"],
    "properties": {"results": {"type": "array", "items": RESULT}},
}
BODY: dict[str, Any] = {
    "description": (
        f'`as` names an operation; `{{"{REFERENCE}": "<as>.id"}}` (or `.revision`,'
        " `.result`, `.data.<path>`) in a later one stands for what it gave,"
        f' `{{"{VALUE}": x}}` for x as it stands. A refusal tells the `operation` it is'
        " about, from 0; pointers are relative to its data."
    ),
    "responses": {
        "200": {
            "description": "What each operation gave.",
            "content": {"application/json": {"schema": RESULTS}},
        }
    },
    "parameters": [
        {"$ref": f"#/components/parameters/{name}"}
        for name in ("dry_run", "Idempotency-Key", "Prefer")
    ],
    **documented(
        {
            "type": "object",
            "required": ["operations"],
            "additionalProperties": False,
            "properties": {
                "operations": {
                    "type": "array",
                    "maxItems": OPERATIONS,
                    "items": {"oneOf": list(FORMS.values())},
                }
            },
        },
        {
            "operations": [
                {
                    "op": "create",
                    "collection": "ops-tickets",
                    "data": {"title": "Node pool overloaded", "severity": 40},
                    "as": "ticket",
                },
                {
                    "op": "command",
                    "collection": "ops-tickets",
                    "id": {"$ref": "ticket.id"},
                    "command": "ack",
                },
            ]
        },
    ),
}
