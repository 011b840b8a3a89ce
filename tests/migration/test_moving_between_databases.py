"""Moving: whatever is stored on one database comes to the other by a snapshot, to the
same content hash, through any plan (contract 7)."""

import itertools
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fixtures.snapshots import (
    SHOP,
    Snapshots,
    canonical,
    content,
    empty_database,
    entry,
    record,
    sha256,
)
from tests.support.collection import Collection
from tests.support.depth import examples
from tests.support.problems import Json
from tests.support.server import serving

OTHER = {"sqlite": "postgresql", "postgresql": "sqlite"}
numbers = itertools.count()


@dataclass(frozen=True)
class Side:
    """A service on one of the two databases."""

    client: httpx.Client

    @property
    def snapshots(self) -> Snapshots:
        return Snapshots(self.client)

    def collection(self, name: str) -> Collection:
        return Collection(self.client, name)


@pytest.fixture(scope="module")
def here(
    request: pytest.FixtureRequest,
    database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Side]:
    """A service on the database everything comes from."""
    folder = tmp_path_factory.mktemp("here")
    url = empty_database(request, database, folder)
    with serving(url, folder, settings=SHOP) as server, server.client() as client:
        yield Side(client)


@pytest.fixture(scope="module")
def there(
    request: pytest.FixtureRequest,
    database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Side]:
    """A service on a database of the other kind, empty at first."""
    folder = tmp_path_factory.mktemp("there")
    url = empty_database(request, OTHER[database], folder)
    with serving(url, folder, settings=SHOP) as server, server.client() as client:
        yield Side(client)


@pytest.fixture(scope="module")
def elsewhere(
    request: pytest.FixtureRequest,
    database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Side]:
    """Another service on a database of the other kind."""
    folder = tmp_path_factory.mktemp("elsewhere")
    url = empty_database(request, OTHER[database], folder)
    with serving(url, folder, settings=SHOP) as server, server.client() as client:
        yield Side(client)


property_test = settings(
    max_examples=examples(8),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

text = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        [
            1e22,
            1e16,
            123456789012345680.0,
            -0.0,
            5e-324,
            1.7976931348623157e308,
            2.0**63,
        ]
    )
    | text
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3)
    ),
)
objects = st.dictionaries(text, values, max_size=5)


def moved(here: Side, there: Side, name: str) -> None:
    """A collection comes over to a database that never knew it, to the same hash and
    the same records."""
    taken = here.snapshots.of(name)
    report = there.snapshots.restored(
        there.snapshots.uploaded(here.snapshots.content(taken["id"]))
    )
    assert (report["created"], report["migrated"]) == (taken["records"], 0)
    again = there.snapshots.of(name)
    assert again["sha256"] == taken["sha256"]
    assert again["collections"] == taken["collections"]
    assert there.collection(name).items(limit=500) == here.collection(name).items(
        limit=500
    )


def emptied(side: Side, name: str) -> None:
    response = side.collection(name).delete_matching(
        [("_revision__gte", "1"), ("max_affected", "10000")]
    )
    assert response.status_code == 200, response.text


@property_test
@given(
    data=st.lists(objects, min_size=1, max_size=8),
    changed=objects,
    deleted=st.booleans(),
)
def test_any_records_of_a_registered_type(
    here: Side, there: Side, data: list[Json], changed: Json, deleted: bool
) -> None:
    name = f"anything-{next(numbers)}"
    assert (
        here.client.put(
            f"/entity-types/{name}", json={"schema": {"type": "object"}}
        ).status_code
        == 201
    )
    collection = here.collection(name)
    first, *others = [collection.create(one) for one in data]
    assert all(response.status_code == 201 for response in (first, *others))
    assert collection.replace(first.json()["id"], changed).status_code == 200
    if deleted and others:
        assert collection.delete(others[0].json()["id"]).status_code == 204
    moved(here, there, name)


