"""Background tasks: what a process does while it serves. One that fails unexpectedly is
logged, reported and started again; the service and the other tasks continue."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping

logger = logging.getLogger(__name__)

RESTART_SECONDS = 1.0
"""Seconds after which a task that failed is started again."""

RECOVERED_SECONDS = 60.0
"""Seconds that a task has to run before its last failure is reported no more."""

Run = Callable[[], Awaitable[None]]


class BackgroundTasks:
    """Runs tasks until they are stopped. ``faults`` gets the failure of each by its
    name."""

    def __init__(self, faults: MutableMapping[str, str]) -> None:
        self._faults = faults
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, run: Run) -> None:
        """Start a task in the running event loop."""
        self._tasks.append(asyncio.create_task(self._supervise(name, run)))

    async def stop(self) -> None:
        """Cancel the tasks and wait until they end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _supervise(self, name: str, run: Run) -> None:
        loop = asyncio.get_running_loop()
        while True:
            recovery = loop.call_later(RECOVERED_SECONDS, self._faults.pop, name, None)
            try:
                await run()
            except Exception as error:
                logger.exception("the task %s failed; it is started again", name)
                self._faults[name] = f"{type(error).__name__}; the log has more"
            else:
                return
            finally:
                recovery.cancel()
            await asyncio.sleep(RESTART_SECONDS)
