"""A primary that dies and a standby that takes its place, as README's "Deploying"
describes it."""

import random
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.collection import Collection
from tests.support.load import Ledger, Load, assert_all_is_there
from tests.support.postgres import PostgresNode, create_database, postgres_node
from tests.support.problems import assert_problem
from tests.support.server import serving
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def of_both(database_url: str, standby: PostgresNode) -> str:
    """The URL of a database that names its primary and its standby."""
    url = urlsplit(database_url)
    hosts = f"{url.netloc},127.0.0.1:{standby.port}"
    return f"postgresql://{hosts}{url.path}?target_session_attrs=read-write"


def test_a_promoted_standby_has_every_acknowledged_write_and_takes_more(
    tmp_path: Path,
) -> None:
    ledger = Ledger()
    with postgres_node() as primary:
        standby = primary.standby("standby")
        primary.configure("synchronous_standby_names = 'standby'\n")
        primary.execute("select pg_reload_conf()")
        until(
            lambda: (
                primary.execute("select sync_state from pg_stat_replication")
                == [("sync",)]
            )
        )
        url = of_both(create_database(primary.url), standby)
        with serving(url, tmp_path) as server:
            with server.client() as client:
                shared_id = Collection(client, "counters").created(name="shared")["id"]
            with Load(server, ledger, shared_id):
                ledger.wait_for(random.randint(100, 300))
                primary.kill()
                standby.promote()
                ledger.wait_for(ledger.acknowledged + 100)
                server.stop()
        for response in ledger.refused:
            assert_problem(response, 503, "unavailable")
            assert int(response.headers["retry-after"]) >= 1
        with serving(url, tmp_path) as again:
            assert_all_is_there(again, ledger, shared_id)


def test_a_server_that_only_reads_is_503_until_it_writes_again(tmp_path: Path) -> None:
    with postgres_node() as primary:
        url = create_database(primary.url)
        with serving(url, tmp_path) as server, server.client() as client:
            counters = Collection(client, "counters")
            record = counters.created(value=1)
            read_only(primary, on="on")
            assert_problem(
                counters.patch(record["id"], {"value": 2}), 503, "unavailable"
            )
            assert counters.record(record["id"]) == record
            read_only(primary, on="off")
            assert counters.patch(record["id"], {"value": 2}).json()["revision"] == 2


def read_only(node: PostgresNode, on: str) -> None:
    node.configure(f"default_transaction_read_only = {on}\n")
    node.restart()
