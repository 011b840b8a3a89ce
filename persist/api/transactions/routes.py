"""``POST /transactions``: operations on any collections, all of them or none."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from persist.api.fastapi_registration import AuthorizedRequest
from persist.api.parse_threads import parse_body
from persist.api.query_params import dry_run_of
from persist.api.request_bodies import documented, json_object
from persist.api.requests import Request
from persist.api.responses import JSON, Response, record_text
from persist.api.transactions.operations import (
    FORMS,
    MAX_OPERATIONS,
    Preparation,
    Step,
    check_forms,
    naming_operation,
    operations_of,
    with_decimals,
)
from persist.api.transactions.references import Outcome, Outcomes
from persist.api.write_requests import (
    Write,
    Writes,
    retry_on_stale_schema,
)
from persist.domain.access import Level
from persist.domain.cpu_budget import CpuBudget
from persist.domain.entity_type import EntityType
from persist.domain.errors import InvalidPayload, UniqueViolation
from persist.domain.record import Json
from persist.domain.strict_json import WriteDecimals
from persist.domain.workspace import DEFAULT
from persist.storage.database import Database
from persist.storage.writes.unit_of_work import RecordKey, UnitOfWork
from persist.storage.writes.writer import Isolation

MAX_SECONDS = 1.0
"""Seconds that the operations of a transaction may compute, while other writers
wait."""


class TransactionRoutes:
    """The handler of transactions."""

    def __init__(
        self, database: Database, writes: Writes, *, require_if_match: bool
    ) -> None:
        self._database = database
        self._writes = writes
        self._require_if_match = require_if_match

    async def transact(self, request: AuthorizedRequest) -> Response:
        """Run operations in one transaction."""
        dry_run = dry_run_of(request.query)
        body = await request.body()

        def run(work: UnitOfWork, steps: list[Step]) -> list[Outcome]:
            return _run(work, steps, request)

        write = Write(
            parse=lambda: parse_body(body, lambda: self._steps(request, body)),
            run=run,
            render=self._results_response,
            body=body,
            isolation=Isolation.SEPARATE,
            dry_run=dry_run,
        )
        return await retry_on_stale_schema(
            self._database, lambda: self._writes.perform(request, write)
        )

    def _results_response(self, outcomes: Sequence[Outcome]) -> Response:
        layouts = self._database.catalog.layouts
        results = ",".join(
            [
                _result_text(layouts[outcome.record.collection].type, outcome)
                for outcome in outcomes
            ]
        )
        return Response(200, f'{{"results":[{results}]}}'.encode(), [JSON])

    def _steps(self, request: Request, body: bytes) -> list[Step]:
        """Return the operations of a body, checked. Raises ``Forbidden`` before
        anything else that is wrong with them."""
        write = self._write_decimals()
        sent = json_object(body, InvalidPayload, write_decimals=write)
        operations = operations_of(sent)
        for index, operation in enumerate(operations):
            with naming_operation(index):
                _check_access(request, operation)
        check_forms(operations)
        preparation = Preparation(
            request.limits.body, require_if_match=self._require_if_match
        )
        steps: list[Step] = []
        for index, operation in enumerate(operations):
            with naming_operation(index):
                entity_type = self._type_of(operation)
                steps.append(preparation.step(entity_type, operation))
        return steps

    def _type_of(self, operation: Json) -> EntityType:
        """Return the type of an operation's collection. Raises ``PersistError`` for one
        that is not there."""
        workspace = operation.get("workspace") or DEFAULT
        layout = self._database.catalog.get(operation["collection"], workspace)
        return layout.type

    def _write_decimals(self) -> WriteDecimals | None:
        """Return the function that writes the decimals of a body as text; None if there
        are none."""
        layouts = self._database.catalog.layouts.values()
        if not any(layout.type.has_decimals for layout in layouts):
            return None
        return lambda _, body: with_decimals(body, self._type_of)


def _check_access(request: Request, operation: object) -> None:
    """Raise ``Forbidden``; what has another form is refused later."""
    if not isinstance(operation, dict):
        return
    collection = operation.get("collection")
    workspace = operation.get("workspace")
    if isinstance(collection, str):
        named = workspace if isinstance(workspace, str) else DEFAULT
        request.access.require(Level.WRITE, collection, named)


def _run(work: UnitOfWork, steps: Sequence[Step], request: Request) -> list[Outcome]:
    work.lock(
        RecordKey(step.type.name, step.workspace, step.key)
        for step in steps
        if step.key
    )
    with suppress(UniqueViolation), work.savepoint():
        return list(_outcomes(work, steps, request))
    # Unique values are checked at the end, when operations may have exchanged them.
    outcomes: list[Outcome] = []
    try:
        with work.savepoint(exchanging=True):
            outcomes.extend(_outcomes(work, steps, request))
    except UniqueViolation as error:
        refused = work.refused_record()
        for index, outcome in enumerate(outcomes):
            if _key(outcome) == refused:
                error.members["operation"] = index
        raise
    return outcomes


def _key(outcome: Outcome) -> RecordKey:
    record = outcome.record
    return RecordKey(record.collection, record.workspace, record.id)


def _outcomes(
    work: UnitOfWork, steps: Sequence[Step], request: Request
) -> Iterator[Outcome]:
    outcomes = Outcomes()
    time = CpuBudget(MAX_SECONDS)
    for index, step in enumerate(steps):
        with naming_operation(index):
            if time.is_over:
                raise InvalidPayload(
                    f"the operations before this one take longer than"
                    f" {time.seconds:g} s; send fewer at once"
                )
            collection = work.collection(step.type, step.workspace, request.origin)
            outcome = step.run(collection, outcomes)
        yield outcome


def _result_text(entity_type: EntityType, outcome: Outcome) -> str:
    record = "null" if outcome.deleted else record_text(entity_type, outcome.record)
    result = "" if outcome.result is None else f',"result":{outcome.result}'
    return f'{{"status":{outcome.status},"record":{record}{result}}}'


BODY = documented(
    {
        "type": "object",
        "required": ["operations"],
        "additionalProperties": False,
        "properties": {
            "operations": {
                "type": "array",
                "maxItems": MAX_OPERATIONS,
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
                "op": "create",
                "collection": "audit-events",
                "data": {"event_name": "ticket.opened"},
            },
        ]
    },
)
