"""Preconditions: the state of the record that a request requires (RFC 9110, section
13)."""

import re
from dataclasses import dataclass

from persist.domain.errors import PreconditionFailed, PreconditionRequired
from persist.domain.record import Record

ANY = "*"

REVISION_TAG = re.compile(r'"(\d{1,19})"')
"""The entity tag of a record."""


@dataclass(frozen=True, slots=True)
class Precondition:
    """``If-Match`` and ``If-None-Match`` as entity tags: ``("*",)`` for any, empty if
    the header is not sent.

    ``required``: a record is changed only with ``If-Match``. ``merge``: if ``If-Match``
    names an earlier revision, both changes are merged if possible.
    """

    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()
    required: bool = False
    merge: bool = False

    @property
    def named_revision(self) -> int | None:
        """The one revision that ``If-Match`` names, None unless it is exactly one."""
        if len(self.if_match) != 1:
            return None
        found = REVISION_TAG.fullmatch(self.if_match[0])
        return int(found[1]) if found else None

    def check_deleted(self) -> None:
        """Check the precondition of a write that brings a deleted record back.

        There is no entity tag to match, so ``If-None-Match: *`` holds, and satisfies a
        required precondition.
        """
        self.check(None)
        if self.required and not self.if_none_match:
            raise PreconditionRequired(
                "the record is deleted; send If-None-Match: * to bring it back"
            )

    def check(self, current: Record | None) -> None:
        """Raise ``PreconditionFailed`` or ``PreconditionRequired`` unless ``current``
        is in the state that is required. ``current`` is None if there is no record."""
        tag = None if current is None else f'"{current.revision}"'
        if self.if_match and not (tag is not None and self.if_match_names(tag)):
            raise self._failed("If-Match", current)
        if tag is not None and self.if_none_match and self.if_none_match_names(tag):
            raise self._failed("If-None-Match", current)
        if self.required and current is not None and not self.if_match:
            raise PreconditionRequired(
                "send If-Match with the revision you read; the record is at"
                f' "{current.revision}"',
                revision=current.revision,
            )

    def if_match_names(self, tag: str) -> bool:
        """Return whether ``If-Match`` names ``tag`` (strong comparison)."""
        return _names(self.if_match, tag, strong=True)

    def if_none_match_names(self, tag: str) -> bool:
        """Return whether ``If-None-Match`` names ``tag`` (weak comparison); a GET then
        answers 304."""
        return _names(self.if_none_match, tag, strong=False)

    def _failed(self, header: str, current: Record | None) -> PreconditionFailed:
        if current is None:
            return PreconditionFailed(
                f"{header} does not hold: there is no such record", revision=None
            )
        return PreconditionFailed(
            f"{header} does not hold: the record is at revision {current.revision};"
            " read it and try "
            f'again with If-Match: "{current.revision}"',
            revision=current.revision,
        )


def _names(tags: tuple[str, ...], tag: str, *, strong: bool) -> bool:
    return tags == (ANY,) or tag in tags or (not strong and f"W/{tag}" in tags)


NO_PRECONDITION = Precondition()
