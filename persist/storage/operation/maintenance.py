"""Maintenance: what a database needs from time to time while it is served."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime

from persist.domain.errors import PersistError
from persist.storage.clock import timestamp
from persist.storage.dialect import Dialect
from persist.storage.operation.health import Health
from persist.storage.sql import Connection, Session
from persist.storage.writes.idempotency import (
    FIRST_OVERDUE,
    LIFETIME,
    SWEEP,
    SWEEP_ROWS,
)
from persist.storage.writes.unit_of_work import RunInTransaction

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 5.0
"""Seconds between two checkpoints."""

SWEEP_SECONDS = 60.0
"""Seconds between two deletions of expired answers."""


class Maintenance:
    """Checkpoints the write-ahead log and deletes expired answers."""

    def __init__(self, dialect: Dialect, health: Health, run: RunInTransaction) -> None:
        self._dialect = dialect
        self._health = health
        self._run = run

    async def run(self) -> None:
        """Do the maintenance that is due, until cancelled."""
        await asyncio.gather(
            _repeat(self._checkpoint, CHECKPOINT_SECONDS),
            _repeat(self._sweep_answers, SWEEP_SECONDS),
        )

    def checkpoint_after(self, writer: Connection | None) -> None:
        """Checkpoint after a large commit, while the writer does not do so."""
        try:
            self._checkpoint()
        finally:
            if writer is not None:
                self._dialect.limit_log(writer)

    def _checkpoint(self) -> None:
        try:
            self._health.checkpointed(self._dialect.checkpoint())
        except Exception as error:
            if not self._dialect.is_driver_error(error):
                raise
            self._health.checkpoint_failed(error)

    def _sweep_answers(self) -> None:
        """Delete the expired answers of idempotency keys, in batches."""
        before = timestamp(datetime.now(UTC) - LIFETIME)
        with closing(self._dialect.connect()) as connection:
            session = Session(self._dialect, connection.cursor())
            if session.row(FIRST_OVERDUE, before=before) is None:
                return
        deleted = SWEEP_ROWS
        while deleted == SWEEP_ROWS:
            deleted = self._run(
                lambda session: session.run(SWEEP, before=before).rowcount
            )


async def _repeat(work: Callable[[], None], seconds: float) -> None:
    """Run something in a thread again and again; what fails is tried again."""
    while True:
        try:
            await asyncio.to_thread(work)
        except PersistError as error:
            logger.warning("maintenance is tried again: %s", error.detail)
        except Exception as error:  # noqa: BLE001 - a failure must not end it
            logger.warning("maintenance is tried again: %s", error)
        await asyncio.sleep(seconds)
