"""Limits: what ``/`` shows of them."""

from persist.api import query_params, selective_invoke
from persist.api.gateway import MAX_TARGET_BYTES
from persist.api.in_flight import InFlightLimiter
from persist.api.requests import Limits
from persist.api.transactions.operations import MAX_OPERATIONS
from persist.domain.patch import MAX_OPERATIONS as MAX_PATCH_OPERATIONS
from persist.domain.query_values import MAX_SEARCHED_CHARACTERS
from persist.domain.strict_json import DEPTH
from persist.storage.database import Database
from persist.storage.result_size import PAGE_CHARACTERS


def described_limits(
    limits: Limits, limiter: InFlightLimiter, database: Database
) -> dict[str, float]:
    """Return the limits of one request, and those of one process."""
    used = database.used
    return {
        "target_bytes": MAX_TARGET_BYTES,
        "body_bytes": limits.body,
        "body_depth": DEPTH,
        "import_bytes": limits.upload,
        "body_timeout_seconds": limits.silence,
        "read_seconds": database.read_seconds,
        "page": query_params.MAX_LIMIT,
        "page_bytes": PAGE_CHARACTERS,
        "affected": selective_invoke.MAX_AFFECTED,
        "patch_operations": MAX_PATCH_OPERATIONS,
        "transaction_operations": MAX_OPERATIONS,
        "searched_characters": MAX_SEARCHED_CHARACTERS,
        "wait_seconds": query_params.MAX_WAIT_SECONDS,
        "connections": limiter.connections.limit,
        "requests": limiter.requests.limit,
        "waiting": used.writes.limit,
        "reads": used.reads.limit,
        "streams": used.streams.limit,
        "jobs": used.jobs.limit,
        "bodies_bytes": limiter.body_bytes.limit,
        "spooled_bytes": limiter.spooled_bytes.limit,
    }
