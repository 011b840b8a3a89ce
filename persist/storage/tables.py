"""The service's own tables.

``workspace`` is ``''`` for the default one, ``actor`` is ``''`` if access is open.
Times are text on both databases: RFC 3339 in UTC with microseconds and ``Z``.
"""

import sqlalchemy as sa

from persist.storage.dialect.columns import DOCUMENT, INTEGER, TEXT, partial_index


def _text(name: str, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=null)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, INTEGER, nullable=False)


METADATA = sa.MetaData()

JOURNAL = sa.Table(
    "journal",
    METADATA,
    sa.Column("seq", INTEGER, primary_key=True, autoincrement=False),
    _text("at"),
    _text("workspace"),
    _text("collection"),
    _text("id"),
    _integer("revision"),
    _integer("schema_version"),
    _text("operation"),
    _text("command", null=True),
    sa.Column("payload", DOCUMENT),
    _text("actor"),
    _text("request_id"),
    sa.Column("snapshot", TEXT),
    _text("created_at"),
    _text("updated_at", null=True),
    sa.Column("data", DOCUMENT),
    sa.Column("hash", sa.LargeBinary()),
    sa.Column("payload_sha256", sa.LargeBinary()),
    sa.Column("data_sha256", sa.LargeBinary()),
    sa.Index(
        "journal_record", "collection", "workspace", "id", "revision", unique=True
    ),
    sa.Index("journal_request", "request_id", "seq"),
    partial_index(
        "journal_deletions",
        ("operation", "collection", "workspace", "at", "id"),
        where="operation = 'delete'",
    ),
    partial_index(
        "journal_erased",
        ("workspace", "id", "collection"),
        where="data IS NULL AND operation != 'delete'",
    ),
)
"""Every change, in commit order.

``created_at`` and ``updated_at`` are the record's, so that a past revision can be read
complete; the latter is null if it is ``at``. ``data`` is null on a deletion. ``hash``
is the SHA-256 of the change's leaf. ``payload_sha256`` and ``data_sha256`` are null
until payload and data are erased.
"""

JOURNAL_HEAD = sa.Table(
    "journal_head",
    METADATA,
    _integer("seq"),
    sa.Column("sealed_seq", INTEGER, nullable=False, server_default=sa.text("0")),
    sa.Column("seal_hash", TEXT, nullable=False, server_default=""),
    sa.Column("sealed_at", TEXT, nullable=False, server_default=""),
)
"""One row: the last ``seq`` given out, and the last seal.

It is taken as the last thing a transaction does, so that the order of ``seq`` is the
order of commit, without gaps.
"""

SEALS = sa.Table(
    "seals",
    METADATA,
    sa.Column("seq", INTEGER, primary_key=True, autoincrement=False),
    _integer("first_seq"),
    _text("at"),
    _text("root"),
    _text("hash"),
    sa.Index("seals_at", "at"),
)
"""Every seal of the journal, without a gap; ``seq`` is the last change it covers."""

JOURNAL_FIRST = sa.Table("journal_first", METADATA, _integer("seq"))
"""One row: the ``seq`` from which on the journal is complete.

Below it is only the last change of each record, its base: what the record was at that
``seq``. Followers and histories do not see it.
"""

JOURNAL_BASES = sa.Table(
    "journal_bases",
    METADATA,
    sa.Column("seq", INTEGER, primary_key=True, autoincrement=False),
    _text("seal"),
    _text("path"),
)
"""The seal of each base, and the inclusion path from its leaf to the root, as JSON."""

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
    _integer("epoch"),
    _integer("documents"),
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
    _integer("changes"),
)
"""How many changes each collection has had since automatic snapshots were turned on."""

SNAPSHOTS = sa.Table(
    "snapshots",
    METADATA,
    sa.Column("id", TEXT, primary_key=True),
    _text("head"),
    _text("head_sha256"),
    _text("store"),
    sa.Column("pieces", INTEGER, key="chunks", nullable=False),
    _text("created_at", null=True),
    sa.Column("seq", INTEGER),
    sa.Column("automatic", INTEGER),
    sa.Index("snapshots_listed", "id", "store", "created_at", "seq", "automatic"),
)
"""Every complete snapshot.

``head`` is its first line, which may be large: SQLite reads all of it on the way to the
columns behind it, so lists read the index. Its records are in the chunks of a separate
``store``. The last three columns repeat members of the manifest; in a row of an earlier
release they are null until the next start.
"""

SNAPSHOT_CONTENTS = sa.Table(
    "snapshot_contents",
    METADATA,
    sa.Column("store", TEXT, primary_key=True),
    sa.Column("workspace", TEXT, primary_key=True),
    sa.Column("collection", TEXT, primary_key=True),
)
"""What snapshots contain: the collections of each, by its ``store``."""

SNAPSHOT_CHUNKS = sa.Table(
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


def _secrets(name: str) -> sa.Table:
    """Return a table of secrets that stand for a key for some time: their hashes,
    because whoever reads the database must not be able to use them."""
    return sa.Table(
        name,
        METADATA,
        sa.Column("sha256", TEXT, primary_key=True),
        _text("key"),
        _text("expires_at"),
    )


CONSOLE_SESSIONS = _secrets("console_sessions")
"""The sessions of browsers; ``key`` is the name of a key."""

CONSOLE_CODES = _secrets("console_codes")
"""The one-time codes that begin a session, until they are used."""
