"""Many clients at once: no call lost, one winner, on one process and on two (contract 5)."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import httpx
import pytest

from tests.conftest import NewDatabase, Service
from tests.support.collection import Collection
from tests.support.server import Server, serving
from tests.twins import named, register_twins

Answer = TypeVar("Answer")
CLIENTS = 32
CALLS = 50


@pytest.fixture(scope="module")
def two_workers(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of two processes on one database."""
    with serving(new_database(), tmp_path_factory.mktemp("two"), workers=2) as server:
        with server.client() as client:
            register_twins(client)
        yield server


@pytest.fixture(params=[1, 2], ids=["1 worker", "2 workers"])
def server(request: pytest.FixtureRequest, service: Service) -> Server:
    """The shared service of one process, or one of two."""
    if request.param == 1:
        return service.server
    two: Server = request.getfixturevalue("two_workers")
    return two


def at_once(server: Server, clients: int, act: Callable[[httpx.Client, int], Answer]) -> list[Answer]:
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


def test_1600_increments_of_32_clients_are_all_counted(server: Server, name: str) -> None:
    record_id = created(server, name)

    def increment(client: httpx.Client, _: int) -> list[int]:
        own = Collection(client, name)
        answers = [own.command(record_id, "increment") for _ in range(CALLS)]
        assert {response.status_code for response in answers} == {200}
        return [response.json()["result"] for response in answers]

    results = at_once(server, CLIENTS, increment)
    total = CLIENTS * CALLS
    assert sorted(value for mine in results for value in mine) == list(range(1, total + 1))
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
    assert sorted(response.status_code for response in answers) == [200] + [412] * (CLIENTS - 1)
    (winner,) = [response for response in answers if response.status_code == 200]
    with server.client() as client:
        assert Collection(client, name).record(record_id) == winner.json()
        assert len(Collection(client, name).history(record_id)) == 2


def test_if_none_match_lets_one_of_32_clients_create(server: Server, name: str) -> None:
    record_id = str(uuid.uuid4())

    def create(client: httpx.Client, number: int) -> int:
        own = Collection(client, name)
        return own.replace(record_id, {"value": number}, headers={"if-none-match": "*"}).status_code

    assert sorted(at_once(server, CLIENTS, create)) == [201] + [412] * (CLIENTS - 1)


def test_a_put_of_32_clients_creates_once_and_replaces_31_times(server: Server, name: str) -> None:
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


def test_a_unique_value_goes_to_one_of_32_clients(server: Server, kind: str, marker: str) -> None:
    def claim(client: httpx.Client, _: int) -> int:
        return Collection(client, named("accounts", kind)).create({"owner": marker}).status_code

    assert sorted(at_once(server, CLIENTS, claim)) == [201] + [409] * (CLIENTS - 1)


def test_one_idempotency_key_of_16_clients_has_one_effect(server: Server, name: str) -> None:
    record_id, key = created(server, name), {"idempotency-key": uuid.uuid4().hex}

    def increment(client: httpx.Client, _: int) -> bytes:
        response = Collection(client, name).command(record_id, "increment", headers=key)
        assert response.status_code == 200, response.text
        return response.content

    assert len(set(at_once(server, 16, increment))) == 1
    with server.client() as client:
        assert len(Collection(client, name).history(record_id)) == 2


def test_seq_is_the_order_of_the_writes_whoever_makes_them(server: Server, name: str, marker: str) -> None:
    """A client's later write has the larger seq, and no seq is given twice."""

    def write(client: httpx.Client, _: int) -> list[int]:
        own = Collection(client, name)
        made = [own.created(name=marker)["id"] for _ in range(10)]
        return [own.history(record_id)[0]["seq"] for record_id in made]

    seqs = at_once(server, 16, write)
    assert all(mine == sorted(mine) for mine in seqs)
    assert len({seq for mine in seqs for seq in mine}) == 160


def test_imports_deletions_and_commands_at_once_leave_one_truth(
    server: Server, name: str, marker: str
) -> None:
    def work(client: httpx.Client, number: int) -> set[int]:
        own, lines = Collection(client, name), f'{{"name": "{marker}-{number % 4}"}}\n' * 20
        statuses = set()
        for _ in range(5):
            statuses.add(own.import_lines(lines).status_code)
            statuses.add(own.delete_matching(name=f"{marker}-{number % 4}", max_affected="1000").status_code)
            statuses.add(own.create({"name": f"{marker}-kept"}).status_code)
        return statuses

    assert set().union(*at_once(server, 12, work)) == {200, 201}
    with server.client() as client:
        own = Collection(client, name)
        kept = own.find(name=f"{marker}-kept", count="true", limit="1").json()["total"]
        assert kept == 60
        for number in range(4):
            rest = own.find(name=f"{marker}-{number}", count="true", limit="1").json()["total"]
            assert rest % 20 == 0
