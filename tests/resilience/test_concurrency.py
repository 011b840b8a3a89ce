"""Many clients at once: no call lost, one winner, on one process and on two (contract
4, 5, 9)."""

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier
from typing import TypeVar

import httpx
import pytest

from tests.conftest import NewDatabase, Service
from tests.support.collection import Collection
from tests.support.problems import Json
from tests.support.server import Server, serving
from tests.support.twins import named, register_twins

Answer = TypeVar("Answer")
CLIENTS = 32


@dataclass(frozen=True)
class Undo:
    """An undo of the changes under the request id ``selected``, and its answer."""

    selected: str
    own: str
    status: int
    answer: Json


@dataclass(frozen=True)
class Undos:
    """Undos, and the id and revision of each record that others wrote meanwhile."""

    made: list[Undo] = field(default_factory=list)
    written: list[tuple[str, int]] = field(default_factory=list)


@pytest.fixture(scope="module")
def two_workers(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A service of two processes on one database."""
    with serving(new_database(), tmp_path_factory.mktemp("two"), workers=2) as server:
        with server.client() as client:
            register_twins(client)
        yield server


@pytest.fixture
def server(
    request: pytest.FixtureRequest, service: Service, database: str, kind: str
) -> Server:
    """The shared service of one process, or one of two: of any two of database, kind
    and number of processes, every pair is run."""
    if (database == "sqlite") == (kind == "typed"):
        two: Server = request.getfixturevalue("two_workers")
        return two
    return service.server


def at_once(
    server: Server, clients: int, act: Callable[[httpx.Client, int], Answer]
) -> list[Answer]:
    """Let that many clients act at the same moment, each on a connection of its own."""
    barrier = Barrier(clients)

    def one(number: int) -> Answer:
        with server.client() as client:
            assert client.get("/health/live").status_code == 200
            barrier.wait()
            return act(client, number)

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(one, range(clients)))


@pytest.fixture
def name(kind: str) -> str:
    """The name of the collection of counters."""
    return named("counters", kind)


def created(server: Server, name: str) -> str:
    with server.client() as client:
        record_id: str = Collection(client, name).created(value=0)["id"]
        return record_id


@pytest.mark.parametrize("calls", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_increments_of_32_clients_are_all_counted(
    server: Server, name: str, calls: int
) -> None:
    record_id = created(server, name)

    def increment(client: httpx.Client, _: int) -> list[int]:
        own = Collection(client, name)
        answers = [own.command(record_id, "increment") for _ in range(calls)]
        assert {response.status_code for response in answers} == {200}
        return [response.json()["result"] for response in answers]

    results = at_once(server, CLIENTS, increment)
    total = CLIENTS * calls
    assert sorted(value for mine in results for value in mine) == list(
        range(1, total + 1)
    )
    assert all(mine == sorted(mine) for mine in results)
    with server.client() as client:
        record = Collection(client, name).record(record_id)
        assert (record["data"]["value"], record["revision"]) == (total, total + 1)
        newest = Collection(client, name).history(record_id, limit=1)[0]
        assert (newest["revision"], newest["data"]["value"]) == (total + 1, total)


def test_if_match_lets_one_of_32_clients_win(server: Server, name: str) -> None:
    record_id = created(server, name)

    def try_to_win(client: httpx.Client, number: int) -> httpx.Response:
        own = Collection(client, name)
        return own.patch(record_id, {"value": number + 1}, headers={"if-match": '"1"'})

    answers = at_once(server, CLIENTS, try_to_win)
    assert sorted(response.status_code for response in answers) == [200] + [412] * (
        CLIENTS - 1
    )
    (winner,) = [response for response in answers if response.status_code == 200]
    with server.client() as client:
        assert Collection(client, name).record(record_id) == winner.json()
        assert len(Collection(client, name).history(record_id)) == 2


def test_if_none_match_lets_one_of_32_clients_create(server: Server, name: str) -> None:
    record_id = str(uuid.uuid4())

    def create(client: httpx.Client, number: int) -> int:
        own = Collection(client, name)
        return own.replace(
            record_id, {"value": number}, headers={"if-none-match": "*"}
        ).status_code

    assert sorted(at_once(server, CLIENTS, create)) == [201] + [412] * (CLIENTS - 1)


def test_a_put_of_32_clients_creates_once_and_replaces_31_times(
    server: Server, name: str
) -> None:
    record_id = str(uuid.uuid4())

    def put(client: httpx.Client, number: int) -> tuple[int, int]:
        response = Collection(client, name).replace(record_id, {"value": number + 1})
        return response.status_code, response.json()["revision"]

    answers = at_once(server, CLIENTS, put)
    assert sorted(status for status, _ in answers) == [200] * (CLIENTS - 1) + [201]
    assert sorted(revision for _, revision in answers) == list(range(1, CLIENTS + 1))


def test_a_record_is_deleted_once(server: Server, name: str) -> None:
    record_id = created(server, name)

    def delete(client: httpx.Client, _: int) -> int:
        return Collection(client, name).delete(record_id).status_code

    assert sorted(at_once(server, CLIENTS, delete)) == [204] + [404] * (CLIENTS - 1)


def test_a_unique_value_goes_to_one_of_32_clients(
    server: Server, kind: str, marker: str
) -> None:
    def claim(client: httpx.Client, _: int) -> int:
        return (
            Collection(client, named("accounts", kind))
            .create({"owner": marker})
            .status_code
        )

    assert sorted(at_once(server, CLIENTS, claim)) == [201] + [409] * (CLIENTS - 1)


def test_one_idempotency_key_of_16_clients_has_one_effect(
    server: Server, name: str
) -> None:
    record_id, key = created(server, name), {"idempotency-key": uuid.uuid4().hex}

    def increment(client: httpx.Client, _: int) -> bytes:
        response = Collection(client, name).command(record_id, "increment", headers=key)
        assert response.status_code == 200, response.text
        return response.content

    assert len(set(at_once(server, 16, increment))) == 1
    with server.client() as client:
        assert len(Collection(client, name).history(record_id)) == 2


def test_seq_is_the_order_of_the_writes_whoever_makes_them(
    server: Server, name: str, marker: str
) -> None:
    """A client's later write has the larger seq, and no seq is given twice."""

    def write(client: httpx.Client, _: int) -> list[int]:
        own = Collection(client, name)
        made = [own.created(name=marker)["id"] for _ in range(10)]
        return [own.history(record_id)[0]["seq"] for record_id in made]

    seqs = at_once(server, 16, write)
    assert all(mine == sorted(mine) for mine in seqs)
    assert len({seq for mine in seqs for seq in mine}) == 160


@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_imports_deletions_and_commands_at_once_leave_one_truth(
    server: Server, name: str, marker: str, rounds: int
) -> None:
    def work(client: httpx.Client, number: int) -> set[int]:
        own, lines = (
            Collection(client, name),
            f'{{"name": "{marker}-{number % 4}"}}\n' * 20,
        )
        statuses = set()
        for _ in range(rounds):
            statuses.add(own.import_lines(lines).status_code)
            statuses.add(
                own.delete_matching(
                    name=f"{marker}-{number % 4}", max_affected="1000"
                ).status_code
            )
            statuses.add(own.create({"name": f"{marker}-kept"}).status_code)
        return statuses

    assert set().union(*at_once(server, 12, work)) == {200, 201}
    with server.client() as client:
        own = Collection(client, name)
        kept = own.find(name=f"{marker}-kept", count="true", limit="1").json()["total"]
        assert kept == 12 * rounds
        for number in range(4):
            rest = own.find(name=f"{marker}-{number}", count="true", limit="1").json()[
                "total"
            ]
            assert rest % 20 == 0


# --- many records at once
# -------------------------------------------------------------------------

FULL = 2**63 - 1


def test_16_clients_invoke_one_command_on_overlapping_selections(
    server: Server, name: str, marker: str
) -> None:
    """Half of them all or nothing; those whose selection holds the full counter then
    change nothing."""
    with server.client() as client:
        own = Collection(client, name)
        ids = [own.created(name=marker, value=0)["id"] for _ in range(48)]
        own.patch(ids[24], {"value": FULL})

    def invoke(client: httpx.Client, number: int) -> list[list[str]]:
        own, atomic, done = Collection(client, name), number % 2 == 1, []
        for call in range(4):
            first = (number * 5 + call * 7) % 40
            query = {
                "_id__gte": ids[first],
                "name": marker,
                "atomic": str(atomic).lower(),
            }
            response = own.invoke("increment", **query)
            if atomic and first <= 24:
                assert (response.status_code, response.json()["code"]) == (
                    409,
                    "command-failed",
                )
                continue
            assert response.status_code == 200, response.text
            done.append(
                [
                    each["id"]
                    for each in response.json()["outcomes"]
                    if each["status"] == "invoked"
                ]
            )
            assert response.json()["failed"] == (first <= 24)
        return done

    counted = Counter(
        id for each in at_once(server, 16, invoke) for ids in each for id in ids
    )
    with server.client() as client:
        own = Collection(client, name)
        records = {
            record["id"]: record for record in own.items(name=marker, limit="500")
        }
        assert records.pop(ids[24])["revision"] == 2
        for id, record in records.items():
            assert (record["data"]["value"], record["revision"]) == (
                counted[id],
                counted[id] + 1,
            )


def transfer(name: str, source: str, target: str, amount: int) -> list[Json]:
    """Operations that move an amount between two counters."""
    moved = ((source, -amount), (target, amount))
    return [
        {
            "op": "command",
            "collection": name,
            "id": id,
            "command": "increment",
            "payload": {"by": by},
        }
        for id, by in moved
    ]


def move_amounts(server: Server, name: str, marker: str, calls: int) -> None:
    """Twelve clients move amounts to and fro, four run commands on all, and the sum
    stays."""
    with server.client() as client:
        own = Collection(client, name)
        ids = [own.created(name=marker, value=100)["id"] for _ in range(20)]
    done, sums, longest = threading.Event(), list[int](), list[float]()

    def look() -> None:
        with server.client() as client:
            while not done.is_set():
                records = Collection(client, name).items(name=marker, limit="500")
                sums.append(sum(record["data"]["value"] for record in records))

    def work(client: httpx.Client, number: int) -> None:
        own, chance = Collection(client, name), random.Random(number)
        for call in range(calls):
            began = time.monotonic()
            if number % 4 == 3:
                response = own.invoke(
                    "increment",
                    {"by": 0},
                    name=marker,
                    atomic=str(call % 2 == 0).lower(),
                )
                assert response.status_code == 200, response.text
            else:
                _move(client, chance, number)
            longest.append(time.monotonic() - began)

    def _move(client: httpx.Client, chance: random.Random, number: int) -> None:
        source, target = chance.sample(ids, 2)
        operations = transfer(name, source, target, chance.randint(1, 9))
        if number % 4 == 2:  # the second operation fails: the first is undone
            operations.append(
                {"op": "delete", "collection": name, "id": source, "if_match": 10**6}
            )
        if number % 4 == 1:
            operations.append(
                {
                    "op": "create",
                    "collection": name,
                    "data": {"value": {"$ref": "nobody.id"}},
                }
            )
        response = client.post("/transactions", json={"operations": operations})
        assert response.status_code == {1: 422, 2: 412}.get(number % 4, 200), (
            response.text
        )

    looking = threading.Thread(target=look)
    looking.start()
    try:
        at_once(server, 16, work)
    finally:
        done.set()
        looking.join()
    assert sums
    assert set(sums) == {2000}
    assert max(longest) < 30
    with server.client() as client:
        own = Collection(client, name)
        records = own.items(name=marker, limit="500")
        assert sum(record["revision"] - 1 for record in records) == 2 * 4 * calls


def test_a_sum_stays_while_transactions_move_its_parts(
    server: Server, name: str, marker: str
) -> None:
    move_amounts(server, name, marker, calls=10)


@pytest.mark.slow
def test_a_sum_stays_under_a_long_load_and_nobody_starves(
    server: Server, name: str, marker: str
) -> None:
    move_amounts(server, name, marker, calls=300)


def test_transactions_that_lock_in_opposite_orders_all_go_through(
    server: Server, name: str, marker: str
) -> None:
    """Ids that only references tell cannot be locked in order beforehand."""
    with server.client() as client:
        ids = [
            Collection(client, name).created(name=marker, value=0)["id"]
            for _ in range(2)
        ]

    def increment(client: httpx.Client, number: int) -> None:
        order = ids if number % 2 else ids[::-1]
        for _ in range(5):
            operations: list[Json] = []
            for position, id in enumerate(order):
                named_id = {
                    "op": "create",
                    "collection": name,
                    "data": {"name": id},
                    "as": f"n{position}",
                }
                by_reference = {"$ref": f"n{position}.data.name"}
                command = {
                    "op": "command",
                    "collection": name,
                    "id": by_reference,
                    "command": "increment",
                }
                operations += [named_id, command]
            response = client.post("/transactions", json={"operations": operations})
            assert response.status_code == 200, response.text

    at_once(server, 8, increment)
    with server.client() as client:
        assert {Collection(client, name).record(id)["data"]["value"] for id in ids} == {
            40
        }


def write_and_undo(server: Server, name: str, ids: list[str], rounds: int) -> Undos:
    """Six clients write to records as fast as they can, while two change some of them
    by one request each and take that back: what they were answered."""
    done, undos = threading.Event(), Undos()

    def work(client: httpx.Client, number: int) -> None:
        chance = random.Random(number)
        if number >= 2:
            while not done.is_set():
                undos.written.append(_written(client, chance.choice(ids)))
            return
        try:
            for call in range(rounds):
                some = ",".join(chance.sample(ids, 10))
                undos.made.append(_undone(client, some, skips=call % 2 == 0))
        finally:
            done.set()

    def _written(client: httpx.Client, record_id: str) -> tuple[str, int]:
        response = Collection(client, name).command(record_id, "increment")
        assert response.status_code == 200, response.text
        return record_id, response.json()["record"]["revision"]

    def _undone(client: httpx.Client, some: str, *, skips: bool) -> Undo:
        selected, own = str(uuid.uuid4()), str(uuid.uuid4())
        invoked = Collection(client, name).invoke(
            "increment", {"by": 100}, headers={"x-request-id": selected}, _id__in=some
        )
        assert invoked.json()["invoked"] == 10, invoked.text
        body = {"request_id": selected, "on_conflict": "skip" if skips else "fail"}
        answer = client.post("/changes/undo", json=body, headers={"x-request-id": own})
        assert answer.status_code in {200, 409}, answer.text
        return Undo(selected, own, answer.status_code, answer.json())

    at_once(server, 8, work)
    return undos


@pytest.mark.slow
def test_an_undo_among_writers_is_whole_and_names_the_true_conflicts(
    server: Server, name: str
) -> None:
    with server.client() as client:
        own = Collection(client, name)
        ids = [own.created(value=0)["id"] for _ in range(60)]
        undos = write_and_undo(server, name, ids, rounds=100)
        histories = {id: own.whole_history(id)[::-1] for id in ids}
        for id, changes in histories.items():
            revisions = [change["revision"] for change in changes]
            assert revisions == list(range(1, len(changes) + 1))
            assert own.record(id)["data"] == changes[-1]["data"]
    written = Counter(
        (id, change["revision"])
        for id, changes in histories.items()
        for change in changes
        if change["payload"] == {"by": 1}
    )
    assert written == Counter(undos.written)
    changes = [change for each in histories.values() for change in each]
    outcomes = Counter[str]()
    for undo in undos.made:
        _check_undo(undo, histories)
        outcomes.update(each["outcome"] for each in undo.answer["records"])
        by_undo = [each for each in changes if each["request_id"] == undo.own]
        assert len(by_undo) == undo.answer.get("undone", 0)
    assert set(outcomes) == {"reverted", "skipped", "conflict"}


def _check_undo(undo: Undo, histories: dict[str, list[Json]]) -> None:
    """Check each outcome of an undo against the history of its record."""
    for entry in undo.answer["records"]:
        changes = histories[entry["id"]]
        names = [change["request_id"] for change in changes]
        first = names.index(undo.selected)
        if entry["outcome"] == "reverted":
            assert names[first + 1] == undo.own
            assert changes[first + 1]["data"] == changes[first - 1]["data"]
            assert entry["to_revision"] == entry["from_revision"] + 1 == first + 2
        else:
            assert undo.own not in names
            following = changes[first + 1]
            assert entry["reason"] == {
                "conflict": "changed",
                "at": following["at"],
                "actor": following["actor"],
            }
    if undo.status == 200:
        assert len(undo.answer["records"]) == 10
    else:
        assert undo.answer["code"] == "undo-conflict"
