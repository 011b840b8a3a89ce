"""Tests of tasks: the class, its command and its plan."""

import httpx

from migrations.tasks import add_priority


def test_a_task_is_completed_once(client: httpx.Client) -> None:
    task = client.post("/api/tasks", json={"title": "Buy milk"}).json()
    complete = f"/api/tasks/{task['id']}/commands/complete"
    assert client.post(complete).json()["record"]["data"]["done"] is True
    assert client.post(complete).json()["code"] == "command-unavailable"


def test_a_task_needs_a_title(client: httpx.Client) -> None:
    problem = client.post("/api/tasks", json={}).json()
    assert problem["code"] == "invalid-data"
    assert problem["errors"][0]["pointer"] == "/title"


def test_a_task_of_version_1_gets_a_priority() -> None:
    first = {"title": "Buy milk", "done": False}
    assert add_priority(first) == {"title": "Buy milk", "done": False, "priority": 2}
