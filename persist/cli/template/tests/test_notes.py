"""Tests of notes: the JSON Schema and its command."""

import httpx


def test_a_note_is_pinned(client: httpx.Client) -> None:
    note = client.post("/api/notes", json={"text": "Milk is out"}).json()
    client.post(f"/api/notes/{note['id']}/commands/pin").raise_for_status()
    pinned = client.get("/api/notes", params={"pinned": "true"}).json()["items"]
    assert [each["id"] for each in pinned] == [note["id"]]
