"""What happened, as it is read: attempts, changes of state, and the audit chain, a page at a time.

Nothing here writes, so a page can be read however busy the passes are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from sqlalchemy import Integer, bindparam, func, or_, select

from reconciler.core.audit import Entry
from reconciler.core.strictjson import time_text
from reconciler.model import Action, Attempt, Declared, EnvironmentName, Outcome, Transition
from reconciler.stores import rows, statements, tables
from reconciler.stores.database import Database

AUDIT_BATCH = 500
"""Audit entries read at once: under a megabyte, and no transaction stays open while a reader dawdles."""


class PastStore:
    """The methods of `ports.Store` for these."""

    _database: Database

    # --- attempts -------------------------------------------------------------------------------

    def unfinished(self) -> tuple[Attempt, ...]:
        """Attempts with an intent and no outcome, oldest first: the process ended in between."""
        with self._database.read() as connection:
            return statements.unfinished(connection)

    def attempts(
        self, environment: EnvironmentName | None = None, limit: int = 100, before: int | None = None
    ) -> tuple[Attempt, ...]:
        """Newest first, from the one with the largest id below `before` on."""
        with self._database.read() as connection:
            return statements.attempts(connection, environment, limit, before)

    def attempts_in_short(
        self, environment: EnvironmentName | None = None, limit: int = 100, before: int | None = None
    ) -> tuple[Attempt, ...]:
        """As `attempts`, without output, and without gates but for rollbacks."""
        with self._database.read() as connection:
            return statements.attempts_in_short(connection, environment, limit, before)

    def succeeded(
        self, environment: EnvironmentName, until: datetime | None = None, limit: int = 200
    ) -> tuple[Attempt, ...]:
        """Attempts that succeeded, by `until` if that is given, newest first: in the order they were made in."""
        values = {"key": environment, "most": limit}
        with self._database.read() as connection:
            if until is None:
                found = connection.execute(_SUCCEEDED, values)
            else:
                found = connection.execute(_SUCCEEDED_BY, {**values, "by": time_text(until)})
            return tuple(map(rows.attempt_of, found))

    def deployed(self, environment: EnvironmentName, limit: int = 50) -> tuple[Declared, ...]:
        """What deployments and rollbacks that succeeded brought there, newest first."""
        with self._database.read() as connection:
            found = connection.execute(_DEPLOYED, {"key": environment, "most": limit})
            return tuple(map(rows.declared_of, found))

    # --- changes of state, and the chain ----------------------------------------------------------

    def transitions(
        self, environment: EnvironmentName | None = None, after: int = 0, limit: int = 1000
    ) -> tuple[Transition, ...]:
        """Changes of state with an id above `after`, oldest first; the newest `limit` of them."""
        with self._database.read() as connection:
            return statements.transitions(connection, environment, after, limit)

    def transitions_from(
        self, after: int, limit: int, environment: EnvironmentName | None = None
    ) -> tuple[Transition, ...]:
        """Changes of state with an id above `after`, oldest first; the oldest `limit` of them."""
        with self._database.read() as connection:
            return statements.transitions_from(connection, environment, after, limit)

    def audit(self, after: int = 0) -> Iterator[Entry]:
        """The chain in order, from the entry behind sequence number `after`; never all of it in memory.

        Raises:
            Transient: `StoreUnavailable`, also in the middle.
        """
        while True:
            with self._database.read() as connection:
                found = connection.execute(_LINES, {"after": after}).all()
                entries = [rows.entry_of(seq, text) for seq, text in found]
            if not entries:
                return
            yield from entries
            after = found[-1].seq

    def audit_before(self, before: int | None = None, limit: int = 100) -> tuple[Entry, ...]:
        """Entries, newest first, from the one before sequence number `before` on."""
        with self._database.read() as connection:
            found = connection.execute(_LINES_BEFORE, {"before": statements.upto(before), "most": limit})
            return tuple(rows.entry_of(seq, text) for seq, text in found)

    def audit_found(self, texts: Collection[Collection[str]], before: int, over: int, limit: int) -> tuple[Entry, ...]:
        """Entries among the `over` ones before `before` whose line has one of each of these texts, newest first."""
        line = func.lower(tables.audit.c.line)
        wanted = (or_(*(line.contains(text.lower(), autoescape=True) for text in one)) for one in texts)
        query = _LINES_BEFORE.where(tables.audit.c.seq >= max(0, before - over), *wanted)
        with self._database.read() as connection:
            found = connection.execute(query, {"before": statements.upto(before), "most": limit})
            return tuple(rows.entry_of(seq, text) for seq, text in found)


_A = tables.attempts.c
_SUCCEEDED = (
    select(tables.attempts)
    .where(_A.environment == statements.KEY, _A.outcome == Outcome.SUCCEEDED)
    .order_by(_A.id.desc())
    .limit(bindparam("most", type_=Integer))
)
_DEPLOYED = (
    select(_A.commit, _A.run_id, _A.sha256)
    .where(
        _A.environment == statements.KEY,
        _A.outcome == Outcome.SUCCEEDED,
        _A.action.in_((Action.DEPLOY, Action.ROLLBACK)),
    )
    .order_by(_A.id.desc())
    .limit(bindparam("most", type_=Integer))
)
_SUCCEEDED_BY = _SUCCEEDED.where(_A.finished <= bindparam("by"))
_LINES = (
    select(tables.audit.c.seq, tables.audit.c.line)
    .where(tables.audit.c.seq > bindparam("after"))
    .order_by(tables.audit.c.seq)
    .limit(AUDIT_BATCH)
)
_LINES_BEFORE = (
    select(tables.audit.c.seq, tables.audit.c.line)
    .where(tables.audit.c.seq < bindparam("before"))
    .order_by(tables.audit.c.seq.desc())
    .limit(bindparam("most", type_=Integer))
)
