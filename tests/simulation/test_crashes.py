"""Each workload, stopped at each of its steps in turn: what is left behind, and that the next passes make it good.

Compared with a run without the fault: the same bytes live, the same count of switches, one outcome for each intent.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.errors import ReconcilerError
from reconciler.model import EnvironmentName, Outcome
from tests.simulation.faults import PowerCut
from tests.simulation.oracle import Broken, Oracle
from tests.simulation.world import FakeWorld, Process

PROD = EnvironmentName("prod")


def deployed() -> FakeWorld:
    """Run 1 is live in prod, run 2 in dev."""
    world = FakeWorld()
    world.merge({"prod.yaml": world.file("prod", 1), "dev.yaml": world.file("dev", 2)})
    world.boot().round()
    return world


def first_deployment() -> FakeWorld:
    world = FakeWorld()
    world.merge({"prod.yaml": world.file("prod", 1), "dev.yaml": world.file("dev", 2)})
    return world


def upgrade() -> FakeWorld:
    world = deployed()
    world.merge({"prod.yaml": world.file("prod", 3, keep=1)})
    return world


def a_change_of_the_rules_alone() -> FakeWorld:
    world = deployed()
    world.merge({"prod.yaml": world.file("prod", 1, keep=3)})
    return world


def a_refusal() -> FakeWorld:
    world = deployed()
    world.push({"prod.yaml": world.file("prod", 3)})
    return world


def drift() -> FakeWorld:
    world = deployed()
    world.drift("prod")
    return world


def drift_while_held() -> FakeWorld:
    world = a_refusal()
    world.drift("prod")
    return world


def a_lost_store() -> FakeWorld:
    world = deployed()
    world.lose_store()
    return world


def a_reset_branch_pushed_back() -> FakeWorld:
    world = deployed()
    tip = world.git.tip
    world.git.tip = world.git.write([], {})
    process = world.boot()
    process.round()
    world.git.tip = tip
    return world


def a_move() -> FakeWorld:
    world = deployed()
    world.merge({"prod.yaml": world.file("prod", 3, path="/srv/elsewhere")})
    return world


def an_old_backup() -> FakeWorld:
    world = deployed()
    backup = world.store.memory
    for _ in range(2):
        world.boot().round()
    world.merge({"prod.yaml": world.file("prod", 3)})
    world.boot().round()
    world.store.memory = backup
    world.merge({"prod.yaml": world.file("prod", 4)})
    return world


WORKLOADS = (
    first_deployment,
    upgrade,
    a_change_of_the_rules_alone,
    a_refusal,
    drift,
    drift_while_held,
    a_lost_store,
    a_reset_branch_pushed_back,
    a_move,
    an_old_backup,
)
Workload = Callable[[], FakeWorld]


def work(world: FakeWorld, process: Process | None = None) -> Process:
    """What the daemon does until it is interrupted: a look, what is due, and the timers' passes."""
    process = process or world.boot()
    process.round()
    for name in process.everything():
        process.run(name)
    return process


def state(world: FakeWorld) -> dict[str, object]:
    """What counts at the end."""
    places = {path: place for path, place in world.targets.places.items() if place.accepted}
    live = {path: (p.live.release.sha256, p.live.drifted) if p.live else None for path, p in places.items()}
    accepted = {path: place.accepted.declaration for path, place in places.items() if place.accepted}
    remembered = {name: kept.declaration for name, kept in world.store.memory.accepted.items()}
    statuses = {name: (s.sync, s.health, s.reason, s.live) for name, s in world.store.memory.statuses.items()}
    switches = world.faults.steps.count("target:switch:done")
    return {"live": live, "accepted": accepted, "remembered": remembered, "statuses": statuses, "switches": switches}


def steps_of(workload: Workload) -> tuple[list[str], dict[str, object]]:
    """A run without a fault: its steps, and what it comes to."""
    world = workload()
    world.faults.steps.clear()
    process = work(world)
    steps = list(world.faults.steps)
    work(world, process)
    return steps, state(world)


