"""Errors of reads: what the caller gets if the database refuses one."""

import logging

from persist.domain.errors import Unavailable
from persist.storage.dialect import Dialect, Failure
from persist.storage.entity_types.catalog import Stale

logger = logging.getLogger(__name__)


def read_error(dialect: Dialect, error: Exception) -> Exception:
    """Return the exception that the caller of a failed read gets: the error itself if
    it is a bug."""
    match dialect.failure(error):
        case Failure.BUG:
            return error
        case Failure.STALE:
            return Stale()
    logger.warning("the database refused a read: %s", error)
    return Unavailable("the database cannot be read now; try again")
