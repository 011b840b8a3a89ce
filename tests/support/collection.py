"""A collection as a client sees it: one method a call of the contract, each giving the
response."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import httpx

from tests.support.problems import Json

Headers = Mapping[str, str]
Pairs = Sequence[tuple[str, str]]
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


class Collection:
    """A client of one collection, in the default workspace or in another."""

    def __init__(
        self, client: httpx.Client, name: str, workspace: str | None = None
    ) -> None:
        self.client = client
        self.name = name
        self.workspace = workspace
        self.path = (
            f"/api/{name}"
            if workspace is None
            else f"/workspaces/{workspace}/api/{name}"
        )

    def by(self, client: httpx.Client) -> "Collection":
        """The same collection through another client."""
        return Collection(client, self.name, self.workspace)

    def at(self, record_id: str) -> str:
        """The address of a record."""
        return f"{self.path}/{record_id}"

    def create(
        self, data: Any, *, headers: Headers | None = None, **query: Any
    ) -> httpx.Response:
        return self.client.post(self.path, json=data, headers=headers, params=query)

    def created(self, **data: Any) -> Json:
        """The record that comes of ``data``; fails unless it is created."""
        response = self.create(data)
        assert response.status_code == 201, response.text
        record: Json = response.json()
        return record

    def read(
        self, record_id: str, *, headers: Headers | None = None, **query: Any
    ) -> httpx.Response:
        return self.client.get(self.at(record_id), headers=headers, params=query)

    def record(self, record_id: str) -> Json:
        """The record as it is; fails unless it is there."""
        response = self.read(record_id)
        assert response.status_code == 200, response.text
        record: Json = response.json()
        return record

    def replace(
        self, record_id: str, data: Any, *, headers: Headers | None = None, **query: Any
    ) -> httpx.Response:
        return self.client.put(
            self.at(record_id), json=data, headers=headers, params=query
        )

    def patch(
        self,
        record_id: str,
        patch: Any,
        *,
        type: str = MERGE,
        headers: Headers | None = None,
        **query: Any,
    ) -> httpx.Response:
        named = {"content-type": type, **(headers or {})}
        return self.client.patch(
            self.at(record_id), json=patch, headers=named, params=query
        )

    def delete(
        self, record_id: str, *, headers: Headers | None = None, **query: Any
    ) -> httpx.Response:
        return self.client.delete(self.at(record_id), headers=headers, params=query)

    def command(
        self,
        record_id: str,
        name: str,
        payload: Any = None,
        *,
        headers: Headers | None = None,
        **query: Any,
    ) -> httpx.Response:
        address = f"{self.at(record_id)}/commands/{name}"
        if payload is None:
            return self.client.post(address, headers=headers, params=query)
        return self.client.post(address, json=payload, headers=headers, params=query)

    def invoke(
        self,
        command: str,
        payload: Any = None,
        pairs: Pairs = (),
        /,
        *,
        headers: Headers | None = None,
        **query: Any,
    ) -> httpx.Response:
        """Run a command on all that match."""
        address = (
            f"{self.path}/commands/{command}?{urlencode([*pairs, *query.items()])}"
        )
        if payload is None:
            return self.client.post(address, headers=headers)
        return self.client.post(address, json=payload, headers=headers)

    def find(self, pairs: Pairs = (), /, **query: Any) -> httpx.Response:
        """List by ``query``, or by ``pairs`` where a name has dots or repeats."""
        return self.client.get(f"{self.path}?{urlencode([*pairs, *query.items()])}")

    def items(self, pairs: Pairs = (), /, **query: Any) -> list[Json]:
        """The records of the one page a list gives."""
        response = self.find(pairs, **query)
        assert response.status_code == 200, response.text
        items: list[Json] = response.json()["items"]
        return items

    def pages(self, pairs: Pairs = (), /, **query: Any) -> Iterator[list[Json]]:
        """Every page of a list, one after the other, by its cursors."""
        cursor: dict[str, str] = {}
        while True:
            response = self.find([*pairs, *cursor.items()], **query)
            assert response.status_code == 200, response.text
            body = response.json()
            yield body["items"]
            if body["next_cursor"] is None:
                return
            cursor = {"cursor": body["next_cursor"]}

    def history(self, record_id: str, **query: Any) -> list[Json]:
        """A record's changes, newest first; fails unless there are any."""
        response = self.client.get(f"{self.at(record_id)}/history", params=query)
        assert response.status_code == 200, response.text
        changes: list[Json] = response.json()["items"]
        return changes

    def whole_history(self, record_id: str) -> list[Json]:
        """All of a record's changes, newest first, by the cursors of its history."""
        changes: list[Json] = []
        cursor: dict[str, str] = {}
        while True:
            body = self.client.get(
                f"{self.at(record_id)}/history", params={"limit": 500, **cursor}
            ).json()
            changes += body["items"]
            if body["next_cursor"] is None:
                return changes
            cursor = {"cursor": body["next_cursor"]}

    def delete_matching(
        self, pairs: Pairs = (), /, *, headers: Headers | None = None, **query: Any
    ) -> httpx.Response:
        return self.client.delete(
            f"{self.path}?{urlencode([*pairs, *query.items()])}", headers=headers
        )

    def import_lines(
        self, content: bytes | str, *, headers: Headers | None = None, **query: Any
    ) -> httpx.Response:
        named = {"content-type": "application/x-ndjson", **(headers or {})}
        return self.client.post(
            f"{self.path}/import", content=content, headers=named, params=query
        )

    def export(self, pairs: Pairs = (), /, **query: Any) -> httpx.Response:
        return self.client.get(
            f"{self.path}/export?{urlencode([*pairs, *query.items()])}"
        )
