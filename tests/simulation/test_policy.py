"""Which policy counts: what people let in, what a push tightens, and what stood before each change."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

import pytest

from reconciler.errors import Reason, Transient
from reconciler.model import CommitId, ForgeFacts, Gate, Health, Sync, Verdict
from tests.simulation.foresight import foreseen
from tests.simulation.git import Bar
from tests.simulation.origins import BOT
from tests.simulation.policy import PATH, Floor, Policy, Window
from tests.simulation.world import NOBODY, FakeWorld, Process, Said

YEAR = 365 * 86_400
SYNCED = (Sync.SYNCED, None)
REVOKED = (Sync.HELD, Reason.REVOKED)
FROZEN = (Sync.HELD, Reason.FROZEN)
MISSING = (Sync.HELD, Reason.APPROVAL_MISSING)
CLOSED = Policy(freeze=(Window(0, YEAR),))
CLOSING = Policy(freeze=(Window(100, YEAR),))
BAD_2 = Policy(runs=(2,))
TWO = Policy(floors=(Floor(Bar(2)),))
ONE_PERSON = Said(approved=("ann",), merged_by=BOT)
TWO_PEOPLE = Said(approved=("ann", "cid"), merged_by=BOT)


# --- loosening and tightening ---------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "held"), [(CLOSED, FROZEN), (BAD_2, REVOKED)], ids=["a freeze", "a revocation"])
@pytest.mark.parametrize("said", [None, NOBODY], ids=["pushed", "merged by its author"])
def test_a_tightening_counts_at_once_however_it_came(
    world: FakeWorld, process: Process, policy: Policy, held: object, said: Said | None
) -> None:
    if said is None:
        world.push({PATH: policy})
    else:
        world.merge({PATH: policy}, said)
    world.merge({"prod.yaml": world.file("prod", 2)})
    assert process.verdict() == held
    assert world.runs_live("prod") == 1


@pytest.mark.parametrize(("policy", "held"), [(CLOSED, FROZEN), (BAD_2, REVOKED)], ids=["a freeze", "a revocation"])
@pytest.mark.parametrize("to", [Policy(), None], ids=["emptied", "removed"])
@pytest.mark.parametrize("seen", [True, False], ids=["after a look", "between two looks"])
@pytest.mark.parametrize("again", [True, False], ids=["same process", "new process"])
def test_a_loosening_that_was_pushed_counts_for_nothing(
    world: FakeWorld, process: Process, policy: Policy, held: object, to: Policy | None, seen: bool, again: bool
) -> None:
    world.merge({PATH: policy})
    if seen:
        process.round()
    world.push({PATH: to})
    world.merge({"prod.yaml": world.file("prod", 2)})
    process = process if again else world.boot()
    assert process.verdict() == held
    assert process.verdict() == held
    assert world.runs_live("prod") == 1


@pytest.mark.parametrize("to", [Policy(), None], ids=["emptied", "removed"])
def test_a_loosening_that_was_let_in_counts(world: FakeWorld, process: Process, to: Policy | None) -> None:
    world.merge({PATH: CLOSED, "prod.yaml": world.file("prod", 2)})
    assert process.verdict() == FROZEN
    world.merge({PATH: to})
    assert process.verdict() == SYNCED
    assert world.runs_live("prod") == 2


def test_a_tightening_that_was_pushed_and_taken_back_is_gone(world: FakeWorld, process: Process) -> None:
    world.push({PATH: CLOSED})
    world.merge({"prod.yaml": world.file("prod", 2)})
    assert process.verdict() == FROZEN
    world.push({PATH: None})
    assert process.verdict() == SYNCED


@pytest.mark.parametrize("back", [False, True], ids=["to what waits", "to what was let in before both"])
def test_a_revocation_that_was_let_in_survives_a_push_while_something_else_in_the_policy_waits(
    world: FakeWorld, process: Process, back: bool
) -> None:
    """A push alters the freezes; then people revoke run 2; then a push takes that back."""
    later = (Window(YEAR, 2 * YEAR),)
    world.push({PATH: Policy(freeze=later)})
    world.merge({PATH: Policy(freeze=later, runs=(2,))})
    world.merge({"prod.yaml": world.file("prod", 2)})
    assert process.verdict() == REVOKED
    world.push({PATH: None if back else Policy(freeze=later)})
    assert process.verdict() == REVOKED
    assert world.boot().verdict() == REVOKED
    assert world.runs_live("prod") == 1


def test_a_policy_that_was_let_in_is_audited_also_when_the_store_was_away(world: FakeWorld, process: Process) -> None:
    world.merge({PATH: BAD_2})
    world.faults.fail_at = "store:policy"
    process.round()
    process.round()
    for name in process.everything():
        process.run(name)
    remembered = world.store.memory.policy
    assert remembered
    assert remembered.commit == world.git.tip


# --- floors ----------------------------------------------------------------------------------------


def test_one_approval_under_a_floor_of_two_holds(world: FakeWorld, process: Process) -> None:
    world.merge({PATH: TWO})
    process.round()
    world.merge({"prod.yaml": world.file("prod", 2)}, ONE_PERSON)
    assert process.verdict() == MISSING
    world.merge({"prod.yaml": world.file("prod", 3)}, TWO_PEOPLE)
    assert process.verdict() == SYNCED
    assert world.runs_live("prod") == 3


@pytest.mark.parametrize("names", [("prod",), ("p*",), ("*",)])
def test_a_floor_of_the_operator_holds_for_those_that_it_names(names: tuple[str, ...]) -> None:
    world = FakeWorld()
    world.floors = (Floor(Bar(2), names),)
    world.merge({"prod.yaml": world.file("prod", 1), "eu.yaml": world.file("eu", 1)}, ONE_PERSON)
    process = world.boot()
    process.round()
    assert world.runs_live("prod") is None
    assert world.runs_live("eu") == (None if names == ("*",) else 1)


@pytest.mark.parametrize("seen", [True, False], ids=["seen under the floor", "seen only later"])
@pytest.mark.parametrize("again", [True, False], ids=["same process", "new process"])
def test_a_change_is_judged_by_the_floor_before_it_also_when_the_floor_is_lowered_later(
    world: FakeWorld, process: Process, seen: bool, again: bool
) -> None:
    world.merge({PATH: TWO})
    process.round()
    world.merge({"prod.yaml": world.file("prod", 2)}, ONE_PERSON)
    if seen:
        process.round()
    world.merge({PATH: None}, TWO_PEOPLE)
    process = process if again else world.boot()
    assert process.verdict() == MISSING
    process = process if again else world.boot()
    assert process.verdict() == MISSING
    assert world.runs_live("prod") == 1


@pytest.mark.parametrize("again", [True, False], ids=["same process", "new process"])
def test_a_floor_that_a_push_took_away_counts_for_what_came_behind_it_also_when_that_is_let_in_later(
    world: FakeWorld, process: Process, again: bool
) -> None:
    """What was asked of a change must not depend on whether the process that asks was there at the time."""
    world.merge({PATH: TWO})
    process.round()
    world.push({PATH: None})
    world.merge({"prod.yaml": world.file("prod", 2)}, ONE_PERSON)
    assert process.verdict() == MISSING
    world.merge({PATH: Policy(floors=(Floor(Bar(1)),))}, TWO_PEOPLE)
    assert process.verdict() == MISSING
    process = process if again else world.boot()
    assert process.verdict() == MISSING
    assert world.runs_live("prod") == 1


@pytest.mark.parametrize("again", [True, False], ids=["same process", "new process"])
def test_a_change_that_came_before_a_floor_is_not_held_by_it(world: FakeWorld, process: Process, again: bool) -> None:
    world.push({PATH: Policy(comment="nothing yet")})
    world.hand("prod", "suspend", suspended=True)
    world.merge({"prod.yaml": world.file("prod", 2)}, ONE_PERSON)
    process.round()
    world.merge({PATH: TWO}, TWO_PEOPLE)
    process.round()
    world.hand("prod", "resume", suspended=False)
    process = process if again else world.boot()
    assert process.verdict() == SYNCED
    assert world.runs_live("prod") == 2


def test_a_change_of_the_policy_is_judged_by_the_floors_before_it(world: FakeWorld, process: Process) -> None:
    world.merge({PATH: TWO})
    process.round()
    world.merge({PATH: Policy()}, ONE_PERSON)
    process.round()
    world.merge({"prod.yaml": world.file("prod", 2)}, ONE_PERSON)
    assert process.verdict() == MISSING
    assert world.runs_live("prod") == 1


def test_a_side_line_from_before_the_floor_brings_nothing_past_it(world: FakeWorld, process: Process) -> None:
    """A merge with its sides swapped puts a change in front that was let in where there was no floor yet."""
    base = world.git.tip
    world.merge({PATH: TWO})
    process.round()
    ours = world.git.tip
    world.git.tip = base
    side = world.merge({"prod.yaml": world.file("prod", 2)}, ONE_PERSON)
    assert ours
    files = {**world.git.nodes[ours].files, "prod.yaml": world.git.nodes[side].files["prod.yaml"]}
    world.git.tip = world.git.write([side, ours], files)
    process.round()
    assert world.runs_live("prod") == 1


# --- the store, and the forge -----------------------------------------------------------------------


@pytest.mark.parametrize("policy", [CLOSED, BAD_2, Policy(runs=(9,))], ids=["frozen", "revoked", "nothing of it"])
def test_with_the_store_lost_and_the_forge_down_nothing_is_promoted(
    world: FakeWorld, process: Process, policy: Policy
) -> None:
    world.merge({PATH: policy})
    process.round()
    world.push({PATH: None})
    world.merge({"prod.yaml": world.file("prod", 2)})
    world.lose_store()
    world.faults.down = {"forge"}
    process = world.boot()
    assert process.verdict() == (Sync.HELD, Reason.FORGE_UNAVAILABLE)
    assert world.runs_live("prod") == 1


@pytest.mark.parametrize(("policy", "held"), [(CLOSED, FROZEN), (BAD_2, REVOKED), (TWO, MISSING)])
def test_with_the_store_lost_the_same_rules_hold_as_before(
    world: FakeWorld, process: Process, policy: Policy, held: object
) -> None:
    world.merge({PATH: policy})
    process.round()
    world.push({PATH: None})
    world.merge({"prod.yaml": world.file("prod", 2)}, ONE_PERSON)
    assert process.verdict() == held
    world.lose_store()
    assert world.boot().verdict() == held
    assert world.runs_live("prod") == 1


def test_with_the_forge_down_a_policy_that_is_known_still_counts(world: FakeWorld, process: Process) -> None:
    world.merge({PATH: BAD_2, "prod.yaml": world.file("prod", 2)})
    process.round()
    world.faults.down = {"forge"}
    world.push({PATH: None})
    process.look()
    assert process.verdict()[0] is Sync.HELD
    assert world.runs_live("prod") == 1


def test_a_revocation_that_was_let_in_and_taken_back_by_a_push_while_the_forge_is_down_counts(
    world: FakeWorld, process: Process
) -> None:
    """Both came between two looks, and nobody can tell now which of them was let in."""
    world.merge({PATH: Policy(runs=(9,)), "prod.yaml": world.file("prod", 2, suspend=True)})
    process.round()
    world.merge({"prod.yaml": world.file("prod", 2)})
    world.merge({PATH: Policy(runs=(9, 2))})
    world.push({PATH: Policy(runs=(9,))})
    process.look()
    assert world.git.tip
    about = (world.git.tip, *world.git.nodes[world.git.tip].parents)
    facts = world.forge.facts

    def down(commit: CommitId, teams: Set[str] = frozenset()) -> ForgeFacts:
        """It knows of the declaration, and answers nothing about the policy."""
        if commit in about:
            raise Transient(Reason.FORGE_UNAVAILABLE, "it does not answer")
        return facts(commit, teams)

    world.forge.facts = down  # type: ignore[method-assign]
    process.run("prod")
    assert world.runs_live("prod") == 1


def test_what_is_revoked_is_not_brought_back_while_nobody_can_tell_the_policy(
    world: FakeWorld, process: Process
) -> None:
    world.merge({PATH: Policy(runs=(1,))})
    assert process.verdict() == REVOKED
    world.lose_store()
    world.faults.down = {"forge"}
    world.drop_current("prod")
    process = world.boot()
    process.round()
    assert world.runs_live("prod") is None


def test_a_revoked_release_stays_degraded_while_nobody_can_tell_what_else_holds(
    world: FakeWorld, process: Process
) -> None:
    world.merge({PATH: Policy(runs=(1,))})
    assert process.round()["prod"].health is Health.DEGRADED
    world.merge({"prod.yaml": world.file("prod", 2)})
    world.faults.down = {"forge"}
    assert process.round()["prod"].health is Health.DEGRADED


# --- the baseline -------------------------------------------------------------------------------------


def at_baseline(policy: Policy) -> tuple[FakeWorld, Process]:
    """A repository that was in use before: all of it was pushed, and the operator says that it is fine."""
    world = FakeWorld()
    world.push({PATH: policy, "prod.yaml": world.file("prod", 1)})
    world.baseline = world.git.tip
    process = world.boot()
    assert process.verdict() == SYNCED
    world.clock.seconds = 200
    return world, process


@pytest.mark.parametrize("again", [True, False], ids=["same process", "new process"])
@pytest.mark.parametrize(("policy", "held"), [(CLOSING, FROZEN), (BAD_2, REVOKED), (TWO, MISSING)])
def test_a_policy_in_the_baseline_counts(policy: Policy, held: object, again: bool) -> None:
    world, process = at_baseline(policy)
    world.merge({"prod.yaml": world.file("prod", 2)}, ONE_PERSON)
    process = process if again else world.boot()
    assert process.verdict() == held
    assert world.runs_live("prod") == 1


@pytest.mark.parametrize(("policy", "held"), [(CLOSING, FROZEN), (BAD_2, REVOKED), (TWO, MISSING)])
def test_a_policy_in_the_baseline_is_not_loosened_by_a_push(policy: Policy, held: object) -> None:
    world, process = at_baseline(policy)
    world.push({PATH: None})
    world.merge({"prod.yaml": world.file("prod", 2)}, ONE_PERSON)
    assert process.verdict() == held
    assert world.runs_live("prod") == 1


# --- beside other gates ---------------------------------------------------------------------------


def test_a_suspended_environment_is_left_alone_also_when_what_it_runs_is_revoked(
    world: FakeWorld, process: Process
) -> None:
    world.merge({"prod.yaml": world.file("prod", 1, suspend=True)})
    process.round()
    world.merge({PATH: Policy(runs=(1,))})
    process.round()
    world.drift("prod")
    process.run("prod")
    live = world.place("prod").live
    assert live
    assert live.drifted


def test_an_artifact_that_was_unpacked_and_never_live_is_not_rolled_back_to_in_a_freeze(
    world: FakeWorld, process: Process
) -> None:
    world.merge({"prod.yaml": world.file("prod", 2)})
    world.faults.fail_at = "target:switch"
    process.round()
    world.merge({"prod.yaml": world.file("prod", 3)})
    assert process.verdict() == SYNCED
    world.merge({PATH: CLOSED, "prod.yaml": world.file("prod", 2)})
    process.round()
    assert world.runs_live("prod") == 3


def test_a_rollback_to_what_is_revoked_holds(world: FakeWorld, process: Process) -> None:
    world.merge({"prod.yaml": world.file("prod", 2)})
    process.round()
    world.merge({PATH: Policy(runs=(1,)), "prod.yaml": world.file("prod", 1)})
    assert process.verdict() == REVOKED
    assert world.runs_live("prod") == 2


def test_what_is_revoked_or_frozen_while_the_bytes_are_fetched_is_held(world: FakeWorld, process: Process) -> None:
    world.merge({"prod.yaml": world.file("prod", 2)})

    def revoke() -> None:
        world.push({PATH: BAD_2})
        process.look()

    world.faults.meanwhile["source:chunk"] = revoke
    assert process.verdict() == REVOKED
    assert world.runs_live("prod") == 1


def test_a_plan_says_nothing_of_the_promotion_that_it_does_not_know(world: FakeWorld, process: Process) -> None:
    world.merge({"staging.yaml": world.file("staging", 1)})
    world.merge({"prod.yaml": world.file("prod", 1, after=("staging",))})
    process.round()
    world.merge({"prod.yaml": world.file("prod", 2, after=("staging",))})
    process.look()
    world.faults.down = {"forge"}
    words = {word.gate: word.verdict for word in process.plan("prod").gates}
    assert words[Gate.APPROVAL] is Verdict.HELD
    assert words[Gate.PROMOTION] is not Verdict.PASSED


def test_a_plan_of_a_merge_tells_what_still_waits_for_an_approval(world: FakeWorld, process: Process) -> None:
    """Somebody pushed run 2; a pull request for `keep: 3` alone lets nothing of that in."""
    world.push({"prod.yaml": world.file("prod", 2)})
    tip = world.git.tip
    assert tip
    process.round()
    head = world.git.write([tip], world.git.edited(tip, {"prod.yaml": world.file("prod", 2, keep=3)}))
    merge = process.parts.repository.proposal(tip, head, Path("/nowhere"))
    planned = process.plan("prod", merge, tip)
    world.merge_head(head, world.git.nodes[merge].files, TWO_PEOPLE)
    assert process.verdict() == MISSING
    (word,) = [word for word in planned.gates if word.gate is Gate.APPROVAL]
    assert word.verdict is Verdict.HELD


def test_a_plan_asks_in_the_order_of_the_pass(world: FakeWorld, process: Process) -> None:
    """Bytes that failed before are not tried again, freeze or no freeze: that is what a pass says."""
    world.ci.tamper(2)
    world.merge({"prod.yaml": world.file("prod", 2)})
    process.round()
    world.merge({PATH: CLOSED})
    process.look()
    foreseen(world, process, "prod")