samples = st.fixed_dictionaries(
    {},
    optional={
        "marker": text,
        "amount": st.integers(-(2**63), 2**63 - 1),
        "spare_amount": st.none() | st.integers(-(2**63), 2**63 - 1),
        "ratio": st.floats(allow_nan=False, allow_infinity=False)
        | st.integers(-(2**53), 2**53),
        "spare_ratio": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "active": st.booleans(),
        "spare_active": st.none() | st.booleans(),
        "name": text,
        "spare_name": st.none() | text,
        "happened_at": st.none() | st.just("2026-01-02T03:04:05.678901Z"),
        "colour": st.sampled_from([None, "red", "green"]),
        "tags": st.lists(text, max_size=3),
        "place": st.none()
        | st.fixed_dictionaries(
            {"city": text}, optional={"altitude": st.integers(-9, 9)}
        ),
        "payload": objects,
    },
)


@property_test
@given(data=st.lists(samples, min_size=1, max_size=8))
def test_any_records_of_a_typed_entity(
    here: Side, there: Side, data: list[Json]
) -> None:
    for side in (here, there):
        emptied(side, "samples")
    for one in data:
        assert here.collection("samples").create(one).status_code == 201
    moved(here, there, "samples")


# --- through plans
# ---------------------------------------------------------------------------------


MEMBERS = ("a", "b", "c", "d")
names = st.sampled_from(MEMBERS)


@st.composite
def steps(draw: st.DrawFn) -> Json:
    """A declarative step whose parts do not get into each other's way."""
    old, dropped, set_, default = draw(st.permutations(MEMBERS))
    step: Json = {}
    if draw(st.booleans()):
        step["rename"] = {old: f"{old}{draw(st.sampled_from('xyz'))}"}
    if draw(st.booleans()):
        step["drop"] = [dropped]
    if draw(st.booleans()):
        step["set"] = {
            set_: json.dumps(
                draw(st.integers(-99, 99) | st.booleans() | st.text("ab ä", max_size=3))
            )
        }
    if draw(st.booleans()):
        step["default"] = {default: draw(values)}
    return step


def stepped(step: Json, data: Json) -> Json:
    """What a step is meant to do, in words of this test's own."""
    found = {
        step.get("rename", {}).get(name, name): value for name, value in data.items()
    }
    found = {
        name: value for name, value in found.items() if name not in step.get("drop", [])
    }
    found |= {
        name: json.loads(expression) for name, expression in step.get("set", {}).items()
    }
    result: Json = step.get("default", {}) | found
    return result


def normal(value: Any) -> Any:
    """Whole doubles within 64 bits are integers."""
    if isinstance(value, dict):
        return {name: normal(member) for name, member in value.items()}
    if isinstance(value, list):
        return [normal(member) for member in value]
    if isinstance(value, float) and value.is_integer() and -(2**63) <= value < 2**63:
        return int(value)
    return value


@property_test
@given(
    plan=st.lists(steps(), min_size=1, max_size=3),
    data=st.lists(
        st.tuples(st.dictionaries(names, values, max_size=4), st.integers(1, 4)),
        min_size=1,
        max_size=6,
    ),
)
def test_any_plan_makes_the_same_of_any_records_on_both(
    here: Side, there: Side, plan: list[Json], data: list[tuple[Json, int]]
) -> None:
    name, last = f"planned-{next(numbers)}", len(plan) + 1
    whole: Json = {"unique": [], "indexes": [], "commands": {}}
    schemas = [
        {"type": "object", "title": f"version {number}"}
        for number in range(1, last + 1)
    ]
    numbered = [
        {"from": number, "to": number + 1, **step}
        for number, step in enumerate(plan, 1)
    ]
    definitions = [
        {
            **whole,
            "schema_version": number,
            "schema": schema,
            "steps": numbered[number - 2 : number - 1],
        }
        for number, schema in enumerate(schemas, 1)
    ]
    ids = sorted(str(uuid.uuid4()) for _ in data)
    records = [
        record(
            name, id, normal(one), schema_version=min(version, last), revision=version
        )
        for id, (one, version) in zip(ids, data, strict=True)
    ]
    described = entry(
        name, kind="registered", schema_version=last, definitions=definitions
    )
    snapshot = content([described], records, id=str(uuid.uuid4()))
    expected = [walked(stored_record, plan, last) for stored_record in records]
    for side in (here, there):
        assert side.snapshots.restored(side.snapshots.uploaded(snapshot))[
            "created"
        ] == len(records)
        assert side.collection(name).items() == expected
    hashes = {side.snapshots.of(name)["sha256"] for side in (here, there)}
    assert hashes == {
        sha256("".join(canonical(stored_record) + "\n" for stored_record in expected))
    }


