"""What is remembered."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Protocol

from reconciler.core.audit import Checkpoint, Entry
from reconciler.model import (
    Accepted,
    AcceptedPolicy,
    Attempt,
    CommitId,
    Declared,
    EnvironmentName,
    OperatorHand,
    Rewrite,
    Run,
    RunId,
    Soak,
    Status,
    ToldNotice,
    ToldPlan,
    ToldRoute,
    Transition,
)


class Store(Protocol):
    """The memory: attempts, states, the audit chain, the operator's hand. Believed for nothing else."""

    def acquire(self, holder: str) -> int:
        """Take the lease and get its fencing token: larger than any given before."""
        ...

    def raise_token(self, holder: str, above: int) -> int:
        """For the holder of the lease, when a target has seen a larger token than ours: a still larger one.

        That happens after the store was lost or restored from an old backup. A lease that nobody holds, as in
        a store that was made anew, is taken.

        Raises:
            PolicyDenied: `FencedOff`: somebody else holds the lease by now.
        """
        ...

    def tip(self) -> CommitId | None:
        """The last tip of the tracked branch that was seen, and descended from the one before."""
        ...

    def save_tip(self, tip: CommitId) -> None:
        """Remember the tip."""
        ...

    def statuses(self) -> Mapping[EnvironmentName, Status]:
        """Every environment's status as of its last pass."""
        ...

    def save(self, status: Status, at: datetime, accepted: Accepted | None = None) -> None:
        """Remember a status, and what was found accepted; writes nothing when just this is remembered.

        Adds a transition when sync, health, reason or live changed.
        """
        ...

    def forget(self, environment: EnvironmentName) -> None:
        """Forget the status of an environment that is gone and never ran; its attempts and the audit stay."""
        ...

    def accepted(self, environment: EnvironmentName) -> Accepted | None:
        """The last accepted declaration, for when the target can't say (it moved, say)."""
        ...

    def begin(self, attempt: Attempt) -> Attempt:
        """Record intent, before any effect: the attempt and its audit entry in one transaction."""
        ...

    def finish(self, attempt: Attempt, status: Status, accepted: Accepted | None) -> None:
        """Record the one outcome: attempt, audit entry, status and accepted declaration in one transaction."""
        ...

    def refuse(self, attempt: Attempt, status: Status) -> None:
        """Record an attempt that no gate let begin: one audit entry, no intent."""
        ...

    def succeeded(
        self, environment: EnvironmentName, until: datetime | None = None, limit: int = 200
    ) -> tuple[Attempt, ...]:
        """Attempts that succeeded, by `until` if that is given (`finished` at or before it), newest first."""
        ...

    def deployed(self, environment: EnvironmentName, limit: int = 50) -> tuple[Declared, ...]:
        """What deployments and rollbacks that succeeded brought there, newest first."""
        ...

    def soaks(self) -> Mapping[EnvironmentName, Soak]:
        """Every environment's unbroken healthy time, as last remembered."""
        ...

    def soak(self, environment: EnvironmentName) -> Soak | None:
        """One environment's unbroken healthy time, as last remembered."""
        ...

    def save_soaks(self, soaks: Mapping[EnvironmentName, Soak | None]) -> None:
        """Remember soaks, in one transaction; None: the row was broken, and nothing was earned since."""
        ...

    def policy(self) -> AcceptedPolicy | None:
        """The last policy file that people let in; None before there was one."""
        ...

    def save_policy(self, policy: AcceptedPolicy) -> None:
        """Remember and audit that a policy came in force; writes nothing when just this is remembered."""
        ...

    def rewrites(self) -> tuple[Rewrite, ...]:
        """Rewrites of the branch that an operator accepted, oldest first."""
        ...

    def accept_rewrite(self, rewrite: Rewrite) -> None:
        """Remember and audit that a rewritten branch is followed from `rewrite.tip` on, which becomes the tip."""
        ...

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Signed words on the audit chain, oldest first."""
        ...

    def last_checkpoint(self) -> Checkpoint | None:
        """The one that covers most entries."""
        ...

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Remember one; the same again writes nothing."""
        ...

    def run(self, source: str, run_id: RunId) -> Run | None:
        """What CI said of a run when its artifact was taken into custody; None when nothing is remembered."""
        ...

    def runs(self, run_ids: Collection[RunId]) -> Mapping[RunId, Mapping[str, Run]]:
        """What CI said of several runs, where anything is remembered, by number and source: a few hundred at most."""
        ...

    def save_run(self, source: str, run: Run) -> None:
        """Remember what CI said; writes nothing when just this is remembered."""
        ...

    def told_plans(self) -> Mapping[int, ToldPlan]:
        """What was told on open pull requests, by number."""
        ...

    def save_told_plan(self, number: int, told: ToldPlan | None) -> None:
        """Remember what was told on one; None: it is not open any more."""
        ...

    def told_rollouts(self) -> Mapping[str, str]:
        """What was told of each rollout last, by its key: the state, and the text behind a colon."""
        ...

    def save_told_rollout(self, key: str, told: str | None) -> None:
        """Remember what was told of one; None: nothing will ever be told of it again."""
        ...

    def told_route(self, route: str) -> ToldRoute | None:
        """What is remembered of a route that people are told of environments on; None when nothing is."""
        ...

    def told_notices(self, route: str) -> Mapping[EnvironmentName, ToldNotice]:
        """What was told of each environment on a route last."""
        ...

    def save_told_notices(
        self, route: str, told: ToldRoute, notices: Mapping[EnvironmentName, ToldNotice | None]
    ) -> None:
        """Remember what was told on a route, in one transaction; None: nothing is told of that environment any more."""
        ...

    def unfinished(self) -> tuple[Attempt, ...]:
        """Attempts with an intent and no outcome: the process ended in between."""
        ...

    def attempts(
        self, environment: EnvironmentName | None = None, limit: int = 100, before: int | None = None
    ) -> tuple[Attempt, ...]:
        """Newest first, from the one with the largest id below `before` on."""
        ...

    def attempts_in_short(
        self, environment: EnvironmentName | None = None, limit: int = 100, before: int | None = None
    ) -> tuple[Attempt, ...]:
        """As `attempts`, without output, and without gates but for rollbacks: for who reads thousands."""
        ...

    def hand(self, environment: EnvironmentName) -> OperatorHand:
        """What the operator asked for this environment."""
        ...

    def hands(self) -> Mapping[EnvironmentName, OperatorHand]:
        """Every environment for which the operator ever asked something."""
        ...

    def save_hand(self, environment: EnvironmentName, hand: OperatorHand, what: str, at: datetime) -> None:
        """Remember and audit what the operator did: `what` is `suspend`, `resume` or `retry`."""
        ...

    def transitions(
        self, environment: EnvironmentName | None = None, after: int = 0, limit: int = 1000
    ) -> tuple[Transition, ...]:
        """Changes of state with an id above `after`, oldest first; the newest `limit` of them."""
        ...

    def transitions_from(
        self, after: int, limit: int, environment: EnvironmentName | None = None
    ) -> tuple[Transition, ...]:
        """Changes of state with an id above `after`, oldest first; the oldest `limit` of them: for who goes on."""
        ...

    def audit(self, after: int = 0) -> Iterator[Entry]:
        """The audit chain in order, from the entry behind sequence number `after`."""
        ...

    def audit_before(self, before: int | None = None, limit: int = 100) -> tuple[Entry, ...]:
        """Entries of the audit chain, newest first, from the one before sequence number `before` on."""
        ...

    def audit_found(self, texts: Collection[Collection[str]], before: int, over: int, limit: int) -> tuple[Entry, ...]:
        """Entries among the `over` ones before sequence number `before` that may be what is searched for, newest first.

        Args:
            texts: Of each, the entry's line must have one, whatever the case of its ASCII letters.
            before: Where to begin.
            over: How many entries are looked through.
            limit: How many come back at most.
        """
        ...
