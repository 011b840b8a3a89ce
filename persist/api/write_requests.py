"""What every write has in common: dry runs, idempotency keys, answers without a
body."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from persist.api.requests import Request
from persist.api.responses import JSON, Answer
from persist.domain.errors import IdempotencyInProgress
from persist.storage.database import Database
from persist.storage.idempotency import KeyInUse, StoredAnswer
from persist.storage.unit_of_work import RecordKey, UnitOfWork
from persist.storage.writer import Isolation

PATIENCE = 5.0
"""Seconds a request waits for another one under its ``Idempotency-Key``."""

Operation = Callable[[UnitOfWork], Answer]


class Writes:
    """Runs write operations against a database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._running: dict[tuple[str, str], asyncio.Event] = {}

    async def perform(
        self,
        request: Request,
        operation: Operation,
        *,
        body: bytes = b"",
        keys: Sequence[RecordKey] = (),
        isolation: Isolation = Isolation.GROUPED,
        dry_run: bool = False,
    ) -> Answer:
        """Run an operation and give its answer, as the request's headers want it.

        A dry run computes the full answer, changes nothing, stores nothing and answers
        200.
        """
        key = request.idempotency_key
        if dry_run:
            answer = await self.database.write(
                operation, keys=keys, isolation=isolation, dry_run=True
            )
            return _rehearsed(answer)
        if request.minimal:
            operation = _minimal(operation)
        if key is None:
            return await self.database.write(operation, keys=keys, isolation=isolation)
        once = _once(operation, request.access.actor, key, request.fingerprint(body))
        return await self._alone(
            (request.access.actor, key),
            lambda: self.database.write(once, keys=keys, isolation=isolation),
        )

    async def _alone(
        self, key: tuple[str, str], run: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """One request at a time under a key, in this process and in any other; the rest
        wait."""
        until = time.monotonic() + PATIENCE
        while (other := self._running.get(key)) is not None:
            await _until(other.wait(), until)
        done = self._running[key] = asyncio.Event()
        try:
            while True:
                try:
                    return await run()
                except KeyInUse:
                    await _until(asyncio.sleep(0.02), until)
        finally:
            del self._running[key]
            done.set()


async def _until(waiting: Awaitable[Any], until: float) -> None:
    if time.monotonic() >= until:
        raise IdempotencyInProgress(
            "the first request under this Idempotency-Key is still running; ask again"
        )
    try:
        async with asyncio.timeout(until - time.monotonic()):
            await waiting
    except TimeoutError:
        pass


def _once(operation: Operation, actor: str, key: str, fingerprint: str) -> Operation:
    """The operation, unless its answer is stored; its answer is stored with its
    effect."""

    def run(work: UnitOfWork) -> Answer:
        stored = work.answers.find(actor, key, fingerprint)
        if stored is not None:
            return _replayed(stored)
        answer = operation(work)
        headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in answer.headers
        )
        work.answers.keep(
            actor,
            key,
            fingerprint,
            StoredAnswer(answer.status, headers, answer.body.decode()),
        )
        return answer

    return run


def _replayed(stored: StoredAnswer) -> Answer:
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in stored.headers
    ]
    return Answer(
        stored.status,
        stored.body.encode(),
        [*headers, (b"idempotency-replayed", b"true")],
    )


def _rehearsed(answer: Answer) -> Answer:
    headers = [(name, value) for name, value in answer.headers if name != b"location"]
    if answer.status == 204:
        return Answer(200, b'{"deleted":1}', [JSON, *headers])
    return Answer(200, answer.body, headers)


def _minimal(operation: Operation) -> Operation:
    """RFC 7240: the same without a body."""

    def run(work: UnitOfWork) -> Answer:
        answer = operation(work)
        headers = [
            (name, value) for name, value in answer.headers if name != b"content-type"
        ]
        headers.append((b"preference-applied", b"return=minimal"))
        return Answer(201 if answer.status == 201 else 204, b"", headers)

    return run
