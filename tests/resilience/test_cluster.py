"""Three replicas on one PostgreSQL behind the proxy, under load, while parts of it go
away (issue 6)."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.support.collection import Collection
from tests.support.events import EVENTS
from tests.support.load import Ledger, Load, assert_all_is_there
from tests.support.ports import free_port
from tests.support.postgres import PostgresNode, create_database, postgres_node
from tests.support.problems import assert_problem
from tests.support.proxy import Proxy, proxy
from tests.support.server import DEPLOYMENT, Server, start
from tests.support.waiting import until

RECOVERY = 30.0
"""Seconds in which the cluster is whole again, on a machine that is busy with the load
as well."""

PARCEL = """
from persist import MigrationPlan, MigrationStep, entity
from sqlmodel import SQLModel
from tests.deployment.counter import Counter
"""
BEFORE = f"""{PARCEL}
@entity("parcels", schema_version=1)
class Parcel(SQLModel):
    label: str
    grams: int
"""
AFTER = f"""{PARCEL}
def weighed(data):
    return {{"label": data["label"], "grams": data["grams"] + 0.5, "note": None}}

STEP = MigrationStep(
    1, 2, data=weighed,
    sql=["ALTER TABLE {{table}} ALTER COLUMN grams TYPE {{number}}",
         "ALTER TABLE {{table}} ADD COLUMN note {{text}}"],
)

@entity("parcels", schema_version=2, plan=MigrationPlan([STEP]))
class Parcel(SQLModel):
    label: str
    grams: float
    note: str | None = None
