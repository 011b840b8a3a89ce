"""An unexpected exception stays in its request: it is logged and reported, and
everything else goes on."""

from pathlib import Path

import httpx
import pytest

from tests.conftest import NewDatabase
from tests.support.problems import assert_problem
from tests.support.server import serving


@pytest.mark.parametrize("key", [None, "once"])
def test_a_request_that_fails_is_reported_and_the_next_is_answered(
    new_database: NewDatabase, tmp_path: Path, key: str | None
) -> None:
    with serving(new_database(), tmp_path) as server, server.client() as client:
        assert unexpected(client) == {}
        made = client.post("/api/accounts", json={"owner": "unexpected"}).json()
        headers = {} if key is None else {"idempotency-key": key}
        for number in (1, 2):
            answer = client.post(
                f"/api/accounts/{made['id']}/commands/explode", headers=headers
            )
            problem = assert_problem(answer, 500, "internal-error")
            assert "the-inside-of-the-service" not in answer.text
            report = unexpected(client)["requests"]
            assert report.startswith(f"{number} failed")
            assert problem["request_id"] in report
        assert client.get(f"/api/accounts/{made['id']}").json() == made
        log = server.log.read_text()
        assert "the-inside-of-the-service" in log
        assert "Traceback" in log


def unexpected(client: httpx.Client) -> dict[str, str]:
    answer = client.get("/health/ready")
    assert answer.status_code == 200
    errors: dict[str, str] = answer.json()["unexpected_errors"]
    return errors
