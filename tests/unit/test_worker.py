"""The worker: every job is settled, callers take turns, and what is done is
forgotten."""

import asyncio
import threading
import weakref

from persist.storage.writes.batch_worker import BatchWorker, Job
from tests.support.waiting import until


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


def test_jobs_of_threads_and_of_the_event_loop_in_one_group_are_settled() -> None:
    async def run() -> None:
        begun, go_on = threading.Event(), threading.Event()

        def after_the_others(jobs: list[Job[Task]]) -> None:
            begun.set()
            go_on.wait()
            work(jobs)

        worker = BatchWorker("worker", after_the_others)
        first = worker.submit(Task())
        await asyncio.to_thread(begun.wait)
        of_thread = threading.Thread(target=worker.run, args=(Task(),))
        of_thread.start()
        await asyncio.to_thread(until, lambda: worker.waiting == 1)
        last = worker.submit(Task())
        go_on.set()
        await asyncio.wait_for(asyncio.gather(first, last), 10)
        of_thread.join()
        worker.close()

    asyncio.run(run())


def test_callers_have_one_job_of_a_group_in_turn_and_a_separate_one_after_a_group() -> (
    None
):
    groups: list[str] = []

    async def run() -> None:
        begun, go_on = threading.Event(), threading.Event()

        def note(jobs: list[Job[Task]]) -> None:
            begun.set()
            go_on.wait()
            groups.append("".join(job.caller for job in jobs))

        worker = BatchWorker("worker", note)
        first = worker.submit(Task(), "a")
        await asyncio.to_thread(begun.wait)
        waiting = [worker.submit(Task(), caller) for caller in "aaabac"]
        separate = worker.submit(Task(), "a", separate=True)
        go_on.set()
        await asyncio.wait_for(asyncio.gather(first, *waiting, separate), 10)
        worker.close()

    asyncio.run(run())
    assert groups == ["a", "a", "abcaaa"]


def test_what_is_postponed_comes_first_and_makes_groups_smaller() -> None:
    """The jobs of ``h`` are as much as a group can be."""
    groups: list[str] = []

    def until_the_first_heavy(jobs: list[Job[Task]]) -> None:
        callers = "".join(job.caller for job in jobs)
        count = (callers + "h").index("h") + 1
        groups.append(callers[:count])
        for job in jobs[count:]:
            job.postponed = True

    async def run() -> None:
        begun, go_on = threading.Event(), threading.Event()

        def work_later(jobs: list[Job[Task]]) -> None:
            begun.set()
            go_on.wait()
            until_the_first_heavy(jobs)

        worker = BatchWorker("worker", work_later)
        first = worker.submit(Task(), "h")
        await asyncio.to_thread(begun.wait)
        waiting = [worker.submit(Task(), caller) for caller in "hhhabb"]
        go_on.set()
        await asyncio.wait_for(asyncio.gather(first, *waiting), 10)
        assert worker.waiting == 0
        worker.close()

    asyncio.run(run())
    assert "".join(groups) == "hhabhbh"
