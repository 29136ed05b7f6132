"""Plan and act are one: what `plan` shows right before a pass is what the pass then does."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.errors import BAD_BYTES, Reason
from reconciler.model import (
    Accepted,
    Action,
    Attempt,
    EnvironmentName,
    Gate,
    GateResult,
    Outcome,
    Status,
    Verdict,
)
from reconciler.pipeline import Planned
from tests.simulation.world import FakeWorld, Process

BYTES = BAD_BYTES | {Reason.ARTIFACT_EXPIRED}
"""What shows only when the bytes are asked for: our copy may have rotted, and CI may have forgotten its own."""
UNAVAILABLE = frozenset({Reason.FORGE_UNAVAILABLE, Reason.REPOSITORY_UNAVAILABLE})


@dataclass(frozen=True)
class Act:
    """What one pass did."""

    status: Status
    attempts: tuple[Attempt, ...]

    @property
    def held(self) -> GateResult | None:
        """The gate that ended the pass; a plan asks on, a pass does not."""
        return next((word for word in self.status.gates if word.verdict is Verdict.HELD), None)


def act(world: FakeWorld, process: Process, name: str) -> Act:
    """One pass, and what it left in the memory."""
    known = set(world.store.memory.attempts)
    status = process.run(name)
    return Act(status, tuple(one for key, one in world.store.memory.attempts.items() if key not in known))


def foreseen(world: FakeWorld, process: Process, name: str) -> Act:
    """A plan, then a pass, without a fault of the world in between: they agree."""
    accepted = of(world, name)
    process.chore()
    world.clock.seconds += 1  # as the pass will see it
    planned = process.plan(name)
    world.clock.seconds -= 1
    done = act(world, process, name)
    compare(planned, done, accepted)
    return done


def compare(planned: Planned, done: Act, accepted: set[Accepted], *, merged: bool = False) -> None:
    """Whether a pass did what a plan showed.

    Args:
        planned: The plan.
        done: The pass.
        accepted: What was accepted for the environment before it: a held pass mends towards nothing else.
        merged: The plan was of a merge, which was done since with everybody's approval.
    """
    held, plan = first_held(planned), planned.plan
    effects = [one for one in done.attempts if one.outcome is not Outcome.REFUSED]
    if held is None:
        assert plan, "nothing holds, and nothing is planned"
        assert not done.held or done.held.reason in BYTES, f"planned {plan.action}, held by {done.held}"
        if plan.action is Action.NONE:
            assert not done.attempts, f"nothing was planned, and {done.attempts} was done"
        elif not done.held:
            assert [(one.action, one.plan, one.outcome) for one in effects] == [
                (plan.action, plan.digest, Outcome.SUCCEEDED)
            ]
            assert _verdicts(effects[0].gates) == _verdicts(planned.gates)
        return
    if held.reason in UNAVAILABLE and done.held is None:
        return  # the daemon knew already what the plan, made from nothing, could not find out
    if held.reason is Reason.SOAKING and (done.held is None or done.held.gate in (Gate.FREEZE, Gate.CUSTODY)):
        return  # the last looks were not told yet: a plan may promise less than a pass, never more
    assert done.held, f"a plan was held by {held}, a pass by nothing: {done.status}"
    early = held.gate in (Gate.PROMOTION, Gate.FREEZE) and done.held.reason in BAD_BYTES
    same = (done.held.gate, done.held.reason) == (held.gate, held.reason)
    assert same or early, f"planned {held}, held by {done.held}"  # a pass takes what waits into custody meanwhile
    refused = [one for one in done.attempts if one.outcome is Outcome.REFUSED]
    if held.gate in (Gate.PROVENANCE, Gate.PROMOTION, Gate.FREEZE):
        assert plan, held
        assert all(one.plan == plan.digest for one in refused)
    towards = {(one.run_id, one.sha256) for one in accepted}
    for one in effects:
        assert one.action in (Action.REPAIR, Action.DEPLOY), one
        assert (one.declared.run_id, one.declared.sha256) in towards, f"held, and yet {one}"


def _verdicts(words: tuple[GateResult, ...]) -> dict[Gate, Verdict]:
    """What was judged before the first effect; but for the approval, which a plan of a merge leaves to the merge."""
    later = (Gate.APPROVAL, Gate.CUSTODY, Gate.TARGET, Gate.HEALTH)
    return {word.gate: word.verdict for word in words if word.gate not in later}


def first_held(planned: Planned) -> GateResult | None:
    """The gate that a pass would stop at, as a plan shows it."""
    if planned.plan:
        return planned.plan.held
    return next((word for word in planned.gates if word.verdict is Verdict.HELD), None)


def of(world: FakeWorld, name: str) -> set[Accepted]:
    """What is accepted for an environment, wherever."""
    found = (place.accepted for place in world.targets.places.values())
    return {one for one in found if one and one.environment == EnvironmentName(name)}