def walked(stored_record: Json, plan: list[Json], last: int) -> Json:
    """The record as it comes in: by the steps from its version on, one revision more
    where they changed something."""
    data = stored_record["data"]
    for step in plan[stored_record["schema_version"] - 1 :]:
        data = normal(stepped(step, data))
    changed = canonical(data) != canonical(stored_record["data"])
    return {
        **stored_record,
        "data": data,
        "schema_version": last,
        "revision": stored_record["revision"] + changed,
    }


@property_test
@given(
    data=st.lists(
        st.fixed_dictionaries(
            {
                "title": text.filter(bool),
                "severity": st.integers(1, 5),
                "acknowledged": st.booleans(),
            }
        ),
        min_size=1,
        max_size=8,
    )
)
def test_the_plan_of_a_typed_entity_makes_the_same_on_both(
    here: Side, there: Side, data: list[Json]
) -> None:
    for side in (here, there):
        emptied(side, "ops-tickets")
    ids = sorted(str(uuid.uuid4()) for _ in data)
    records = [
        record("ops-tickets", id, one) for id, one in zip(ids, data, strict=True)
    ]
    snapshot = content([entry("ops-tickets")], records, id=str(uuid.uuid4()))
    for side in (here, there):
        assert side.snapshots.restored(side.snapshots.uploaded(snapshot))[
            "migrated"
        ] == len(data)
        found = [item["data"] for item in side.collection("ops-tickets").items()]
        assert found == [
            {**one, "severity": one["severity"] * 10, "migration_note": None}
            for one in data
        ]
    assert (
        len({side.snapshots.of("ops-tickets")["sha256"] for side in (here, there)}) == 1
    )


# --- everything
# ------------------------------------------------------------------------------------


def test_everything_moves_registered_types_included(
    here: Side, elsewhere: Side
) -> None:
    """Also all that the tests above have left behind."""
    parcels = here.collection("parcels")
    grams = {
        "type": "object",
        "properties": {"grams": {"type": "integer"}, "code": {"type": "string"}},
    }
    kilos = {
        "type": "object",
        "properties": {"kilos": {"type": "integer"}, "code": {"type": "string"}},
    }
    first = {"schema": grams, "unique": ["code"]}
    second = {
        "schema": kilos,
        "unique": ["code"],
        "indexes": ["kilos"],
        "migration": {"rename": {"grams": "kilos"}},
    }
    assert here.client.put("/entity-types/parcels", json=first).status_code == 201
    parcels.created(grams=5, code="A")
    assert here.client.put("/entity-types/parcels", json=second).status_code == 200
    here.collection("accounts").created(owner="Ada")
    taken = here.snapshots.take(note="moving day")
    id = elsewhere.snapshots.uploaded(here.snapshots.content(taken["id"]))
    report = elsewhere.snapshots.restored(id)
    assert (report["created"], report["migrated"]) == (taken["records"], 0)
    again = elsewhere.snapshots.take()
    assert again["sha256"] == taken["sha256"]
    assert again["collections"] == taken["collections"]
    assert (
        elsewhere.client.get("/collections").json()
        == here.client.get("/collections").json()
    )
    plans = [
        side.client.get("/migration-plans/parcels").json() for side in (here, elsewhere)
    ]
    assert plans[0] == plans[1]
    assert elsewhere.collection("parcels").create({"code": "A"}).status_code == 409
    assert elsewhere.collection("accounts").create({"owner": "Ada"}).status_code == 409
    versions = "/entity-types/parcels/versions"
    assert elsewhere.client.get(versions).json() == here.client.get(versions).json()
