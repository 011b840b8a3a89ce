"""``persist.client``: the client for Python against a live service."""

import asyncio
import inspect
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from pydantic import BaseModel

from persist.client import (
    AsyncClient,
    AsyncCollection,
    Client,
    Collection,
    DeletedRecord,
    problems,
)
from tests.conftest import Service

NAME = "counters"


class Counter(BaseModel):
    value: int = 0
    name: str | None = None


@dataclass
class PlainCounter:
    value: int = 0
    name: str | None = None


@pytest.fixture
def persist(service: Service) -> Iterator[Client]:
    with Client(service.url) as client:
        yield client


def test_a_record_is_an_object_of_the_callers_class(
    persist: Client, marker: str
) -> None:
    counters = persist.collection(NAME, Counter)
    created = counters.create(Counter(value=1, name=marker))
    assert isinstance(created.data, Counter)
    assert (created.revision, created.data) == (1, Counter(value=1, name=marker))
    plain = persist.collection(NAME, PlainCounter)
    assert plain.get(created.id).data == PlainCounter(1, marker)
    assert persist.collection(NAME).get(created.id).data == {"value": 1, "name": marker}
    assert created.created_at.tzinfo is not None


def test_a_record_that_was_read_is_written_only_as_it_was(
    persist: Client, marker: str
) -> None:
    counters = persist.collection(NAME, Counter)
    first = counters.create({"name": marker})
    second = counters.patch(first, {"value": 2})
    with pytest.raises(problems.PreconditionFailed) as failed:
        counters.replace(first, Counter(value=3))
    assert failed.value.revision == 2
    third = counters.replace(second, Counter(value=3, name=marker))
    fourth = counters.patch(third.id, [{"op": "replace", "path": "/value", "value": 4}])
    assert (fourth.revision, fourth.data.value) == (4, 4)
    assert counters.get(first.id, revision=2).data.value == 2
    counters.delete(fourth)
    with pytest.raises(problems.RecordNotFound):
        counters.get(first.id)
    operations = [change.operation for change in counters.history(first.id)]
    assert operations == ["delete", "patch", "replace", "patch", "create"]


def test_lists_go_on_over_pages(persist: Client, marker: str) -> None:
    counters = persist.collection(NAME, Counter)
    wanted = [Counter(value=value, name=marker) for value in range(7)]
    assert counters.import_all(wanted).created == 7
    found = list(counters.list(name=marker, sort="-value", limit=3, value__gte=2))
    assert [record.data.value for record in found] == [6, 5, 4, 3, 2]
    assert counters.count(name=marker, value__in=[1, 2, 99]) == 2
    exported = counters.export(name=marker, sort="value")
    assert [record.data for record in exported] == wanted
    assert counters.delete_matching(10, name=marker) == 7


def test_a_request_keeps_the_query_of_its_path(persist: Client, marker: str) -> None:
    persist.collection(NAME, Counter).create({"name": marker})
    page = persist.request("GET", f"/api/{NAME}?count=true&name={marker}")
    assert page["total"] == 1


def test_an_export_may_contain_any_separator_of_lines(
    persist: Client, marker: str
) -> None:
    """U+2028 and U+0085 end no line of NDJSON, though Python splits there."""
    counters = persist.collection(NAME, Counter)
    name = f"{marker}\u2028next\x85last"
    counters.create({"name": name})
    [record] = counters.export(name=name)
    assert record.data.name == name


