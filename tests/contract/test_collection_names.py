"""A collection may have any name: what a database or the service itself keeps for its
own use, too."""

from pathlib import Path

import sqlalchemy as sa

from persist.storage.dialect import dialect_of
from persist.storage.dialect.columns import KEYWORDS
from tests.conftest import NewDatabase
from tests.support.server import serving

NAMES = [
    "order",
    "user",
    "table",
    "nothing",
    "snapshots",
    "journal",
    "keys",
    "document-1",
    "sqlite-x",
    "pg-x",
]
MODELS = """\
from sqlmodel import Field, SQLModel

from persist import entity


def note(name):
    class Note(SQLModel):
        text: str = Field(unique=True)

    return entity(name, schema_version=1)(Note)


globals().update({name.replace("-", "_").title(): note(name) for name in NAMES})
"""


def test_a_typed_collection_may_have_any_name(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    (tmp_path / "names.py").write_text(f"NAMES = {NAMES}\n{MODELS}")
    with (
        serving(new_database(), tmp_path, settings={"MODELS": "names"}) as server,
        server.client() as client,
    ):
        for name in NAMES:
            record = (
                client.post(f"/api/{name}", json={"text": "a"})
                .raise_for_status()
                .json()
            )
            path = f"/api/{name}/{record['id']}"
            assert client.patch(path, json={"text": "b"}).json()["data"] == {
                "text": "b"
            }
            assert client.post(f"/api/{name}", json={"text": "b"}).status_code == 409
            assert (
                client.get(f"/api/{name}?text=b").json()["items"][0]["id"]
                == record["id"]
            )
            assert client.delete(path).status_code == 204


def test_no_word_that_postgresql_reserves_is_missing(postgres: str) -> None:
    engine = dialect_of(postgres).engine()
    with engine.connect() as connection:
        reserved = connection.execute(
            sa.text("SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'T')")
        )
        assert {row[0] for row in reserved} - KEYWORDS == set()
