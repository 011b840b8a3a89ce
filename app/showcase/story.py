"""Story: what the showcase does, in order; each call says what must come back."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from app.showcase.report import Report, Step

PRODUCTS = "/api/catalog-products"
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


class Mismatch(Exception):
    """The service did something else than it should; the message says what."""


class Narrator:
    """Calls the service, checks what comes back and tells the report."""

    def __init__(self, client: httpx.Client, url: str, report: Report) -> None:
        self.client = client
        self.url = url.rstrip("/")
        self.report = report

    def call(
        self, title: str, method: str, path: str, *, status: int, expect: Mapping[str, Any], **request: Any
    ) -> Any:
        """The JSON answer of one request; ``expect`` maps dotted paths in it to their values.

        Raises ``Mismatch``.
        """
        response = self.client.request(method, self.url + path, **request)
        if response.status_code != status:
            raise Mismatch(
                f"{title}: status {response.status_code} instead of {status}: {response.text[:500]}"
            )
        answer = response.json()
        for name, value in expect.items():
            if (found := _at(answer, name)) != value or type(found) is not type(value):
                raise Mismatch(f"{title}: {name} is {json.dumps(found)} instead of {json.dumps(value)}")
        self.report.add(Step(title, f"{method} {path} → {status}", expect))
        return answer


def keyboard(narrator: Narrator, sku: str, restart: Callable[[], str] | None) -> None:
    """A product is created, changed in two ways and read back, after a restart too.

    ``restart`` stops the service, starts it again and gives its URL; None where the service is
    not ours to stop: the product is then deleted in the end.
    """
    narrator.report.chapter("A keyboard in the catalogue")
    product = _create(narrator, sku)
    path = f"{PRODUCTS}/{product['id']}"
    try:
        _change(narrator, path)
        kept = _read_back(narrator, path, "Read it back")
        if restart is not None:
            narrator.url = restart()
            again = _read_back(narrator, path, "Stop the service, start it, read the same")
            if again != kept:
                raise Mismatch(f"after the restart the record is {again} instead of {kept}")
    finally:
        if restart is None:
            narrator.client.delete(narrator.url + path)


def _create(narrator: Narrator, sku: str) -> Any:
    data = {"sku": sku, "title": "Mechanical Keyboard", "price_cents": 12900}
    expected = {"revision": 1, "schema_version": 3, "data.price_cents": 12900, "data.active": True}
    return narrator.call("Create a product", "POST", PRODUCTS, json=data, status=201, expect=expected)


def _change(narrator: Narrator, path: str) -> None:
    narrator.call(
        "Lower its price with the command set",
        "POST",
        f"{path}/commands/set",
        json={"price_cents": 10900},
        status=200,
        expect={"record.revision": 2, "record.data.price_cents": 10900},
    )
    narrator.call(
        "Patch its title, take it off sale",
        "PATCH",
        path,
        json={"title": "Mechanical Keyboard Pro", "active": False},
        headers=MERGE_PATCH,
        status=200,
        expect={"revision": 3, "data.title": "Mechanical Keyboard Pro", "data.active": False},
    )


def _read_back(narrator: Narrator, path: str, title: str) -> Any:
    expected = {
        "revision": 3,
        "data.title": "Mechanical Keyboard Pro",
        "data.price_cents": 10900,
        "data.active": False,
    }
    return narrator.call(title, "GET", path, status=200, expect=expected)


def _at(answer: Any, name: str) -> Any:
    for part in name.split("."):
        answer = answer.get(part) if isinstance(answer, dict) else None
    return answer