def test_changes_are_taken_back(persist: Client, marker: str) -> None:
    counters = persist.collection(NAME, Counter)
    first = counters.create({"name": marker, "value": 1})
    second = counters.patch(first, {"value": 2})
    assert counters.diff(first.id, 1, 2) == [
        {"op": "replace", "path": "/value", "value": 2}
    ]
    reverted = counters.revert(second, 1)
    assert (reverted.revision, reverted.data) == (3, first.data)
    request = next(counters.history(first.id)).request_id
    chosen = persist.changes(
        request_id=request,
        workspace="",
        condition="previous.value == 2",
        follow=False,
    )
    assert [change.id for change in chosen] == [first.id]
    with pytest.raises(problems.NotFound):
        persist.undo(request_id=request, workspace="den")
    planned = persist.undo(request_id=request, workspace="", dry_run=True)
    assert planned.records[0].outcome == "reverted"
    report = persist.undo(request_id=request)
    assert (report.undone, report.skipped) == (1, 0)
    assert counters.get(first.id).data.value == 2
    with pytest.raises(problems.UndoConflict):
        persist.undo(request_id=request)
    skipped = persist.undo(request_id=request, on_conflict="skip")
    assert skipped.records[0].reason is not None


def test_the_past_is_read_and_deleted_records_come_back(
    persist: Client, marker: str
) -> None:
    counters = persist.collection(NAME, Counter)
    record = counters.create(Counter(value=1, name=marker))
    seq = list(persist.changes(follow=False))[-1].seq
    later = counters.patch(record, {"value": 2})
    assert counters.get(record.id, as_of=seq) == record
    assert counters.get(record.id, as_of=later.updated_at) == later
    assert list(counters.list(name=marker, as_of=seq)) == [record]
    with pytest.raises(problems.RecordNotFound):
        counters.get(record.id, as_of=0)
    counters.delete(later)
    (deleted,) = counters.trash(name=marker)
    assert isinstance(deleted, DeletedRecord)
    assert (deleted.data, deleted.revision) == (later.data, 2)
    assert deleted.deleted_at > later.updated_at
    assert deleted.deleted_by is None
    back = counters.revert(deleted, deleted.revision)
    assert (back.data, back.revision) == (later.data, 4)
    with pytest.raises(problems.PreconditionFailed):
        counters.revert(deleted, deleted.revision)


def test_edits_of_several_people_are_merged(persist: Client, marker: str) -> None:
    counters = persist.collection(NAME, Counter)
    first = counters.create(Counter(value=1, name=marker))
    counters.patch(first, {"value": 2})
    with pytest.raises(problems.PreconditionFailed) as failed:
        counters.patch(first, {"name": f"{marker}-b"})
    assert (failed.value.changed, failed.value.conflicts) == (["/value"], [])
    merged = counters.patch(first, {"name": f"{marker}-b"}, merge=True)
    assert merged.data == Counter(value=2, name=f"{marker}-b")
    with pytest.raises(problems.PreconditionFailed) as failed:
        counters.replace(first, Counter(value=3, name=marker), merge=True)
    assert failed.value.conflicts == ["/value"]


def test_exported_records_are_imported_again(persist: Client, marker: str) -> None:
    counters = persist.collection(NAME, Counter)
    first, second = (counters.create(Counter(name=marker)) for _ in range(2))
    exported = list(counters.export(name=marker))
    counters.delete(first)
    counters.patch(second, {"value": 5})
    with pytest.raises(problems.RestoreConflict):
        counters.import_records(exported)
    report = counters.import_records(exported, on_conflict="overwrite")
    assert (report.created, report.overwritten, report.skipped) == (1, 1, 0)
    assert counters.get(second.id).data.value == 0
    assert counters.get(first.id).created_at == first.created_at


def test_commands_run_on_one_record_and_on_many(persist: Client, marker: str) -> None:
    counters = persist.collection(NAME, Counter)
    counter = counters.create({"name": marker})
    done = counters.run(counter, "increment", by=5)
    assert (done.result, done.record.data.value) == (5, 5)
    report = counters.invoke("increment", {"by": 2}, name=marker)
    assert (report.invoked, report.outcomes[0].result) == (1, 7)


