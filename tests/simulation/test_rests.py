"""A pass that would come to the same is left out; and whatever could make it come to something else brings it back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from reconciler.loop.runner import Runner
from reconciler.model import EnvironmentName, Sync
from tests.simulation.health import FakeChecks
from tests.simulation.policy import PATH, Policy
from tests.simulation.test_soak import HOUR
from tests.simulation.world import NOBODY, FakeWorld, Process

PROD, DEV, EU = EnvironmentName("prod"), EnvironmentName("dev"), EnvironmentName("eu")


def at_rest() -> tuple[FakeWorld, Process]:
    """Three environments, deployed, looked at in full once, and left alone since."""
    world = FakeWorld()
    world.merge({f"{name}.yaml": world.file(name, run) for run, name in enumerate((PROD, DEV, EU), 1)})
    process = world.boot()
    process.round()
    settle(process)
    assert all(process.runner.at_rest(name) for name in (PROD, DEV, EU))
    return world, process


def settle(process: Process) -> None:
    """What is due, and one full pass behind it for each, as its time has come."""
    process.round()
    for name in (PROD, DEV, EU):
        process.run(name)
        process.run(name)


def test_a_pass_that_is_left_out_writes_nothing_and_touches_nothing() -> None:
    world, process = at_rest()
    world.writes.clear()
    world.faults.steps.clear()
    for name in (PROD, DEV, EU) * 10:
        assert process.run(name).ready
    assert not world.writes
    assert set(world.faults.steps) == {"target:glance"}
    assert process.runner.skipped >= 30


def test_the_pass_that_deployed_is_followed_by_one_in_full() -> None:
    world = FakeWorld()
    world.merge({"prod.yaml": world.file("prod", 1)})
    process = world.boot()
    process.round()
    assert world.runs_live("prod") == 1
    assert not process.runner.at_rest(PROD)


Cause = Callable[[FakeWorld, Process], object]


def drifted(world: FakeWorld, process: Process) -> None:
    world.drift("prod")


def drifted_and_mended_by_hand(world: FakeWorld, process: Process) -> None:
    world.drift("prod")
    world.mend_by_hand("prod")
    world.replace_and_restore("prod")


def current_dropped(world: FakeWorld, process: Process) -> None:
    world.drop_current("prod")


def out_of_reach(world: FakeWorld, process: Process) -> None:
    world.faults.down = {"target:glance"}


def merged(world: FakeWorld, process: Process) -> None:
    world.merge({"prod.yaml": world.file("prod", 9)})


def pushed_without_a_word(world: FakeWorld, process: Process) -> None:
    world.push({"prod.yaml": world.file("prod", 9)})


def removed(world: FakeWorld, process: Process) -> None:
    world.merge({"prod.yaml": None})


def revoked(world: FakeWorld, process: Process) -> None:
    world.merge({PATH: Policy(runs=(1,))})


def revoked_by_a_push(world: FakeWorld, process: Process) -> None:
    world.push({PATH: Policy(runs=(1,))})


def policy_unreadable(world: FakeWorld, process: Process) -> None:
    world.push({PATH: b"version: 1\nfreeze: {"})


def claimed_by_another(world: FakeWorld, process: Process) -> None:
    world.merge({"other.yaml": world.file("other", 4, path="/srv/prod")})


def rewritten(world: FakeWorld, process: Process) -> None:
    world.rewrite({"README": b"another history"})


def rewritten_and_accepted_before_anybody_saw_it(world: FakeWorld, process: Process) -> None:
    world.rewrite({"README": b"another history"})
    world.accept_rewrite()


def suspended(world: FakeWorld, process: Process) -> None:
    world.hand("prod", "suspend", suspended=True, reason="night")


def retried(world: FakeWorld, process: Process) -> None:
    world.retry("prod")


def store_lost(world: FakeWorld, process: Process) -> None:
    world.lose_store()


CAUSES = [
    *(drifted, drifted_and_mended_by_hand, current_dropped, out_of_reach, merged, pushed_without_a_word, removed),
    *(revoked, revoked_by_a_push, policy_unreadable, claimed_by_another, rewritten, suspended, retried, store_lost),
    rewritten_and_accepted_before_anybody_saw_it,
]


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("told", [True, False], ids=["told", "found out by itself"])
def test_another_pass_follows_when(cause: Cause, told: bool) -> None:
    world, process = at_rest()
    cause(world, process)
    forget = process.runner.disturb
    if not told:
        process.runner.disturb = lambda environments: None  # type: ignore[method-assign]
        if cause is not store_lost:
            process.runner._rests.disturb_all = lambda: None  # type: ignore[method-assign]
    process.look()
    process.runner.disturb = forget  # type: ignore[method-assign]
    assert not process.runner.at_rest(PROD)


def test_a_merge_elsewhere_lets_it_rest_at_the_price_of_one_question_for_all() -> None:
    world, process = at_rest()
    for run in (7, 8, 9):
        world.merge({"dev.yaml": world.file("dev", run)})
        process.look()
        process.run("dev")
    world.faults.steps.clear()
    assert all(process.runner.at_rest(name) for name in (PROD, EU, PROD, EU))
    assert [step for step in world.faults.steps if not step.startswith("target:glance")] in (
        [],
        ["repository:is_ancestor"],
    )


def test_a_fact_that_came_while_the_pass_was_under_way_is_looked_at() -> None:
    world, process = at_rest()
    process.runner.disturb([PROD])
    world.faults.meanwhile["target:observe"] = lambda: process.runner.disturb([PROD])
    assert process.run("prod").ready
    assert not process.runner.at_rest(PROD)
    process.run("prod")
    assert process.runner.at_rest(PROD)


def test_what_is_touched_while_it_is_observed_is_looked_at() -> None:
    world, process = at_rest()
    process.runner.disturb([PROD])
    # Behind the glance, and before the look: the look sees it, and what was there at the glance is no more.
    world.faults.meanwhile["target:observe"] = lambda: world.replace_and_restore("prod")
    world.clock.seconds += 1
    assert process.run("prod").ready
    assert not process.runner.at_rest(PROD)


def test_while_the_policy_waits_for_people_every_pass_is_made() -> None:
    world, process = at_rest()
    world.merge({PATH: Policy(runs=(77,))}, NOBODY)
    settle(process)
    assert not process.runner.at_rest(PROD)


def test_one_that_others_promote_from_goes_on_soaking_while_it_rests() -> None:
    world, process = at_rest()
    world.merge({"eu.yaml": replace(world.file("eu", 1), after=("prod",), soak=400)})
    process.look()
    settle(process)
    assert process.last[EU].status.sync is Sync.HELD
    before = process.runner.skipped
    assert world.gap < 400
    for _ in range(42):
        world.clock.seconds += 10
        process.run("prod")
    assert process.runner.skipped >= before + 10
    assert process.run("eu").ready
    assert world.runs_live("eu") == 1


def test_every_byte_is_looked_at_once_in_a_while() -> None:
    world, _ = at_rest()
    looks: list[bool] = []
    process = world.boot()
    process.runner = Runner(process.parts, process.catalog, FakeChecks(), "other", process._report, rehash=HOUR)
    watched_for_thoroughness(world, looks)
    for _ in range(6 * 60):
        process.round()
        process.run("prod")
        world.clock.seconds += 60
    assert 6 <= looks.count(True) <= 8
    assert len(looks) <= 20, "and the glances in between were all that there was"


def watched_for_thoroughness(world: FakeWorld, looks: list[bool]) -> None:
    make = world.targets.target

    def target(environment: EnvironmentName, declaration: object) -> object:
        made = make(environment, declaration)  # type: ignore[arg-type]
        observe = made.observe

        def observing(*, thorough: bool = False, around: bool = False) -> object:
            if environment == PROD:
                looks.append(thorough)
            return observe(thorough=thorough, around=around)

        made.observe = observing  # type: ignore[method-assign,assignment]
        return made

    world.targets.target = target  # type: ignore[method-assign,assignment]
