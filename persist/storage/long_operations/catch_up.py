"""Catching up: what changes while a long operation is staged is staged again."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import groupby
from operator import itemgetter
from weakref import WeakMethod

import sqlalchemy as sa

from persist.storage.dialect import Dialect
from persist.storage.entity_types.catalog import Stale
from persist.storage.journal.changes import LAST_SEQ
from persist.storage.long_operations.staging import Staging, refusing
from persist.storage.sql import Session, Statement, big_integer
from persist.storage.tables import JOURNAL
from persist.storage.writes.records import batches

FEW_CHANGES = 100
"""Records that changed since they were staged: so few may be left to the
transaction."""

MAX_ROUNDS = 20
"""Times that what changed meanwhile is staged again."""


@Statement
def changed_since(dialect: Dialect) -> sa.ClauseElement:
    """Select the records of some collections that changed after a ``seq``."""
    columns = JOURNAL.c
    key = (columns.collection, columns.workspace, columns.id)
    return (
        sa.select(*key)
        .where(
            columns.seq > big_integer("since"),
            dialect.one_of(columns.collection, "collections"),
        )
        .distinct()
        .order_by(*key)
    )


StageAgain = Callable[[Session[Dialect], str, str, Sequence[str]], None]
"""Stages records again as a session sees them: by collection, workspace and ids."""


class CatchUp:
    """Knows up to which ``seq`` a long operation on some collections is staged.

    ``collections`` may grow until ``run``. ``stage_again`` is a method of the
    operation, which lives as long as this.
    """

    def __init__(
        self,
        staging: Staging,
        stage_again: StageAgain,
        collections: Collection[str],
    ) -> None:
        self._staging = staging
        # Weak, because the operation refers to this object: a reference cycle would
        # keep its entity types alive until the garbage collector runs.
        self._stage_again = WeakMethod(stage_again)
        self._collections = collections
        self._seq = 0
        self._is_finished = False

    @contextmanager
    def reading(
        self,
        *,
        one_moment: bool = True,
    ) -> Iterator[Session[Dialect]]:
        """Open a reader for a block that stages everything; stage again after it what
        changed meanwhile.

        With ``one_moment`` all that it reads is of one moment. Raises ``Unavailable``
        if the database cannot be read.
        """
        dialect = self._staging.dialect
        with (
            refusing(dialect),
            closing(dialect.connect()) as connection,
        ):
            reader = Session(dialect, connection.cursor())
            # SQLite cannot shorten its log while a transaction reads.
            if one_moment:
                reader.execute(dialect.begin_read)
            self.begin(reader)
            yield reader
            if one_moment:
                reader.execute("ROLLBACK")
            self.run(reader)

    def begin(self, reader: Session[Dialect]) -> None:
        """Note that everything is staged as this reader's transaction sees it."""
        self._seq = reader.value(LAST_SEQ)

    def run(self, reader: Session[Dialect]) -> None:
        """Stage what changed meanwhile again, until little is left, and compute the
        roots of the seals."""
        # Only now: filling an indexed table takes longer.
        self._staging.changes.index()
        for _ in range(MAX_ROUNDS):
            # A new transaction for each round sees what was committed since.
            reader.execute(reader.dialect.begin_read)
            changed = self._stage(reader)
            reader.execute("ROLLBACK")
            # Each round takes less time than the one before, so that less changes
            # meanwhile. A collection that is written all the time would never end; what
            # is left then is done in the transaction.
            if changed <= FEW_CHANGES:
                break
        self._staging.changes.finish()

    def finish(self, session: Session[Dialect]) -> None:
        """Stage the rest, in the transaction that stores what is staged.

        Nobody else may write the collections until it ends.

        Raises ``Stale`` the second time: the transaction before this one failed, and
        the next may see other records.
        """
        if self._is_finished:
            raise Stale
        self._is_finished = True
        self._stage(session)

    def _stage(self, session: Session[Dialect]) -> int:
        """Stage what changed, as a session sees it, and return how many records that
        are."""
        # Read first: what is committed between the two reads is staged once more, which
        # does no harm.
        last_seq = session.value(LAST_SEQ)
        changed = session.rows(
            changed_since,
            collections=session.dialect.bound_list(list(self._collections)),
            since=self._seq,
        )
        stage_again = self._stage_again()
        assert stage_again is not None
        of_workspace = itemgetter(0, 1)
        for (collection, workspace), keys in groupby(changed, of_workspace):
            ids = [record_id for *_, record_id in keys]
            for batch in batches(ids):
                stage_again(session, collection, workspace, batch)
        self._seq = last_seq
        return len(changed)