def test_a_refusal_is_an_exception_of_its_code(persist: Client, marker: str) -> None:
    accounts = persist.collection("accounts")
    account = accounts.create({"owner": marker})
    with pytest.raises(problems.UniqueViolation):
        accounts.create({"owner": marker})
    with pytest.raises(problems.InvalidData) as invalid:
        accounts.create({"owner": marker * 9, "balance": -1})
    assert {error["pointer"] for error in invalid.value.errors} == {
        "/owner",
        "/balance",
    }
    with pytest.raises(problems.Conflict) as refused:
        accounts.run(account, "withdraw", amount=1)
    assert (refused.value.code, refused.value.status) == ("insufficient-funds", 409)
    with pytest.raises(problems.CollectionNotFound):
        persist.collection("nothing").create({})


def test_every_code_of_the_service_has_a_class() -> None:
    from persist.api.problems import catalogue

    assert set(catalogue()) <= set(problems.CLASSES)


def test_a_transaction_is_stored_at_the_end_of_its_block(
    persist: Client, marker: str
) -> None:
    counters = persist.collection(NAME, Counter)
    with persist.transaction() as transaction:
        first = transaction.create(NAME, Counter(value=3, name=marker))
        raised = transaction.run(NAME, first.id, "increment", {"by": 4})
        transaction.create(NAME, {"value": raised.result, "name": first.data.name})
        assert counters.count(name=marker) == 0
    assert (first.status, raised.returned) == (201, 7)
    values = [each.data.value for each in counters.list(name=marker, sort="value")]
    assert values == [7, 7]


def test_a_transaction_that_fails_stores_nothing(persist: Client, marker: str) -> None:
    counters = persist.collection(NAME, Counter)
    with pytest.raises(problems.InvalidData):
        create_two(persist, marker, {"value": "no number"})
    with pytest.raises(TypeError, match="not the data of a record"):
        create_two(persist, marker, object())
    with persist.transaction(dry_run=True) as transaction:
        transaction.create(NAME, {"name": marker})
    assert counters.count(name=marker) == 0


def create_two(persist: Client, marker: str, second: object) -> None:
    with persist.transaction() as transaction:
        transaction.create(NAME, {"name": marker})
        transaction.create(NAME, second)


def test_data_that_looks_like_a_reference_stays_data(persist: Client) -> None:
    for look_alike in ({"$ref": "o0.id"}, {"$value": 1}, {"$ref": "o0.id", "more": 1}):
        with persist.transaction() as transaction:
            sample = transaction.create("samples", {"payload": look_alike})
        assert sample.record is not None
        assert sample.record["data"]["payload"] == look_alike


def test_changes_end_with_the_journal_or_go_on(persist: Client, marker: str) -> None:
    counters = persist.collection(NAME, Counter)
    counter = counters.create({"name": marker})
    *_, last = persist.changes(follow=False)
    following = persist.changes(last.seq, collection=NAME)
    done = counters.run(counter, "increment")
    change = next(following)
    assert (change.id, change.revision) == (counter.id, done.record.revision)
    assert (change.operation, change.command) == ("command", "increment")


def test_any_request_can_be_sent(persist: Client) -> None:
    assert persist.request("GET", "/collections/counters")["name"] == NAME
    manifest = persist.request("POST", "/api/counters/snapshots", {"note": "for later"})
    assert persist.request("DELETE", f"/snapshots/{manifest['id']}") is None


def test_both_clients_have_the_same_methods() -> None:
    for blocking, asynchronous in (
        (Client, AsyncClient),
        (Collection, AsyncCollection),
    ):
        one, other = signatures(blocking), signatures(asynchronous)
        assert one == other
        assert one


def signatures(client: type) -> dict[str, list[str]]:
    return {
        name.replace("aenter", "enter").replace("aexit", "exit"): list(
            inspect.signature(method).parameters
        )
        for name, method in vars(client).items()
        if inspect.isfunction(method) and (name[0] != "_" or name.endswith("it__"))
    }


