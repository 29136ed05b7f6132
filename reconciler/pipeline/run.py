"""The table of contents of a pass, and its effects.

The order that the promises rest on: the record of intent is durable before the first effect on a target,
and its one outcome after the last; nothing is remembered that could not be read again. While a gate holds,
nothing changes but repair of what is live towards what was approved for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace

from reconciler.catalog import Declared as DeclaredFile
from reconciler.core.approve import Approval, standing
from reconciler.core.declare import Declaration
from reconciler.core.plan import INSTALLS, Plan, decide
from reconciler.core.verify import VerifiedArtifact
from reconciler.errors import BAD_BYTES, Reason, ReconcilerError, Transient
from reconciler.model import (
    Action,
    Attempt,
    Digest,
    Gate,
    GateResult,
    Observation,
    OperatorHand,
    Outcome,
    RunId,
    Status,
    Sync,
    Verdict,
)
from reconciler.pipeline import record
from reconciler.pipeline.fleet import Fleet
from reconciler.pipeline.gates import Gates
from reconciler.pipeline.home import Home, trouble
from reconciler.pipeline.origin import Origin, obtained
from reconciler.pipeline.planner import Planner
from reconciler.pipeline.world import Fence, Held, World, gate
from reconciler.ports import Target


class Pass:
    """One pass; made anew for each, so that nothing of an earlier one is believed."""

    def __init__(
        self,
        world: World,
        fleet: Fleet,
        fence: Fence,
        file: DeclaredFile,
        previous: Status | None,
        hand: OperatorHand,
        unfinished: tuple[Attempt, ...] = (),
    ) -> None:
        """Prepare a pass.

        Args:
            world: The parts.
            fleet: What concerns more than one environment.
            fence: This process's fencing token.
            file: What is declared at the tip.
            previous: The last status, for telling news from repetition; decides nothing else.
            hand: What the operator asked for this environment.
            unfinished: Intents of this environment without an outcome, from a process that ended in between.
        """
        self._world = world
        self._fleet = fleet
        self._fence = fence
        self._file = file
        self._previous = previous
        self._unfinished = unfinished
        self._home: Home | None = None
        self._gates: Gates | None = None
        self._hand = hand
        self._approval: Approval | None = None
        self._plan: Plan | None = None
        self._declaration: Declaration | None = None
        self._planner: Planner | None = None
        self._holding: Held | None = None
        self.closed_unfinished = False
        """Whether every open intent has its outcome by now."""

    def run(self) -> Status:
        """Bring the environment to its declaration, or say why not; the status is remembered.

        Raises:
            ReconcilerError: `StoreUnavailable` only: what can't be recorded is not done.
        """
        self._planner = planner = Planner(self._world, self._fleet, self._file, self._hand)
        try:
            planner.find()
            self._home = planner.home
            self._see()
            self._close_unfinished()
            planner.judge()
            self._take(planner)
            return self._drive(planner)
        except Held as held:
            self._take(planner)
            if planner.home is None:
                self._fleet.soaks.lost_sight(self._file.environment)
            return self._hold(self._kept_for_later(planner, held))

    def _take(self, planner: Planner) -> None:
        self._gates, self._approval, self._plan = planner.gates, planner.approval, planner.planned()
        self._declaration = planner.declaration

    def _drive(self, planner: Planner) -> Status:
        """Let in, and no gate holds: do what the plan says."""
        gates, approval, declaration, home = planner.gates, planner.approval, planner.declaration, planner.place
        assert gates and approval and declaration and home  # noqa: PT018 - for the type checker
        action = planner.action
        if action is Action.NONE:
            return self._converged(home, gates, approval)
        if action is Action.ACCEPT:
            return self._effect(action, home, gates, approval, lambda token: _accept(home.target, approval, token))
        return self._install(action, home, gates, declaration, approval, planner.origin)

    def _see(self) -> None:
        """What was just seen counts for those that promote from here."""
        if self._home is not None and self._file.environment in self._fleet.catalog.soaks:
            live = self._home.observed.live
            well = not trouble(self._home) and not (live and self._revoked(live.run_id, live.sha256))
            self._fleet.soaks.see(self._file.environment, self._home, healthy=well)

    def _install(
        self,
        action: Action,
        home: Home,
        gates: Gates,
        declaration: Declaration,
        approval: Approval,
        origin: Origin | None,
    ) -> Status:
        with self._artifact(gates, declaration, origin) as artifact:
            return self._effect(
                action, home, gates, approval, lambda token: home.target.apply(artifact, approval, token)
            )

    @contextmanager
    def _artifact(self, gates: Gates, declaration: Declaration, origin: Origin | None) -> Iterator[VerifiedArtifact]:
        """Our own copy of the bytes, verified. Without an origin, for a repair, CI is asked only when there is none."""
        manager: AbstractContextManager[VerifiedArtifact]
        if origin:
            manager = obtained(self._world, declaration.sha256, origin)
        else:
            manager = self._world.custody.obtain(
                declaration.sha256, lambda offset: gates.provenance(declaration).open(offset)
            )
        with gate(Gate.CUSTODY):
            artifact = manager.__enter__()
        try:
            gates.passed(Gate.CUSTODY, f"sha256 {artifact.digest} over {artifact.size} bytes")
            yield artifact
        finally:
            manager.__exit__(None, None, None)

    def _kept_for_later(self, planner: Planner, held: Held) -> Held:
        """What was let in and waits for its time is taken into custody now: CI may throw it away meanwhile.

        Returns the word that holds: bytes that are not what was declared won't be right later either.
        """
        origin, declaration, gates = planner.origin, planner.declaration, planner.gates
        if origin is None or declaration is None or gates is None or planner.approval is None:
            return held
        if held.result.gate not in (Gate.PROMOTION, Gate.FREEZE) or self._is_kept(origin, declaration.sha256):
            return held
        try:
            with self._artifact(gates, declaration, origin):
                return held
        except Held as other:
            return other if other.result.reason in BAD_BYTES else held

    def _is_kept(self, origin: Origin, digest: Digest) -> bool:
        known = self._world.store.run(origin.name, origin.run.run_id)
        named = known is not None and any(one.sha256 == digest for one in known.artifacts)
        return named and self._world.custody.holds(digest)

    def _effect(
        self, action: Action, home: Home, gates: Gates, approval: Approval, act: Callable[[int], Observation]
    ) -> Status:
        """Intent, effect, outcome: the one place where a target changes."""
        if action in INSTALLS and not self._holding:
            # Getting the bytes may have taken long; what happened to the rules and upstream meanwhile counts.
            gates.revocation(approval)
            assert self._declaration is not None
            gates.promotion(approval, self._declaration, action)
            gates.freeze(action)
        with gate(Gate.TARGET):
            token = self._fence.above(home.observed.fence)
        now = self._world.clock.now()
        intent = self._world.store.begin(record.attempt_at(action, approval, home, gates, token, now))
        try:
            with gate(Gate.TARGET):
                observed = act(token)
        except Held as held:
            return self._failed(intent, home, gates, held)
        self._home = home = replace(home, observed=observed, accepted=observed.accepted)
        self._see()
        gates.passed(Gate.TARGET, f"{observed.live.id if observed.live else 'nothing'} at {home.path}, token {token}")
        done = replace(self._ended(intent, Outcome.SUCCEEDED), gates=gates.results())
        status = self._settled(home, gates, approval)
        self._world.store.finish(done, status, observed.accepted)
        return status

    def _failed(self, intent: Attempt, home: Home, gates: Gates, held: Held) -> Status:
        """The effect did not come about: say so, with what is there now."""
        gates.keep(held.result)
        try:
            observed = home.target.observe()
        except ReconcilerError:
            observed = home.observed
        if self._home is None or self._home.path == home.path:
            self._home = replace(home, observed=observed)  # else it still lives where it lived
        status = self._status(self._holding or held)
        failed = replace(self._ended(intent, Outcome.FAILED, held.result), gates=gates.results())
        self._world.store.finish(failed, status, observed.accepted)
        return status

    def _converged(self, home: Home, gates: Gates, approval: Approval) -> Status:
        """Nothing was due; remembered only when that is news."""
        gates.judged_before()
        gates.passed(Gate.TARGET, f"{home.observed.live.id if home.observed.live else 'nothing'} at {home.path}")
        status = self._settled(home, gates, approval)
        before = self._previous
        if before and before.sync is Sync.SYNCED and before.declared == status.declared:
            status = replace(status, gates=before.gates)  # the evidence on which it was let in
        self._world.store.save(status, self._world.clock.now(), home.observed.accepted)
        return status

    def _hold(self, held: Held) -> Status:
        """A gate holds: nothing changes, but what is live is kept as it was approved."""
        if self._gates:
            self._gates.keep(held.result)
        if not self._left_alone(held):
            self._repair(held)
        status = self._status(held)
        if held.result.reason is Reason.ENVIRONMENT_REMOVED and self._home is None:
            self._world.store.forget(self._file.environment)
            return status
        last = self._previous
        if last is None or (last.reason, last.declared) != (status.reason, status.declared):
            now = self._world.clock.now()
            tried = record.attempt(self._file, self._home, self._gates, self._approval, self._plan, self._previous, now)
            self._world.store.refuse(self._ended(tried, Outcome.REFUSED, held.result), status)
        else:
            self._world.store.save(status, self._world.clock.now())
        return status

    def _left_alone(self, held: Held) -> bool:
        """Whether somebody said to leave it alone: the operator, or the file as it was let in."""
        declaration = self._declaration if self._approval else None
        suspended = declaration is not None and declaration.suspend
        return held.result.reason is Reason.SUSPENDED or self._hand.suspended or suspended

    def _repair(self, held: Held) -> None:
        """Keep what was accepted live and whole, whatever the tip says: drift, and a switch that never came."""
        home = self._home
        if home is None or home.accepted is None or home.reading is None:
            return
        declaration = home.reading.declaration
        assert declaration is not None
        self._holding = held
        approval = standing(home.accepted, declaration, self._world.clock.now())
        action = decide(approval, home.observed, lambda *_: False)
        if action not in (Action.REPAIR, Action.DEPLOY):
            return
        if held.result.reason is Reason.ENVIRONMENT_REMOVED and home.observed.accepted is None:
            return  # first the file was removed, then what was live, with its record: it is meant to be gone
        gates = Gates(self._world, self._fleet, self._file, home)
        gates.judged_before()
        if action is Action.DEPLOY and not self._may_be_brought_back(gates, approval):
            return
        try:
            self._install(action, home, gates, declaration, approval, None)
        except Held:
            return  # the drift stays in the status; what holds the tip is the news

    def _may_be_brought_back(self, gates: Gates, approval: Approval) -> bool:
        """Whether what was let in, and is not live, was live before: a switch that failed is no drift.

        Not what is revoked: what is live stays, and what is not live any more is not brought back.
        """
        try:
            gates.revocation(approval)
        except Held:
            return False
        assert self._planner is not None
        return self._planner.was_live(approval.run_id, approval.sha256)

    def _close_unfinished(self) -> None:
        """Give intents of a process that ended in between their one outcome: what is there now."""
        observed = self._home.observed if self._home else None
        live = observed.live.id if observed and observed.live else "nothing"
        found = f"live is {live}" if observed else "its file is gone, so nobody can tell what is live"
        for intent in self._unfinished:
            status = self._previous or self._status(Held(GateResult(Gate.TARGET, Verdict.NOT_REACHED)))
            closed = replace(self._ended(intent, Outcome.INTERRUPTED), message=f"the process ended in between; {found}")
            self._world.store.finish(closed, status, observed.accepted if observed else None)
        self.closed_unfinished = True

    def _settled(self, home: Home, gates: Gates, approval: Approval) -> Status:
        if self._holding:
            return self._status(self._holding)
        now = self._world.clock.now()
        return record.converged(self._file, home, gates, approval, self._previous, now)

    def _status(self, held: Held) -> Status:
        sync = Sync.HELD
        if isinstance(held.error, Transient) and held.result.gate in (Gate.TARGET, Gate.CUSTODY):
            sync = Sync.OUT_OF_SYNC if self._home else Sync.UNKNOWN
        now = self._world.clock.now()
        live = self._home.observed.live if self._home else None
        revoked = self._revoked(live.run_id, live.sha256) if live else ""
        return record.held(self._file, self._home, self._gates, held.result, sync, revoked, self._previous, now)

    def _revoked(self, run_id: RunId, sha256: Digest) -> str:
        """Why an artifact is revoked; empty when it is not, or nobody can tell."""
        with suppress(ReconcilerError):
            found = self._fleet.rulebook.rules().revoked(run_id, sha256)
            return found.reason if found else ""
        return ""

    def _ended(self, attempt: Attempt, outcome: Outcome, result: GateResult | None = None) -> Attempt:
        return record.ended(attempt, outcome, self._world.clock.now(), result)


def _accept(target: Target, approval: Approval, token: int) -> Observation:
    target.accept(approval, token)
    return target.observe()
