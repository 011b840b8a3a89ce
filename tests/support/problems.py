"""The shape every refusal has: RFC 9457 and section 11 of the contract."""

from typing import Any
from urllib.parse import unquote

import httpx

Json = dict[str, Any]

MEMBERS = {"type", "title", "status", "detail", "instance", "code", "request_id"}


def assert_problem(response: httpx.Response, status: int, code: str) -> Json:
    """Assert that ``response`` is the problem ``code`` with ``status``; gives its
    members."""
    assert response.status_code == status, (
        f"{response.status_code} {response.text[:500]}"
    )
    assert response.headers["content-type"].split(";")[0] == "application/problem+json"
    problem: Json = response.json()
    assert problem["code"] == code, problem
    assert_shape(problem, response)
    return problem


def assert_shape(problem: Json, response: httpx.Response) -> None:
    """Assert that a problem has every member of the contract, and that they agree."""
    assert problem.keys() >= MEMBERS, problem
    assert problem["status"] == response.status_code
    assert problem["type"] == f"/problems/{problem['code']}"
    assert problem["title"]
    assert problem["detail"]
    path = response.request.url.raw_path.decode().partition("?")[0]
    assert unquote(problem["instance"]).startswith(unquote(path)), problem
    assert problem["request_id"] == response.headers["x-request-id"]
    for error in problem.get("errors", ()):
        assert error.keys() == {"pointer", "detail"}, error
        assert error["detail"]
        assert error["pointer"] == "" or error["pointer"].startswith("/"), error


def pointers(problem: Json) -> set[str]:
    """Where the input is wrong; no place is named twice."""
    named = [error["pointer"] for error in problem["errors"]]
    assert len(named) == len(set(named)), named
    return set(named)
