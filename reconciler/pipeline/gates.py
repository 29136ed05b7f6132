"""Brings the facts to each gate and keeps its word; the verdicts themselves are pure and in `core`.

The gates are asked in the order of `model.Gate`, and the first that holds ends the judgement: nothing is
asked of CI on behalf of a declaration that nobody approved.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from reconciler.core.approve import Approval
from reconciler.core.declare import Declaration, PromoteSpec
from reconciler.core.plan import Wanted
from reconciler.core.promotion import judge_promotion, strictest
from reconciler.core.yamltree import Problem
from reconciler.declarations.catalog import Declared as DeclaredFile
from reconciler.errors import PolicyDenied, Reason
from reconciler.model import (
    Action,
    Attempt,
    Change,
    Checked,
    CommitId,
    Gate,
    GateResult,
    HealthState,
    OperatorHand,
    Status,
    Verdict,
)
from reconciler.pipeline.fleet import Fleet
from reconciler.pipeline.home import Home
from reconciler.pipeline.letting_in import LettingIn
from reconciler.pipeline.origin import Origin, find_origin
from reconciler.pipeline.upstream import look
from reconciler.pipeline.world import Held, World, gate

_CLOCKS = timedelta(minutes=1)
"""By which two machines' clocks may differ."""
_TOLD = 5
"""Problems of a file that a status repeats; `validate` tells them all."""


