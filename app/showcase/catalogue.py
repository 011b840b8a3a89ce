"""Part one: a typed record is created, changed twice and read, also after a restart."""

from typing import Any

from app.showcase.narrator import MERGE_PATCH, Mismatch, Narrator

PRODUCTS = "/api/catalog-products"


def sell_keyboard(narrator: Narrator) -> None:
    """Put a keyboard into the catalogue and change its price."""
    narrator.report.chapter("A keyboard in the catalogue")
    path = f"{PRODUCTS}/{_create(narrator)['id']}"
    _change(narrator, path)
    before = _read_back(narrator, path, "Read it back")
    if narrator.restart is not None:
        narrator.restart()
        after = _read_back(narrator, path, "Stop the service, start it, read the same")
        if after != before:
            raise Mismatch(
                f"after the restart the record is {after} instead of {before}"
            )


def _create(narrator: Narrator) -> Any:
    data = {
        "sku": narrator.unique("KB-01"),
        "title": "Mechanical Keyboard",
        "price_cents": 12900,
    }
    expected = {
        "revision": 1,
        "schema_version": 3,
        "data.price_cents": 12900,
        "data.active": True,
    }
    return narrator.call(
        "Create a product", "POST", PRODUCTS, json=data, status=201, expect=expected
    )


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
        expect={
            "revision": 3,
            "data.title": "Mechanical Keyboard Pro",
            "data.active": False,
        },
    )


def _read_back(narrator: Narrator, path: str, title: str) -> Any:
    expected = {
        "revision": 3,
        "data.title": "Mechanical Keyboard Pro",
        "data.price_cents": 10900,
        "data.active": False,
    }
    return narrator.call(title, "GET", path, status=200, expect=expected)
