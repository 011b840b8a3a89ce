"""The API against a plain dictionary: whatever a client does, both tell the same
story."""

import copy
import functools
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    precondition,
    run_state_machine_as_test,
)
from hypothesis.stateful import rule as rule_of_machine

from tests.support.collection import JSON_PATCH, Collection
from tests.support.problems import Json, assert_problem

DEFAULTS: Json = {
    "amount": 0,
    "spare_amount": None,
    "name": "",
    "spare_name": None,
    "active": True,
}
DEFAULTS |= {"tags": [], "payload": {}}
INT64 = range(-(2**63), 2**63)

texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8
)
integers = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)
numbers = integers | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=6,
)
objects = st.dictionaries(texts, values, max_size=3)
fields: dict[str, st.SearchStrategy[Any]] = {
    "amount": integers,
    "spare_amount": st.none() | integers,
    "name": texts,
    "spare_name": st.none() | texts,
    "active": st.booleans(),
    "tags": st.lists(texts, max_size=3),
    "payload": objects,
}
whole = st.fixed_dictionaries({}, optional=fields)
some = whole.filter(bool)
patches = st.fixed_dictionaries(
    {}, optional={name: st.none() | values for name, values in fields.items()}
)
conditions = st.sampled_from(["none", "right", "wrong"])

runs: Counter[str] = Counter()
"""How often each rule was run."""


