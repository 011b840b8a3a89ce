"""The worker: what is done is forgotten."""

import asyncio
import weakref

from persist.storage.worker import BatchWorker, Job


class Task:
    """Something to do."""


def work(jobs: list[Job[Task]]) -> None:
    for job in jobs:
        job.result = job.task


def test_a_task_that_is_done_is_forgotten() -> None:
    async def run() -> None:
        worker = BatchWorker("worker", work)
        task = Task()
        known = weakref.ref(task)
        await worker.submit(task)
        del task
        for _ in range(1_000):
            if known() is None:
                break
            await asyncio.sleep(0.001)
        assert known() is None
        worker.close()

    asyncio.run(run())
