"""Snapshots: taken of one moment, kept, streamed out and in, verified (contract 7)."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.fixtures.database import Database
from tests.fixtures.snapshots import (
    NDJSON,
    Snapshots,
    canonical,
    closed,
    registered,
    sha256,
)
from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem, pointers
from tests.support.server import Server

MANIFEST = {
    "id",
    "format_version",
    "mode",
    "created_at",
    "seq",
    "records",
    "sha256",
    "note",
    "automatic",
    "collections",
    "seal",
}
UNKNOWN = "01a20000-0000-7000-8000-00000000dead"


@pytest.fixture
def notes(client: httpx.Client, marker: str) -> Collection:
    """An empty collection of any JSON that no other test uses."""
    return registered(client, f"notes-{marker}", {"type": "object"})


def lines_of(content: bytes) -> list[Json]:
    assert content.endswith(b"\n")
    return [json.loads(line) for line in content.decode().split("\n")[:-1]]


# --- taking ---------------------------------------------------------------------------
# -------------


def test_taking_a_collection_gives_its_manifest(
    snapshots: Snapshots, notes: Collection
) -> None:
    records = [notes.created(text=text) for text in "abc"]
    manifest = snapshots.of(notes.name, note="before the release")
    assert manifest.keys() == MANIFEST
    assert manifest["format_version"] == 1
    assert manifest["mode"] == "with_data"
    assert manifest["note"] == "before the release"
    assert manifest["automatic"] is False
    assert manifest["records"] == 3
    assert manifest["created_at"] > records[-1]["created_at"]
    (entry,) = manifest["collections"]
    assert entry.keys() == {
        "workspace",
        "name",
        "kind",
        "schema_version",
        "count",
        "definitions",
    }
    assert (entry["workspace"], entry["name"], entry["kind"]) == (
        None,
        notes.name,
        "registered",
    )
    assert (entry["schema_version"], entry["count"]) == (1, 3)


def test_the_body_may_be_empty(client: httpx.Client, notes: Collection) -> None:
    response = client.post(f"{notes.path}/snapshots")
    assert response.status_code == 201
    assert (response.json()["mode"], response.json()["note"]) == ("with_data", "")


def test_the_manifest_names_the_moment_it_shows(
    snapshots: Snapshots, notes: Collection, stored: Database
) -> None:
    first = snapshots.of(notes.name)["seq"]
    notes.created(text="one more")
    second = snapshots.of(notes.name)["seq"]
    assert (first, second) == (second - 1, stored.value("SELECT seq FROM journal_head"))


def test_the_content_is_what_the_contract_says_to_the_byte(
    snapshots: Snapshots, notes: Collection
) -> None:
    records = [
        notes.created(text=f"Zeile\n{n} – ä \u2028 \U0001f42d", n=n) for n in range(5)
    ]
    records[2] = notes.patch(
        records[2]["id"], {"deep": [{"b": 1, "a": [None, True, 0.1, 1e300]}]}
    ).json()
    notes.delete(records.pop(1)["id"])
    manifest = snapshots.of(notes.name)
    content = snapshots.content(manifest["id"])
    head, *body, end = content.decode().split("\n")[:-1]
    assert json.loads(head) == {"manifest": manifest}
    by_id = sorted(records, key=lambda record: str(record["id"]))
    assert body == [canonical(record) for record in by_id]
    assert manifest["sha256"] == sha256("".join(line + "\n" for line in body))
    before = content[: content.rindex(b"\n", 0, -1) + 1]
    assert json.loads(end) == {"end": {"records": 4, "sha256": sha256(before)}}


EDGES: list[Json] = [
    {
        "numbers": [
            2**63 - 1,
            -(2**63),
            1e300,
            -1e-300,
            0.1,
            5e-324,
            1e22,
            123456789.123456789,
        ]
    },
    {
        "text": [
            "",
            "\\",
            '"',
            "\u2028\u2029",
            "\x7f\x1f\t\r",
            "é",
            "e\u0301",
            "\U0001f42d",
            "a\u0000"[:1],
        ]
    },
    {"": {"": [[], {}, [[]], [{}]]}, "b": 1, "a": 2, "ä": 3, "B": 4},
    {"deep": json.loads("[" * 60 + "]" * 60)},
]


@pytest.mark.parametrize("data", EDGES, ids=range(len(EDGES)))
def test_any_json_comes_out_as_it_was_stored(
    snapshots: Snapshots, notes: Collection, data: Json
) -> None:
    record = notes.created(**data)
    content = snapshots.content(snapshots.of(notes.name)["id"])
    assert lines_of(content)[1] == record
    assert content.decode().split("\n")[1] == canonical(record)


def test_typed_data_comes_out_as_the_api_shows_it(
    snapshots: Snapshots, client: httpx.Client, marker: str
) -> None:
    samples = Collection(client, "samples")
    records = [
        samples.created(
            marker=marker,
            amount=2**62,
            ratio=1e22,
            spare_ratio=-0.0,
            happened_at="2026-01-01T00:00:00Z",
        ),
        samples.created(
            marker=marker,
            place={"city": "Ulm"},
            tags=["b", "a"],
            payload={"z": [1.5], "a": None},
        ),
        samples.created(
            marker=marker,
            colour="red",
            size="large",
            spare_active=False,
            spare_name='"\\',
        ),
    ]
    lines = lines_of(snapshots.content(snapshots.of("samples")["id"]))
    assert [line for line in lines[1:-1] if line["data"]["marker"] == marker] == records


def test_a_snapshot_of_everything_holds_every_collection_in_order(
    snapshots: Snapshots, client: httpx.Client, notes: Collection
) -> None:
    notes.created(text="here")
    Collection(client, "accounts").created(owner=notes.name)
    manifest = snapshots.take()
    names = [entry["name"] for entry in manifest["collections"]]
    assert names == sorted(
        item["name"] for item in client.get("/collections").json()["items"]
    )
    records = lines_of(snapshots.content(manifest["id"]))[1:-1]
    keys = [
        (record["workspace"] or "", record["collection"], record["id"])
        for record in records
    ]
    assert keys == sorted(keys)
    counts = {entry["name"]: entry["count"] for entry in manifest["collections"]}
    assert {name: count for name, count in counts.items() if count} == {
        name: [key[1] for key in keys].count(name) for name in {key[1] for key in keys}
    }
    assert {"accounts", notes.name} <= {key[1] for key in keys}


def test_a_registered_collection_brings_its_definitions(
    snapshots: Snapshots, client: httpx.Client, notes: Collection
) -> None:
    definition = {
        "schema": {
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
        },
        "unique": ["text"],
        "indexes": [["text"]],
        "commands": {"clear": {"set": {"text": "''"}}},
        "migration": {"default": {"text": "?"}},
    }
    notes.created(more=1)
    assert client.put(f"/entity-types/{notes.name}", json=definition).status_code == 200
    (entry,) = snapshots.of(notes.name)["collections"]
    assert entry["schema_version"] == 2
    first, second = entry["definitions"]
    assert (first["schema_version"], first["schema"]) == (1, {"type": "object"})
    assert (second["schema_version"], second["schema"]) == (2, definition["schema"])
    assert (second["unique"], second["indexes"]) == ([["text"]], [["text"]])
    assert second["commands"] == definition["commands"]
    assert second["steps"] == [{"from": 1, "to": 2, "default": {"text": "?"}}]


def test_a_schema_only_snapshot_holds_no_record(
    snapshots: Snapshots, notes: Collection
) -> None:
    notes.created(text="not this")
    manifest = snapshots.of(notes.name, mode="schema_only")
    assert (manifest["mode"], manifest["records"]) == ("schema_only", 0)
    assert [entry["count"] for entry in manifest["collections"]] == [0]
    assert manifest["collections"][0]["definitions"]
    assert len(lines_of(snapshots.content(manifest["id"]))) == 2
    assert manifest["sha256"] == sha256("")


def test_a_dry_run_tells_the_manifest_and_keeps_nothing(
    snapshots: Snapshots, client: httpx.Client, notes: Collection, stored: Database
) -> None:
    notes.created(text="a")
    before = stored.contents()
    response = client.post(
        f"{notes.path}/snapshots", params={"dry_run": "true"}, json={"note": "try"}
    )
    assert response.status_code == 200
    assert (response.json()["records"], response.json()["note"]) == (1, "try")
    assert stored.contents() == before


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"mode": "half"}, {"/mode"}),
        ({"mode": None}, {"/mode"}),
        ({"mode": ["with_data"]}, {"/mode"}),
        ({"note": 7}, {"/note"}),
        ({"note": "x" * 10_001}, {"/note"}),
        ({"noted": "", "mode": "x"}, {"/noted", "/mode"}),
        ({"scope": "all"}, {"/scope"}),
    ],
)
def test_a_body_that_does_not_tell_what_to_take_is_refused(
    client: httpx.Client, body: Json, wrong: set[str]
) -> None:
    problem = assert_problem(
        client.post("/api/counters/snapshots", json=body), 422, "invalid-payload"
    )
    assert pointers(problem) == wrong


@pytest.mark.parametrize("body", [{}, {"scope": "some"}, {"scope": ["counters"]}])
def test_a_snapshot_of_everything_says_so(client: httpx.Client, body: Json) -> None:
    problem = assert_problem(
        client.post("/snapshots", json=body), 422, "invalid-payload"
    )
    assert pointers(problem) == {"/scope"}


def test_what_is_no_json_is_refused(client: httpx.Client) -> None:
    as_json = {"content-type": "application/json"}
    assert_problem(
        client.post("/snapshots", content=b"{", headers=as_json), 400, "invalid-json"
    )
    assert_problem(
        client.post("/snapshots", content=b"[]", headers=as_json),
        422,
        "invalid-payload",
    )
    as_text = {"content-type": "text/plain"}
    assert_problem(
        client.post("/snapshots", content=b"x", headers=as_text),
        415,
        "unsupported-media-type",
    )


def test_a_snapshot_of_no_collection_is_not_found(client: httpx.Client) -> None:
    assert_problem(
        client.post("/api/nothings/snapshots", json={}), 404, "collection-not-found"
    )
    assert_problem(client.get("/api/nothings/snapshots"), 404, "collection-not-found")


def test_a_key_makes_one_snapshot_of_two_requests(
    client: httpx.Client, snapshots: Snapshots, notes: Collection, stored: Database
) -> None:
    key = {"idempotency-key": notes.name}
    first, second = (
        client.post(f"{notes.path}/snapshots", json={}, headers=key) for _ in range(2)
    )
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    assert second.headers["idempotency-replayed"] == "true"
    assert len(client.get(f"{notes.path}/snapshots").json()["items"]) == 1
    assert stored.orphans() == 0
    other = client.post(f"{notes.path}/snapshots", json={"note": "x"}, headers=key)
    assert_problem(other, 422, "idempotency-mismatch")
    assert stored.orphans() == 0


# --- looking and deleting
# --------------------------------------------------------------------------


def test_manifests_are_listed_newest_first_where_their_collection_is(
    snapshots: Snapshots, client: httpx.Client, notes: Collection
) -> None:
    first, second = snapshots.of(notes.name), snapshots.of(notes.name, note="second")
    path = f"{notes.path}/snapshots"
    assert client.get(path).json() == {"items": [second, first], "next_cursor": None}
    everything = snapshots.take()
    assert client.get(f"{notes.path}/snapshots").json()["items"] == [
        everything,
        second,
        first,
    ]
    assert client.get("/snapshots").json()["items"][:3] == [everything, second, first]
    assert second not in client.get("/api/counters/snapshots").json()["items"]
    assert everything in client.get("/api/counters/snapshots").json()["items"]
    page = client.get(path, params={"limit": 2})
    assert page.json()["items"] == [everything, second]
    last = client.get(page.links["next"]["url"]).json()
    assert last == {"items": [first], "next_cursor": None}
    query = {"cursor": page.json()["next_cursor"]}
    refused = client.get("/snapshots", params=query)
    assert_problem(refused, 400, "invalid-query")


def test_one_manifest_is_read(snapshots: Snapshots, client: httpx.Client) -> None:
    manifest = snapshots.of("counters")
    response = client.get(f"/snapshots/{manifest['id']}")
    assert (response.status_code, response.json()) == (200, manifest)


def test_a_deleted_snapshot_is_removed_with_its_chunks(
    snapshots: Snapshots, client: httpx.Client, notes: Collection, stored: Database
) -> None:
    notes.created(text="x")
    before = stored.value("SELECT count(*) FROM snapshot_pieces")
    id = snapshots.of(notes.name)["id"]
    assert (
        client.delete(f"/snapshots/{id}", params={"dry_run": "true"}).status_code == 200
    )
    assert client.get(f"/snapshots/{id}").status_code == 200
    response = client.delete(f"/snapshots/{id}")
    assert (response.status_code, response.content) == (204, b"")
    assert id not in snapshots.ids()
    assert stored.value("SELECT count(*) FROM snapshot_pieces") == before


def test_a_deletion_under_a_key_is_repeated(
    snapshots: Snapshots, client: httpx.Client
) -> None:
    address = f"/snapshots/{snapshots.of('counters')['id']}"
    key = {"Idempotency-Key": f"delete{address}"}
    assert (
        client.delete(address, params={"dry_run": "true"}, headers=key).status_code
        == 200
    )
    first, again = (
        client.delete(address, headers=key),
        client.delete(address, headers=key),
    )
    assert (first.status_code, again.status_code) == (204, 204)
    assert again.headers["idempotency-replayed"] == "true"
    assert_problem(client.delete(address), 404, "snapshot-not-found")


@pytest.mark.parametrize(
    "id", [UNKNOWN, "x", UNKNOWN.upper(), "%00", "%F0%9F%90%AD", "' OR 1=1 --"]
)
def test_what_is_no_snapshot_is_not_found(client: httpx.Client, id: str) -> None:
    for method, path in [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/content"),
        ("POST", "/verify"),
    ]:
        assert_problem(
            client.request(method, f"/snapshots/{id}{path}"), 404, "snapshot-not-found"
        )


# --- verifying
# -------------------------------------------------------------------------------------


def verified(client: httpx.Client, id: str) -> Json:
    response = client.post(f"/snapshots/{id}/verify")
    assert response.status_code == 200, response.text
    found: Json = response.json()
    return found


def test_a_complete_snapshot_passes_its_check(
    snapshots: Snapshots, client: httpx.Client, notes: Collection
) -> None:
    for text in "ab":
        notes.created(text=text)
    assert verified(client, snapshots.of(notes.name)["id"]) == {
        "ok": True,
        "records": 2,
    }


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (
            "UPDATE snapshot_pieces SET content = replace(content, 'stored', 'st0red')",
            "was altered",
        ),
        (
            "UPDATE snapshot_pieces SET content = replace(content, '}\n', '}')",
            "line 2 is not strict JSON",
        ),
        ("DELETE FROM snapshot_pieces", "contains 0 records, its manifest says 1"),
        (
            "UPDATE snapshots SET head = replace(head, 'mine', 'Mine')",
            "line 1 is not as it was stored",
        ),
    ],
    ids=["a letter", "a newline", "a chunk", "the manifest"],
)
def test_what_was_altered_where_it_lies_fails_its_check_and_is_not_restored(
    snapshots: Snapshots,
    client: httpx.Client,
    notes: Collection,
    stored: Database,
    statement: str,
    named: str,
) -> None:
    notes.created(text="stored")
    id = snapshots.of(notes.name, note="mine")["id"]
    with stored.undone():
        (where, column) = (
            ("snapshots", "id") if "head" in statement else ("snapshot_pieces", "store")
        )
        key = (
            id
            if where == "snapshots"
            else stored.value(f"SELECT store FROM snapshots WHERE id = '{id}'")
        )
        stored.run(f"{statement} WHERE {column} = '{key}'")
        outcome = verified(client, id)
        assert outcome["ok"] is False
        assert named in outcome["detail"]
        before = stored.contents()
        problem = assert_problem(
            snapshots.restore(id, on_conflict="skip"), 422, "invalid-snapshot"
        )
        assert named in problem["detail"]
        assert stored.contents() == before
        if where == "snapshots":
            assert_problem(
                client.get(f"/snapshots/{id}/content"), 422, "invalid-snapshot"
            )


# --- out and in
# ------------------------------------------------------------------------------------


def test_an_exported_snapshot_comes_in_again_under_its_id(
    snapshots: Snapshots, client: httpx.Client, notes: Collection
) -> None:
    notes.created(text="travels")
    manifest = snapshots.of(notes.name, note="abroad")
    content = snapshots.content(manifest["id"])
    assert client.delete(f"/snapshots/{manifest['id']}").status_code == 204
    response = snapshots.upload(content)
    assert (response.status_code, response.json()) == (201, manifest)
    assert response.headers["location"] == f"/snapshots/{manifest['id']}"
    assert snapshots.content(manifest["id"]) == content
    assert verified(client, manifest["id"]) == {"ok": True, "records": 1}


def test_the_same_bytes_again_are_not_stored_twice(
    snapshots: Snapshots, notes: Collection, stored: Database
) -> None:
    notes.created(text="twice")
    manifest = snapshots.of(notes.name)
    before = stored.contents()
    response = snapshots.upload(snapshots.content(manifest["id"]))
    assert (response.status_code, response.json()) == (200, manifest)
    assert stored.contents() == before


def test_other_bytes_under_the_id_of_a_snapshot_are_refused(
    snapshots: Snapshots, notes: Collection, stored: Database
) -> None:
    notes.created(text="mine")
    manifest = snapshots.of(notes.name)
    head, line, _ = snapshots.content(manifest["id"]).decode().splitlines()
    before = stored.contents()
    other = closed([head.replace('"note":""', '"note":"x"'), line], 1)
    problem = assert_problem(snapshots.upload(other), 422, "invalid-snapshot")
    assert "another content exists already" in problem["detail"]
    assert stored.contents() == before


def test_lines_may_be_written_otherwise_as_long_as_they_say_the_same(
    snapshots: Snapshots, client: httpx.Client, notes: Collection
) -> None:
    notes.created(text="ä", n=1)
    id = snapshots.of(notes.name)["id"]
    lines = lines_of(snapshots.content(id))[:-1]
    client.delete(f"/snapshots/{id}")
    loose = closed(
        [json.dumps(dict(reversed(line.items())), indent=None) for line in lines], 1
    )
    assert snapshots.uploaded(loose) == id
    assert snapshots.content(id) == loose
    assert verified(client, id) == {"ok": True, "records": 1}


def test_a_dry_run_of_an_upload_checks_and_keeps_nothing(
    snapshots: Snapshots, client: httpx.Client, notes: Collection, stored: Database
) -> None:
    notes.created(text="x")
    manifest = snapshots.of(notes.name)
    content = snapshots.content(manifest["id"])
    client.delete(f"/snapshots/{manifest['id']}")
    before = stored.contents()
    response = snapshots.upload(content, dry_run="true")
    assert (response.status_code, response.json()) == (200, manifest)
    assert_problem(
        snapshots.upload(content[:-1], dry_run="true"), 422, "invalid-snapshot"
    )
    assert stored.contents() == before


def test_a_key_replays_the_answer_to_an_upload(
    snapshots: Snapshots, client: httpx.Client, notes: Collection, marker: str
) -> None:
    notes.created(text="x")
    id = snapshots.of(notes.name)["id"]
    content = snapshots.content(id)
    client.delete(f"/snapshots/{id}")
    headers = NDJSON | {"idempotency-key": marker}
    first = client.post("/snapshots", content=content, headers=headers)
    client.delete(f"/snapshots/{id}")
    again = client.post("/snapshots", content=content, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotency-replayed"] == "true"
    assert id not in snapshots.ids()


def test_a_snapshot_of_many_chunks_is_complete(
    snapshots: Snapshots, client: httpx.Client, notes: Collection, stored: Database
) -> None:
    lines = "".join(json.dumps({"n": n, "text": "x" * 700}) + "\n" for n in range(1300))
    assert notes.import_lines(lines).json() == {"created": 1300}
    manifest = snapshots.of(notes.name)
    assert (
        stored.value(f"SELECT pieces FROM snapshots WHERE id = '{manifest['id']}'") >= 3
    )
    content = snapshots.content(manifest["id"])
    assert [line["data"]["n"] for line in lines_of(content)[1:-1]] == list(range(1300))
    assert verified(client, manifest["id"]) == {"ok": True, "records": 1300}
    client.delete(f"/snapshots/{manifest['id']}")
    assert snapshots.uploaded(content) == manifest["id"]
    assert snapshots.content(manifest["id"]) == content


def test_a_record_whose_numbers_grew_is_taken_and_read_again(
    snapshots: Snapshots, client: httpx.Client, notes: Collection
) -> None:
    text = '{"n": [' + ",".join(["9e18"] * 209_000) + "]}"
    assert (
        client.post(
            notes.path, content=text, headers={"content-type": "application/json"}
        ).status_code
        == 201
    )
    id = snapshots.of(notes.name)["id"]
    assert verified(client, id) == {"ok": True, "records": 1}
    content = snapshots.content(id)
    client.delete(f"/snapshots/{id}")
    assert snapshots.uploaded(content) == id


# --- one moment, whatever writers do
# ---------------------------------------------------------------


def write(server: Server, name: str, over: threading.Event, faults: list[str]) -> None:
    """Create, change and delete without a pause."""
    with server.client() as client:
        collection, ids = Collection(client, name), [UNKNOWN]
        while not over.is_set():
            answers = [
                collection.create({"text": "new"}),
                collection.patch(ids[0], {"more": len(ids)}),
            ]
            ids.append(answers[0].json().get("id", UNKNOWN))
            if len(ids) > 30:
                answers.append(collection.delete(ids.pop(0)))
            faults.extend(
                a.text
                for a in answers
                if a.status_code >= 500 and "retry-after" not in a.headers
            )


@contextmanager
def writing(server: Server, name: str) -> Iterator[list[str]]:
    """Four clients that write while the block runs; gives what went wrong."""
    over, faults = threading.Event(), list[str]()
    threads = [
        threading.Thread(target=write, args=(server, name, over, faults))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    try:
        yield faults
    finally:
        over.set()
        for thread in threads:
            thread.join()


def replayed(stored: Database, collection: str, seq: int) -> list[tuple[str, int]]:
    """The records that the changes up to a moment of the journal leave behind."""
    changes = stored.rows(
        "SELECT id, revision, operation FROM journal "
        f"WHERE collection = '{collection}' AND seq <= {seq} ORDER BY seq"
    )
    last = {id: (revision, operation) for id, revision, operation in changes}
    return sorted(
        (id, revision)
        for id, (revision, operation) in last.items()
        if operation != "delete"
    )


def test_writers_at_full_speed_leave_a_snapshot_one_moment_of_the_journal(
    server: Server, snapshots: Snapshots, notes: Collection, stored: Database
) -> None:
    notes.import_lines('{"text": "old"}\n' * 3000)
    with writing(server, notes.name) as faults:
        taken = [snapshots.of(notes.name) for _ in range(4)]
    assert faults == []
    assert len({manifest["seq"] for manifest in taken}) > 1
    for manifest in taken:
        records = lines_of(snapshots.content(manifest["id"]))[1:-1]
        listed = [(record["id"], record["revision"]) for record in records]
        assert listed == replayed(stored, notes.name, manifest["seq"])