"""


@dataclass
class Cluster:
    """Three replicas, each on a port it keeps, and the proxy in front of them."""

    folder: Path
    database: PostgresNode
    url: str
    ports: list[int] = field(default_factory=lambda: [free_port() for _ in range(3)])
    replicas: list[Server] = field(default_factory=list)
    entry: Proxy = field(init=False)

    def launch(self, port: int, models: str) -> Server:
        return start(self.url, self.folder, port=port, settings={"MODELS": models})

    def replace(self, number: int, models: str = DEPLOYMENT) -> None:
        """Another process in the place of a replica."""
        self.replicas[number] = self.launch(self.ports[number], models)

    def stop(self) -> None:
        for replica in self.replicas:
            replica.stop()


@contextmanager
def cluster(folder: Path, models: str = DEPLOYMENT) -> Iterator[Cluster]:
    with ExitStack() as stack:
        database = stack.enter_context(postgres_node())
        made = Cluster(folder, database, create_database(database.url))
        stack.callback(made.stop)
        for port in made.ports:
            made.replicas.append(made.launch(port, models))
        made.entry = stack.enter_context(
            proxy([f"127.0.0.1:{port}" for port in made.ports], folder)
        )
        yield made


def assert_asked_to_retry(refused: list[httpx.Response]) -> None:
    """Whoever was refused was asked to retry."""
    for response in refused:
        assert response.status_code == 503, response.text
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["code"] in ("unavailable", "outcome-unknown")
        assert int(response.headers["retry-after"]) >= 1


def whole(cluster: Cluster) -> bool:
    """Whether every replica says that it is ready."""
    return all(replica.is_ready() for replica in cluster.replicas)


def goes_on(ledger: Ledger, cluster: Cluster, acknowledged: int = 60) -> None:
    """Writes are acknowledged again and every replica is ready, within the time of a
    recovery."""
    before = time.monotonic()
    ledger.wait_for(ledger.acknowledged + acknowledged)
    until(lambda: whole(cluster))
    assert time.monotonic() - before < RECOVERY


class Follower:
    """A reader of changes through the proxy, who goes on where a stream broke off."""

    def __init__(self, entry: Server) -> None:
        self.seqs = [0]
        self._entry = entry
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> "Follower":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def has_seen_all_of(self, replica: Server) -> None:
        """Return when it has read the journal up to where it ends now."""
        with replica.client() as client:
            last = client.get("/changes", params={"after": "now"}).json()["last_seq"]
        until(lambda: self.seqs[-1] >= last)

    def _follow(self) -> None:
        while not self._end.is_set():
            with suppress(httpx.TransportError), self._entry.client() as client:
                query = {"after": self.seqs[-1], "limit": 200}
                with client.stream(
                    "GET", "/changes", params=query, headers=EVENTS
                ) as response:
                    self._read(response)

    def _read(self, response: httpx.Response) -> None:
        assert response.status_code in (200, 503)
        for line in response.iter_lines():
            if line.startswith("data: "):
                self.seqs.append(json.loads(line.removeprefix("data: "))["seq"])
            if self._end.is_set():
                return


def faults_under_load(folder: Path, *, rounds: int, clients: int) -> None:
    """Kill a replica, restart PostgreSQL, reload the proxy, again and again; all must
    be there."""
    ledger = Ledger()
    with cluster(folder) as made:
        with made.entry.client() as client:
            shared_id = Collection(client, "counters").created()["id"]
        with Load(made.entry, ledger, shared_id, clients):
            with Follower(made.entry) as follower:
                for turn in range(rounds):
                    lose_parts(made, turn % 3, ledger)
                    follower.has_seen_all_of(made.replicas[0])
            made.entry.stop()
        assert follower.seqs == list(range(len(follower.seqs)))
        assert_asked_to_retry(ledger.refused)
        assert_all_is_there(made.replicas[0], ledger, shared_id)


def lose_parts(cluster: Cluster, number: int, ledger: Ledger) -> None:
    ledger.wait_for(ledger.acknowledged + 60)
    cluster.replicas[number].kill()
    ledger.wait_for(ledger.acknowledged + 60)
    cluster.replace(number)
    goes_on(ledger, cluster)
    cluster.database.restart()
    goes_on(ledger, cluster)
    cluster.entry.reload()
    goes_on(ledger, cluster)


def test_a_cluster_that_loses_a_replica_its_database_and_its_proxy_loses_nothing(
    tmp_path: Path,
) -> None:
    faults_under_load(tmp_path, rounds=1, clients=2)


@pytest.mark.slow
def test_a_cluster_that_keeps_losing_parts_loses_no_write(tmp_path: Path) -> None:
    faults_under_load(tmp_path, rounds=6, clients=4)


# --- a rolling upgrade
# -----------------------------------------------------------------------------


class Labels:
    """A client that changes the label of one record, through the proxy, until it is
    asked to end."""

    def __init__(self, entry: Server, id: str) -> None:
        self.refused: list[httpx.Response] = []
        self.stored = 0
        self._entry, self._id = entry, id
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> "Labels":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _write(self) -> None:
        with self._entry.client() as client:
            parcels = Collection(client, "parcels")
            while not self._end.is_set():
                response = parcels.patch(self._id, {"label": str(self.stored + 1)})
                if response.status_code == 200:
                    self.stored += 1
                else:
                    self.refused.append(response)
                    time.sleep(0.05)

    def goes_on(self) -> None:
        """More of its writes are acknowledged, within the time of a recovery."""
        enough = self.stored + 20
        until(lambda: self.stored >= enough)


@pytest.mark.slow
def test_a_rolling_upgrade_over_a_schema_change_loses_no_write(tmp_path: Path) -> None:
    (tmp_path / "before.py").write_text(BEFORE)
    (tmp_path / "after.py").write_text(AFTER)
    ledger = Ledger()
    with cluster(tmp_path, "before") as made, made.replicas[1].client() as old:
        parcels = Collection(old, "parcels")
        parcel_id = parcels.created(label="0", grams=500)["id"]
        shared_id = Collection(old, "counters").created()["id"]
        with Load(made.entry, ledger, shared_id, clients=3):
            with Labels(made.entry, parcel_id) as labels:
                labels.goes_on()
                upgrade(made, 0)
                assert_is_being_replaced(made.replicas[1], parcels, parcel_id)
                labels.goes_on()
                upgrade(made, 1)
                upgrade(made, 2)
                labels.goes_on()
                goes_on(ledger, made)
            made.entry.stop()
        assert_asked_to_retry(ledger.refused + labels.refused)
        assert_all_is_there(made.replicas[2], ledger, shared_id)
        assert_labels(made.replicas[2], parcel_id, labels)


def upgrade(cluster: Cluster, number: int) -> None:
    cluster.replicas[number].stop()
    cluster.replace(number, "after")


def assert_is_being_replaced(
    replica: Server, parcels: Collection, parcel_id: str
) -> None:
    """An old process answers for the migrated collection with 503, for others as
    before."""
    for response in (
        parcels.patch(parcel_id, {"grams": 7}),
        parcels.create({"label": "x", "grams": 1}),
        parcels.read(parcel_id),
        parcels.find(label="0"),
        parcels.client.get("/health/ready"),
    ):
        assert_problem(response, 503, "unavailable")
        assert int(response.headers["retry-after"]) >= 1
    Collection(parcels.client, "counters").created(name="another")


def assert_labels(replica: Server, parcel_id: str, labels: Labels) -> None:
    """Every label that was acknowledged was there once, in order, and was carried
    over."""
    with replica.client() as client:
        record = Collection(client, "parcels").record(parcel_id)
        pages = Collection(client, "parcels").whole_history(parcel_id)
    operations = [change["operation"] for change in pages]
    stored = [
        int(change["data"]["label"])
        for change in pages
        if change["operation"] == "patch"
    ]
    assert record["data"] == {"label": str(stored[0]), "grams": 500.5, "note": None}
    assert operations.count("migrate") == 1
    assert stored[0] >= labels.stored
    assert set(stored) >= set(range(1, labels.stored + 1))
    assert [change["revision"] for change in pages] == list(
        range(record["revision"], 0, -1)
    )
