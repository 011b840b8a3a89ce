"""The one path of every write: parse, run, render.

A write is parsed and validated on the event loop or in a thread, run inside a
transaction, and rendered after the commit. This module adds the common parts of all
writes: another attempt if a definition changed meanwhile, dry runs, idempotency keys
and ``Prefer: return=minimal``.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

from persist.api.render_threads import in_thread
from persist.api.requests import Request
from persist.api.responses import Response
from persist.domain.errors import (
    AccessRefused,
    Conflict,
    IdempotencyInProgress,
    Invalid,
    InvalidQuery,
    NotFound,
    PersistError,
    Unavailable,
)
from persist.storage.database import Database
from persist.storage.entity_types.catalog import Stale
from persist.storage.long_operations.staging import Staging
from persist.storage.queries.result_size import BRIEF_CHARACTERS
from persist.storage.sql import Connection
from persist.storage.writes.idempotency import KeyInUse, StoredAnswer
from persist.storage.writes.unit_of_work import RecordKey, UnitOfWork
from persist.storage.writes.writer import Isolation

REQUEST_ATTEMPTS = 10
"""Attempts at a request whose entity type or workspace keeps changing."""

IDEMPOTENCY_WAIT_SECONDS = 5.0
"""Seconds that a request waits for another one under its ``Idempotency-Key``."""

IDEMPOTENCY_PAUSE_SECONDS = 0.02
"""Seconds between two attempts under a key that another process uses."""

Parsed = TypeVar("Parsed")
Value = TypeVar("Value")
Reply = TypeVar("Reply")


def no_characters(_: object) -> int:
    """Return 0: the response is short."""
    return 0


@dataclass(slots=True, eq=False)
class Write(Generic[Parsed, Value]):
    """How one write is done.

    ``parse`` checks the body outside the transaction. ``run`` does the work inside it
    and returns a value of the domain, from which ``render`` makes the response.
    ``keys`` are the records that ``run`` asks for. ``body`` represents the body in the
    fingerprint of an ``Idempotency-Key``. ``run`` runs on the connection of ``staging``
    if ``parse`` has staged rows. ``characters`` returns the approximate length of a
    value's text.
    """

    parse: Callable[[], Awaitable[Parsed]]
    run: Callable[[UnitOfWork, Parsed], Value]
    render: Callable[[Value], Response]
    body: bytes = b""
    keys: Sequence[RecordKey] = ()
    isolation: Isolation = Isolation.GROUPED
    dry_run: bool = False
    staging: Staging | None = None
    characters: Callable[[Value], int] = no_characters

    @property
    def connection(self) -> Connection | None:
        """The connection that has staged rows."""
        return None if self.staging is None else self.staging.connection


class Writes:
    """Performs writes against a database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._running: dict[tuple[str, str], asyncio.Event] = {}

    async def perform(self, request: Request, write: Write[Parsed, Value]) -> Response:
        """Perform a write and return its response, as the request's headers ask for it.

        A dry run computes the complete response, stores nothing and answers 200. Raises
        what ``write`` raises, ``IdempotencyInProgress`` and ``IdempotencyMismatch``.
        """
        key = request.idempotency_key
        if key is not None and not write.dry_run:
            return await self._perform_once(request, write, key)
        parsed = await write.parse()
        value = await self.database.write(
            lambda work: write.run(work, parsed),
            keys=write.keys,
            isolation=write.isolation,
            dry_run=write.dry_run,
            connection=write.connection,
        )
        size = write.characters(value)
        # It is stored, so its response can no longer be refused.
        request.count_response(size)
        if write.isolation is Isolation.GROUPED and size <= BRIEF_CHARACTERS:
            response = write.render(value)
        else:
            # A write of many records may have a long answer.
            response = await in_thread(lambda: write.render(value))
        if write.dry_run:
            return _dry_run_response(response)
        return _minimal(response) if request.minimal else response

    async def _perform_once(
        self,
        request: Request,
        write: Write[Parsed, Value],
        key: str,
    ) -> Response:
        """Perform a write unless its response is stored, and store the response with
        the effect, in one transaction.

        A stored response comes before validation, though after access.
        """
        # A refused body must not hide the stored response: the request may have been
        # valid for the schema of its time.
        parsed = await _parsed(write)
        actor = request.access.actor
        fingerprint = request.fingerprint(write.body)

        def run(work: UnitOfWork) -> Response:
            # Inside the transaction, where no other process can store one meanwhile.
            stored = work.answers.find(actor, key, fingerprint)
            if stored is not None:
                return _replayed(stored)
            response = write.render(write.run(work, parsed()))
            if request.minimal:
                response = _minimal(response)
            work.answers.keep(actor, key, fingerprint, _stored(response))
            return response

        return await self._one_at_a_time(
            (actor, key),
            lambda: self.database.write(
                run,
                keys=write.keys,
                isolation=write.isolation,
                connection=write.connection,
            ),
        )

    async def _one_at_a_time(
        self, key: tuple[str, str], run: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Run one request at a time under a key, in this process and in any other; the
        others wait."""
        until = time.monotonic() + IDEMPOTENCY_WAIT_SECONDS
        while (other := self._running.get(key)) is not None:
            await _wait_until(other.wait(), until)
        # Only of this process; a request in another process is noticed in the
        # transaction (``KeyInUse``).
        done = self._running[key] = asyncio.Event()
        try:
            while True:
                try:
                    return await run()
                except KeyInUse:
                    await _wait_until(asyncio.sleep(IDEMPOTENCY_PAUSE_SECONDS), until)
        finally:
            del self._running[key]
            done.set()


async def retry_on_stale_schema(
    database: Database, attempt: Callable[[], Awaitable[Reply]]
) -> Reply:
    """Return the reply of an attempt; try again if another process changed an entity
    type or a workspace that it used.

    A refusal may come from a definition that is no longer the present one. So the
    definitions are read after it, and if they changed, the attempt is made again.
    Raises what the attempt raises, and ``Unavailable`` after ``REQUEST_ATTEMPTS``.
    """
    for _ in range(REQUEST_ATTEMPTS):
        known = database.catalog.epoch
        try:
            return await attempt()
        except Stale:
            await database.refresh()
        except (NotFound, InvalidQuery, Invalid, Conflict):
            await database.refresh()
            # The definitions are the same: the refusal is right.
            if database.catalog.epoch == known:
                raise
    raise Unavailable(
        "entity types or workspaces changed during each of"
        f" {REQUEST_ATTEMPTS} attempts; try again"
    )


async def parse_nothing() -> None:
    """Parse nothing: the write has no body."""


async def _parsed(write: Write[Parsed, Any]) -> Callable[[], Parsed]:
    """Return a function that returns what was parsed, or raises the refusal."""
    try:
        value = await write.parse()
    # A caller who has lost access must not see the stored response.
    except AccessRefused:
        raise
    except PersistError as error:
        return _raising(error)
    return lambda: value


def _raising(error: PersistError) -> Callable[[], NoReturn]:
    def refuse() -> NoReturn:
        raise error

    return refuse


async def _wait_until(waiting: Awaitable[object], until: float) -> None:
    if time.monotonic() >= until:
        raise IdempotencyInProgress(
            "the first request under this Idempotency-Key is still running; send this"
            " one again"
        )
    try:
        async with asyncio.timeout(until - time.monotonic()):
            await waiting
    except TimeoutError:
        pass


def _stored(response: Response) -> StoredAnswer:
    headers = tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in response.raw_headers
    )
    return StoredAnswer(response.status_code, headers, bytes(response.body).decode())


def _replayed(stored: StoredAnswer) -> Response:
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in stored.headers
    ]
    headers.append((b"idempotency-replayed", b"true"))
    return Response(stored.status, stored.body.encode(), headers)


def _dry_run_response(response: Response) -> Response:
    # The address of the record that would be created does not exist.
    headers = [header for header in response.raw_headers if header[0] != b"location"]
    return Response(200, bytes(response.body), headers)


def _minimal(response: Response) -> Response:
    """Return the response without its body (RFC 7240, section 4.2)."""
    applied = b"preference-applied"
    headers = [
        header
        for header in response.raw_headers
        if header[0] not in (b"content-type", applied)
    ]
    others = [value for name, value in response.raw_headers if name == applied]
    headers.append((applied, b", ".join([*others, b"return=minimal"])))
    status = 201 if response.status_code == 201 else 204
    return Response(status, b"", headers)
