"""The judgement of one environment, from its file at the tip to what is to be done: the half of a pass without effect.

A pass carries out what stands here, and `reconciler plan` shows it; there is no second way to come to it. A pass ends
at the first gate that holds. A plan asks on, so that whoever reads it knows all that stands in the way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn, TypeVar

from reconciler.core.approve import Approval
from reconciler.core.declare import Declaration
from reconciler.core.plan import INSTALLS, Plan, Proposed, Wanted, decide
from reconciler.core.schedule import repair_from
from reconciler.declarations.catalog import Declared as DeclaredFile
from reconciler.errors import BAD_BYTES, DID_NOT_RUN, Reason
from reconciler.model import (
    Accepted,
    Action,
    Attempt,
    CommitId,
    Declared,
    Digest,
    Failed,
    Gate,
    GateResult,
    OperatorHand,
    Outcome,
    RunId,
    Verdict,
)
from reconciler.pipeline.fleet import Fleet
from reconciler.pipeline.gates import Gates
from reconciler.pipeline.home import Home, find_home, move_home
from reconciler.pipeline.living import Needs, due, has_failed, may_run, needs, with_unit
from reconciler.pipeline.origin import Origin
from reconciler.pipeline.world import Held, World, gate

_NOT_AGAIN = BAD_BYTES | DID_NOT_RUN
_REMEMBERED = 50
"""Attempts that are searched for bytes that failed before."""
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Planned:
    """What a plan shows: the act, every gate's word, and what they were judged on."""

    plan: Plan | None
    """None when nobody can tell what would be done: no declaration that can be read, say."""
    gates: tuple[GateResult, ...]
    home: Home | None
    declaration: Declaration | None
    origin: Origin | None


