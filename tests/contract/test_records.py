"""Records: create, read, replace, delete; envelope and data; what is stored (contract 2
and 3)."""

import json
import re
import uuid
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem, pointers

ENVELOPE = {
    "id",
    "collection",
    "workspace",
    "revision",
    "schema_version",
    "created_at",
    "updated_at",
    "data",
}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_a_created_record_is_answered_whole(tickets: Collection) -> None:
    response = tickets.create({"title": "Database degraded", "severity": 30})
    assert response.status_code == 201
    assert response.headers["content-type"].split(";")[0] == "application/json"
    assert response.headers["etag"] == '"1"'
    record = response.json()
    assert record.keys() == ENVELOPE
    assert record["collection"] == tickets.name
    assert record["workspace"] == tickets.workspace
    assert record["revision"] == 1
    assert record["schema_version"] == 2
    assert MOMENT.fullmatch(record["created_at"])
    assert record["updated_at"] == record["created_at"]


def test_defaults_are_filled_in(tickets: Collection) -> None:
    record = tickets.created(title="Database degraded", severity=30)
    assert record["data"] == {
        "title": "Database degraded",
        "severity": 30,
        "acknowledged": False,
        "migration_note": None,
    }


def test_the_location_leads_to_the_record(counters: Collection) -> None:
    response = counters.create({"value": 3})
    address = urljoin(str(response.request.url), response.headers["location"])
    assert address.endswith(counters.at(response.json()["id"]))
    found = counters.client.get(address)
    assert found.status_code == 200
    assert found.json() == response.json()
    assert found.headers["etag"] == '"1"'


def test_a_record_is_read_as_it_was_created(samples: Collection) -> None:
    data = {
        "name": "é 😀 \u2028 'quoted' \"twice\" \\ %s {} $1 :x ?",
        "tags": ["b", "a"],
        "payload": {"z": 1, "a": [None]},
    }
    record = samples.created(**data)
    assert samples.record(record["id"]) == record
    assert {name: record["data"][name] for name in data} == data


@pytest.mark.parametrize("member", sorted(ENVELOPE - {"data"}))
def test_the_envelope_is_the_services_own(counters: Collection, member: str) -> None:
    problem = assert_problem(
        counters.create({"value": 1, member: "x"}), 422, "invalid-data"
    )
    assert pointers(problem) == {f"/{member}"}


def test_fields_named_like_the_envelope_are_just_data(oddities: Collection) -> None:
    data = {
        "id": 5,
        "revision": "nine",
        "created_at": "long ago",
        "workspace": "w",
        "limit": 3,
        "sort": "s",
        "count": True,
        "filter": "f",
        "data": 8,
        "record": "r",
        "order": 1,
        "group": "g",
    }
    record = oddities.created(**data)
    assert {name: record["data"][name] for name in data} == data
    assert uuid.UUID(record["id"]).version == 7
    assert record["revision"] == 1
    patched = oddities.patch(
        record["id"], {"id": 6, "revision": "ten", "data": None}
    ).json()
    assert patched["id"] == record["id"]
    assert patched["revision"] == 2
    assert patched["data"] == record["data"] | {
        "id": 6,
        "revision": "ten",
        "data": None,
    }


# --- reading
# -------------------------------------------------------------------------------------


@pytest.mark.parametrize("condition", ['"1"', 'W/"1"', "*", '"7", "1"', '"7",W/"1"'])
def test_a_record_the_client_has_is_not_sent_again(
    counters: Collection, condition: str
) -> None:
    record_id = counters.created()["id"]
    response = counters.read(record_id, headers={"if-none-match": condition})
    assert response.status_code == 304
    assert response.headers["etag"] == '"1"'
    assert response.content == b""


@pytest.mark.parametrize("condition", ['"2"', '"01"', 'W/"2"'])
def test_a_record_that_has_changed_is_sent_again(
    counters: Collection, condition: str
) -> None:
    record_id = counters.created()["id"]
    counters.command(record_id, "increment")
    counters.command(record_id, "increment")
    response = counters.read(record_id, headers={"if-none-match": condition})
    assert response.status_code == 200
    assert response.json()["revision"] == 3


