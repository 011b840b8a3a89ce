"""The names of the columns of a typed entity's table."""

import hashlib
import re
from collections.abc import Iterable

from persist.domain.field import ENVELOPE

RESERVED = frozenset(("workspace", *ENVELOPE))
"""Columns of the envelope. A member of that name has the column ``data_<name>``."""

SYSTEM = frozenset(("cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"))
"""Columns that PostgreSQL gives every table."""

LENGTH = 63
"""Bytes of the longest name that PostgreSQL keeps apart from others."""

UNSAFE = re.compile(r"""[\x00-\x1f"'`%\\:?(){}\[\]]|^\s*$""")
"""Characters that mean something to a driver even in a quoted name."""


def column_names(members: Iterable[str]) -> dict[str, str]:
    """Return the column of each member.

    A column is named like its member where both databases can keep that name apart
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