class Planner:
    """Judges once; made anew for each time."""

    def __init__(
        self,
        world: World,
        fleet: Fleet,
        file: DeclaredFile,
        hand: OperatorHand,
        merge: CommitId | None = None,
    ) -> None:
        """Prepare.

        Args:
            world: The parts.
            fleet: What concerns more than one environment.
            file: What is declared at the tip, or would be at a tip that is only proposed.
            hand: What the operator asked for this environment.
            merge: That tip, when it is only proposed: its approval is pending, and not judged.
        """
        self._world = world
        self._fleet = fleet
        self._file = file
        self._hand = hand
        self._merge = merge
        self._thorough = False
        self._first: GateResult | None = None
        self.gates: Gates | None = None
        self.home: Home | None = None
        """Where the environment lives now."""
        self.place: Home | None = None
        """Where it is to live, once its declaration is let in."""
        self.declaration: Declaration | None = None
        self.approval: Approval | None = None
        self.wanted: Wanted | None = None
        self.action = Action.NONE
        self.origin: Origin | None = None
        self.needs: Needs | None = None
        """What an activation would be given; None: nothing is activated, or it can't be told from here."""
        self.repairs_at: datetime | None = None
        """When drift is mended again, where it came back too often; else None."""

    def find(self, *, thorough: bool = False, replaces: bool = False) -> None:
        """Look at where it lives; for the arguments see `find_home`.

        Raises:
            Held: The target is not allowed or out of reach.
        """
        with gate(Gate.TARGET):
            home = find_home(self._world, self._file, thorough=thorough, replaces=replaces)
            self.home = with_unit(self._world, self._file.environment, home) if home else None

    def judge(self) -> None:
        """Ask the gates in order, up to the first that holds.

        Raises:
            Held: That gate's word.
            ReconcilerError: `StoreUnavailable`.
        """
        self.gates = gates = Gates(self._world, self._fleet, self._file, self.home)
        gates.history()
        self.declaration = declaration = gates.schema()
        self.wanted = wanted = self._let_in(gates, declaration)
        self._ask(lambda: gates.revocation(wanted))
        self._ask(lambda: gates.rivalry(declaration))
        self._ask(lambda: gates.suspension(declaration, self._hand))
        with gate(Gate.TARGET):
            self.place = place = move_home(self._world, self._file, self.home, declaration)
        waits = self._prepare(gates, place, declaration)
        self.action = self._decide(wanted, place, declaration)
        if waits and self.action not in INSTALLS:
            self._ask(lambda: _raise(waits))
        if self.action is Action.NONE:
            self._ask(lambda: self._came_to_life(wanted, place))
            return
        self._ask(lambda: self._not_failed_before(gates, wanted))
        if self.action not in INSTALLS:
            gates.judged_before()
            return
        self.origin = self._ask(lambda: gates.provenance(declaration))
        gates.proven_here = self._is_proven_here(wanted, declaration)
        self._ask(lambda: gates.promotion(wanted, declaration, self.action))
        self._ask(lambda: gates.freeze(self.action))
        if waits:
            self._ask(lambda: _raise(waits))

    def plan(self) -> Planned:
        """Judge all that can be judged now, and change nothing.

        Raises:
            ReconcilerError: `StoreUnavailable`.
        """
        self._thorough = True
        try:
            self.find()
            self.judge()
        except Held as held:
            self._keep(held)
        words = self.gates.results() if self.gates else ()
        return Planned(self.planned(words), words, self.home, self.declaration, self.origin)

    def planned(self, words: tuple[GateResult, ...] = ()) -> Plan | None:
        """The plan so far; None before it is known what to do."""
        if self.wanted is None or self.place is None:
            return None
        live = self.place.observed.live
        return Plan(
            self._file.environment, self.action, self._file.tip, self.wanted, live, self.place.path, words, self._first
        )

    def was_live(self, run_id: RunId, sha256: Digest) -> bool:
        """Whether an artifact was live here before: by what is remembered.

        When nothing is, as after the loss of the store, by what is kept on the target, which may never have been live:
        it was let through every gate, and its switch did not come about.
        """
        done = self._world.store.succeeded(self._file.environment)
        if done:
            return any((attempt.declared.run_id, attempt.declared.sha256) == (run_id, sha256) for attempt in done)
        retained = self.place.observed.retained if self.place else ()
        return any((release.run_id, release.sha256) == (run_id, sha256) for release in retained)

    def did_not_start(self, accepted: Accepted) -> bool:
        """Whether what was let in did not run when it was started last, and nobody said `retry` since."""
        declared = Declared(accepted.commit, accepted.run_id, accepted.sha256)
        for attempt in self._world.store.attempts(self._file.environment, limit=_REMEMBERED):
            if attempt.declared == declared and attempt.outcome in (Outcome.SUCCEEDED, Outcome.FAILED):
                return attempt.reason in DID_NOT_RUN and (attempt.id or 0) > self._hand.retry_after
        return False

    def _prepare(self, gates: Gates, place: Home, declaration: Declaration) -> Held | None:
        """Find out what the activation needs; gives back what is in its way, for when it is asked for."""
        try:
            with gate(Gate.ACTIVATION):
                if not self._thorough:
                    self.needs = needs(self._world, self._file.environment, declaration, place.observed.service)
                elif self._world.activators or self._world.probes:
                    may_run(self._world, self._file.environment, declaration)
        except Held as held:
            return held
        gates.passed(Gate.ACTIVATION, *_given(declaration, self.needs if place.observed.service else None))
        return None

    def _decide(self, wanted: Wanted, place: Home, declaration: Declaration) -> Action:
        action = decide(wanted, place.observed, self.was_live, repairs=self.repairs(place, declaration))
        if place.observed.live and not self._unpacked_alike(declaration):
            return Action.DEPLOY  # other files than those that are live, though of the same bytes
        if action in (Action.NONE, Action.ACCEPT) and self._must_start(wanted, place, declaration):
            return Action.ACTIVATE
        if action is Action.NONE and place.rebased:
            return Action.ACCEPT  # so that the record on the target names a commit of the history that was accepted
        return action

    def repairs(self, place: Home, declaration: Declaration) -> bool:
        """Whether drift is mended: not where it is only to be told, and not again and again at once."""
        if not place.observed.drift or declaration.drift == "report":
            return False
        tried = self._world.store.attempts(self._file.environment, limit=_REMEMBERED)
        repairs = [attempt.started for attempt in tried if attempt.action is Action.REPAIR]
        self.repairs_at = repair_from(repairs, self._world.clock.now(), self._world.repairs)
        return self.repairs_at is None

    def _must_start(self, wanted: Wanted, place: Home, declaration: Declaration) -> bool:
        """Whether what is live already is to be activated: it was not yet, or with other settings, or failed to run."""
        observed = place.observed
        accepted = observed.accepted
        if accepted and accepted.declaration == wanted.declaration and has_failed(observed.service, accepted):
            return self._retried(wanted)
        return bool(due(declaration, observed, self.needs))

    def _retried(self, wanted: Wanted) -> bool:
        """Whether somebody said `retry` after this very declaration did not run."""
        tried = self._world.store.attempts(self._file.environment, limit=_REMEMBERED)
        failed = next((one for one in tried if self._same(one, wanted) and one.reason in DID_NOT_RUN), None)
        return failed is not None and (failed.id or 0) <= self._hand.retry_after

    def _unpacked_alike(self, declaration: Declaration) -> bool:
        before = self.home.reading.declaration if self.home and self.home.reading else None
        return before is None or before.artifact.unpack == declaration.artifact.unpack

    def _is_proven_here(self, wanted: Wanted, declaration: Declaration) -> bool:
        """Whether it is what was let in here last, and not only that: its switch came about, too."""
        accepted = self.home.accepted if self.home else None
        same = accepted is not None and (accepted.run_id, accepted.sha256) == (wanted.run_id, wanted.sha256)
        return same and self._unpacked_alike(declaration) and self.was_live(wanted.run_id, wanted.sha256)

    def _let_in(self, gates: Gates, declaration: Declaration) -> Wanted:
        try:
            if self._merge is None:
                self.approval = gates.approval()
                return self.approval
            gates.proposed(self._merge)
        except Held as held:
            if not self._thorough:
                raise
            self._keep(held)
        assert self._file.reading is not None
        return Proposed(self._file.reading.digest, declaration.run_id, declaration.sha256)

    def _ask(self, question: Callable[[], _Answer]) -> _Answer | None:
        """One gate; a plan goes on behind one that holds."""
        try:
            return question()
        except Held as held:
            if not self._thorough:
                raise
            self._keep(held)
            return None

    def _keep(self, held: Held) -> None:
        self._first = self._first or held.result
        self.gates = self.gates or Gates(self._world, self._fleet, self._file, self.home)
        if self.gates.word(held.result.gate).verdict is not Verdict.HELD:
            self.gates.keep(held.result)

    def _not_failed_before(self, gates: Gates, wanted: Wanted) -> None:
        """Stop at what failed before under this same declaration, whatever else failed since.

        Raises:
            Held: with the earlier word.
        """
        self._not_failed_there(wanted)
        for attempt in self._world.store.attempts(self._file.environment, limit=_REMEMBERED):
            if not self._same(attempt, wanted) or (attempt.id or 0) <= self._hand.retry_after:
                continue
            if attempt.outcome is Outcome.SUCCEEDED:
                return
            word = next((result for result in attempt.gates if result.verdict is Verdict.HELD), None)
            if attempt.reason in DID_NOT_RUN and self._runs_there(wanted):
                continue  # it recovered since
            if word and attempt.reason in _NOT_AGAIN:
                gates.recall(attempt)
                evidence = (f"attempt {attempt.id} failed; not tried again",)
                raise Held(GateResult(word.gate, word.verdict, word.reason, word.message, evidence, word.hint))

    def _not_failed_there(self, wanted: Wanted) -> None:
        """What the target remembers counts also when the store was lost.

        Raises:
            Held: `ActivationFailed`, `HealthCheckFailed`.
        """
        service = self.place.observed.service if self.place else None
        failed = service.failed if service else None
        if failed is None or (failed.commit, failed.declaration) != (self._declared_at(), wanted.declaration):
            return
        if not self._retried(wanted):
            self._tell(failed)

    def _came_to_life(self, wanted: Wanted, place: Home) -> None:
        """What is declared and live may be so and never have run.

        Raises:
            Held: `ActivationFailed`, `HealthCheckFailed`.
        """
        service, accepted = place.observed.service, place.observed.accepted
        same = accepted is not None and accepted.declaration == wanted.declaration
        if same and accepted and service and service.failed and has_failed(service, accepted):
            self._tell(service.failed)

    def _runs_there(self, wanted: Wanted) -> bool:
        """Whether just what is wanted is let in, and was healthy since it was started last."""
        service = self.place.observed.service if self.place else None
        accepted = self.place.observed.accepted if self.place else None
        same = accepted is not None and accepted.declaration == wanted.declaration
        return same and service is not None and service.proven

    def _tell(self, failed: Failed) -> NoReturn:
        name = Gate.ACTIVATION if failed.reason is Reason.ACTIVATION_FAILED else Gate.HEALTH
        evidence = (f"it failed at {failed.at:%Y-%m-%d %H:%M:%S}Z; not tried again",)
        hint = f"fix it and promote another run, or try this one again: reconciler retry {self._file.environment}"
        raise Held(GateResult(name, Verdict.HELD, failed.reason, failed.message, evidence, hint))

    def _same(self, attempt: Attempt, wanted: Wanted) -> bool:
        return attempt.declared == Declared(self._declared_at(), wanted.run_id, wanted.sha256)

    def _declared_at(self) -> CommitId:
        """The commit that the declaration came with."""
        if self.approval:
            return self.approval.commit
        if self.gates and self.gates.changes:
            return self.gates.changes[-1].commit
        return self.home.accepted.commit if self.home and self.home.accepted else self._file.tip


def _raise(held: Held) -> NoReturn:
    raise held


def _given(declaration: Declaration, given: Needs | None) -> tuple[str, ...]:
    """What an activation gets, by its names: values are nobody's to read.

    Without a salt of the target's own a fingerprint is another one each time, and tells nobody anything.
    """
    if declaration.activate is None:
        return ("nothing is activated",)
    told = [declaration.activate.words]
    if declaration.config:
        told.append(f"config {', '.join(sorted(declaration.config))}")
    if declaration.secrets:
        known = f", fingerprint {given.secrets[:12]}" if given else ""
        told.append(f"secrets {', '.join(sorted(declaration.secrets))}{known}")
    return ("; ".join(told),)