def test_an_unknown_record_is_not_found(counters: Collection, record_id: str) -> None:
    assert_problem(counters.read(record_id), 404, "record-not-found")
    assert_problem(counters.patch(record_id, {"value": 1}), 404, "record-not-found")
    assert_problem(counters.delete(record_id), 404, "record-not-found")
    assert_problem(counters.command(record_id, "increment"), 404, "record-not-found")


def test_head_answers_like_get_without_a_body(counters: Collection) -> None:
    record_id = counters.created()["id"]
    addresses = [
        counters.at(record_id),
        counters.path,
        f"{counters.at(record_id)}/history",
        f"{counters.path}/commands",
        "/collections",
        f"/collections/{counters.name}",
        "/health/live",
        "/",
    ]
    for address in addresses:
        got, headed = counters.client.get(address), counters.client.head(address)
        assert headed.status_code == got.status_code == 200, address
        assert headed.content == b""
        assert headed.headers.get("etag") == got.headers.get("etag")
        assert headed.headers["content-type"] == got.headers["content-type"]


def test_head_of_an_unknown_record_is_not_found(
    counters: Collection, record_id: str
) -> None:
    response = counters.client.head(counters.at(record_id))
    assert response.status_code == 404
    assert response.content == b""


def test_options_names_the_methods(counters: Collection) -> None:
    record_id = counters.created()["id"]
    allowed = {
        counters.path: {"GET", "HEAD", "POST", "DELETE", "OPTIONS"},
        counters.at(record_id): {"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"},
        f"{counters.path}/import": {"POST", "OPTIONS"},
        f"{counters.path}/export": {"GET", "HEAD", "OPTIONS"},
        f"{counters.at(record_id)}/history": {"GET", "HEAD", "OPTIONS"},
        f"{counters.at(record_id)}/commands/increment": {"POST", "OPTIONS"},
        "/collections": {"GET", "HEAD", "OPTIONS"},
    }
    for address, methods in allowed.items():
        response = counters.client.options(address)
        assert response.status_code in (200, 204), address
        assert methods <= set(re.split(r",\s*", response.headers["allow"])), address


def test_a_record_says_which_patches_it_takes(counters: Collection) -> None:
    response = counters.client.options(counters.at(counters.created()["id"]))
    accepted = set(re.split(r",\s*", response.headers["accept-patch"]))
    assert {"application/merge-patch+json", "application/json-patch+json"} <= accepted


# --- replacing and deleting
# ----------------------------------------------------------------------


def test_put_replaces_all_of_the_data(tickets: Collection) -> None:
    record = tickets.created(
        title="Slow", severity=30, acknowledged=True, migration_note="n"
    )
    response = tickets.replace(record["id"], {"title": "Slower", "severity": 40})
    assert response.status_code == 200
    assert response.headers["etag"] == '"2"'
    replaced = response.json()
    assert replaced["revision"] == 2
    assert replaced["created_at"] == record["created_at"]
    assert replaced["updated_at"] > record["updated_at"]
    assert replaced["data"] == {
        "title": "Slower",
        "severity": 40,
        "acknowledged": False,
        "migration_note": None,
    }
    assert tickets.record(record["id"]) == replaced


def test_put_creates_under_the_clients_id(counters: Collection, record_id: str) -> None:
    response = counters.replace(record_id, {"value": 5})
    assert response.status_code == 201
    assert response.headers["etag"] == '"1"'
    assert response.headers["location"].endswith(counters.at(record_id))
    assert response.json()["id"] == record_id
    assert counters.record(record_id) == response.json()


def test_put_with_if_none_match_creates_only(
    counters: Collection, record_id: str
) -> None:
    only_new = {"if-none-match": "*"}
    assert (
        counters.replace(record_id, {"value": 1}, headers=only_new).status_code == 201
    )
    problem = assert_problem(
        counters.replace(record_id, {"value": 2}, headers=only_new),
        412,
        "precondition-failed",
    )
    assert problem["revision"] == 1
    assert counters.record(record_id)["data"]["value"] == 1


def test_a_deleted_record_is_not_found(counters: Collection) -> None:
    record_id = counters.created()["id"]
    response = counters.delete(record_id)
    assert response.status_code == 204
    assert response.content == b""
    assert_problem(counters.read(record_id), 404, "record-not-found")
    assert_problem(counters.delete(record_id), 404, "record-not-found")
    assert_problem(counters.patch(record_id, {"value": 1}), 404, "record-not-found")
    assert counters.items(_id=record_id) == []