class Gates:
    """The gates of one pass."""

    def __init__(self, world: World, fleet: Fleet, file: DeclaredFile, home: Home | None) -> None:
        self._world = world
        self._fleet = fleet
        self._file = file
        self._home = home
        self._accepted = home.accepted if home else None
        self._words: dict[Gate, GateResult] = {}
        self.changes: tuple[Change, ...] = ()
        """What changed the file since it was last accepted, oldest first; empty when nothing did."""
        self.proven_here = False
        """Whether the declared artifact is the one that was let in here last, and it was live since."""
        self._promotes: tuple[PromoteSpec | None, ...] | None = None
        """What the artifact must be proven by; None while nobody can tell."""

    def results(self) -> tuple[GateResult, ...]:
        """Every gate's word, in order."""
        return tuple(self.word(name) for name in Gate)

    def word(self, name: Gate) -> GateResult:
        """One gate's word so far."""
        return self._words.get(name, GateResult(name, Verdict.NOT_REACHED))

    def passed(self, name: Gate, *evidence: str) -> None:
        """Keep that a gate passed, and on what evidence."""
        self._words[name] = GateResult(name, Verdict.PASSED, evidence=evidence)

    def judged_before(self) -> None:
        """What is live already was judged when it was deployed; CI is not asked again, and may have forgotten."""
        for name in (Gate.PROVENANCE, Gate.PROMOTION, Gate.CUSTODY):
            self.passed(name, "judged when it was deployed")
        self.passed(Gate.FREEZE, "stops promotions only")

    def recall(self, attempt: Attempt) -> None:
        """What passed in an earlier attempt at the very same; asked again, it would only be asked in vain."""
        for result in attempt.gates:
            if result.verdict is Verdict.PASSED and result.gate not in self._words:
                self.keep(result)

    def keep(self, result: GateResult) -> None:
        """Keep a gate's word as it was given."""
        self._words[result.gate] = result

    def history(self) -> None:
        """The tip descends from what was accepted, and the file is still there.

        Raises:
            Held: `BranchRewritten`, `EnvironmentRemoved`.
        """
        file, accepted = self._file, self._accepted
        with gate(Gate.HISTORY):
            if file.rewritten:
                hint = (
                    "push the branch back to a history that contains the last tip that was seen; if it was meant: "
                    "reconciler accept-rewrite SHA --reason TEXT, with the tip as it is now"
                )
                raise PolicyDenied(Reason.BRANCH_REWRITTEN, file.rewritten, hint)
            rebased = self._home.rebased if self._home else None
            if accepted and self._home and self._home.reading is None and rebased is None:
                raise PolicyDenied(
                    Reason.BRANCH_REWRITTEN,
                    f"the tip {file.tip[:12]} does not descend from {accepted.commit[:12]} with the file as it was "
                    "accepted there",
                    f"push the branch back to a history that contains it, such as {accepted.commit} itself",
                )
            if rebased or file.reading is None or accepted is None or file.reading.digest != accepted.declaration:
                start = rebased or (accepted.commit if accepted else self._baseline())
                self.changes = self._world.repository.changes(file.path, start, file.tip)
            if file.reading is None:
                raise PolicyDenied(
                    Reason.ENVIRONMENT_REMOVED,
                    f"environments/{file.path} is gone from the branch; what is live stays",
                    "put the file back; to end the environment, remove what is live by hand: it is not deployed again",
                )
        if rebased and accepted:
            told = f"rewritten: followed from {rebased[:12]} on, by an operator's word; {accepted.commit[:12]} is gone"
        else:
            told = f"descends from {accepted.commit[:12]}" if accepted else "nothing before it"
        self.passed(Gate.HISTORY, told)

    def schema(self) -> Declaration:
        """The file can be read, and no other environment has a better claim on its target.

        Raises:
            Held: `InvalidDeclaration`.
        """
        reading = self._file.reading
        assert reading is not None
        with gate(Gate.SCHEMA):
            if self._file.policy_problems:
                hint = "mend the policy: it holds every environment; `reconciler validate` shows every problem of it"
                raise PolicyDenied(Reason.INVALID_DECLARATION, _few(self._file.policy_problems), hint)
            if reading.declaration is None:
                hint = "mend the file; `reconciler validate` shows every problem before a push"
                raise PolicyDenied(Reason.INVALID_DECLARATION, _few(reading.problems), hint)
        self.passed(Gate.SCHEMA, f"environments/{self._file.path}, sha256 {reading.digest[:12]}")
        return reading.declaration

    def rivalry(self, declaration: Declaration) -> None:
        """No other environment has an equal or better claim on the declared target.

        Raises:
            Held: `InvalidDeclaration`.
        """
        home = self._home
        if not self._file.rivals or (home and home.observed.accepted and home.path == declaration.target.path):
            return
        statuses = self._world.store.statuses()
        others = [name for name in self._file.rivals if not _unapproved(statuses.get(name))]
        with gate(Gate.SCHEMA):
            if others:
                raise PolicyDenied(
                    Reason.INVALID_DECLARATION,
                    f"target.path {declaration.target.path} overlaps with that of {', '.join(others[:3])}",
                    "give each environment a folder of its own",
                )

    def suspension(self, declaration: Declaration, hand: OperatorHand) -> None:
        """Nobody said to leave this environment alone.

        Raises:
            Held: `Suspended`.
        """
        with gate(Gate.SUSPENSION):
            if hand.suspended:
                why = f": {hand.reason}" if hand.reason else ""
                message = f"suspended by {hand.by or 'the operator'}{why}"
                raise PolicyDenied(Reason.SUSPENDED, message, f"reconciler resume {self._file.environment}")
            if declaration.suspend:
                raise PolicyDenied(Reason.SUSPENDED, "suspended in its file", "set suspend: false through a change")
        self.passed(Gate.SUSPENSION)

    def approval(self) -> Approval:
        """People let in everything that changed the file since it was last accepted.

        Raises:
            Held: with the approval's own reasons, or `ForgeUnavailable`.
        """
        reading = self._file.reading
        assert reading is not None
        letting_in = self._letting_in()
        with gate(Gate.APPROVAL):
            result, approval = letting_in.verdict(reading, self._world.clock.now())
        self._promotes = letting_in.promotes
        if approval is None:
            raise Held(result)
        self.keep(result)
        return approval

    def proposed(self, merge: CommitId) -> None:
        """The approval of a merge that is only proposed is what the merge will decide; what else waits holds.

        Raises:
            Held: Something that the merge can't settle; or nobody can tell what is asked.
        """
        letting_in = self._letting_in()
        with gate(Gate.APPROVAL):
            word = letting_in.asked_of(merge)
        self._promotes = letting_in.promotes
        if word.verdict is Verdict.HELD:
            raise Held(word)
        self.keep(word)

    def revocation(self, wanted: Wanted) -> None:
        """Nobody revoked the artifact, or its run.

        Raises:
            Held: `Revoked`; or the policy can't be told.
        """
        with gate(Gate.REVOCATION):
            rules = self._fleet.rulebook.rules()
            revoked = rules.revoked(wanted.run_id, wanted.sha256)
            if revoked:
                raise PolicyDenied(
                    Reason.REVOKED,
                    f"run {wanted.run_id} ({wanted.sha256[:12]}) is revoked: {revoked.reason}",
                    f"promote another run, or go back: reconciler rollback {self._file.environment}",
                )
        self.passed(Gate.REVOCATION, *_said(rules.pending))

    def promotion(self, wanted: Wanted, declaration: Declaration, action: Action) -> None:
        """The artifact is proven in the environments that it must come from.

        Raises:
            Held: `NotInUpstream`, `UpstreamUnhealthy`, `Soaking`, `InvalidDeclaration`.
        """
        if action is Action.ROLLBACK:
            self.passed(Gate.PROMOTION, "a rollback: it was live here before")
            return
        if self.proven_here:
            self.passed(Gate.PROMOTION, "the very artifact that was let in, and live, here before")
            return
        if self._promotes is None:
            return  # a plan asks on behind an approval that could not be judged
        rule = strictest(self._promotes)
        with gate(Gate.PROMOTION):
            if self._file.upstream_problem:
                hint = "mend promote.after; `reconciler validate` shows it before a push"
                raise PolicyDenied(Reason.INVALID_DECLARATION, self._file.upstream_problem, hint)
            upstreams = [look(self._world, self._fleet, name, declaration) for name in rule.after]
            result = judge_promotion(wanted, rule, upstreams, self._world.clock.now())
        if result.verdict is Verdict.HELD:
            raise Held(result)
        self.keep(result)

    def freeze(self, action: Action) -> None:
        """No window is closed; a rollback may always go.

        Raises:
            Held: `Frozen`; or the policy can't be told.
        """
        if action is Action.ROLLBACK:
            self.passed(Gate.FREEZE, "a rollback may always go")
            return
        now = self._world.clock.now()
        with gate(Gate.FREEZE):
            rules = self._fleet.rulebook.rules()
            windows = rules.windows(self._file.environment)
            if windows:
                self._expect_forward(now)
            frozen = rules.frozen(self._file.environment, now)
        if frozen:
            if frozen.opens:
                until, hint = f"until {frozen.opens:%Y-%m-%d %H:%M:%S}Z", "wait: it goes on by itself then"
            else:
                until, hint = "with no end in sight", "it takes a change of environments/policy.yaml"
            message, hint = (
                f"{self._file.environment} is frozen {until}: {frozen.reason}",
                f"{hint}; a rollback is not held",
            )
            raise Held(GateResult(Gate.FREEZE, Verdict.HELD, Reason.FROZEN, message, (), hint, frozen.opens))
        told = f"none of {len(windows)} windows is closed" if windows else "no window names this environment"
        self.passed(Gate.FREEZE, told, *_said(rules.pending))

    def health(self, checked: Checked | None) -> None:
        """What the checks of what is live say; it never holds a change of it."""
        if checked is None:
            self.passed(Gate.HEALTH, "nothing asks for its health")
        elif checked.state is HealthState.HEALTHY:
            self.passed(Gate.HEALTH, "its checks pass")
        elif checked.state is HealthState.WAITING:
            self.keep(GateResult(Gate.HEALTH, Verdict.PENDING, message="its first checks have not passed yet"))
        else:
            self.keep(GateResult(Gate.HEALTH, Verdict.HELD, Reason.HEALTH_CHECK_FAILED, checked.message))

    def provenance(self, declaration: Declaration) -> Origin:
        """The declared run may be promoted, and has the artifact.

        Raises:
            Held: with the provenance's reasons, or `SourceUnavailable`.
        """
        with gate(Gate.PROVENANCE):
            origin = find_origin(self._world, declaration)
        run = origin.run
        told = ("CI has forgotten it; this is what it said when our copy was taken",) if origin.remembered else ()
        self.passed(
            Gate.PROVENANCE,
            f"run {run.run_id} of {run.repository_name or run.repository}: {run.workflow}, {run.event} on {run.branch}",
            f"attempt {run.attempt} ended with {run.conclusion}, built from {run.commit[:12]}",
            *told,
        )
        return origin

    def _baseline(self) -> CommitId | None:
        baseline = self._world.baseline
        if baseline and not self._world.repository.is_ancestor(baseline, self._file.tip):
            raise PolicyDenied(
                Reason.BRANCH_REWRITTEN,
                f"the tip {self._file.tip[:12]} does not descend from the baseline {baseline[:12]}",
                "correct repository.baseline in the settings",
            )
        return baseline

    def _letting_in(self) -> LettingIn:
        return LettingIn(self._world, self._fleet.rulebook, self._file, self._home, self.changes)

    def _expect_forward(self, now: datetime) -> None:
        """A clock behind what was recorded can't say whether a window is closed.

        Raises:
            PolicyDenied: `Frozen`.
        """
        known = (self._accepted.accepted_at if self._accepted else None, self._fleet.rulebook.let_in_at)
        last = max((at for at in known if at), default=now)
        if last > now + _CLOCKS:
            raise PolicyDenied(
                Reason.FROZEN,
                f"the clock says {now:%Y-%m-%d %H:%M:%S}Z, but something was let in at {last:%Y-%m-%d %H:%M:%S}Z, "
                "so nobody can tell whether a window is closed",
                "set the clock of this machine right",
            )


def _few(problems: tuple[Problem, ...]) -> str:
    told = [str(problem) for problem in problems[:_TOLD]]
    more = len(problems) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def _said(pending: GateResult | None) -> tuple[str, ...]:
    """Why the policy at the tip is not in force as a whole, where that is so."""
    if pending is None:
        return ()
    return (f"policy.yaml is not let in as it stands, the stricter counts: {pending.message}",)


def _unapproved(status: Status | None) -> bool:
    """Whether an environment's declaration is known not to be let in: it has no claim on anything."""
    return status is not None and any(
        word.gate is Gate.APPROVAL and word.verdict is Verdict.HELD for word in status.gates
    )
