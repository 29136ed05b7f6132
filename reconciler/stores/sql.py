"""The memory in SQL. What each method promises stands at `ports.Store`; this is how it is kept.

Every method that writes is one piece of a transaction, which is the only writing one at that time, so the audit chain
can't fork and nothing is ever half remembered: an attempt without its audit entry, say. Its step is traced when its
piece is written, before the commit; killed there or earlier, nothing happened, and killed later, all of it did. What
several threads write at the same moment shares a commit; each comes back behind the one that holds its piece.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Integer, bindparam, func, make_url, or_, select
from sqlalchemy.exc import ArgumentError

from reconciler.core.audit import Checkpoint, Entry, Kind, attempted, operated
from reconciler.errors import PolicyDenied, Reason, Terminal
from reconciler.model import (
    Accepted,
    AcceptedPolicy,
    Attempt,
    CommitId,
    Declared,
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
from reconciler.stores.notified import NotifiedStore
from reconciler.stores.told import ToldStore

AUDIT_BATCH = 500
"""Audit entries read at once: under a megabyte, and no transaction stays open while a reader dawdles."""


def create(url: str, clock: Clock, trace: Trace) -> SqlStore:
    """The store at a URL; see `SqlStore`."""
    return SqlStore(url, clock, trace)


class SqlStore(ToldStore, NotifiedStore):
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
        """Attempts that succeeded, by `until` if that is given, newest first."""
        with self._database.read() as connection:
            return governance.succeeded(connection, environment, until, limit)

    def deployed(self, environment: EnvironmentName, limit: int = 50) -> tuple[Declared, ...]:
        """What deployments and rollbacks that succeeded brought there, newest first."""
        with self._database.read() as connection:
            return governance.deployed(connection, environment, limit)

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
            found = connection.execute(_LINES_BEFORE, {"before": statements.upto(before), "most": limit}).all()
        return tuple(rows.entry_of(seq, text) for seq, text in found)

    def audit_found(self, texts: Collection[Collection[str]], before: int, over: int, limit: int) -> tuple[Entry, ...]:
        """Entries among the `over` ones before `before` whose line has one of each of these texts, newest first."""
        line = func.lower(tables.audit.c.line)
        wanted = (or_(*(line.contains(text.lower(), autoescape=True) for text in one)) for one in texts)
        query = _LINES_BEFORE.where(tables.audit.c.seq >= max(0, before - over), *wanted)
        with self._database.read() as connection:
            found = connection.execute(query, {"before": statements.upto(before), "most": limit}).all()
        return tuple(rows.entry_of(seq, text) for seq, text in found)


_HOLDER = select(tables.lease.c.holder)
_TIP = select(tables.branch.c.tip)
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