def interrupted(workload: Workload, nth: int) -> FakeWorld:
    """The same with one fault, and what follows it: two more looks, each with what is due."""
    world = workload()
    world.faults.steps.clear()
    oracle = Oracle(world)
    oracle.check()
    world.faults.nth = nth
    process: Process | None = None
    try:
        process = world.boot()
        work(world, process)
    except PowerCut:
        process = None
        world.faults.current = None
    except ReconcilerError:
        process = None
    world.faults.stop()
    world.faults.struck.clear()
    oracle.check()
    process = process or world.boot()
    for _ in range(2):
        process.round()
        oracle.check()
    if workload in (drift, drift_while_held):
        work(world, process)
    oracle.check_record()
    return world


@pytest.mark.parametrize("kind", ["power cut", "failure"])
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.__name__.replace("_", " "))
def test_stopped_at_any_step_it_comes_to_the_same_end(workload: Workload, kind: str) -> None:
    steps, expected = steps_of(workload)
    problems = []
    for number, step in enumerate(steps, 1):
        try:
            found = state(interrupted(workload, number if kind == "power cut" else -number))
            differing = {key: (found[key], expected[key]) for key in expected if found[key] != expected[key]}
            problems += [f"{number} {step}: {differing}"] if differing else []
        except Broken as broken:
            problems.append(f"{number} {step}: {broken}")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("step", ["fence:done", "place", "accept", "switch", "switch:done"])
def test_an_interrupted_attempt_gets_its_one_outcome(step: str) -> None:
    world = upgrade()
    world.faults.cut_at = f"target:{step}"
    with pytest.raises(PowerCut):
        world.boot().round()
    assert world.runs_live("prod") == (3 if step == "switch:done" else 1)
    world.boot().round()
    outcomes = [attempt.outcome for attempt in world.store.memory.attempts.values() if attempt.environment == PROD]
    again = [] if step == "switch:done" else [Outcome.SUCCEEDED]
    assert outcomes == [Outcome.SUCCEEDED, Outcome.INTERRUPTED, *again]
    assert world.runs_live("prod") == 3


def test_an_attempt_whose_outcome_could_not_be_recorded_gets_one_without_a_restart() -> None:
    world = upgrade()
    process = world.boot()
    world.faults.fail_at = "store:outcome"
    process.round()
    process.round()
    assert world.runs_live("prod") == 3
    Oracle(world).check_record()


def test_an_attempt_is_closed_although_its_file_is_gone_by_then() -> None:
    world = first_deployment()
    world.faults.cut_at = "target:unpack"
    with pytest.raises(PowerCut):
        world.boot().round()
    world.merge({"dev.yaml": None, "prod.yaml": None})
    world.boot().round()
    Oracle(world).check_record()


@pytest.mark.parametrize("step", ["store:tip", "store:tip:done", "store:read:statuses", "store:read:hands"])
def test_a_look_that_failed_half_way_loses_no_change(step: str) -> None:
    world = deployed()
    process = world.boot()
    process.round()
    world.merge({"prod.yaml": world.file("prod", 3)})
    world.faults.fail_at = step
    process.round()
    for _ in range(2):
        process.round()
    assert world.runs_live("prod") == 3


@pytest.mark.parametrize("step", ["store:tip", "store:tip:done", "store:read:statuses", "store:read:hands"])
def test_a_first_look_that_failed_half_way_loses_no_environment(step: str) -> None:
    world = first_deployment()
    process = world.boot()
    world.faults.fail_at = step
    for _ in range(3):
        process.round()
    assert (world.runs_live("prod"), world.runs_live("dev")) == (1, 2)


@pytest.mark.parametrize("recorded", [True, False], ids=["its outcome was recorded", "the power went before it was"])
def test_an_environment_that_moved_is_at_home_in_its_new_place(recorded: bool) -> None:
    world = a_move()
    world.faults.cut_at = "" if recorded else "store:outcome"
    try:
        world.boot().round()
    except PowerCut:
        world.faults.current = None
    process = world.boot()
    process.round()
    world.push({"prod.yaml": world.file("prod", 4, path="/srv/elsewhere")})
    process.round()
    live = world.targets.places["/srv/elsewhere"].live
    assert live
    live.data = b"written by somebody else"
    process.run("prod")
    assert not world.targets.places["/srv/elsewhere"].live.drifted  # type: ignore[union-attr]