def test_revisions_go_on_after_a_deletion(counters: Collection) -> None:
    record_id = counters.created(value=1)["id"]
    assert counters.command(record_id, "increment").json()["record"]["revision"] == 2
    assert counters.delete(record_id).status_code == 204
    response = counters.replace(record_id, {"value": 9})
    assert response.status_code == 201
    assert response.headers["etag"] == '"4"'
    assert response.json()["revision"] == 4
    assert [change["revision"] for change in counters.history(record_id)] == [
        4,
        3,
        2,
        1,
    ]


def test_an_old_revision_is_no_match_after_delete_and_put(counters: Collection) -> None:
    record_id = counters.created(value=1)["id"]
    counters.delete(record_id)
    counters.replace(record_id, {"value": 1})
    response = counters.patch(record_id, {"value": 2}, headers={"if-match": '"1"'})
    assert assert_problem(response, 412, "precondition-failed")["revision"] == 3


# --- past revisions
# ------------------------------------------------------------------------------


def test_every_revision_can_be_read(counters: Collection) -> None:
    seen = [counters.created(value=0)]
    record_id = seen[0]["id"]
    seen += [
        counters.command(record_id, "increment").json()["record"] for _ in range(4)
    ]
    for record in seen:
        response = counters.read(record_id, revision=record["revision"])
        assert response.status_code == 200
        assert response.json() == record


def test_the_revisions_of_a_deleted_record_can_be_read(counters: Collection) -> None:
    record = counters.created(value=7)
    counters.delete(record["id"])
    assert counters.read(record["id"], revision=1).json() == record
    assert_problem(counters.read(record["id"]), 404, "record-not-found")


@pytest.mark.parametrize("revision", [2, 3, 2**31, 2**63 - 1])
def test_a_revision_the_record_never_had_is_not_found(
    counters: Collection, revision: int
) -> None:
    record_id = counters.created()["id"]
    assert_problem(
        counters.read(record_id, revision=revision), 404, "revision-not-found"
    )


@pytest.mark.parametrize("revision", ["abc", "1.5", "", "٣", "1e3", "0x1"])
def test_a_revision_that_is_no_number_is_refused(
    counters: Collection, revision: str
) -> None:
    record_id = counters.created()["id"]
    assert_problem(counters.read(record_id, revision=revision), 400, "invalid-query")


@pytest.mark.parametrize("revision", [0, -1, 2**63, 2**200])
def test_a_revision_that_cannot_be_is_refused(
    counters: Collection, revision: int
) -> None:
    record_id = counters.created()["id"]
    response = counters.read(record_id, revision=revision)
    assert response.status_code in (400, 404)
    assert_problem(response, response.status_code, response.json()["code"])


# --- writes that change nothing
# ------------------------------------------------------------------


def test_a_write_that_changes_nothing_adds_no_revision(
    samples: Collection, marker: str
) -> None:
    record = samples.created(marker=marker, amount=30, payload={"a": 1, "b": 2})
    record_id, data = record["id"], record["data"]
    unchanged = [
        samples.replace(record_id, data),
        samples.replace(record_id, dict(reversed(data.items()))),
        samples.replace(record_id, data | {"amount": 30.0}),
        samples.patch(record_id, {}),
        samples.patch(record_id, {"amount": 30}),
        samples.patch(record_id, [], type="application/json-patch+json"),
        samples.patch(
            record_id,
            [{"op": "replace", "path": "/payload", "value": {"b": 2, "a": 1}}],
            type="application/json-patch+json",
        ),
        samples.command(record_id, "set", {"amount": 30}),
    ]
    for response in unchanged:
        assert response.status_code == 200
        assert response.headers["etag"] == '"1"'
        answer = response.json()
        assert answer.get("record", answer) == record
    assert len(samples.history(record_id)) == 1


