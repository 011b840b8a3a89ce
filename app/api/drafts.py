"""Drafts: what a client sent, validated before the transaction and refused where its turn comes."""

from collections.abc import Callable
from typing import NoReturn, TypeVar

from app.domain.command import Command
from app.domain.entity_type import EntityType
from app.domain.errors import PersistError
from app.domain.record import Data

Value = TypeVar("Value")


def draft(type: EntityType, data: Data, *, deferred: bool) -> Callable[[], Data]:
    """Valid data. With ``deferred`` the refusal waits until it is asked for: a stored answer
    under an ``Idempotency-Key`` comes before validation."""
    return _settled(lambda: type.validate(data), deferred)


def drafted_payload(command: Command, payload: Data, *, deferred: bool) -> Callable[[], Data]:
    """A command's payload, parsed in the same way."""
    return _settled(lambda: command.parse(payload), deferred)


def _settled(make: Callable[[], Value], deferred: bool) -> Callable[[], Value]:
    try:
        value = make()
    except PersistError as error:
        if not deferred:
            raise
        return _refusing(error)
    return lambda: value


def _refusing(error: PersistError) -> Callable[[], NoReturn]:
    def refuse() -> NoReturn:
        raise error

    return refuse
