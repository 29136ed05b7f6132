"""The memory in SQL. What each method promises stands at `ports.Store`; this is how it is kept.

Every method that writes is one piece of a transaction, which is the only writing one at that time, so the audit chain
can't fork and nothing is ever half remembered: an attempt without its audit entry, say. Its step is traced when its
piece is written, before the commit; killed there or earlier, nothing happened, and killed later, all of it did. What
several threads write at the same moment shares a commit; each comes back behind the one that holds its piece.
What only reads the past is in `past`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, make_url, select
from sqlalchemy.exc import ArgumentError

from reconciler.core.audit import Checkpoint, Kind, attempted, operated
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
)
from reconciler.ports import Clock, Trace
from reconciler.stores import governance, rows, statements, tables
from reconciler.stores.database import Database
from reconciler.stores.notified import NotifiedStore
from reconciler.stores.past import PastStore
from reconciler.stores.told import ToldStore


def create(url: str, clock: Clock, trace: Trace) -> SqlStore:
    """The store at a URL; see `SqlStore`."""
    return SqlStore(url, clock, trace)


class SqlStore(PastStore, ToldStore, NotifiedStore):
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

        def take(connection: Connection) -> int:
            token = statements.largest_token(connection) + 1
            statements.put(connection, tables.lease, 1, {"holder": holder, "token": token})
            return token

        return self._database.write("store:lease", take)

    def raise_token(self, holder: str, above: int) -> int:
        """A token larger than `above` and than any given before, for who holds the lease or finds it free.

        Raises:
            PolicyDenied: `FencedOff`: somebody else holds it.
        """

        def take(connection: Connection) -> int:
            known = connection.execute(_HOLDER).scalar()
            if known not in (None, holder):
                raise PolicyDenied(
                    Reason.FENCED_OFF, "another process has taken the lease since", "leave it to that process"
                )
            token = max(above, statements.largest_token(connection)) + 1
            statements.put(connection, tables.lease, 1, {"holder": holder, "token": token})
            return token

        return self._database.write("store:token", take)

    def tip(self) -> CommitId | None:
        """The last tip of the tracked branch that was seen."""
        with self._database.read() as connection:
            tip = connection.execute(_TIP).scalar()
        return None if tip is None else CommitId(tip)

    def save_tip(self, tip: CommitId) -> None:
        """Remember the tip; writes nothing when it is remembered already."""
        if self.tip() == tip:
            return
        self._database.write("store:tip", lambda connection: statements.put(connection, tables.branch, 1, {"tip": tip}))

    # --- statuses -------------------------------------------------------------------------------

    def statuses(self) -> Mapping[EnvironmentName, Status]:
        """Every environment's status as of its last pass."""
        with self._database.read() as connection:
            return statements.documents_of(connection, tables.statuses, Status)

    def save(self, status: Status, at: datetime, accepted: Accepted | None = None) -> None:
        """Remember a status, and what was found accepted; writes nothing at all when just this is remembered."""
        wanted = statements.stand_of(status, accepted)
        with self._database.read() as connection:
            if statements.stands(connection, wanted):
                return
        self._database.write("store:status", lambda connection: statements.put_stand(connection, wanted, at))

    def forget(self, environment: EnvironmentName) -> None:
        """Forget a status; writes nothing when none is remembered."""
        key = {"key": environment}
        with self._database.read() as connection:
            if connection.execute(statements.document_at(tables.statuses), key).first() is None:
                return
        gone = statements.removal(tables.statuses)
        self._database.write("store:forget", lambda connection: connection.execute(gone, key))

    # --- attempts -------------------------------------------------------------------------------

    def begin(self, attempt: Attempt) -> Attempt:
        """Record intent. The attempt comes back with its id, without an end."""
        begun = replace(attempt, finished=None, outcome=None, reason=None)

        def intend(connection: Connection) -> Attempt:
            added = statements.add_attempt(connection, begun)
            statements.append(connection, attempted(Kind.INTENT, added, self._clock.now()))
            return added

        return self._database.write("store:intent", intend)

    def finish(self, attempt: Attempt, status: Status, accepted: Accepted | None) -> None:
        """Record the one outcome. The same outcome told again adds no second audit entry.

        Raises:
            Transient: `StoreUnavailable`: the store knows no such intent, or already another end of it.
        """
        at = attempt.finished or self._clock.now()
        ended, wanted = replace(attempt, finished=at), statements.stand_of(status, accepted)

        def end(connection: Connection) -> None:
            if statements.end_attempt(connection, ended):
                statements.append(connection, attempted(Kind.OUTCOME, ended, at))
            statements.put_stand(connection, wanted, at)

        self._database.write("store:outcome", end)

    def refuse(self, attempt: Attempt, status: Status) -> None:
        """Record an attempt that no gate let begin."""
        at = attempt.finished or self._clock.now()
        refused = replace(attempt, finished=at, outcome=attempt.outcome or Outcome.REFUSED)
        wanted = statements.stand_of(status, None)

        def add(connection: Connection) -> None:
            added = statements.add_attempt(connection, refused)
            statements.append(connection, attempted(Kind.REFUSED, added, at))
            statements.put_stand(connection, wanted, at)

        self._database.write("store:refuse", add)

    def accepted(self, environment: EnvironmentName) -> Accepted | None:
        """The last accepted declaration, for when the target can't say."""
        with self._database.read() as connection:
            return statements.document_of(connection, tables.accepted, environment, Accepted)

    # --- the rules between environments ---------------------------------------------------------

    def soaks(self) -> Mapping[EnvironmentName, Soak]:
        """Every environment's unbroken healthy time, as last remembered."""
        with self._database.read() as connection:
            return statements.documents_of(connection, tables.soaks, Soak)

    def soak(self, environment: EnvironmentName) -> Soak | None:
        """One environment's unbroken healthy time, as last remembered."""
        with self._database.read() as connection:
            return statements.document_of(connection, tables.soaks, environment, Soak)

    def save_soaks(self, soaks: Mapping[EnvironmentName, Soak | None]) -> None:
        """Remember soaks, None for a broken row; writes nothing when just these are remembered."""
        with self._database.read() as connection:
            if governance.soaks_stand(connection, soaks):
                return
        self._database.write("store:soaks", lambda connection: governance.put_soaks(connection, soaks))

    def policy(self) -> AcceptedPolicy | None:
        """The last policy file that people let in; None before there was one."""
        with self._database.read() as connection:
            return governance.policy(connection)

    def save_policy(self, policy: AcceptedPolicy) -> None:
        """Remember and audit a policy; writes nothing when the same file of the same commit is remembered."""
        with self._database.read() as connection:
            if governance.policy_stands(connection, policy):
                return
        self._database.write(
            "store:policy", lambda connection: governance.put_policy(connection, policy, self._clock.now())
        )

    def rewrites(self) -> tuple[Rewrite, ...]:
        """Rewrites of the branch that an operator accepted, oldest first."""
        with self._database.read() as connection:
            return governance.rewrites(connection)

    def accept_rewrite(self, rewrite: Rewrite) -> None:
        """Remember and audit a rewrite, and follow the branch from its tip on. Told again, it changes nothing."""
        with self._database.read() as connection:
            if governance.rewrite_stands(connection, rewrite):
                return
        self._database.write("store:rewrite", lambda connection: governance.add_rewrite(connection, rewrite))

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Signed words on the audit chain, oldest first."""
        with self._database.read() as connection:
            return governance.checkpoints(connection)

    def last_checkpoint(self) -> Checkpoint | None:
        """The one that covers most entries."""
        with self._database.read() as connection:
            return governance.last_checkpoint(connection)

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Remember one; writes nothing when there is one already for as many entries with the same head.

        Raises:
            Transient: `StoreUnavailable`: there is one for as many entries, with another head.
        """
        with self._database.read() as connection:
            if governance.checkpoint_stands(connection, checkpoint):
                return
        self._database.write("store:checkpoint", lambda connection: governance.add_checkpoint(connection, checkpoint))

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

        def put(connection: Connection) -> None:
            statements.put(connection, tables.hands, environment, {"document": rows.document(hand)})
            statements.append(connection, operated(environment, hand, what, at))

        self._database.write("store:hand", put)


_HOLDER = select(tables.lease.c.holder)
_TIP = select(tables.branch.c.tip)


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
