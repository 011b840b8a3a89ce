"""What exceptions of the PostgreSQL driver mean."""

import pytest
from psycopg import OperationalError, errors

from persist.storage.dialect import Failure, dialect_of


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (errors.IdleInTransactionSessionTimeout(), Failure.BUSY),
        (OperationalError("the connection is closed"), Failure.UNAVAILABLE),
        (errors.LockNotAvailable(), Failure.BUSY),
        (errors.UniqueViolation(), Failure.UNIQUE),
        (errors.SyntaxError(), Failure.BUG),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_ends_a_transaction_from_outside_is_no_bug(
    error: Exception, failure: Failure
) -> None:
    dialect = dialect_of("postgresql://localhost/nowhere")
    assert dialect.failure(error) is failure