# --- values
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("30.0", "30"),
        ("3e1", "30"),
        ("-0", "0"),
        (str(2**63 - 1), str(2**63 - 1)),
        (str(-(2**63)), str(-(2**63))),
        (str(2**53 + 1), str(2**53 + 1)),
    ],
)
def test_an_integer_is_stored_as_an_integer(
    samples: Collection, sent: str, stored: str
) -> None:
    for body in (
        '{"amount": %s}',
        '{"payload": {"amount": %s}}',
        '{"spare_amount": %s}',
    ):
        response = samples.client.post(
            samples.path,
            content=body % sent,
            headers={"content-type": "application/json"},
        )
        assert response.status_code == 201, response.text
        read = samples.client.get(samples.at(response.json()["id"]))
        assert f'amount":{stored}' in read.text.replace(": ", ":")
        assert f'amount":{stored}.' not in read.text.replace(": ", ":")


@pytest.mark.parametrize(
    "number",
    ["30.5", "true", '"30"', "null", "[]", "1e300", str(2**63), str(-(2**63) - 1)],
)
def test_what_is_no_64_bit_integer_is_refused(samples: Collection, number: str) -> None:
    response = samples.client.post(
        samples.path,
        content='{"amount": ' + number + "}",
        headers={"content-type": "application/json"},
    )
    assert pointers(assert_problem(response, 422, "invalid-data")) == {"/amount"}


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**70, 10**400])
@pytest.mark.parametrize("place", ["spare_amount", "payload"])
def test_an_integer_past_64_bits_is_refused_wherever_it_stands(
    samples: Collection, place: str, number: int
) -> None:
    value: Any = {"deep": [number]} if place == "payload" else number
    response = samples.create({place: value})
    problem = assert_problem(response, 422, "invalid-data")
    assert all(named.startswith(f"/{place}") for named in pointers(problem))


@pytest.mark.parametrize(
    "number", [0.1, -2.5, 5e-324, 1.7976931348623157e308, 1e22, 123456789.123456789]
)
def test_a_double_comes_back_bit_for_bit(samples: Collection, number: float) -> None:
    record = samples.created(ratio=number, spare_ratio=-number, payload={"n": number})
    data = samples.record(record["id"])["data"]
    assert (data["ratio"], data["spare_ratio"], data["payload"]["n"]) == (
        number,
        -number,
        number,
    )


@pytest.mark.parametrize(
    "number", [0.1, 5e-324, 1.7976931348623157e308, 1e22, 3.0, 2**62]
)
def test_what_was_read_can_be_written_back_and_changes_nothing(
    samples: Collection, number: float
) -> None:
    record = samples.created(ratio=number, payload={"n": number})
    read = samples.client.get(samples.at(record["id"])).text
    response = samples.client.put(
        samples.at(record["id"]),
        content=data_text(read),
        headers={"content-type": "application/json"},
    )
    assert response.status_code == 200, response.text
    assert response.json() == record


def data_text(record: str) -> str:
    """The text of ``data`` in an answer, number by number as the service wrote it."""
    start = record.index('"data"') + len('"data":')
    start += len(record[start:]) - len(record[start:].lstrip())
    _, length = json.JSONDecoder().raw_decode(record[start:])
    return record[start : start + length]


def test_a_number_field_keeps_whole_numbers_as_integers(samples: Collection) -> None:
    record = samples.created(ratio=30.0)
    assert '"ratio":30,' in samples.read(record["id"]).text.replace(": ", ":").replace(
        ", ", ","
    )


INVALID = [
    ({"active": 1}, "/active"),
    ({"active": "true"}, "/active"),
    ({"active": None}, "/active"),
    ({"amount": "1"}, "/amount"),
    ({"ratio": "1"}, "/ratio"),
    ({"ratio": True}, "/ratio"),
    ({"name": 1}, "/name"),
    ({"name": None}, "/name"),
    ({"spare_name": []}, "/spare_name"),
    ({"colour": "blue"}, "/colour"),
    ({"colour": 1}, "/colour"),
    ({"size": "medium"}, "/size"),
    ({"tags": "red"}, "/tags"),
    ({"tags": ["a", 1]}, "/tags/1"),
    ({"tags": {}}, "/tags"),
    ({"place": {}}, "/place/city"),
    ({"place": {"city": "x", "zip": 1}}, "/place/zip"),
    ({"place": {"city": "x", "altitude": "high"}}, "/place/altitude"),
    ({"place": "x"}, "/place"),
    ({"payload": []}, "/payload"),
    ({"payload": None}, "/payload"),
    ({"happened_at": "yesterday"}, "/happened_at"),
    ({"happened_at": 5}, "/happened_at"),
    ({"unknown": 1}, "/unknown"),
    ({"a/b": 1}, "/a~1b"),
    ({"a~b": 1}, "/a~0b"),
    ({"": 1}, "/"),
]


