"""The browser of these tests, one for the package, and the service that it opens.

Its driver runs an event loop in the thread of the tests, which others have to be without.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.chromium import CHROMIUM, FLAGS
from tests.support.server import Server, serving


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with the example deployment, and the database of one module."""
    folder = tmp_path_factory.mktemp("console")
    with serving(
        f"sqlite:///{folder}/persist.db", folder, settings={"MODELS": "app.models"}
    ) as server:
        yield server
