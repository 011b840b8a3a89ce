"""The service's own tables. ``workspace`` is ``''`` for the default one, ``actor`` is
``''`` where access is open; times are text (RFC 3339, UTC, microseconds, ``Z``) on both
databases."""

import sqlalchemy as sa

from persist.storage.dialect.columns import DOCUMENT, INTEGER, TEXT


def _text(name: str, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=null)


METADATA = sa.MetaData()

JOURNAL = sa.Table(
    "journal",
    METADATA,
    sa.Column("seq", INTEGER, primary_key=True, autoincrement=False),
    _text("at"),
    _text("workspace"),
    _text("collection"),
    sa.Column("id", TEXT, nullable=False),
    sa.Column("revision", INTEGER, nullable=False),
    sa.Column("schema_version", INTEGER, nullable=False),
    _text("operation"),
    _text("command", null=True),
    sa.Column("payload", DOCUMENT),
    _text("actor"),
    _text("request_id"),
    sa.Column("snapshot", TEXT),
    _text("created_at"),
    _text("updated_at", null=True),
    sa.Column("data", DOCUMENT),
    sa.Index(
        "journal_record", "collection", "workspace", "id", "revision", unique=True
    ),
)
"""Every change, in commit order. ``created_at`` and ``updated_at`` are the record's, so
that a past revision can be shown whole, the latter where it is not ``at``; ``data`` is
null on deletion."""

JOURNAL_HEAD = sa.Table(
    "journal_head", METADATA, sa.Column("seq", INTEGER, nullable=False)
)
"""One row: the last ``seq`` given out. Taken as the last thing a transaction does, so
that the order of ``seq`` is the order of commit, without gaps."""

JOURNAL_FIRST = sa.Table(
    "journal_first", METADATA, sa.Column("seq", INTEGER, nullable=False)
)
"""One row: the ``seq`` from which on the journal is whole. What is left below it are
the deletions of records that are gone: they keep their last revision, which no other
record of the id may have."""

ANSWERS = sa.Table(
    "answers",
    METADATA,
    sa.Column("actor", TEXT, primary_key=True),
    sa.Column("key", TEXT, primary_key=True),
    _text("at"),
    _text("fingerprint"),
    sa.Column("answer", DOCUMENT, nullable=False),
    sa.Index("answers_at", "at"),
)
"""The stored answers of requests with an ``Idempotency-Key``."""

DEFINITIONS = sa.Table(
    "definitions",
    METADATA,
    sa.Column("name", TEXT, primary_key=True),
    sa.Column("schema_version", INTEGER, primary_key=True, autoincrement=False),
    _text("kind"),
    sa.Column("current", sa.Boolean(), nullable=False),
    _text("at"),
    sa.Column("definition", DOCUMENT, nullable=False),
    sa.Column("table_name", TEXT),
)
"""Every schema version of every entity type this database has known; ``table_name`` is
the table of a registered one. A deleted type has no current version and goes on
counting."""

REGISTRY_HEAD = sa.Table(
    "registry_head",
    METADATA,
    sa.Column("epoch", INTEGER, nullable=False),
    sa.Column("documents", INTEGER, nullable=False),
)
"""One row: how often the definitions changed, and how many document tables were ever
made."""

WORKSPACES = sa.Table(
    "workspaces",
    METADATA,
    sa.Column("name", TEXT, primary_key=True),
    sa.Column("collections", DOCUMENT, nullable=False),
)
"""Every declared workspace, with the names of the collections it holds."""

MIGRATIONS = sa.Table(
    "migrations",
    METADATA,
    sa.Column("id", TEXT, primary_key=True),
    _text("at"),
    sa.Column("report", DOCUMENT, nullable=False),
)
"""Every completed run: restores, and steps that ran in place."""

SNAPSHOT_MARKS = sa.Table(
    "snapshot_marks",
    METADATA,
    sa.Column("collection", TEXT, primary_key=True),
    sa.Column("changes", INTEGER, nullable=False),
)
"""How many changes each collection has seen since automatic snapshots were first asked
for."""

SNAPSHOTS = sa.Table(
    "snapshots",
    METADATA,
    sa.Column("id", TEXT, primary_key=True),
    _text("head"),
    _text("head_sha256"),
    _text("store"),
    sa.Column("pieces", INTEGER, nullable=False),
)
"""Every snapshot that is whole; ``head`` is its first line, its records are in the
pieces of a ``store``, which only this snapshot has."""

SNAPSHOT_PIECES = sa.Table(
    "snapshot_pieces",
    METADATA,
    sa.Column("store", TEXT, primary_key=True),
    sa.Column("number", INTEGER, primary_key=True, autoincrement=False),
    _text("content"),
)
"""The record lines of snapshots. A store is named after the moment it was begun at; one
that no snapshot has is of one that was never done."""

KEYS = sa.Table(
    "access_keys",
    METADATA,
    sa.Column("name", TEXT, primary_key=True),
    _text("sha256"),
    _text("scopes"),
    _text("created_at"),
    _text("revoked_at", null=True),
)
"""Every key that was ever made, revoked ones too: the journal names them."""
