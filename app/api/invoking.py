"""Selective invoke over HTTP: the query string, the payload, the answer."""

from collections import Counter
from collections.abc import Sequence

from app.api.drafts import draft
from app.api.queries import conditions, flag, natural, pairs_of, split
from app.api.representations import Answer, json_answer
from app.api.requests import Request, json_object
from app.api.writes import Writes
from app.domain.command import Command
from app.domain.entity_type import EntityType
from app.domain.errors import CommandNotFound, InvalidPayload, InvalidQuery
from app.domain.invoking import Outcome, Status, Target, invoke
from app.domain.query import Query
from app.domain.record import Data
from app.storage.unit_of_work import JOURNAL, UnitOfWork
from app.storage.writing import Mode

DEFAULT = 1_000
MOST = 10_000
"""Records a command may be run on at once."""


def command_of(type: EntityType, name: str) -> Command:
    """A command of a collection. Raises ``CommandNotFound``, naming those there are."""
    command = type.commands.get(name)
    if command is None:
        known = ", ".join(sorted(type.commands))
        raise CommandNotFound(f"{type.name} has no command {name[:80]!r}; it has {known}")
    return command


def payload_of(command: Command, body: bytes) -> Data:
    """A command's payload, which may be left out where it has defaults. Raises ``InvalidPayload``."""
    parsed: Data = command.parse(json_object(body, InvalidPayload) if body else {})
    return parsed


async def invoke_matching(
    writes: Writes, request: Request, type: EntityType, workspace: str, name: str
) -> Answer:
    """Run a command on every record of a collection that matches."""
    control, filters = split(pairs_of(request.query), ("filter", "max_affected", "atomic", "dry_run"))
    query = Query(*conditions(type, filters, control.get("filter")))
    most, atomic = _most(control), flag(control, "atomic")
    command = command_of(type, name)
    body = await request.body()
    payload = await draft(request, body, lambda: payload_of(command, body))

    def operation(work: UnitOfWork) -> Answer:
        collection = work.collection(type, workspace, request.origin)
        target = Target(collection, query, command, payload())
        return _told(invoke(work, [target], most, JOURNAL, atomic=atomic))

    return await writes.perform(
        request, operation, body=body, mode=Mode.ALONE, dry_run=flag(control, "dry_run")
    )


def _most(control: dict[str, str]) -> int:
    most = natural(control, "max_affected", DEFAULT, least=0)
    if most is None or most > MOST:
        raise InvalidQuery(f"max_affected is at most {MOST:,} here; narrow the filter and call several times")
    return most


def _told(outcomes: Sequence[Outcome]) -> Answer:
    counts = Counter(outcome.status for outcome in outcomes)
    told = {status.value: counts[status] for status in Status}
    return json_answer(told | {"outcomes": [outcome._asdict() for outcome in outcomes]})