def rule(**arguments: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A rule of the machine whose runs are counted."""

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        runs[function.__name__] = 0

        @functools.wraps(function)
        def run(*values: Any, **named: Any) -> Any:
            runs[function.__name__] += 1
            return function(*values, **named)

        decorate: Any = rule_of_machine(**arguments)
        marked: Callable[..., Any] = decorate(run)
        return marked

    return mark


def canonical(value: Any) -> Any:
    """Numbers as the contract stores them: whole doubles within 64 bits are
    integers."""
    if isinstance(value, float) and value.is_integer() and int(value) in INT64:
        return int(value)
    if isinstance(value, dict):
        return {name: canonical(member) for name, member in value.items()}
    if isinstance(value, list):
        return [canonical(member) for member in value]
    return value


def text(value: Any) -> str:
    return json.dumps(canonical(value), sort_keys=True)


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


ABSENT = object()
"""The value of a member that an object does not have."""

Path = tuple[str, ...]


def member(value: Any, path: Path) -> Any:
    for name in path:
        value = value.get(name, ABSENT) if isinstance(value, dict) else ABSENT
    return value


def same(one: Any, other: Any) -> bool:
    if ABSENT in (one, other):
        return one is other
    return text(one) == text(other)


def differing(base: Any, other: Any, path: Path = ()) -> Iterator[Path]:
    """The paths at which two values differ, each as deep as possible."""
    if not isinstance(base, dict) or not isinstance(other, dict):
        if not same(base, other):
            yield path
        return
    for name in sorted(base.keys() | other.keys()):
        values = base.get(name, ABSENT), other.get(name, ABSENT)
        yield from differing(*values, (*path, name))


def three_way(base: Json, theirs: Json, mine: Json) -> tuple[Json, set[Path]]:
    """Theirs with the changes of mine, and the paths that both changed differently."""
    conflicts: set[Path] = set()
    merged = copy.deepcopy(theirs)
    changed = list(differing(base, theirs))
    for path in differing(base, mine):
        for other in changed:
            upper = min(path, other, key=len)
            if path[: len(upper)] != other[: len(upper)]:
                continue
            if not same(member(theirs, upper), member(mine, upper)):
                conflicts.add(upper)
        _put(merged, path, member(mine, path))
    return merged, conflicts


def _put(document: Json, path: Path, value: Any) -> None:
    parent = member(document, path[:-1])
    if not isinstance(parent, dict):
        return  # a conflict above
    if value is ABSENT:
        parent.pop(path[-1], None)
    else:
        parent[path[-1]] = value


def pointers(paths: Any) -> set[str]:
    """JSON Pointers (RFC 6901)."""
    return {
        "".join(f"/{name.replace('~', '~0').replace('/', '~1')}" for name in path)
        for path in paths
    }


@dataclass
class Known:
    """All a client knows of a record: its data at each revision, None where it was
    deleted."""

    past: list[Json | None] = field(default_factory=list)

    @property
    def revision(self) -> int:
        return len(self.past)

    @property
    def data(self) -> Json | None:
        return self.past[-1] if self.past else None


class Clients(RuleBasedStateMachine):
    """A client of one collection, and the dictionary it should be."""

    collection: Collection
    ids = Bundle("ids")
    moments = Bundle("moments")

    @initialize()
    def start(self) -> None:
        self.marker = uuid.uuid4().hex
        self.known: dict[str, Known] = {}

    # --- what the dictionary says
    # ----------------------------------------------------------------

    def full(self, data: Json) -> Json:
        return copy.deepcopy(DEFAULTS) | {"marker": self.marker} | data

    def condition(self, record_id: str, kind: str) -> dict[str, str]:
        revision = self.known[record_id].revision
        return {
            "none": {},
            "right": {"if-match": f'"{revision}"'},
            "wrong": {"if-match": f'"{revision + 1}"'},
        }[kind]

    def assert_written(
        self, record_id: str, response: Any, new: Json, *, dry: bool
    ) -> None:
        """``response`` is that of a write of ``new``; the dictionary learns it unless
        it was dry."""
        known = self.known[record_id]
        changed = known.data is None or text(known.data) != text(new)
        creates = known.data is None
        assert response.status_code == (201 if creates and not dry else 200), (
            response.text
        )
        record = response.json().get("record", response.json())
        assert record["revision"] == known.revision + changed
        self.assert_data(record, new)
        if changed and not dry:
            known.past.append(new)

    def assert_data(self, record: Json, data: Json) -> None:
        fields_of_data = {name: record["data"][name] for name in (*DEFAULTS, "marker")}
        assert text(fields_of_data) == text(data)

    def write(
        self, record_id: str, kind: str, send: Any, new: Json, *, dry: bool
    ) -> None:
        """A write that needs a record, under a precondition of that kind."""
        query = {"dry_run": "true"} if dry else {}
        response = send(self.condition(record_id, kind), query)
        if self.known[record_id].data is None:
            assert response.status_code in (404, 412), response.text
        elif kind == "wrong":
            assert_problem(response, 412, "precondition-failed")
        else:
            self.assert_written(record_id, response, new, dry=dry)

    # --- writes
    # ----------------------------------------------------------------------------------

    @rule(target=ids, data=whole)
    def create(self, data: Json) -> str:
        response = self.collection.create(data | {"marker": self.marker})
        record_id: str = response.json()["id"]
        self.known[record_id] = Known()
        self.assert_written(record_id, response, self.full(data), dry=False)
        return record_id

    @rule(target=ids, data=whole)
    def create_under_an_id_of_ours(self, data: Json) -> str:
        record_id = str(uuid.uuid4())
        self.known[record_id] = Known()
        only_new = {"if-none-match": "*"}
        response = self.collection.replace(
            record_id, data | {"marker": self.marker}, headers=only_new
        )
        self.assert_written(record_id, response, self.full(data), dry=False)
        return record_id

    @rule(record_id=ids, data=whole, dry=st.booleans())
    def put(self, record_id: str, data: Json, dry: bool) -> None:
        query: dict[str, Any] = {"dry_run": "true"} if dry else {}
        response = self.collection.replace(
            record_id, data | {"marker": self.marker}, **query
        )
        self.assert_written(record_id, response, self.full(data), dry=dry)

    @rule(record_id=ids, patch=patches, kind=conditions, dry=st.booleans())
    def merge_patch(self, record_id: str, patch: Json, kind: str, dry: bool) -> None:
        after = merged(self.known[record_id].data or {}, patch)

        def send(headers: dict[str, str], query: dict[str, Any]) -> Any:
            return self.collection.patch(record_id, patch, headers=headers, **query)

        self.write(record_id, kind, send, self.full(after), dry=dry)

    @rule(record_id=ids, changes=some, tag=texts, kind=conditions, dry=st.booleans())
    def json_patch(
        self, record_id: str, changes: Json, tag: str, kind: str, dry: bool
    ) -> None:
        operations = [
            {"op": "replace", "path": f"/{name}", "value": new}
            for name, new in changes.items()
        ]
        operations += [{"op": "add", "path": "/tags/-", "value": tag}]
        after = (self.known[record_id].data or self.full({})) | changes
        after = after | {"tags": [*after["tags"], tag]}

        def send(headers: dict[str, str], query: dict[str, Any]) -> Any:
            return self.collection.patch(
                record_id, operations, type=JSON_PATCH, headers=headers, **query
            )

        self.write(record_id, kind, send, after, dry=dry)

    @rule(record_id=ids, payload=some, kind=conditions, dry=st.booleans())
    def set(self, record_id: str, payload: Json, kind: str, dry: bool) -> None:
        after = (self.known[record_id].data or {}) | payload

        def send(headers: dict[str, str], query: dict[str, Any]) -> Any:
            return self.collection.command(
                record_id, "set", payload, headers=headers, **query
            )

        self.write(record_id, kind, send, after, dry=dry)

    @rule(record_id=ids, kind=conditions, dry=st.booleans())
    def delete(self, record_id: str, kind: str, dry: bool) -> None:
        known = self.known[record_id]
        query: dict[str, Any] = {"dry_run": "true"} if dry else {}
        response = self.collection.delete(
            record_id, headers=self.condition(record_id, kind), **query
        )
        if known.data is None:
            assert response.status_code in (404, 412), response.text
        elif kind == "wrong":
            assert_problem(response, 412, "precondition-failed")
        elif dry:
            assert response.status_code == 200
        else:
            assert response.status_code == 204
            known.past.append(None)

    @rule(bound=integers)
    def delete_by_filter(self, bound: int) -> None:
        doomed = [
            known
            for known in self.known.values()
            if known.data and known.data["amount"] >= bound
        ]
        response = self.collection.delete_matching(
            marker=self.marker, amount__gte=str(bound), max_affected="1000"
        )
        assert response.json() == {"deleted": len(doomed)}
        for known in doomed:
            known.past.append(None)

    @rule(
        record_id=ids,
        member=st.sampled_from(["amount", "active", "tags", "payload", "name"]),
    )
    def bad_data_is_refused(self, record_id: str, member: str) -> None:
        response = self.collection.replace(
            record_id,
            {"marker": self.marker, member: {"no": [1]} if member != "payload" else 1},
        )
        assert_problem(response, 422, "invalid-data")

    # --- reads ------------------------------------------------------------------------
    # -----------

    @rule(record_id=ids)
    def read(self, record_id: str) -> None:
        known, response = self.known[record_id], self.collection.read(record_id)
        if known.data is None:
            assert_problem(response, 404, "record-not-found")
            return
        assert response.headers["etag"] == f'"{known.revision}"'
        assert response.json()["revision"] == known.revision
        self.assert_data(response.json(), known.data)

    @rule(record_id=ids, chance=st.randoms(use_true_random=False))
    def read_a_past_revision(self, record_id: str, chance: Any) -> None:
        revision, data = chance.choice(
            list(enumerate(self.known[record_id].past, start=1))
        )
        response = self.collection.read(record_id, revision=revision)
        if data is not None:
            assert response.json()["revision"] == revision
            self.assert_data(response.json(), data)

    @rule(record_id=ids)
    def read_the_history(self, record_id: str) -> None:
        known = self.known[record_id]
        changes = self.collection.history(record_id, limit=500)
        assert [change["revision"] for change in changes] == list(
            range(known.revision, 0, -1)
        )
        for change, data in zip(changes, reversed(known.past), strict=True):
            assert (
                (change["data"] is None)
                == (data is None)
                == (change["operation"] == "delete")
            )
            if data is not None:
                self.assert_data(change, data)

    @rule(bound=integers, limit=st.integers(1, 4), direction=st.sampled_from(["", "-"]))
    def list_by_amount(self, bound: int, limit: int, direction: str) -> None:
        there = [
            (known.data["amount"], id) for id, known in self.known.items() if known.data
        ]
        wanted = sorted(
            (pair for pair in there if pair[0] <= bound), reverse=direction == "-"
        )
        pages = self.collection.pages(
            marker=self.marker,
            amount__lte=str(bound),
            sort=f"{direction}amount",
            limit=limit,
        )
        assert [record["id"] for page in pages for record in page] == [
            id for _, id in wanted
        ]

    @rule(name=texts)
    def list_by_text(self, name: str) -> None:
        there = {
            id
            for id, known in self.known.items()
            if known.data and name in known.data["name"]
        }
        found = self.collection.items(
            marker=self.marker, name__contains=name, limit="500"
        )
        assert {record["id"] for record in found} == there
        there = {
            id
            for id, known in self.known.items()
            if known.data and known.data["spare_name"] != name
        }
        found = self.collection.items(
            marker=self.marker, spare_name__ne=name, limit="500"
        )
        assert {record["id"] for record in found} == there

    @precondition(lambda self: bool(self.known))
    @rule()
    def sort_by_optional_text(self) -> None:
        there = [
            (known.data["spare_name"], id)
            for id, known in self.known.items()
            if known.data
        ]
        there.sort(key=lambda pair: (pair[0] is None, pair[0] or "", pair[1]))
        pages = self.collection.pages(marker=self.marker, sort="spare_name", limit=3)
        assert [record["id"] for page in pages for record in page] == [
            id for _, id in there
        ]

    # --- time -------------------------------------------------------------------------

    @rule(target=moments)
    def note_the_moment(self) -> tuple[int, dict[str, int]]:
        """The last change, and how many revisions each record had at it."""
        seq: int = self.collection.client.get("/changes?after=now").json()["last_seq"]
        return seq, {id: known.revision for id, known in self.known.items()}

    @rule(moment=moments, limit=st.integers(1, 4))
    def as_of(self, moment: tuple[int, dict[str, int]], limit: int) -> None:
        seq, revisions = moment
        query = {"marker": self.marker, "as_of": seq, "sort": "amount", "limit": limit}
        found = [record for page in self.collection.pages(**query) for record in page]
        there = {
            id: revision
            for id, revision in revisions.items()
            if self.then(id, revision) is not None
        }
        assert {record["id"]: record["revision"] for record in found} == there
        for record in found:
            self.assert_data(record, self.then(record["id"], record["revision"]) or {})
        order = [(record["data"]["amount"], record["id"]) for record in found]
        assert order == sorted(order)

    def then(self, record_id: str, revision: int) -> Json | None:
        return self.known[record_id].past[revision - 1] if revision else None

    @rule(moment=moments, dry=st.booleans())
    def undo(self, moment: tuple[int, dict[str, int]], dry: bool) -> None:
        """Take back everything since a moment."""
        since, revisions = moment
        last, _ = self.note_the_moment()
        body = {
            "from_seq": since + 1,
            "to_seq": max(last, since + 1),
            "collection": self.collection.name,
            "workspace": self.collection.workspace,
        }
        response = self.collection.client.post(
            "/changes/undo", json=body, params={"dry_run": "true"} if dry else {}
        )
        if last == since:
            assert_problem(response, 400, "invalid-query")
            return
        assert response.status_code == 200, response.text
        report = response.json()
        undone = 0
        for record_id, known in self.known.items():
            before = self.then(record_id, revisions.get(record_id, 0))
            is_same = text(before) == text(known.data)
            undone += not is_same
            if not is_same and not dry:
                known.past.append(before)
        assert (report["undone"], report["skipped"]) == (undone, 0)

    @rule(record_id=ids, patch=patches, chance=st.randoms(use_true_random=False))
    def merge(self, record_id: str, patch: Json, chance: Any) -> None:
        """Change a record that was read earlier."""
        known = self.known[record_id]
        read = [n for n, data in enumerate(known.past[:-1], start=1) if data]
        if known.data is None or not read:
            return
        revision = chance.choice(read)
        base = self.then(record_id, revision) or {}
        mine = self.full(merged(base, patch))
        after, conflicts = three_way(base, known.data, mine)
        response = self.collection.patch(
            record_id,
            patch,
            headers={"if-match": f'"{revision}"', "prefer": "merge"},
        )
        if conflicts:
            problem = assert_problem(response, 412, "precondition-failed")
            assert set(problem["conflicts"]) == pointers(conflicts)
            changed = pointers(differing(base, known.data))
            assert set(problem["changed"]) == changed
            return
        assert response.headers["preference-applied"] == "merge"
        self.assert_written(record_id, response, after, dry=False)

    @rule(record_id=consumes(ids))
    def forget(self, record_id: str) -> None:
        """Do not touch a record from now on; the dictionary still expects it in every
        list."""

    def teardown(self) -> None:
        if hasattr(self, "known"):
            there = {
                id: known.revision
                for id, known in self.known.items()
                if known.data is not None
            }
            pages = self.collection.pages(marker=self.marker)
            assert {
                record["id"]: record["revision"] for page in pages for record in page
            } == there


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Iterator[None]:
    """Reports how often each rule was run."""
    for name in runs:
        runs[name] = 0
    yield
    counts = [f"{name} {count}" for name, count in sorted(runs.items())]
    record_property("rules of the state machine", ", ".join(counts))


def run_machine(samples: Collection, *, examples: int, steps: int) -> None:
    machine = type("ClientsOfASample", (Clients,), {"collection": samples})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.usefixtures("report")
def test_the_api_tells_the_same_story_as_a_dictionary(samples: Collection) -> None:
    run_machine(samples, examples=12, steps=30)


@pytest.mark.slow
@pytest.mark.usefixtures("report")
def test_the_api_tells_the_same_long_story_as_a_dictionary(samples: Collection) -> None:
    run_machine(samples, examples=300, steps=60)
