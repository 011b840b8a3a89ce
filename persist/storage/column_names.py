"""The names of the columns of a typed entity's table, and of indexes."""

import hashlib
import re
from collections.abc import Iterable, Sequence

from persist.domain.field import STORED_ENVELOPE
from persist.domain.record import dumps

RESERVED = frozenset(("workspace", *STORED_ENVELOPE))
"""Columns of the envelope. A member of that name has the column ``data_<name>``."""

SYSTEM = frozenset(("cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"))
"""Columns that PostgreSQL gives every table."""

LENGTH = 63
"""Bytes of a name in PostgreSQL, which cuts off what is longer."""

PREFIX_LENGTH = 38
"""Characters of a table and a kind that the name of an index begins with at most."""

UNSAFE = re.compile(r"""[\x00-\x1f"'`%\\:?(){}\[\]]|^\s*$""")
"""Characters that mean something to a driver even in a quoted name."""


PLAIN_MEMBER = re.compile("[a-z_][a-z0-9_.]*")
"""Names of members that may be part of the name of an index."""


def column_names(members: Iterable[str]) -> dict[str, str]:
    """Return the column of each member.

    A column is named like its member if both databases can keep that name apart
    from the other columns: SQLite takes names for one that differ in case. Any other
    member has a column named by a digest.
    """
    found: dict[str, str] = {}
    taken = set(RESERVED)
    for member in sorted(members, key=_precedence):
        is_reserved = member in RESERVED
        name = f"data_{member}" if is_reserved else member
        if _is_unsafe(name) or name.lower() in taken:
            digest = hashlib.sha256(member.encode())
            name = f"data_0{digest.hexdigest()[:20]}"
        taken.add(name.lower())
        found[member] = name
    return found


def _precedence(member: str) -> tuple[bool, bool, str]:
    """Return the sort key by which members choose their column.

    The order of the members in the class must not change the name of a column.
    """
    return member not in RESERVED, member != member.lower(), member


def _is_unsafe(name: str) -> bool:
    if len(name.encode()) > LENGTH:
        return True
    if name.lower() in SYSTEM:
        return True
    return UNSAFE.search(name) is not None


def index_name(
    table: str,
    kind: str,
    paths: Sequence[str],
    computed: Sequence[str] = (),
) -> str:
    """Return a name of at most 63 characters that is unique to a group of paths.

    ``computed`` are the keys if they are more than members as they are stored: the name
    then differs. Databases may ignore case, and the name does not say where one path
    ends.
    """
    prefix = f"{table}_{kind}_"
    single = paths[0] if len(paths) == 1 and not computed else ""
    if PLAIN_MEMBER.fullmatch(single) and len(prefix + single) <= LENGTH:
        return prefix + single
    text = dumps([prefix, *paths, *computed])
    digest = hashlib.sha256(text.encode()).hexdigest()
    shortened = prefix[:PREFIX_LENGTH]
    return f"{shortened}0_{digest[:20]}"  # no path begins with a digit


def is_unique_index(constraint: str, table: str) -> bool:
    """Return whether a constraint that a database names is a unique index of a table,
    whatever it is over."""
    name = constraint.removeprefix("index '")  # as SQLite writes it
    return name.startswith(f"{table}_unique_"[:PREFIX_LENGTH])
