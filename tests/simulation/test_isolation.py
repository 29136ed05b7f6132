"""A failing environment changes nothing for the others: the same states, in the same number of passes (S8)."""

from __future__ import annotations

from random import Random

import pytest

from reconciler.model import EnvironmentName
from tests.simulation import moves
from tests.simulation.history import NAMES, History
from tests.simulation.world import FakeWorld, Process

FAULTY = EnvironmentName("prod")
OTHERS = tuple(name for name in NAMES if name != FAULTY)
MOVES = (*moves.PEOPLE, *(moves.write_into_live, moves.remove_current), *(History.round, moves.run_one) * 10)
STEPS = 30


def states(world: FakeWorld, process: Process) -> list[object]:
    """Where the others stand, and how many passes each had."""
    results = {name: process.last[name] for name in map(EnvironmentName, OTHERS) if name in process.last}
    shown = {
        name: (result.status.sync, result.status.reason, result.status.declared, result.status.live, result.failures)
        for name, result in results.items()
    }
    return [shown, {name: world.runs_live(name) for name in OTHERS}]


def trace(seed: int, chance: float) -> list[list[object]]:
    """One story, with faults in passes of one environment only."""
    told = History(seed)
    told.world.faults.only, told.world.faults.transient = FAULTY, chance
    told.world.faults.random = Random(seed)
    found = []
    told.tell(History.round)
    for _ in range(STEPS):
        told.tell(told.random.choice(MOVES))
        assert told.process
        found.append(states(told.world, told.process))
    return found


@pytest.mark.parametrize("chance", [0.2, 1.0], ids=["every fifth step fails", "every step fails"])
@pytest.mark.parametrize("seed", range(25))
def test_the_others_do_not_notice(seed: int, chance: float) -> None:
    healthy, faulty = trace(seed, 0.0), trace(seed, chance)
    for number, (one, other) in enumerate(zip(healthy, faulty, strict=True)):
        assert one == other, f"seed {seed}, step {number}"


def test_a_bug_in_one_pass_is_reported_for_that_environment_alone() -> None:
    world = FakeWorld()
    world.merge({f"{name}.yaml": world.file(name, run) for run, name in enumerate(NAMES, 1)})
    process = world.boot()
    process.look()
    del world.ci.served[2]
    with pytest.raises(AssertionError, match="the pass of prod broke"):
        process.run("prod")
    world.faults.current = None
    for name in OTHERS:
        assert process.run(name).ready


@pytest.mark.parametrize("step", ["fence", "unpack", "place", "accept", "switch"])
def test_a_former_leader_that_slept_before_an_effect_does_nothing(step: str) -> None:
    world = FakeWorld()
    world.merge({"prod.yaml": world.file("prod", 1)})
    former = world.boot()
    former.round()
    world.merge({"prod.yaml": world.file("prod", 2)})

    def takeover() -> None:
        world.merge({"prod.yaml": world.file("prod", 3)})
        world.boot().round()

    # Everybody's fence is raised once per token, so the former leader has to come with a raised one to raise it.
    world.faults.meanwhile[f"target:{step}"] = takeover
    (world.boot() if step == "fence" else former).round()
    world.faults.current = None
    assert world.runs_live("prod") == 3
    accepted = world.place("prod").accepted
    assert accepted
    assert accepted.run_id == 3