@pytest.mark.parametrize(
    ("data", "pointer"), INVALID, ids=[json.dumps(data) for data, _ in INVALID]
)
def test_invalid_data_is_refused_at_its_pointer(
    samples: Collection, data: Json, pointer: str
) -> None:
    problem = assert_problem(samples.create(data), 422, "invalid-data")
    assert pointers(problem) == {pointer}


def test_everything_that_is_wrong_is_named_at_once(tickets: Collection) -> None:
    problem = assert_problem(
        tickets.create(
            {"severity": 51, "acknowledged": "no", "colour": "red", "shape": "round"}
        ),
        422,
        "invalid-data",
    )
    assert pointers(problem) == {
        "/title",
        "/severity",
        "/acknowledged",
        "/colour",
        "/shape",
    }


@pytest.mark.parametrize("title", ["", "x" * 201])
def test_a_length_out_of_bounds_is_refused(tickets: Collection, title: str) -> None:
    problem = assert_problem(
        tickets.create({"title": title, "severity": 30}), 422, "invalid-data"
    )
    assert pointers(problem) == {"/title"}


def test_lengths_count_characters(tickets: Collection) -> None:
    assert tickets.created(title="😀" * 200, severity=30)["data"]["title"] == "😀" * 200


def test_a_refused_replacement_leaves_the_record_unchanged(tickets: Collection) -> None:
    record = tickets.created(title="Slow", severity=30)
    assert_problem(
        tickets.replace(record["id"], {"title": "Slow"}), 422, "invalid-data"
    )
    assert_problem(tickets.replace(record["id"], {}), 422, "invalid-data")
    assert tickets.record(record["id"]) == record


@pytest.mark.parametrize("body", ["[]", "3", '"text"', "null", "true"])
def test_data_that_is_no_object_is_refused(counters: Collection, body: str) -> None:
    response = counters.client.post(
        counters.path, content=body, headers={"content-type": "application/json"}
    )
    assert_problem(response, 422, "invalid-data")


def test_a_time_keeps_its_instant(samples: Collection) -> None:
    record = samples.created(happened_at="2026-11-22T18:00:00.5+01:00")
    again = samples.record(record["id"])["data"]["happened_at"]
    assert again in (
        "2026-11-22T18:00:00.5+01:00",
        "2026-11-22T18:00:00.500000+01:00",
        "2026-11-22T17:00:00.500000Z",
        "2026-11-22T17:00:00.5Z",
    )


# --- unique values
# -------------------------------------------------------------------------------


def test_a_unique_value_belongs_to_one_record(
    accounts: Collection, marker: str, record_id: str
) -> None:
    first = accounts.created(owner=marker)
    other = accounts.created(owner=f"{marker}-2")
    refused = [
        accounts.create({"owner": marker}),
        accounts.replace(record_id, {"owner": marker}),
        accounts.replace(other["id"], {"owner": marker}),
        accounts.patch(other["id"], {"owner": marker}),
        accounts.command(other["id"], "set", {"owner": marker}),
    ]
    for response in refused:
        problem = assert_problem(response, 409, "unique-violation")
        assert "owner" in json.dumps(problem)
    assert accounts.record(first["id"]) == first
    assert accounts.record(other["id"]) == other
    assert_problem(accounts.read(record_id), 404, "record-not-found")


def test_a_record_may_keep_its_unique_value(accounts: Collection, marker: str) -> None:
    record = accounts.created(owner=marker)
    assert (
        accounts.replace(record["id"], {"owner": marker, "balance": 5}).status_code
        == 200
    )


def test_a_unique_value_is_free_again_after_deletion(
    accounts: Collection, marker: str
) -> None:
    record = accounts.created(owner=marker)
    assert accounts.delete(record["id"]).status_code == 204
    again = accounts.created(owner=marker)
    assert_problem(
        accounts.replace(record["id"], {"owner": marker}), 409, "unique-violation"
    )
    assert accounts.items(owner=marker) == [again]


# --- how requests are made
# -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON"],
)
def test_json_is_taken_under_its_names(counters: Collection, media_type: str) -> None:
    response = counters.client.post(
        counters.path, content=b'{"value": 1}', headers={"content-type": media_type}
    )
    assert response.status_code == 201


