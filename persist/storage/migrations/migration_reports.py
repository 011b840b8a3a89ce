"""Reports of completed migrations, which ``GET /migrations`` lists."""

from persist.domain.identifiers import new_id
from persist.domain.record import Json, dumps
from persist.storage.dialect import Dialect
from persist.storage.sql import Inserter, Session
from persist.storage.tables import MIGRATIONS

INSERT_RUNS = Inserter(MIGRATIONS)


def record_run(
    session: Session[Dialect],
    at: str,
    report: Json,
) -> Json:
    """Store the report of a completed migration and return it with its id."""
    run_id = new_id()
    identified = {
        "id": run_id,
        "at": at,
        **report,
    }
    text = dumps(identified)
    row = (run_id, at, text)
    session.insert(INSERT_RUNS, [row])
    return identified
