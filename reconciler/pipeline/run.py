"""The table of contents of a pass.

Nothing is remembered that could not be read again. While a gate holds, nothing changes but repair of what is live
towards what was approved for it. The effects, and in which order they are recorded, are in `effects`; the end of a
probation in `probation`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from reconciler.core.approve import Approval, standing
from reconciler.core.declare import Declaration
from reconciler.core.plan import INSTALLS, decide
from reconciler.declarations.catalog import Declared as DeclaredFile
from reconciler.errors import BAD_BYTES, Reason
from reconciler.model import Action, Attempt, Digest, Gate, OperatorHand, Outcome, Status, Sync
from reconciler.pipeline import record
from reconciler.pipeline.effects import Effects
from reconciler.pipeline.fleet import Fleet
from reconciler.pipeline.gates import Gates
from reconciler.pipeline.home import Home
from reconciler.pipeline.living import due, fell_back, has_failed, needs, was_started
from reconciler.pipeline.origin import Origin
from reconciler.pipeline.planner import Planner
from reconciler.pipeline.probation import conclude, goes_on
from reconciler.pipeline.readiness import readiness
from reconciler.pipeline.scene import Scene
from reconciler.pipeline.world import Fence, Held, World, gate


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
        open_intents: tuple[Attempt, ...] = (),
        *,
        thorough: bool = False,
    ) -> None:
        """Prepare a pass.

        Args:
            world: The parts.
            fleet: What concerns more than one environment.
            fence: This process's fencing token.
            file: What is declared at the tip.
            previous: The last status, for telling news from repetition; decides nothing else.
            hand: What the operator asked for this environment.
            open_intents: Intents of this environment without an outcome: of the release that is on probation, or of a
                process that ended in between.
            thorough: Hash every byte of what is live, and of what a rollback would go back to.
        """
        self._world = world
        self._fleet = fleet
        self._file = file
        self._previous = previous
        self._hand = hand
        self._thorough = thorough
        self._scene = Scene(world, fleet, fence, file, previous, hand, open_intents)
        self._effects = Effects(self._scene)
        self._planner = Planner(world, fleet, file, hand)

    @property
    def open_intents(self) -> tuple[Attempt, ...]:
        """Intents that still wait for their outcome: the next pass is to get them."""
        return self._scene.open_intents

    @property
    def home(self) -> Home | None:
        """Where it lives and what was there, as of the end of the pass; None when nobody can tell."""
        return self._scene.home

    def run(self) -> Status:
        """Bring the environment to its declaration, or say why not; the status is remembered.

        Raises:
            ReconcilerError: `StoreUnavailable` only: what can't be recorded is not done.
        """
        try:
            self._look(thorough=self._thorough, replaces=not self._scene.open_intents)
            self._close_unfinished()
            if not self._is_suspended() and conclude(self._scene, self._effects):
                self._planner = Planner(self._world, self._fleet, self._file, self._hand)
                self._scene.holding = None  # what failed held nothing but its own way back
                self._look()
            self._planner.judge()
            self._scene.gates, self._scene.repairs_at = self._planner.gates, self._planner.repairs_at
            return self._drive(self._planner)
        except Held as held:
            self._scene.gates = self._planner.gates
            if self._planner.home is None:
                self._scene.arrive(None)
            held = self._kept_for_later(self._planner, held)
            self._look_inside()
            return self._hold(held)

    def _is_suspended(self) -> bool:
        """Whether somebody said to leave what is live alone: the operator, or the file as it was let in."""
        reading = self._scene.home.reading if self._scene.home else None
        return self._hand.suspended or bool(reading and reading.declaration and reading.declaration.suspend)

    def _look_inside(self) -> None:
        """What is live stays, although something else is declared: so what it holds matters after all."""
        if self._scene.home and self._scene.home.around:
            with suppress(Held):  # it could be told a moment ago; what holds is the news
                self._look()

    def _look(self, *, thorough: bool = False, replaces: bool = False) -> None:
        """Where it lives, what is there, and how it runs; for the arguments see `find_home`."""
        self._planner.find(thorough=thorough, replaces=replaces)
        self._scene.arrive(self._planner.home)
        if thorough and self._planner.home:
            with gate(Gate.TARGET):
                self._scene.readiness = readiness(self._planner.home, self._scene.revoked)

    def _drive(self, planner: Planner) -> Status:
        """Let in, and no gate holds: do what the plan says."""
        gates, approval, declaration, home = planner.gates, planner.approval, planner.declaration, planner.place
        reading, action = self._file.reading, planner.action
        assert gates and approval and declaration and home and reading  # noqa: PT018 - for the type checker
        if action is Action.NONE:
            return self._converged(home, gates, approval)
        if action in (Action.ACCEPT, Action.ACTIVATE):
            return self._effects.accept(action, home, gates, reading, approval, planner.needs)

        def ask_again() -> None:
            """What happened to the rules and upstream while the bytes were fetched counts."""
            if action in INSTALLS:
                gates.revocation(approval)
                gates.promotion(approval, declaration, action)
                gates.freeze(action)

        return self._effects.install(action, home, gates, reading, approval, planner.needs, planner.origin, ask_again)

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
            with self._effects.artifact(gates, declaration, origin):
                return held
        except Held as other:
            return other if other.result.reason in BAD_BYTES else held

    def _is_kept(self, origin: Origin, digest: Digest) -> bool:
        known = self._world.store.run(origin.name, origin.run.run_id)
        named = known is not None and any(one.sha256 == digest for one in known.artifacts)
        return named and self._world.custody.holds(digest)

    def _converged(self, home: Home, gates: Gates, approval: Approval) -> Status:
        """Nothing was due; remembered only when that is news."""
        gates.judged_before()
        gates.passed(Gate.TARGET, f"{home.observed.live.id if home.observed.live else 'nothing'} at {home.path}")
        status = self._scene.settled(home, gates, approval)
        before = self._previous
        if before and before.sync is Sync.SYNCED and before.declared == status.declared:
            # The evidence on which it was let in, and how it runs now.
            let_in = tuple(word for word in before.gates if word.gate is not Gate.HEALTH)
            status = replace(status, gates=(*let_in, gates.word(Gate.HEALTH)))
        self._world.store.save(status, self._world.clock.now(), home.observed.accepted)
        return status

    def _hold(self, held: Held) -> Status:
        """A gate holds: nothing changes, but what is live is kept as it was approved."""
        scene = self._scene
        if scene.gates:
            scene.gates.keep(held.result)
        if not self._left_alone(held):
            self._repair(held)
        status = scene.status(held)
        if held.result.reason is Reason.ENVIRONMENT_REMOVED and scene.home is None:
            self._world.store.forget(self._file.environment)
            return status
        last = self._previous
        news = last is None or (last.reason, last.declared) != (status.reason, status.declared)
        if news and held.result.reason is not scene.told_of:
            now, planner = self._world.clock.now(), self._planner
            tried = record.attempt(
                self._file, scene.home, scene.gates, planner.approval, planner.planned(), self._previous, now
            )
            self._world.store.refuse(record.ended(tried, Outcome.REFUSED, now, held.result), status)
        else:
            self._world.store.save(status, self._world.clock.now())
        return status

    def _left_alone(self, held: Held) -> bool:
        """Whether somebody said to leave it alone: the operator, or the file as it was let in."""
        declaration = self._planner.declaration if self._planner.approval else None
        suspended = declaration is not None and declaration.suspend
        return held.result.reason is Reason.SUSPENDED or self._hand.suspended or suspended

    def _repair(self, held: Held) -> None:
        """Keep what was accepted live, whole and running, whatever the tip says; also where its switch never came."""
        home = self._scene.home
        if home is None or home.accepted is None or home.reading is None:
            return
        declaration = home.reading.declaration
        assert declaration is not None
        self._scene.holding = held
        if self._effects.go_back(home):
            return
        approval = standing(home.accepted, declaration, self._world.clock.now())
        action = self._mending(home, approval, declaration)
        if action not in (Action.REPAIR, Action.DEPLOY, Action.ACTIVATE):
            return
        if held.result.reason is Reason.ENVIRONMENT_REMOVED and home.observed.accepted is None:
            return  # first the file was removed, then what was live, with its record: it is meant to be gone
        gates = Gates(self._world, self._fleet, self._file, home)
        gates.judged_before()
        if action is Action.DEPLOY and not self._may_be_brought_back(gates, approval):
            return
        try:
            with gate(Gate.ACTIVATION):
                given = needs(self._world, self._file.environment, declaration, home.observed.service)
            if action is Action.ACTIVATE:
                self._effects.accept(action, home, gates, home.reading, approval, given)
            else:
                self._effects.install(action, home, gates, home.reading, approval, given)
        except Held:
            return  # the drift stays in the status; what holds the tip is the news

    def _mending(self, home: Home, approval: Approval, declaration: Declaration) -> Action:
        """What brings the target back to what was accepted there."""
        action = decide(approval, home.observed, lambda *_: False, repairs=self._planner.repairs(home, declaration))
        if action is not Action.NONE or home.accepted is None or has_failed(home.observed.service, home.accepted):
            return action
        if self._planner.did_not_start(home.accepted):
            return action
        return Action.ACTIVATE if due(declaration, home.observed, None) else action

    def _may_be_brought_back(self, gates: Gates, approval: Approval) -> bool:
        """Whether what was let in, and is not live, was live before: a switch that failed is no drift.

        Not what is revoked: what is live stays, and what is not live any more is not brought back.
        """
        try:
            gates.revocation(approval)
        except Held:
            return False
        home = self._scene.home
        if home and (fell_back(home.observed.service, home.observed.accepted) or was_started(home.observed)):
            return True
        return self._planner.was_live(approval.run_id, approval.sha256)

    def _close_unfinished(self) -> None:
        """Give intents of a process that ended in between their one outcome: what is there now.

        But for the one that is on probation, in this process or the one before: its checks decide.
        """
        home = self._scene.home
        live = home.observed.live.id if home and home.observed.live else "nothing"
        found = f"live is {live}" if home else "its file is gone, so nobody can tell what is live"
        going_on = [intent for intent in self._scene.open_intents if goes_on(intent, home)][-1:]
        for intent in self._scene.open_intents:
            if intent not in going_on:
                self._scene.close(intent, Outcome.INTERRUPTED, f"the process ended in between; {found}")
