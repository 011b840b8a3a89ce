"""The service's own tables.

``workspace`` is ``''`` for the default one, ``actor`` is ``''`` if access is open.
Times are text on both databases: RFC 3339 in UTC with microseconds and ``Z``.
"""

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
"""Every change, in the order of commits.

``created_at`` and ``updated_at`` are the record's; the latter is null if it is ``at``.
``data`` is the record's data after the change: null for a deletion, and once erased.
"""

JOURNAL_HEAD = sa.Table(
    "journal_head", METADATA, sa.Column("seq", INTEGER, nullable=False)
)
"""One row: the last ``seq`` that was taken.

A transaction takes its seqs last, so their order is the order of commits, without gaps.
"""

JOURNAL_FIRST = sa.Table(
    "journal_first", METADATA, sa.Column("seq", INTEGER, nullable=False)
)
"""One row: the ``seq`` from which on the journal is complete.

Below it are only the deletions of records that are still deleted. They keep the last
revision of the id, which no later record may have.
"""

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
"""Every schema version of every entity type that this database has known.

``table_name`` is the table of a registered type. A deleted type has no current version,
and its versions go on counting.
"""

REGISTRY_HEAD = sa.Table(
    "registry_head",
    METADATA,
    sa.Column("epoch", INTEGER, nullable=False),
    sa.Column("documents", INTEGER, nullable=False),
)
"""One row: how often definitions and workspaces changed (``epoch``), and how many
document tables were ever created.
"""

WORKSPACES = sa.Table(
    "workspaces",
    METADATA,
    sa.Column("name", TEXT, primary_key=True),
    sa.Column("collections", DOCUMENT, nullable=False),
)
"""Every declared workspace, with the names of its collections."""

MIGRATIONS = sa.Table(
    "migrations",
    METADATA,
    sa.Column("id", TEXT, primary_key=True),
    _text("at"),
    sa.Column("report", DOCUMENT, nullable=False),
)
"""Every completed migration: restores, and steps that ran in place."""

SNAPSHOT_MARKS = sa.Table(
    "snapshot_marks",
    METADATA,
    sa.Column("collection", TEXT, primary_key=True),
    sa.Column("changes", INTEGER, nullable=False),
)
"""How many changes each collection has had since automatic snapshots were turned on."""

SNAPSHOTS = sa.Table(
    "snapshots",
    METADATA,
    sa.Column("id", TEXT, primary_key=True),
    _text("head"),
    _text("head_sha256"),
    _text("store"),
    sa.Column("pieces", INTEGER, nullable=False),
)
"""Every complete snapshot.

``head`` is its first line. Its records are in the chunks of a ``store`` of its own.
"""

SNAPSHOT_PIECES = sa.Table(
    "snapshot_pieces",
    METADATA,
    sa.Column("store", TEXT, primary_key=True),
    sa.Column("number", INTEGER, primary_key=True, autoincrement=False),
    _text("content"),
)
"""The record lines of snapshots, in chunks.

A store is named by a UUIDv7, so by the moment at which it was begun. One that no
snapshot has belongs to one that is being taken or was never completed.
"""

KEYS = sa.Table(
    "access_keys",
    METADATA,
    sa.Column("name", TEXT, primary_key=True),
    _text("sha256"),
    _text("scopes"),
    _text("created_at"),
    _text("revoked_at", null=True),
)
"""Every key that was ever created, revoked ones too: the journal names them."""
