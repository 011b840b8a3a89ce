"""The column types that both databases have, and the words they reserve."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from persist.domain.field_types import TEXT_TYPES, FieldType

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Text that sorts by code point."""

INTEGER = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
NUMBER: sa.Double[float] = sa.Double()
BOOLEAN = sa.Boolean()

DOCUMENT = sa.Text().with_variant(postgresql.JSON(), "postgresql")
"""A JSON document, stored as the text that was written.

``jsonb`` would turn 1e22 into an integer and lose the order of members.
"""

COLUMN_TYPES: dict[FieldType, sa.types.TypeEngine[Any]] = {
    FieldType.INTEGER: INTEGER,
    FieldType.NUMBER: NUMBER,
    FieldType.BOOLEAN: BOOLEAN,
    **dict.fromkeys(TEXT_TYPES, TEXT),
}
"""The types of fields that have their own column; all others are documents."""

UNLISTED_KEYWORDS = frozenset(
    (
        "nothing",
        "collation",
        "concurrently",
        "lateral",
        "system_user",
        "tablesample",
    )
)
"""Reserved words that SQLAlchemy's lists lack."""

KEYWORDS = (
    UNLISTED_KEYWORDS
    | set(sqlite.base.SQLiteIdentifierPreparer.reserved_words)
    | set(postgresql.base.RESERVED_WORDS)
)
"""Words that one of the databases refuses as the name of a table."""


def partial_index(name: str, columns: Sequence[str], *, where: str) -> sa.Index:
    """Return an index of the rows that meet a condition."""
    condition = sa.text(where)
    return sa.Index(
        name,
        *columns,
        sqlite_where=condition,
        postgresql_where=condition,
    )
