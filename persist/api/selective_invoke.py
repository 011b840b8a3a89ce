"""Selective invoke over HTTP: the query string, the payload, the response."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from persist.api.parse_threads import parse_body, parse_query
from persist.api.query_filters import conditions
from persist.api.query_params import (
    flag,
    integer_of,
    pairs_of,
    split_filters,
)
from persist.api.request_bodies import json_object
from persist.api.requests import Request
from persist.api.responses import JSON, Response, outcome_text
from persist.api.write_requests import Write, Writes
from persist.domain.command import Command
from persist.domain.entity_type import EntityType
from persist.domain.errors import CommandNotFound, InvalidPayload, InvalidQuery
from persist.domain.query import Query
from persist.domain.record import Data
from persist.domain.selective_invoke import InvocationTarget, Outcome, Status, invoke
from persist.storage.writes.unit_of_work import UnitOfWork
from persist.storage.writes.writer import Isolation

DEFAULT_AFFECTED = 1_000
"""Records that may match if ``max_affected`` says nothing."""

MAX_AFFECTED = 10_000
"""Records that a command may run on at once."""

CONTROLS = ("filter", "max_affected", "atomic", "dry_run")


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command by name, on the records of some types in one workspace.

    ``filtered`` is the type whose fields the filters may name.
    """

    types: Sequence[EntityType]
    workspace: str
    command: str
    filtered: EntityType


def command_of(entity_type: EntityType, name: str) -> Command:
    """Return a command of a collection. Raises ``CommandNotFound``, naming those there
    are."""
    command = entity_type.commands.get(name)
    if command is None:
        known = ", ".join(sorted(entity_type.commands))
        raise CommandNotFound(
            f"{entity_type.name} has no command {name[:80]!r}; it has {known}"
        )
    return command


def payload_of(command: Command, body: bytes) -> Data:
    """Return a command's payload, which may be left out if it has defaults. Raises
    ``InvalidPayload``."""
    write = command.write_decimals
    payload = json_object(body or b"{}", InvalidPayload, write_decimals=write)
    parsed: Data = command.parse(payload)
    return parsed


async def invoke_matching(
    writes: Writes, request: Request, entity_type: EntityType, workspace: str, name: str
) -> Response:
    """Run a command on every record of a collection that matches."""
    command_of(entity_type, name)
    return await invoke_on(
        writes, request, Invocation([entity_type], workspace, name, entity_type)
    )


async def invoke_on(
    writes: Writes, request: Request, invocation: Invocation
) -> Response:
    """Run a command on every record of some collections that matches; those without it
    are skipped."""
    control, filters = split_filters(pairs_of(request.query), CONTROLS)
    where, values = await parse_query(
        request.query,
        lambda: conditions(invocation.filtered, filters, control, CONTROLS),
    )
    query = Query(where, values)
    max_affected = _max_affected(control)
    atomic = flag(control, "atomic")
    commands = {
        entity_type.name: entity_type.commands[invocation.command]
        for entity_type in invocation.types
        if invocation.command in entity_type.commands
    }
    body = await request.body()

    def run(work: UnitOfWork, payloads: dict[str, Data]) -> list[Outcome]:
        sources = [
            InvocationTarget(
                work.collection(entity_type, invocation.workspace, request.origin),
                query,
                commands.get(entity_type.name),
                payloads.get(entity_type.name),
            )
            for entity_type in invocation.types
        ]
        return invoke(work, sources, max_affected, atomic=atomic)

    write = Write(
        parse=lambda: parse_body(body, lambda: _payloads(commands, body)),
        run=run,
        render=_outcomes_response,
        body=body,
        isolation=Isolation.SEPARATE,
        dry_run=flag(control, "dry_run"),
    )
    return await writes.perform(request, write)


def _payloads(commands: Mapping[str, Command], body: bytes) -> dict[str, Data]:
    """Return the payload of each collection's command. Raises ``InvalidPayload`` naming
    the collection."""
    payloads: dict[str, Data] = {}
    for collection, command in commands.items():
        try:
            payloads[collection] = payload_of(command, body)
        except InvalidPayload as error:
            raise InvalidPayload(
                f"{collection}: {error.detail}", errors=error.errors
            ) from None
    return payloads


def _max_affected(control: dict[str, str]) -> int:
    given = integer_of(control, "max_affected", DEFAULT_AFFECTED, minimum=0)
    if given is None or given > MAX_AFFECTED:
        raise InvalidQuery(
            f"max_affected is at most {MAX_AFFECTED:,} here; narrow the filter and call"
            " several times"
        )
    return given


def _outcomes_response(outcomes: Sequence[Outcome]) -> Response:
    counts = Counter(outcome.status for outcome in outcomes)
    counted = ",".join([f'"{status}":{counts[status]}' for status in Status])
    listed = ",".join([outcome_text(*outcome) for outcome in outcomes])
    return Response(200, f'{{{counted},"outcomes":[{listed}]}}'.encode(), [JSON])
