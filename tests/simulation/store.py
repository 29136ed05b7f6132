"""The memory, in memory: each write is a transaction that happens as a whole or not, with real audit entries."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ParamSpec, TypeVar

from reconciler.core.audit import (
    START,
    Checkpoint,
    Entry,
    Fact,
    Kind,
    attempted,
    line,
    operated,
    policy_accepted,
    rewrite_accepted,
    seal,
)
from reconciler.core.strictjson import clean
from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.model import (
    Accepted,
    AcceptedPolicy,
    Action,
    Attempt,
    CommitId,
    Declared,
    EnvironmentName,
    OperatorHand,
    Outcome,
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
from reconciler.ports import Clock
from reconciler.stores import rows
from reconciler.stores import told as told_store
from tests.simulation.faults import Faults

Record = TypeVar("Record", Attempt, Status)
Key = TypeVar("Key", int, str)
Value = TypeVar("Value", ToldPlan, str)


@dataclass(frozen=True)
class Memory:
    """What is durable. Replaced as a whole by each transaction, so an older one is a backup."""

    holder: str = ""
    token: int = 0
    tip: CommitId | None = None
    statuses: Mapping[EnvironmentName, Status] = field(default_factory=dict)
    accepted: Mapping[EnvironmentName, Accepted] = field(default_factory=dict)
    attempts: Mapping[int, Attempt] = field(default_factory=dict)
    hands: Mapping[EnvironmentName, OperatorHand] = field(default_factory=dict)
    soaks: Mapping[EnvironmentName, Soak] = field(default_factory=dict)
    policy: AcceptedPolicy | None = None
    rewrites: tuple[Rewrite, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    runs: Mapping[tuple[str, RunId], Run] = field(default_factory=dict)
    told_plans: Mapping[int, ToldPlan] = field(default_factory=dict)
    told_rollouts: Mapping[str, str] = field(default_factory=dict)
    told_routes: Mapping[str, ToldRoute] = field(default_factory=dict)
    told_notices: Mapping[tuple[str, EnvironmentName], ToldNotice] = field(default_factory=dict)
    transitions: tuple[Transition, ...] = ()
    entries: tuple[Entry, ...] = ()

    def with_entry(self, fact: Fact) -> Memory:
        head = self.entries[-1].head if self.entries else START
        return replace(self, entries=(*self.entries, seal(fact, head)))

    def with_attempt(self, attempt: Attempt) -> Memory:
        assert attempt.id is not None
        return replace(self, attempts={**self.attempts, attempt.id: attempt})

    def with_status(self, status: Status, at: datetime) -> Memory:
        before = self.statuses.get(status.environment)
        state = (status.sync, status.health, status.reason)
        same = before is not None and (before.sync, before.health, before.reason) == state
        if status.since is None:
            status = replace(status, since=before.since if before and same else at)
        new = replace(self, statuses={**self.statuses, status.environment: status})
        if same and before and before.live == status.live:
            return new
        live = status.live.id if status.live else ""
        entered = Transition(len(self.transitions) + 1, at, status.environment, *state, status.message, live)
        return replace(new, transitions=(*self.transitions, entered))


_TURN = threading.RLock()
P = ParamSpec("P")
R = TypeVar("R")


def _one_at_a_time(write: Callable[P, R]) -> Callable[P, R]:
    """Writers queue up, as they do at a database: each reads, and replaces the memory as a whole."""

    @functools.wraps(write)
    def queued(*args: P.args, **kwargs: P.kwargs) -> R:
        with _TURN:
            return write(*args, **kwargs)

    return queued


class FakeStore:
    """`ports.Store`. Losing the memory, and restoring it from a backup, is an assignment to `memory`."""

    def __init__(self, faults: Faults, clock: Clock, wrote: Callable[[str], None]) -> None:
        self._faults = faults
        self._clock = clock
        self._wrote = wrote
        self.memory = Memory()

    # --- lease and tip --------------------------------------------------------------------------

    @_one_at_a_time
    def acquire(self, holder: str) -> int:
        with self._transaction("acquire"):
            self.memory = replace(self.memory, holder=holder, token=self.memory.token + 1)
        return self.memory.token

    @_one_at_a_time
    def raise_token(self, holder: str, above: int) -> int:
        if self._read("raise_token").holder not in ("", holder):
            raise PolicyDenied(Reason.FENCED_OFF, "another process has taken the lease since")
        with self._transaction("raise_token"):
            self.memory = replace(self.memory, token=max(above, self.memory.token) + 1)
        return self.memory.token

    def tip(self) -> CommitId | None:
        return self._read("tip").tip

    @_one_at_a_time
    def save_tip(self, tip: CommitId) -> None:
        if self._read("save_tip").tip != tip:
            with self._transaction("tip"):
                self.memory = replace(self.memory, tip=tip)

    # --- statuses -------------------------------------------------------------------------------

    def statuses(self) -> Mapping[EnvironmentName, Status]:
        return dict(self._read("statuses").statuses)

    @_one_at_a_time
    def save(self, status: Status, at: datetime, accepted: Accepted | None = None) -> None:
        status = _readable(status)
        new = self._read("save").with_status(status, at)
        if accepted is not None:
            new = replace(new, accepted={**new.accepted, accepted.environment: accepted})
        if (new.statuses, new.accepted) != (self.memory.statuses, self.memory.accepted):
            with self._transaction("status"):
                self.memory = new

    @_one_at_a_time
    def forget(self, environment: EnvironmentName) -> None:
        if environment in self._read("forget").statuses:
            with self._transaction("forget"):
                kept = {name: status for name, status in self.memory.statuses.items() if name != environment}
                self.memory = replace(self.memory, statuses=kept)

    def accepted(self, environment: EnvironmentName) -> Accepted | None:
        return self._read("accepted").accepted.get(environment)

    # --- attempts -------------------------------------------------------------------------------

    @_one_at_a_time
    def begin(self, attempt: Attempt) -> Attempt:
        begun = replace(_readable(attempt), id=self._next_id(), finished=None, outcome=None, reason=None)
        fact = attempted(Kind.INTENT, begun, self._clock.now())
        with self._transaction("intent"):
            self.memory = self.memory.with_attempt(begun).with_entry(fact)
        return begun

    @_one_at_a_time
    def finish(self, attempt: Attempt, status: Status, accepted: Accepted | None) -> None:
        at = attempt.finished or self._clock.now()
        ended = replace(_readable(attempt), finished=at)
        before = self._begun(ended)
        new = self.memory
        if before.outcome is None:
            new = new.with_attempt(ended).with_entry(attempted(Kind.OUTCOME, ended, at))
        new = new.with_status(_readable(status), at)
        if accepted is not None:
            new = replace(new, accepted={**new.accepted, accepted.environment: accepted})
        with self._transaction("outcome"):
            self.memory = new

    @_one_at_a_time
    def refuse(self, attempt: Attempt, status: Status) -> None:
        at = attempt.finished or self._clock.now()
        outcome = attempt.outcome or Outcome.REFUSED
        refused = replace(_readable(attempt), id=self._next_id(), finished=at, outcome=outcome)
        with self._transaction("refuse"):
            new = self.memory.with_attempt(refused).with_entry(attempted(Kind.REFUSED, refused, at))
            self.memory = new.with_status(_readable(status), at)

    def unfinished(self) -> tuple[Attempt, ...]:
        return tuple(attempt for attempt in self._read("unfinished").attempts.values() if attempt.outcome is None)

    def attempts(
        self, environment: EnvironmentName | None = None, limit: int = 100, before: int | None = None
    ) -> tuple[Attempt, ...]:
        found = [a for a in self._read("attempts").attempts.values() if environment in (None, a.environment)]
        return tuple(a for a in reversed(found) if before is None or (a.id or 0) < before)[:limit]

    def attempts_in_short(
        self, environment: EnvironmentName | None = None, limit: int = 100, before: int | None = None
    ) -> tuple[Attempt, ...]:
        return tuple(
            replace(one, output="", gates=one.gates if one.action is Action.ROLLBACK else ())
            for one in self.attempts(environment, limit, before)
        )

    def succeeded(
        self, environment: EnvironmentName, until: datetime | None = None, limit: int = 200
    ) -> tuple[Attempt, ...]:
        mine = [a for a in self._read("succeeded").attempts.values() if a.environment == environment]
        found = [a for a in mine if a.outcome is Outcome.SUCCEEDED and a.finished]
        return tuple(a for a in reversed(found) if until is None or (a.finished and a.finished <= until))[:limit]

    def deployed(self, environment: EnvironmentName, limit: int = 50) -> tuple[Declared, ...]:
        brings = (Action.DEPLOY, Action.ROLLBACK)
        return tuple(a.declared for a in self.succeeded(environment) if a.action in brings)[:limit]

    # --- the rules between environments ---------------------------------------------------------

    def soak(self, environment: EnvironmentName) -> Soak | None:
        return self._read("soak").soaks.get(environment)

    def soaks(self) -> Mapping[EnvironmentName, Soak]:
        return dict(self._read("soaks").soaks)

    @_one_at_a_time
    def save_soaks(self, soaks: Mapping[EnvironmentName, Soak | None]) -> None:
        known: dict[EnvironmentName, Soak | None] = {**self._read("save_soaks").soaks, **soaks}
        new = {name: soak for name, soak in known.items() if soak is not None}
        if new != self.memory.soaks:
            with self._transaction("soaks"):
                self.memory = replace(self.memory, soaks=new)

    def policy(self) -> AcceptedPolicy | None:
        return self._read("policy").policy

    @_one_at_a_time
    def save_policy(self, policy: AcceptedPolicy) -> None:
        known = self._read("save_policy").policy
        if known is None or (known.commit, known.digest) != (policy.commit, policy.digest):
            readable = replace(policy, request=clean(policy.request), approvers=tuple(map(clean, policy.approvers)))
            fact = policy_accepted(readable, self._clock.now())
            with self._transaction("policy"):
                self.memory = replace(self.memory, policy=readable).with_entry(fact)

    def rewrites(self) -> tuple[Rewrite, ...]:
        return self._read("rewrites").rewrites

    @_one_at_a_time
    def accept_rewrite(self, rewrite: Rewrite) -> None:
        readable = replace(rewrite, by=clean(rewrite.by), reason=clean(rewrite.reason))
        known = self._read("accept_rewrite").rewrites
        if readable not in known:
            with self._transaction("rewrite"):
                new = replace(self.memory, rewrites=(*known, readable), tip=rewrite.tip)
                self.memory = new.with_entry(rewrite_accepted(readable))

    def last_checkpoint(self) -> Checkpoint | None:
        return max(self.checkpoints(), key=lambda one: one.entries, default=None)

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        return self._read("checkpoints").checkpoints

    @_one_at_a_time
    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        known = {one.entries: one for one in self._read("save_checkpoint").checkpoints}
        before = known.setdefault(checkpoint.entries, checkpoint)
        if before.head != checkpoint.head:
            message = f"a checkpoint says that entry {before.entries} has another hash"
            raise Transient(Reason.STORE_UNAVAILABLE, message, "the audit chain was altered")
        if len(known) > len(self.memory.checkpoints):
            with self._transaction("checkpoint"):
                self.memory = replace(self.memory, checkpoints=tuple(known[count] for count in sorted(known)))

    # --- what was heard and told ----------------------------------------------------------------

    def run(self, source: str, run_id: RunId) -> Run | None:
        return self._read("run").runs.get((source, run_id))

    def runs(self, run_ids: Collection[RunId]) -> Mapping[RunId, Mapping[str, Run]]:
        known = self._read("runs").runs
        wanted = {number for _, number in known if number in run_ids}
        return {wish: {source: run for (source, number), run in known.items() if number == wish} for wish in wanted}

    @_one_at_a_time
    def save_run(self, source: str, run: Run) -> None:
        run = rows.value_of(Run, rows.document(run), "runs", run.run_id)
        known = dict(self._read("save_run").runs)
        if known.pop((source, run.run_id), None) != run:
            known[source, run.run_id] = run
            with self._transaction("run"):
                self.memory = replace(self.memory, runs=dict(list(known.items())[-told_store.RUNS_KEPT :]))

    def told_plans(self) -> Mapping[int, ToldPlan]:
        return dict(sorted(self._read("told_plans").told_plans.items()))

    @_one_at_a_time
    def save_told_plan(self, number: int, told: ToldPlan | None) -> None:
        new = _with(self._read("save_told_plan").told_plans, number, told)
        if new != self.memory.told_plans:
            with self._transaction("told_plan"):
                self.memory = replace(self.memory, told_plans=new)

    def told_rollouts(self) -> Mapping[str, str]:
        return dict(sorted(self._read("told_rollouts").told_rollouts.items()))

    @_one_at_a_time
    def save_told_rollout(self, key: str, told: str | None) -> None:
        new = _with(self._read("save_told_rollout").told_rollouts, clean(key), None if told is None else clean(told))
        if new != self.memory.told_rollouts:
            with self._transaction("told_rollout"):
                self.memory = replace(self.memory, told_rollouts=new)

    def told_route(self, route: str) -> ToldRoute | None:
        return self._read("told_route").told_routes.get(route)

    def told_notices(self, route: str) -> Mapping[EnvironmentName, ToldNotice]:
        told = sorted(self._read("told_notices").told_notices.items())
        return {name: notice for (of, name), notice in told if of == route}

    @_one_at_a_time
    def save_told_notices(
        self, route: str, told: ToldRoute, notices: Mapping[EnvironmentName, ToldNotice | None]
    ) -> None:
        with self._transaction("told_notices"):
            changed = {(route, name): notice for name, notice in notices.items()}
            known = {**self.memory.told_notices, **changed}
            kept = {key: notice for key, notice in known.items() if notice is not None}
            routes = {**self.memory.told_routes, route: told}
            self.memory = replace(self.memory, told_routes=routes, told_notices=kept)

    # --- the operator's hand, and what is shown -------------------------------------------------

    def hand(self, environment: EnvironmentName) -> OperatorHand:
        return self._read("hand").hands.get(environment, OperatorHand())

    def hands(self) -> Mapping[EnvironmentName, OperatorHand]:
        return dict(self._read("hands").hands)

    @_one_at_a_time
    def save_hand(self, environment: EnvironmentName, hand: OperatorHand, what: str, at: datetime) -> None:
        with self._transaction("hand"):
            new = replace(self.memory, hands={**self.memory.hands, environment: hand})
            self.memory = new.with_entry(operated(environment, hand, what, at))

    def transitions(
        self, environment: EnvironmentName | None = None, after: int = 0, limit: int = 1000
    ) -> tuple[Transition, ...]:
        found = [one for one in self._read("transitions").transitions if environment in (None, one.environment)]
        return tuple(one for one in found if one.id > after)[-limit:]

    def transitions_from(
        self, after: int, limit: int, environment: EnvironmentName | None = None
    ) -> tuple[Transition, ...]:
        return self.transitions(environment, after, len(self.memory.transitions) + 1)[:limit]

    def audit(self, after: int = 0) -> Iterator[Entry]:
        yield from self._read("audit").entries[after:]

    def audit_before(self, before: int | None = None, limit: int = 100) -> tuple[Entry, ...]:
        found = self._read("audit_before").entries
        return tuple(reversed([one for one in found if before is None or one.seq < before]))[:limit]

    def audit_found(self, texts: Collection[Collection[str]], before: int, over: int, limit: int) -> tuple[Entry, ...]:
        def has(entry: Entry) -> bool:
            text = line(entry).decode().lower()
            return all(any(one.lower() in text for one in alternatives) for alternatives in texts)

        meant = (one for one in self.audit_before(before, over) if one.seq >= before - over)
        return tuple(one for one in meant if has(one))[:limit]

    # --- how ------------------------------------------------------------------------------------

    def _read(self, what: str) -> Memory:
        self._faults.at(f"store:read:{what}")
        return self.memory

    @contextmanager
    def _transaction(self, what: str) -> Iterator[None]:
        self._faults.at(f"store:{what}")
        yield
        self._wrote("store")
        self._faults.at(f"store:{what}:done")

    def _next_id(self) -> int:
        return max(self.memory.attempts, default=0) + 1

    def _begun(self, ended: Attempt) -> Attempt:
        before = self.memory.attempts.get(ended.id or 0)
        same = before and (before.environment, before.started) == (ended.environment, ended.started)
        if before is None or not same or before.outcome not in (None, ended.outcome):
            message = f"attempt {ended.id} of {ended.environment} was not begun, or ended otherwise"
            raise Transient(Reason.STORE_UNAVAILABLE, message, "the next pass records what it finds")
        return before


def _with(known: Mapping[Key, Value], key: Key, value: Value | None) -> dict[Key, Value]:
    """With the value under its key, or without the key for None."""
    others = {name: other for name, other in known.items() if name != key}
    return others if value is None else {**others, key: value}


def _readable(value: Record) -> Record:
    """Texts of an attempt or a status without lone surrogates, which no database takes."""
    approvers = tuple(map(clean, value.approvers))
    return replace(value, message=clean(value.message), request=clean(value.request), approvers=approvers)
