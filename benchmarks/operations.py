"""Operations: what is measured, on which peers, and what each must reach."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.copies import COLLECTION, TABLE, copies, products
from benchmarks.databases import Database
from benchmarks.load import Measurement, Request, at_both_loads, hammer
from benchmarks.past import past
from benchmarks.peers import (
    PERSIST,
    PERSIST_200,
    PERSIST_IMPORT,
    PERSIST_KEYED,
    PERSIST_TEN,
    PERSIST_UNOBSERVED,
    POCKETBASE,
    RAW,
    REGISTERED,
    REGISTERED_1000,
    STORES_NOTHING,
    TEN,
    TUTORIAL,
    TYPED,
    Peer,
    Server,
    invoke,
    ndjson,
    post_lines,
    serving,
)

BARE_DRIVER = "bare_driver"
ONE_TYPE = "one type"
SINGLE = "single calls"


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    seconds: int
    records: int


FULL = Size(rounds=5, seconds=4, records=100_000)
QUICK = Size(rounds=2, seconds=2, records=10_000)


@dataclass
class Run:
    """The servers of one database, started when first needed and kept to the end of
    ``stack``."""

    database: Database
    size: Size
    folder: Path
    stack: ExitStack
    servers: dict[str, Server] = field(default_factory=dict)

    def server(self, peer: Peer) -> Server:
        """The running server of ``peer``, with its records."""
        if peer.name not in self.servers:
            started = serving(
                peer, self.database.make(), self.folder, tickets(self.size.records)
            )
            self.servers[peer.name] = self.stack.enter_context(started)
        return self.servers[peer.name]


@dataclass(frozen=True)
class Bound:
    """Persist's rate over that of ``peer`` must reach ``floor`` and should reach
    ``aim``; ``subject`` is which of Persist's results, where the operation has
    several; ``only`` is the database on which it must, where it is one of them."""

    peer: str
    floor: float
    aim: float
    subject: str = ""
    only: str | None = None


@dataclass(frozen=True)
class Operation:
    """One thing measured. ``play`` is one round of it: each peer's name and results,
    one after another. ``rounds``: fewer than others have, because one takes minutes."""

    key: str
    title: str
    bounds: tuple[Bound, ...]
    play: Callable[[Run], Iterator[tuple[str, Measurement]]]
    subject: str = PERSIST.name
    rounds: int | None = None


def tickets(records: int) -> Iterator[dict[str, Any]]:
    """A quarter of them have a severity of 40 and more."""
    for number in range(records):
        yield {
            "title": f"Fault {number}",
            "severity": 10 + number % 40,
            "acknowledged": False,
            "migration_note": None,
        }


def requests(
    request: Request, *peers: Peer
) -> Callable[[Run], Iterator[tuple[str, Measurement]]]:
    """A round of ``request`` against each of ``peers``."""

    def play(run: Run) -> Iterator[tuple[str, Measurement]]:
        for peer in peers:
            if peer.is_installed and peer.only in (None, run.database.name):
                measured = at_both_loads(run.server(peer), request, run.size.seconds)
                yield peer.name, measured

    return play


def import_products(run: Run) -> Iterator[tuple[str, Measurement]]:
    """A round of an import into an empty collection, and of the bare driver with the
    same rows."""
    url = run.database.make()
    with serving(PERSIST_IMPORT, url, run.folder) as server:
        lines = ndjson(products(run.size.records))
        started = time.perf_counter()
        created = post_lines(server, COLLECTION, lines)
        yield PERSIST.name, Measurement(created / (time.perf_counter() - started))
    yield (
        BARE_DRIVER,
        Measurement(run.size.records / run.database.insert_bare(url, TABLE)),
    )


def list_all_types(run: Run) -> Iterator[tuple[str, Measurement]]:
    """A round over all types of a workspace, and over one of them."""
    server = run.server(PERSIST_TEN)
    yield PERSIST.name, hammer(server, ALL_TYPES, run.size.seconds)
    yield ONE_TYPE, hammer(server, LIST_ONE, run.size.seconds)


ALL_TYPES = Request("GET", f"/workspaces/{TEN}/records?limit=50", items=50)
LIST_ONE = Request("GET", f"/workspaces/{TEN}/api/{{collection}}?limit=50", items=50)
READ = Request("GET", "/api/{collection}/{id}")
LIST = Request(
    "GET", "/api/{collection}?severity__gte=40&sort=-severity&limit=50", items=50
)
BODY = '{"title":"Fault %d","severity":%d,"acknowledged":false,"migration_note":null}'
CREATE = Request("POST", "/api/{collection}", BODY)
FIND = Request("GET", "/api/{collection}?source=edge-40&limit=50", items=50)
EVENT = (
    '{"event_name":"user.login'
    ' %d","duration_ms":%d,"payload":{"user_id":"u-42"},"source":"edge-proxy"}'
)
TELL = Request("POST", "/api/{collection}", EVENT)
CORRECT = Request(
    "PATCH", "/api/{collection}/{id}", '{"event_name":"user.login %d","duration_ms":%d}'
)
CHANGE = '{"title":"Fault %d","severity":%d}'
PATCH = Request("PATCH", "/api/{collection}/{id}", CHANGE)
COMMAND = Request("POST", "/api/{collection}/{id}/commands/set", CHANGE)

AT_ONCE = 10_000
CREATES = 100
CREATED = (
    '{"op":"create","collection":"ops-tickets","data":{"title":"Fault","severity":10}}'
)
FIRST = f'{{"op":"create","collection":"ops-tickets","data":{BODY}}}'
CREATE_MANY = ",".join([FIRST, *[CREATED] * (CREATES - 1)])
TRANSACTION = Request("POST", "/transactions", f'{{"operations":[{CREATE_MANY}]}}')


def invoke_at_once(run: Run) -> Iterator[tuple[str, Measurement]]:
    """A round of one command on many records, and of a command on each by itself, by
    one client."""
    server, invoked = run.server(PERSIST), 0
    started = time.perf_counter()
    while (seconds := time.perf_counter() - started) < run.size.seconds:
        invoked += invoke(server, AT_ONCE, f"Fault {seconds}")
    yield PERSIST.name, Measurement(invoked / seconds)
    yield SINGLE, _by_one(run, COMMAND)


def transact(run: Run) -> Iterator[tuple[str, Measurement]]:
    """A round of transactions, and of creates by themselves, by one client."""
    yield PERSIST.name, _by_one(run, TRANSACTION, CREATES)
    yield SINGLE, _by_one(run, CREATE)


def _by_one(run: Run, request: Request, records: int = 1) -> Measurement:
    """What one client reaches with requests that each change so many records, for each
    of these."""
    found = hammer(run.server(PERSIST), request, run.size.seconds, clients=1)
    return Measurement(found.rate * records, found.p50, found.p99, found.cpu / records)


OPERATIONS = (
    Operation(
        "read",
        "read by id",
        (
            Bound("tutorial", 8, 16, only="sqlite"),
            Bound("tutorial", 10, 16, only="postgresql"),
            Bound("raw", 0.4, 0.5, only="sqlite"),
            Bound("pocketbase", 1.5, 1.8),
        ),
        requests(READ, PERSIST, TUTORIAL, RAW, POCKETBASE),
    ),
    Operation(
        "list",
        "list 50 of a quarter of the records, filtered and sorted on an index",
        (Bound("tutorial", 6, 11), Bound("pocketbase", 3, 3.3)),
        requests(LIST, PERSIST, TUTORIAL, POCKETBASE),
    ),
    Operation(
        "several types",
        "list 50 of a workspace of ten types in place of one type",
        (Bound(ONE_TYPE, 0.6, 0.85),),
        list_all_types,
    ),
    Operation(
        "many",
        "200 collections in place of 2: read by id",
        (Bound("persist", 0.95, 0.98),),
        requests(READ, PERSIST_200, PERSIST),
        subject=PERSIST_200.name,
    ),
    Operation(
        "observed",
        "with metrics, limits and names for the log in place of without: read by id",
        (Bound(PERSIST_UNOBSERVED.name, 0.9, 0.96),),
        requests(READ, PERSIST, PERSIST_UNOBSERVED),
    ),
    Operation(
        "keyed",
        "with a key in place of none: read by id",
        (Bound(PERSIST.name, 0.9, 0.96),),
        requests(READ, PERSIST_KEYED, PERSIST),
        subject=PERSIST_KEYED.name,
    ),
    Operation(
        "create",
        "durable create with its journal entry",
        (
            Bound("tutorial", 8, 12),
            Bound("stores_nothing", 0.8, 0.9, only="sqlite"),
            Bound("pocketbase", 1.3, 1.6),
        ),
        requests(CREATE, PERSIST, TUTORIAL, STORES_NOTHING, POCKETBASE),
    ),
    Operation(
        "patch",
        "durable merge patch by id",
        (Bound("tutorial", 5, 9), Bound("pocketbase", 1.5, 1.5)),
        requests(PATCH, PERSIST, TUTORIAL, POCKETBASE),
    ),
    Operation(
        "command",
        "durable command `set` (the tutorial's update)",
        (Bound("tutorial", 5, 9),),
        requests(COMMAND, PERSIST, TUTORIAL),
    ),
    Operation(
        "invoke",
        f"selective invoke of `set` over {AT_ONCE:,} records, records/s of one client",
        (Bound(SINGLE, 8, 12),),
        invoke_at_once,
    ),
    Operation(
        "transaction",
        f"transaction of {CREATES} creates, records/s of one client",
        (Bound(SINGLE, 5, 8),),
        transact,
    ),
    Operation(
        "event-read",
        "a registered type against a class: read by id",
        (Bound("typed", 1, 1.1),),
        requests(READ, REGISTERED, TYPED),
        subject=REGISTERED.name,
    ),
    Operation(
        "event-list",
        "a registered type against a class: list 50 of a fortieth of the records,"
        " filtered on an index",
        (Bound("typed", 1, 1.1),),
        requests(FIND, REGISTERED, TYPED),
        subject=REGISTERED.name,
    ),
    Operation(
        "event-create",
        "a registered type against a class: durable create",
        (Bound("typed", 0.7, 0.9),),
        requests(TELL, REGISTERED, TYPED),
        subject=REGISTERED.name,
    ),
    Operation(
        "event-patch",
        "a registered type against a class: durable merge patch",
        (Bound("typed", 0.7, 0.9),),
        requests(CORRECT, REGISTERED, TYPED),
        subject=REGISTERED.name,
    ),
    Operation(
        "types-read",
        "1,000 registered types in place of one: read by id",
        (Bound("registered", 0.95, 0.98),),
        requests(READ, REGISTERED_1000, REGISTERED),
        subject=REGISTERED_1000.name,
    ),
    Operation(
        "types-create",
        "1,000 registered types in place of one: durable create",
        (Bound("registered", 0.95, 0.98),),
        requests(TELL, REGISTERED_1000, REGISTERED),
        subject=REGISTERED_1000.name,
    ),
    Operation(
        "import",
        "import with its journal rows, records/s (0.25 of the bare driver is 4 x its"
        " time)",
        (
            Bound(BARE_DRIVER, 0.25, 0.4, only="sqlite"),
            Bound(BARE_DRIVER, 0.45, 0.6, only="postgresql"),
        ),
        import_products,
    ),
    Operation(
        "copies",
        "ten times as many records, records/s",
        (
            Bound("dump", 0.2, 0.4, "take"),
            Bound("dump", 0.2, 0.4, "export"),
            Bound("dump", 0.3, 0.6, "verify", only="sqlite"),
            Bound("dump", 0.5, 1, "verify", only="postgresql"),
            Bound("read", 0.2, 0.4, "restore", only="sqlite"),
            Bound("read", 0.1, 0.2, "restore", only="postgresql"),
            Bound("bare loop", 0.15, 0.3, "in place", only="sqlite"),
            Bound("bare loop", 0.35, 0.6, "in place", only="postgresql"),
        ),
        lambda run: copies(run.database.make, run.folder, 10 * run.size.records),
        rounds=1,
    ),
    Operation(
        "past",
        "ten changes of each record",
        (
            Bound("get", 2 / 3, 1, "get as_of"),
            Bound("10 ms", 1, 2, "first page"),
            Bound("all pages of now", 1 / 5, 1 / 2, "all pages"),
            Bound("1 s", 1, 2, "sorted"),
            Bound("1 s", 1, 2, "counted"),
            Bound("invoke", 1, 1.2, "undo"),
            Bound("4 µs", 1, 1.5, "leaf and seal"),
            Bound("5 % of a create", 1, 2, "leaf and seal"),
            Bound("15 % of an import", 1, 2, "leaf and seal"),
            Bound("80,000 changes/s", 1, 1.5, "verify"),
        ),
        lambda run: past(run.database.make, run.folder, tickets(run.size.records)),
        rounds=1,
    ),
)
