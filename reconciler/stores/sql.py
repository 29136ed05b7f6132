"""The memory in SQL. What each method promises stands at `ports.Store`; this is how it is kept.

Every method that writes is one transaction and the only writing one at that time, so the audit chain can't fork and
nothing is ever half remembered: an attempt without its audit entry, say. Its step is traced right before the
commit; killed there or earlier, nothing happened, and killed later, all of it did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import delete, make_url, select
from sqlalchemy.exc import ArgumentError

from reconciler.core.audit import Checkpoint, Entry, Kind, attempted, operated
from reconciler.errors import PolicyDenied, Reason, Terminal
from reconciler.model import (
    Accepted,
    AcceptedPolicy,
    Attempt,
    CommitId,
    EnvironmentName,
    OperatorHand,
    Outcome,
    Rewrite,
    Soak,
    Status,
    Transition,
)
from reconciler.ports import Clock, Trace
from reconciler.stores import governance, rows, statements, tables
from reconciler.stores.database import Database
from reconciler.stores.told import ToldStore

AUDIT_BATCH = 500
"""Audit entries read at once: under a megabyte, and no transaction stays open while a reader dawdles."""


def create(url: str, clock: Clock, trace: Trace) -> SqlStore:
    """The store at a URL; see `SqlStore`."""
    return SqlStore(url, clock, trace)


class SqlStore(ToldStore):
    """`ports.Store`, for several threads and several processes at once.

    Nothing is opened or made before it is first used, and it can be used again after `close`.

    Args:
        url: `sqlite:///path`.
        clock: Dates audit entries.
        trace: Gets `store:<what>` right before each commit.

    Raises:
        Terminal: `StoreUnavailable`: another kind of URL.
    """

    def __init__(self, url: str, clock: Clock, trace: Trace) -> None:
        super().__init__(Database(_file(url), trace))
        self._clock = clock

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    # --- lease and tip --------------------------------------------------------------------------

    def acquire(self, holder: str) -> int:
        """Take the lease and get its fencing token: larger than any given before."""
        with self._database.write("store:lease") as connection:
            token = statements.largest_token(connection) + 1
            statements.put(connection, tables.lease, 1, {"holder": holder, "token": token})
        return token

    def raise_token(self, holder: str, above: int) -> int:
        """A token larger than `above` and than any given before, for who holds the lease or finds it free.

        Raises:
            PolicyDenied: `FencedOff`: somebody else holds it.
        """
        with self._database.write("store:token") as connection:
            known = connection.execute(select(tables.lease.c.holder)).scalar()
            if known not in (None, holder):
                raise PolicyDenied(
                    Reason.FENCED_OFF, "another process has taken the lease since", "leave it to that process"
                )
            token = max(above, statements.largest_token(connection)) + 1
            statements.put(connection, tables.lease, 1, {"holder": holder, "token": token})
        return token

    def tip(self) -> CommitId | None:
        """The last tip of the tracked branch that was seen."""
        with self._database.read() as connection:
            tip = connection.execute(select(tables.branch.c.tip)).scalar()
        return None if tip is None else CommitId(tip)

    def save_tip(self, tip: CommitId) -> None:
        """Remember the tip; writes nothing when it is remembered already."""
        if self.tip() == tip:
            return
        with self._database.write("store:tip") as connection:
            statements.put(connection, tables.branch, 1, {"tip": tip})

    # --- statuses -------------------------------------------------------------------------------

    def statuses(self) -> Mapping[EnvironmentName, Status]:
        """Every environment's status as of its last pass."""
        with self._database.read() as connection:
            return statements.documents_of(connection, tables.statuses, Status)

    def save(self, status: Status, at: datetime, accepted: Accepted | None = None) -> None:
        """Remember a status, and what was found accepted; writes nothing at all when just this is remembered."""
        with self._database.read() as connection:
            if statements.status_stands(connection, status) and statements.accepted_stands(connection, accepted):
                return
        with self._database.write("store:status") as connection:
            statements.put_status(connection, status, at)
            statements.put_accepted(connection, accepted)

    def forget(self, environment: EnvironmentName) -> None:
        """Forget a status; writes nothing when none is remembered."""
        table = tables.statuses
        if environment in self.statuses():
            with self._database.write("store:forget") as connection:
                connection.execute(delete(table).where(table.c.environment == environment))

    def transitions(
        self, environment: EnvironmentName | None = None, after: int = 0, limit: int = 1000
    ) -> tuple[Transition, ...]:
        """Changes of state with an id above `after`, oldest first; the newest `limit` of them."""
        table = tables.transitions
        query = select(table).where(table.c.id > after).order_by(table.c.id.desc()).limit(limit)
        if environment is not None:
            query = query.where(table.c.environment == environment)
        with self._database.read() as connection:
            found = [rows.transition_of(row) for row in connection.execute(query).mappings()]
        return tuple(reversed(found))

    # --- attempts -------------------------------------------------------------------------------

    def begin(self, attempt: Attempt) -> Attempt:
        """Record intent. The attempt comes back with its id, without an end."""
        begun = replace(attempt, finished=None, outcome=None, reason=None)
        with self._database.write("store:intent") as connection:
            begun = statements.add_attempt(connection, begun)
            statements.append(connection, attempted(Kind.INTENT, begun, self._clock.now()))
        return begun

    def finish(self, attempt: Attempt, status: Status, accepted: Accepted | None) -> None:
        """Record the one outcome. The same outcome told again adds no second audit entry.

        Raises:
            Transient: `StoreUnavailable`: the store knows no such intent, or already another end of it.
        """
        at = attempt.finished or self._clock.now()
        ended = replace(attempt, finished=at)
        with self._database.write("store:outcome") as connection:
            if statements.end_attempt(connection, ended):
                statements.append(connection, attempted(Kind.OUTCOME, ended, at))
            statements.put_status(connection, status, at)
            statements.put_accepted(connection, accepted)

    def refuse(self, attempt: Attempt, status: Status) -> None:
        """Record an attempt that no gate let begin."""
        at = attempt.finished or self._clock.now()
        refused = replace(attempt, finished=at, outcome=attempt.outcome or Outcome.REFUSED)
        with self._database.write("store:refuse") as connection:
            refused = statements.add_attempt(connection, refused)
            statements.append(connection, attempted(Kind.REFUSED, refused, at))
            statements.put_status(connection, status, at)

    def unfinished(self) -> tuple[Attempt, ...]:
        """Attempts with an intent and no outcome, oldest first: the process ended in between."""
        table = tables.attempts
        query = select(table).where(table.c.outcome.is_(None)).order_by(table.c.id)
        with self._database.read() as connection:
            return tuple(rows.attempt_of(row) for row in connection.execute(query).mappings())

    def attempts(self, environment: EnvironmentName | None = None, limit: int = 100) -> tuple[Attempt, ...]:
        """Newest first."""
        table = tables.attempts
        query = select(table).order_by(table.c.id.desc()).limit(limit)
        if environment is not None:
            query = query.where(table.c.environment == environment)
        with self._database.read() as connection:
            return tuple(rows.attempt_of(row) for row in connection.execute(query).mappings())

    def succeeded(
        self, environment: EnvironmentName, until: datetime | None = None, limit: int = 200
    ) -> tuple[Attempt, ...]:
        """Attempts that succeeded, by `until` if that is given, newest first."""
        with self._database.read() as connection:
            return governance.succeeded(connection, environment, until, limit)

    def accepted(self, environment: EnvironmentName) -> Accepted | None:
        """The last accepted declaration, for when the target can't say."""
        with self._database.read() as connection:
            return statements.document_of(connection, tables.accepted, environment, Accepted)

    # --- the rules between environments ---------------------------------------------------------

    def soaks(self) -> Mapping[EnvironmentName, Soak]:
        """Every environment's unbroken healthy time, as last remembered."""
        with self._database.read() as connection:
            return statements.documents_of(connection, tables.soaks, Soak)

    def save_soaks(self, soaks: Mapping[EnvironmentName, Soak | None]) -> None:
        """Remember soaks, None for a broken row; writes nothing when just these are remembered."""
        with self._database.read() as connection:
            if governance.soaks_stand(connection, soaks):
                return
        with self._database.write("store:soaks") as connection:
            governance.put_soaks(connection, soaks)

    def policy(self) -> AcceptedPolicy | None:
        """The last policy file that people let in; None before there was one."""
        with self._database.read() as connection:
            return governance.policy(connection)

    def save_policy(self, policy: AcceptedPolicy) -> None:
        """Remember and audit a policy; writes nothing when the same file of the same commit is remembered."""
        with self._database.read() as connection:
            if governance.policy_stands(connection, policy):
                return
        with self._database.write("store:policy") as connection:
            governance.put_policy(connection, policy, self._clock.now())

    def rewrites(self) -> tuple[Rewrite, ...]:
        """Rewrites of the branch that an operator accepted, oldest first."""
        with self._database.read() as connection:
            return governance.rewrites(connection)

    def accept_rewrite(self, rewrite: Rewrite) -> None:
        """Remember and audit a rewrite, and follow the branch from its tip on. Told again, it changes nothing."""
        with self._database.read() as connection:
            if governance.rewrite_stands(connection, rewrite):
                return
        with self._database.write("store:rewrite") as connection:
            governance.add_rewrite(connection, rewrite)

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Signed words on the audit chain, oldest first."""
        with self._database.read() as connection:
            return governance.checkpoints(connection)

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Remember one; writes nothing when there is one already for as many entries with the same head.

        Raises:
            Transient: `StoreUnavailable`: there is one for as many entries, with another head.
        """
        with self._database.read() as connection:
            if governance.checkpoint_stands(connection, checkpoint):
                return
        with self._database.write("store:checkpoint") as connection:
            governance.add_checkpoint(connection, checkpoint)

    # --- the operator's hand, and the chain -----------------------------------------------------

    def hand(self, environment: EnvironmentName) -> OperatorHand:
        """What the operator asked for this environment."""
        with self._database.read() as connection:
            return statements.document_of(connection, tables.hands, environment, OperatorHand) or OperatorHand()

    def hands(self) -> Mapping[EnvironmentName, OperatorHand]:
        """Every environment for which the operator ever asked something."""
        with self._database.read() as connection:
            return statements.documents_of(connection, tables.hands, OperatorHand)

    def save_hand(self, environment: EnvironmentName, hand: OperatorHand, what: str, at: datetime) -> None:
        """Remember and audit what the operator did: `what` is `suspend`, `resume` or `retry`."""
        with self._database.write("store:hand") as connection:
            statements.put(connection, tables.hands, environment, {"document": rows.document(hand)})
            statements.append(connection, operated(environment, hand, what, at))

    def audit(self, after: int = 0) -> Iterator[Entry]:
        """The chain in order, from the entry behind sequence number `after`; never all of it in memory.

        Raises:
            Transient: `StoreUnavailable`, also in the middle.
        """
        table = tables.audit
        while True:
            query = select(table.c.seq, table.c.line).where(table.c.seq > after).order_by(table.c.seq)
            with self._database.read() as connection:
                found = connection.execute(query.limit(AUDIT_BATCH)).all()
                entries = [rows.entry_of(seq, text) for seq, text in found]
            if not entries:
                return
            yield from entries
            after = found[-1].seq


def _file(url: str) -> Path:
    """The absolute path in a URL. No part of another URL is repeated: it may hold a password."""
    try:
        parts = make_url(url)
    except ArgumentError:
        raise _unusable("is none") from None
    if parts.drivername != "sqlite":
        raise _unusable(f"begins with {parts.drivername[:20]}:")
    if parts.host or parts.query or not parts.database or parts.database.startswith((":memory:", "file:")):
        raise _unusable("does not name a plain file")
    return Path(parts.database).absolute()


def _unusable(what: str) -> Terminal:
    hint = "set it to sqlite:///state.db, or sqlite:////var/lib/reconciler/state.db with an absolute path"
    return Terminal(Reason.STORE_UNAVAILABLE, f"the URL of the store {what}", hint)
