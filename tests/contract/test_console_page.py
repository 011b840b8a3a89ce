"""The console: its page, its files, and the way to it (contract 16)."""

import asyncio
from pathlib import Path

import httpx
import pytest

from persist.api.console import STATIC
from persist.application import create_app
from persist.settings import ExplicitSettings
from tests.support.problems import assert_problem

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_every_screen_is_the_one_page_with_a_strict_policy(
    client: httpx.Client,
) -> None:
    page = client.get("/console")
    for path in ("/console", "/console/c/tickets", "/console/w/a/c/b/0198c1d2/history"):
        answer = client.get(path)
        assert answer.text == page.text
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-cache"


def test_the_files_of_the_console_are_cached_for_ever(client: httpx.Client) -> None:
    files = [path for path in STATIC.rglob("*") if path.is_file()]
    for file in files:
        name = file.relative_to(STATIC).as_posix()
        answer = client.get(f"/console/{name}")
        if name == "index.html":
            assert_problem(answer, 404, "not-found")
        else:
            assert answer.content == file.read_bytes()
            assert "immutable" in answer.headers["cache-control"]
    for name in ("app.js", "..%2Fguide.html", "a/b/app.css"):
        assert_problem(client.get(f"/console/{name}"), 404, "not-found")


@pytest.mark.parametrize("path", ["/console", "/console/c", "/console/c/tickets"])
def test_a_screen_is_only_read(client: httpx.Client, path: str) -> None:
    allowed = client.options(path)
    assert (allowed.status_code, allowed.headers["allow"]) == (
        204,
        "GET, HEAD, OPTIONS",
    )
    for method in ("POST", "PUT", "DELETE"):
        refused = client.request(method, path)
        assert_problem(refused, 405, "method-not-allowed")
        assert refused.headers["allow"] == "GET, HEAD, OPTIONS"


def test_a_browser_that_asks_for_the_root_comes_to_the_console(
    client: httpx.Client,
) -> None:
    answer = client.get("/", headers=BROWSER)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    for accept in ("*/*", "application/json", "application/json, text/html;q=0.9"):
        described = client.get("/", headers={"accept": accept})
        assert described.json()["name"] == "persist"


def test_a_link_of_another_site_leads_to_the_console(client: httpx.Client) -> None:
    headers = BROWSER | {
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "navigate",
        "sec-fetch-dest": "document",
    }
    assert client.get("/", headers=headers).status_code == 303
    assert client.get("/console/c/tickets", headers=headers).status_code == 200
    framed = headers | {"sec-fetch-dest": "iframe"}
    assert_problem(client.get("/console", headers=framed), 403, "forbidden")


def in_process(folder: Path, path: str, **settings: object) -> httpx.Response:
    """Return what a service with some settings answers a browser."""
    url = f"sqlite:///{folder}/persist.db"
    app = create_app(ExplicitSettings(database_url=url, **settings))  # type: ignore[arg-type]

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost"
        ) as client:
            return await client.get(path, headers=BROWSER)

    try:
        return asyncio.run(asked())
    finally:
        app.database.close()


def test_without_the_console_a_browser_comes_to_the_documentation(
    tmp_path: Path,
) -> None:
    answer = in_process(tmp_path, "/", console=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/docs")
    for path in ("/console", "/console/c/tickets"):
        assert_problem(in_process(tmp_path, path, console=False), 404, "not-found")


def test_addresses_of_the_console_begin_with_the_prefix_of_the_proxy(
    tmp_path: Path,
) -> None:
    answer = in_process(tmp_path, "/", root_path="/persist")
    assert answer.headers["location"] == "/persist/console"
    page = in_process(tmp_path, "/console/c/tickets", root_path="/persist").text
    assert '="/console/' not in page
