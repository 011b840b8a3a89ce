"""Background tasks: one that fails stays where it is (issue: unexpected exceptions)."""

import asyncio

import pytest

from persist.server import background_tasks
from persist.server.background_tasks import BackgroundTasks


def test_a_task_that_fails_is_reported_and_started_again_while_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background_tasks, "RESTART_SECONDS", 0)
    faults: dict[str, str] = {}
    runs: list[str] = []

    async def scenario() -> None:
        again, other = asyncio.Event(), asyncio.Event()

        async def failing() -> None:
            runs.append("failing")
            if len(runs) > 2:
                again.set()
                await asyncio.Event().wait()
            raise KeyError("the-inside")

        async def steady() -> None:
            other.set()
            await asyncio.Event().wait()

        tasks = BackgroundTasks(faults)
        tasks.start("failing", failing)
        tasks.start("steady", steady)
        async with asyncio.timeout(10):
            await again.wait()
            await other.wait()
        await tasks.stop()

    asyncio.run(scenario())
    assert runs == ["failing"] * 3
    assert faults == {"failing": "KeyError; the log has more"}
    assert "the-inside" in caplog.text
    assert "Traceback" in caplog.text


def test_a_failure_is_reported_no_more_once_the_task_has_recovered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background_tasks, "RESTART_SECONDS", 0)
    monkeypatch.setattr(background_tasks, "RECOVERED_SECONDS", 0.01)
    recovered = asyncio.Event()

    class Faults(dict[str, str]):
        def pop(self, *arguments: str) -> str:  # type: ignore[override]
            if self:
                recovered.set()
            return super().pop(*arguments)

    async def scenario() -> None:
        failed = False

        async def fails_once() -> None:
            nonlocal failed
            if not failed:
                failed = True
                raise KeyError
            await asyncio.Event().wait()

        faults = Faults()
        tasks = BackgroundTasks(faults)
        tasks.start("once", fails_once)
        async with asyncio.timeout(10):
            await recovered.wait()
        assert faults == {}
        await tasks.stop()

    asyncio.run(scenario())
