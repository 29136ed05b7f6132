"""The effects of a pass: the one place where a target changes.

The order that the promises rest on: the record of intent is durable before the first effect, and its one outcome after
the last. Behind the switch comes the activation; a release that is asked for its health keeps its intent open until
its first checks have decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from reconciler.core.approve import Approval, standing
from reconciler.core.declare import Declaration, Reading
from reconciler.core.plan import INSTALLS
from reconciler.core.verify import VerifiedArtifact
from reconciler.errors import DID_NOT_RUN, Reason, ReconcilerError
from reconciler.model import (
    Accepted,
    Action,
    Attempt,
    DriftKind,
    Failed,
    Gate,
    GateResult,
    Observation,
    Outcome,
    Readiness,
    Service,
    Status,
    Verdict,
)
from reconciler.pipeline import record
from reconciler.pipeline.gates import Gates
from reconciler.pipeline.home import Home, accepted_reading
from reconciler.pipeline.living import (
    Needs,
    due,
    fell_back,
    has_failed,
    keep_good,
    needs,
    new_salt,
    on_probation,
    start,
)
from reconciler.pipeline.origin import Origin, obtained
from reconciler.pipeline.readiness import readiness
from reconciler.pipeline.scene import Scene
from reconciler.pipeline.world import Held, gate
from reconciler.ports import Target

Act = Callable[[int], Observation]
"""What is done to the target, under a token."""


class Effects:
    """Carries out what was judged, and records it."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._world = scene.world
        self._went_back = False
        """Whether this pass tried to go back from what failed."""

    @contextmanager
    def artifact(self, gates: Gates, declaration: Declaration, origin: Origin | None) -> Iterator[VerifiedArtifact]:
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

    def install(
        self,
        action: Action,
        home: Home,
        gates: Gates,
        reading: Reading,
        approval: Approval,
        given: Needs | None,
        origin: Origin | None = None,
        ask_again: Callable[[], None] = lambda: None,
        why: str = "",
    ) -> Status:
        """Get the bytes and make them live.

        Args:
            action: What it is called in the record.
            home: Where they go.
            gates: With their words so far.
            reading: The file that declares them.
            approval: Who let them in.
            given: What their activation needs.
            origin: The run that they are of; None: from custody.
            ask_again: Asked when they are at hand: getting them may have taken long.
            why: For the record.

        Raises:
            Held: They can't be had, or a gate closed meanwhile; nothing was changed.
        """
        declaration = reading.declaration
        assert declaration is not None
        with self.artifact(gates, declaration, origin) as artifact:
            ask_again()
            act: Act = lambda token: home.target.apply(artifact, approval, token)  # noqa: E731 - one of two ways to act
            return self.effect(action, home, gates, reading, approval, given, act, why)

    def accept(
        self, action: Action, home: Home, gates: Gates, reading: Reading, approval: Approval, given: Needs | None
    ) -> Status:
        """What is live stays; only the record of what was let in moves on, and what runs is started anew if need be.

        Raises:
            Held: Nothing was changed.
        """
        return self.effect(
            action, home, gates, reading, approval, given, lambda token: _accept(home.target, approval, token)
        )

    def effect(
        self,
        action: Action,
        home: Home,
        gates: Gates,
        reading: Reading,
        approval: Approval,
        given: Needs | None,
        act: Act,
        why: str = "",
    ) -> Status:
        """Intent, effect, outcome."""
        scene = self._scene
        with gate(Gate.TARGET):
            token = scene.token(home)
        for intent in scene.open_intents:
            scene.close(intent, Outcome.INTERRUPTED, f"replaced by run {approval.run_id} before it had proven itself")
        attempt = record.attempt_at(action, approval, home, gates, token, scene.now)
        intent = self._world.store.begin(replace(attempt, message=why or attempt.message))
        scene.open_intents = (intent,)  # until it is finished, whatever stops this pass
        unit = any(drift.kind is DriftKind.UNIT for drift in home.observed.drift)
        try:
            with gate(Gate.TARGET):
                if given and given.declaration.is_run:
                    keep_good(home.target, home, given.salt, token)
                observed = act(token)
        except Held as held:
            return self._failed(intent, home, gates, held)
        told = f"{observed.live.id if observed.live else 'nothing'} at {home.path}, token {token}"
        gates.passed(Gate.TARGET, told)
        home = replace(home, observed=observed, accepted=observed.accepted, reading=reading)
        try:
            # Drift that an installation leaves is of what an activation delivers and remembers.
            if given and self._starts(action, observed, given, unit=unit):
                home, intent = self._start(intent, home, given, token)
            elif observed.drift:
                home = self._clear(home, given, token)
        except Held as held:
            return self.did_not_run(intent, home, gates, held, back=self._is_back(intent, home))
        return self._done(intent, home, gates, approval)

    def did_not_run(self, intent: Attempt | None, home: Home, gates: Gates, held: Held, *, back: bool) -> Status:
        """The release does not come to life: say so where it is remembered, and go back if that is wanted.

        Args:
            intent: The attempt that brought it; None: the memory of that is lost.
            home: Where it is live.
            gates: With their words so far.
            held: Which word stopped it.
            back: Whether it is what was gone back to: what failed before that stays remembered, and it stays.
        """
        scene = self._scene
        gates.keep(held.result)
        scene.gates = gates
        if not back and held.result.reason in DID_NOT_RUN:
            home = self._remember_failed(home, held.result)
        scene.arrive(home)
        status = scene.status(scene.holding or held)
        if intent:
            scene.told_of = held.result.reason
            failed = replace(record.ended(intent, Outcome.FAILED, scene.now, held.result), gates=gates.results())
            self._finish(failed, status, home.observed.accepted)
        if back or held.result.reason not in DID_NOT_RUN:
            return status
        return self._roll_back(home, held.result) or status

    def go_back(self, home: Home) -> Status | None:
        """Go back from what did not come to life here, where that could not be done when it failed."""
        service, accepted = home.observed.service, home.observed.accepted
        failed = service.failed if service else None
        if self._went_back or failed is None or accepted is None or not has_failed(service, accepted):
            return None
        name = Gate.ACTIVATION if failed.reason is Reason.ACTIVATION_FAILED else Gate.HEALTH
        return self._roll_back(home, GateResult(name, Verdict.HELD, failed.reason, failed.message))

    def _starts(self, action: Action, observed: Observation, given: Needs, *, unit: bool) -> bool:
        """Whether what is live is to be activated; `unit`: what was activated does not run any more."""
        if observed.live is None or not given.declaration.is_run:
            return False
        upkeep = action is Action.REPAIR or self._scene.holding is not None
        if upkeep and observed.accepted and has_failed(observed.service, observed.accepted):
            return False  # its files are mended; what did not run is not tried again for that
        return unit or action in _STARTS or bool(observed.drift) or bool(due(given.declaration, observed, given))

    def _clear(self, home: Home, given: Needs | None, token: int) -> Home:
        """Take away what an earlier declaration delivered, and mend a record that nobody asks for any more.

        `given`: what is delivered in place of it, to what is run and is not started now.

        Raises:
            Held: The target or the fence says no.
        """
        with gate(Gate.TARGET):
            home.target.deliver(given.file if given and given.declaration.is_run else None, token)
            home.target.remember(home.observed.service or Service(new_salt()), token)
            return replace(home, observed=home.target.observe())

    def _start(self, intent: Attempt, home: Home, given: Needs, token: int) -> tuple[Home, Attempt]:
        """Activate what is live now.

        Raises:
            Held: `ActivationFailed`, or the target or the fence says no.
        """
        back, anew = self._is_back(intent, home), self._is_new(intent)
        environment = self._scene.file.environment
        with gate(Gate.ACTIVATION):
            service, output = start(
                self._world, environment, home.target, home.observed, given, token, back=back, anew=anew
            )
        observed = replace(home.observed, service=service)
        if observed.drift:
            with gate(Gate.TARGET):
                observed = home.target.observe()
        return replace(home, observed=observed), replace(intent, output=output)

    def _is_back(self, intent: Attempt, home: Home) -> bool:
        """Whether what is started is what was gone back to, now or earlier."""
        if intent.action is Action.ROLLBACK:
            return True
        service = home.observed.service
        if fell_back(service, home.observed.accepted):
            return True
        return service is not None and service.back and not self._is_new(intent)

    def _is_new(self, intent: Attempt) -> bool:
        """Whether it is a try of what is declared, and not the upkeep of what ran here before."""
        return self._scene.holding is None and intent.action not in (Action.REPAIR, Action.ROLLBACK)

    def _done(self, intent: Attempt, home: Home, gates: Gates, approval: Approval) -> Status:
        """The effect came about; its outcome waits for the first checks, where there are any."""
        scene = self._scene
        scene.arrive(home)
        if intent.action in INSTALLS:
            scene.readiness = self._readiness(home)
        status = scene.settled(home, gates, approval)
        if on_probation(home):
            scene.open_intents = (replace(intent, gates=gates.results()),)
            self._world.store.save(status, scene.now, home.observed.accepted)
        else:
            done = replace(record.ended(intent, Outcome.SUCCEEDED, scene.now), gates=gates.results())
            self._finish(done, status, home.observed.accepted)
        return status

    def _readiness(self, home: Home) -> Readiness | None:
        """What the way back is worth from here on; None: nobody can tell now."""
        try:
            return readiness(home, self._scene.revoked)
        except ReconcilerError:
            return None

    def _finish(self, ended: Attempt, status: Status, accepted: Accepted | None) -> None:
        self._world.store.finish(ended, status, accepted)
        self._scene.open_intents = tuple(one for one in self._scene.open_intents if one.id != ended.id)

    def _failed(self, intent: Attempt, home: Home, gates: Gates, held: Held) -> Status:
        """The effect did not come about: say so, with what is there now."""
        scene = self._scene
        gates.keep(held.result)
        try:
            observed = home.target.observe()
        except ReconcilerError:
            observed = home.observed
        if scene.home is None or scene.home.path == home.path:
            scene.home = replace(home, observed=observed)  # else it still lives where it lived
        status = scene.status(scene.holding or held)
        failed = replace(record.ended(intent, Outcome.FAILED, scene.now, held.result), gates=gates.results())
        self._finish(failed, status, observed.accepted)
        return status

    def _remember_failed(self, home: Home, word: GateResult) -> Home:
        """On the target: nobody who comes later, with another memory or none, tries this again by themselves."""
        accepted, service = home.observed.accepted, home.observed.service
        assert accepted and word.reason  # noqa: PT018 - for the type checker
        failed = Failed(
            *(accepted.commit, accepted.declaration, accepted.run_id, accepted.sha256),
            *(word.reason, word.message, self._scene.now),
        )
        service = service or Service(new_salt())
        service = replace(service, failed=failed, proven=False, back=False)
        with gate(Gate.TARGET):
            home.target.remember(service, self._scene.token(home))
        return replace(home, observed=replace(home.observed, service=service))

    def _roll_back(self, home: Home, word: GateResult) -> Status | None:
        """Back to what worked here last; None: there is no way back, or it is not wanted."""
        scene = self._scene
        self._went_back = True
        good = _way_back(home)
        if good is None:
            return None
        try:
            with gate(Gate.HISTORY):
                reading, _ = accepted_reading(self._world, scene.file, good)
        except Held:
            return None  # nobody can tell what worked: the next pass asks again
        declaration = reading.declaration if reading else None
        if reading is None or declaration is None or declaration.target.path != home.path:
            return None
        gates = Gates(self._world, scene.fleet, scene.file, home)
        approval = standing(good, declaration, scene.now)
        scene.holding = scene.holding or Held(word)
        try:
            gates.judged_before()
            gates.revocation(approval)
            with gate(Gate.ACTIVATION):
                given = needs(self._world, scene.file.environment, declaration, home.observed.service)
            why = f"back from run {home.accepted.run_id if home.accepted else '?'}: {word.message}"
            return self.install(Action.ROLLBACK, home, gates, reading, approval, given, why=why)
        except Held:
            return None  # what is live stays as it is; why it does not run is the news


def _way_back(home: Home) -> Accepted | None:
    """The declaration to go back to after the live one did not run."""
    service, accepted = home.observed.service, home.observed.accepted
    declaration = home.reading.declaration if home.reading else None
    if service is None or service.good is None or accepted is None or declaration is None or service.back:
        return None
    good = service.good
    same = (good.commit, good.declaration) == (accepted.commit, accepted.declaration)
    return None if same or declaration.rollback == "hold" else good


_STARTS = INSTALLS | {Action.ACTIVATE}


def _accept(target: Target, approval: Approval, token: int) -> Observation:
    target.accept(approval, token)
    return target.observe()