@pytest.mark.parametrize(
    "media_type",
    ["application/xml", "text/plain", "multipart/form-data; boundary=x", "nonsense"],
)
def test_other_media_types_are_refused(counters: Collection, media_type: str) -> None:
    headers = {"content-type": media_type}
    response = counters.client.post(
        counters.path, content=b'{"value": 1}', headers=headers
    )
    assert_problem(response, 415, "unsupported-media-type")
    record_id = str(uuid.uuid4())
    response = counters.client.put(
        counters.at(record_id), content=b'{"value": 1}', headers=headers
    )
    assert_problem(response, 415, "unsupported-media-type")


def test_a_client_that_prefers_little_gets_no_body(
    counters: Collection, record_id: str
) -> None:
    little = {"prefer": "return=minimal"}
    created = counters.create({"value": 1}, headers=little)
    assert (created.status_code, created.content, created.headers["etag"]) == (
        201,
        b"",
        '"1"',
    )
    known_id = created.headers["location"].rpartition("/")[2]
    assert counters.record(known_id)["data"]["value"] == 1
    put = counters.replace(record_id, {"value": 1}, headers=little)
    assert (put.status_code, put.content) == (201, b"")
    for response in (
        counters.replace(known_id, {"value": 2}, headers=little),
        counters.patch(known_id, {"value": 3}, headers=little),
        counters.command(known_id, "increment", headers=little),
        counters.delete(known_id, headers=little),
    ):
        assert (response.status_code, response.content) == (204, b"")
    assert counters.history(known_id)[0]["revision"] == 5


@pytest.mark.parametrize(
    "preference", ['return="minimal"', "wait=5, Return = Minimal; x", "return=minimal"]
)
def test_a_preference_may_be_written_in_any_way_rfc_7240_allows(
    counters: Collection, preference: str
) -> None:
    assert counters.create({"value": 1}, headers={"prefer": preference}).content == b""


def test_other_preferences_are_ignored_and_the_first_of_two_counts(
    counters: Collection,
) -> None:
    other = "respond-async, return=representation, return=minimal"
    response = counters.create({"value": 1}, headers={"prefer": other})
    assert response.status_code == 201
    assert response.json()["data"]["value"] == 1


@pytest.mark.parametrize("query", [{"dry_rum": "true"}, {"value": "1"}])
def test_a_parameter_a_write_does_not_know_is_refused(
    counters: Collection, marker: str, query: dict[str, Any]
) -> None:
    problem = assert_problem(
        counters.create({"name": marker}, **query), 400, "invalid-query"
    )
    assert next(iter(query)) in problem["detail"]
    assert counters.items(name=marker) == []


# --- what collections there are
# ------------------------------------------------------------------


def test_the_collections_are_listed(
    client: httpx.Client, counters: Collection, kind: str
) -> None:
    listed = {item["name"]: item for item in client.get("/collections").json()["items"]}
    described = listed[counters.name]
    assert described["kind"] == kind
    assert described["schema_version"] == 1
    assert {
        "name",
        "kind",
        "schema_version",
        "schema",
        "commands",
        "unique",
        "indexes",
    } <= described.keys()


def test_a_collection_is_described(accounts: Collection, tickets: Collection) -> None:
    described = accounts.client.get(f"/collections/{accounts.name}").json()
    assert described["schema"]["type"] == "object"
    assert set(described["schema"]["properties"]) == {"owner", "balance"}
    assert described["schema"]["required"] == ["owner"]
    assert described["unique"] == [["owner"]]
    assert tickets.client.get(f"/collections/{tickets.name}").json()["indexes"] == [
        ["severity"]
    ]


def test_a_collection_has_an_openapi_document_of_its_own(
    counters: Collection, samples: Collection
) -> None:
    document = counters.client.get(f"/collections/{counters.name}/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert f"/api/{counters.name}" in document["paths"]
    assert f"/api/{samples.name}" not in document["paths"]


def test_an_unknown_collection_is_not_described(client: httpx.Client) -> None:
    assert_problem(client.get("/collections/nothing"), 404, "collection-not-found")
    assert_problem(
        client.get("/collections/nothing/openapi.json"), 404, "collection-not-found"
    )