def test_the_asynchronous_client_does_the_same(service: Service, marker: str) -> None:
    async def story() -> None:
        async with AsyncClient(service.url) as client:
            counters = client.collection(NAME, Counter)
            first = await counters.create(Counter(name=marker))
            first = await counters.patch(first, {"value": 1})
            done = await counters.run(first, "increment")
            assert (done.result, done.record.revision) == (2, 3)
            async with client.transaction() as transaction:
                transaction.create(NAME, {"name": marker, "value": 9})
            await counters.import_all([{"name": marker, "value": 10}])
            values = [
                record.data.value
                async for record in counters.list(name=marker, sort="value", limit=1)
            ]
            assert values == [2, 9, 10]
            exported = [record async for record in counters.export(name=marker)]
            assert len(exported) == 3
            changes = [change async for change in client.changes(follow=False)]
            assert changes[-1].data == {"value": 10, "name": marker}
            history = [change async for change in counters.history(first.id)]
            assert [change.revision for change in history] == [3, 2, 1]
            with pytest.raises(problems.PreconditionFailed):
                await counters.delete(first)
            assert (await counters.get(first.id, as_of=changes[-1].seq)).revision == 3
            merged = await counters.patch(first, {"name": f"{marker}-b"}, merge=True)
            assert merged.data == Counter(value=2, name=f"{marker}-b")
            await counters.delete(merged)
            trash = [record async for record in counters.trash(name=f"{marker}-b")]
            back = await counters.revert(trash[0], 1)
            assert back.data == Counter(name=marker)
            imported = await counters.import_records(exported, on_conflict="skip")
            assert imported.skipped == 3

    asyncio.run(story())


def test_the_client_loads_nothing_of_the_service() -> None:
    program = (
        "import sys; before = set(sys.modules); import persist.client; "
        "print(*sorted(name for name in set(sys.modules) - before"
        " if name.startswith(('persist', 'fastapi', 'sqlalchemy', 'pydantic'))))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert [name for name in loaded if not name.startswith("persist.client")] == [
        "persist"
    ]


class FlakyProxy(ThreadingHTTPServer):
    """Passes requests on, but ``failures`` say how the first ones go wrong: ``lost``
    closes the connection after the service has answered, ``busy`` is a 503."""

    def __init__(self, target: str, failures: list[str]) -> None:
        self.target = target
        self.failures = failures
        self.keys: list[str | None] = []
        super().__init__(("127.0.0.1", 0), FlakyHandler)


class FlakyHandler(BaseHTTPRequestHandler):
    server: FlakyProxy

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.keys.append(self.headers.get("Idempotency-Key"))
        failure = self.server.failures.pop(0) if self.server.failures else ""
        if failure == "busy":
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        headers = {
            name: self.headers[name]
            for name in ("Content-Type", "Idempotency-Key")
            if name in self.headers
        }
        answer = httpx.post(
            self.server.target + self.path, content=body, headers=headers
        )
        if failure == "lost":
            self.close_connection = True
            return
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers["content-type"])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def flaky(service: Service) -> Iterator[FlakyProxy]:
    proxy = FlakyProxy(service.url, ["busy", "lost"])
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    yield proxy
    proxy.shutdown()
    thread.join()
    proxy.server_close()


def test_a_write_whose_answer_was_lost_is_stored_once(
    flaky: FlakyProxy, persist: Client, marker: str
) -> None:
    with Client(f"http://127.0.0.1:{flaky.server_port}") as client:
        created = client.collection(NAME).create({"name": marker})
    assert len(flaky.keys) == 3
    assert len(set(flaky.keys)) == 1
    found = list(persist.collection(NAME).list(name=marker))
    assert [record.id for record in found] == [created.id]


def test_without_retries_a_failure_is_the_callers(flaky: FlakyProxy) -> None:
    with Client(f"http://127.0.0.1:{flaky.server_port}", retries=0) as client:
        counters = client.collection(NAME)
        with pytest.raises(problems.Problem) as refused:
            counters.create({})
        assert refused.value.status == 503
        with pytest.raises(httpx.RemoteProtocolError):
            counters.create({})
    assert flaky.keys == [None, None]
