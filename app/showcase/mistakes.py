"""Part five: a price list imported by mistake is taken back, and two people edit one
ticket."""

import json
import uuid
from collections.abc import Iterable
from typing import Any

from app.showcase.catalogue import PRODUCTS
from app.showcase.narrator import MERGE_PATCH, Narrator
from app.showcase.snapshots import NDJSON
from app.showcase.tickets import TICKETS

DESK = "DESK-1"
LAMP = "LAMP-1"
CHAIR = "CHAIR-1"
TITLES = {DESK: "Desk", LAMP: "Lamp", CHAIR: "Chair"}
CENTS = {DESK: 24900, LAMP: 3900}

EUROS = {DESK: 249, LAMP: 39, CHAIR: 119}
"""What the price list says, in the wrong unit."""


def take_back(narrator: Narrator) -> None:
    """Import a wrong price list, look at it, undo it; then merge two edits."""
    narrator.report.chapter("A price list imported by mistake")
    _undo_price_list(narrator, narrator.unique("price-list"))
    narrator.report.chapter("Two people, one ticket")
    _merge_edits(narrator)


def _undo_price_list(narrator: Narrator, request_id: str) -> None:
    skus = {sku: narrator.unique(sku) for sku in TITLES}
    products = [_create(narrator, sku, skus[sku]) for sku in CENTS]
    before = _last_change(narrator, "Note the last change")
    _import(narrator, request_id, _wrong(narrator, products, skus))
    after = _last_change(narrator, "Note the last change of the import")
    right = _prices(skus, CENTS)
    wrong = _prices(skus, EUROS)
    listed = (
        f"{PRODUCTS}?sku__in={','.join(skus.values())}&sort=-price_cents&count=true"
    )
    _list(narrator, "The prices are euros", listed, wrong)
    _list(narrator, "Before the import", f"{listed}&as_of={before}", right)
    _undo(narrator, "Rehearse the undo", request_id, "?dry_run=true")
    _undo(narrator, "Undo the import", request_id)
    _list(narrator, "The prices are cents again", listed, right)
    _list(narrator, "The mistake can be seen", f"{listed}&as_of={after}", wrong)


def _create(narrator: Narrator, name: str, sku: str) -> Any:
    price = {"price_cents": CENTS[name]}
    return narrator.call(
        f"{TITLES[name]} in the catalogue",
        "POST",
        PRODUCTS,
        json={"sku": sku, "title": TITLES[name]} | price,
        status=201,
        expect={"revision": 1, "data.price_cents": CENTS[name]},
    )


def _last_change(narrator: Narrator, title: str) -> int:
    head = narrator.call(title, "GET", "/changes/head", status=200, expect={})
    return int(head["seq"])


def _wrong(
    narrator: Narrator, products: list[Any], skus: dict[str, str]
) -> Iterable[Any]:
    """Yield the lines of the price list: known products and one that is new."""
    for product, name in zip(products, CENTS, strict=True):
        data = product["data"] | {"price_cents": EUROS[name]}
        yield product | {"revision": 2, "data": data}
    new_id = str(uuid.uuid4())
    narrator.will_delete(f"{PRODUCTS}/{new_id}")
    data = {"sku": skus[CHAIR], "title": TITLES[CHAIR], "price_cents": EUROS[CHAIR]}
    yield products[0] | {"id": new_id, "data": products[0]["data"] | data}


def _import(narrator: Narrator, request_id: str, lines: Iterable[Any]) -> None:
    narrator.call(
        "Import a price list over them",
        "POST",
        f"{PRODUCTS}/import?envelope=true&on_conflict=overwrite",
        content="".join(f"{json.dumps(line)}\n" for line in lines).encode(),
        headers=NDJSON | {"X-Request-ID": request_id},
        status=200,
        expect={"created": 1, "overwritten": 2},
    )


def _prices(skus: dict[str, str], prices: dict[str, int]) -> dict[str, Any]:
    """Return what a list by falling price answers."""
    expected: dict[str, Any] = {"total": len(prices)}
    falling = sorted(prices, key=lambda sku: prices[sku], reverse=True)
    for number, sku in enumerate(falling):
        expected[f"items.{number}.data.sku"] = skus[sku]
        expected[f"items.{number}.data.price_cents"] = prices[sku]
    return expected


def _list(narrator: Narrator, title: str, path: str, expect: dict[str, Any]) -> None:
    narrator.call(title, "GET", path, status=200, expect=expect)


def _undo(narrator: Narrator, title: str, request_id: str, query: str = "") -> None:
    narrator.call(
        title,
        "POST",
        f"/changes/undo{query}",
        json={"request_id": request_id},
        status=200,
        expect={"undone": 3, "skipped": 0},
    )


def _merge_edits(narrator: Narrator) -> None:
    ticket = narrator.call(
        "Both read a ticket",
        "POST",
        TICKETS,
        json={"title": "Disk full", "severity": 20},
        status=201,
        expect={"revision": 1},
    )
    path = f"{TICKETS}/{ticket['id']}"
    title = "Disk of db-1 full"
    _edit(
        narrator,
        "One raises its severity",
        path,
        {"severity": 40},
        200,
        {"revision": 2, "data.severity": 40},
    )
    _edit(
        narrator,
        "The other renames it: late",
        path,
        {"title": title},
        412,
        {"changed": ["/severity"], "conflicts": []},
    )
    _edit(
        narrator,
        "Merged: both edits hold",
        path,
        {"title": title},
        200,
        {"revision": 3, "data.severity": 40, "data.title": title},
        prefer="merge",
    )
    _edit(
        narrator,
        "The same member twice is a conflict",
        path,
        {"severity": 10},
        412,
        {"changed": ["/title", "/severity"], "conflicts": ["/severity"]},
        prefer="merge",
    )


def _edit(
    narrator: Narrator,
    title: str,
    path: str,
    patch: dict[str, Any],
    status: int,
    expect: dict[str, Any],
    *,
    prefer: str = "return=representation",
) -> None:
    """Send a change of the first revision of a ticket."""
    first = {"If-Match": '"1"', "Prefer": prefer}
    narrator.call(
        title,
        "PATCH",
        path,
        json=patch,
        headers=MERGE_PATCH | first,
        status=status,
        expect=expect,
    )
