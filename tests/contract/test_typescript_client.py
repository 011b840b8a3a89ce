"""The client for TypeScript, run by node against a live service."""

from pathlib import Path

from tests.conftest import Service
from tests.support.typescript import run


def test_the_typescript_client_passes_its_own_tests(
    service: Service, typescript: Path
) -> None:
    tests = "dist-test/test/client.test.js"
    run("node", "--test", tests, folder=typescript, PERSIST_URL=service.url)
