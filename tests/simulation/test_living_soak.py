"""What runs earns soak only while it is known to run well: not on probation, not sick, not where it never started."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.errors import Reason
from tests.simulation.ground import GAP, SOAK, STEP, prod
from tests.simulation.ground_living import TOKEN
from tests.simulation.running import WITHIN, Character
from tests.simulation.world import FakeWorld, Process


def staging(world: FakeWorld, run: int, **also: object) -> object:
    told: dict[str, object] = {"activate": "systemd", "config": "one", "secret": TOKEN, "within": WITHIN, **also}
    return world.file("staging", run, **told)


def waiting(character: Character = Character.GOOD, **also: object) -> tuple[FakeWorld, Process]:
    """Staging ran 2 and has just got 3, which prod is to run once that has soaked."""
    world = FakeWorld()
    world.gap = GAP
    world.units.keep(TOKEN, "1")
    world.units.characters[3] = character
    process = world.boot()
    for run in (2, 3):
        merged = {"staging.yaml": staging(world, run, **also), "prod.yaml": prod(world, 2)}
        world.merge(merged)  # type: ignore[arg-type]
        process.round()
        process.run("staging")
    world.merge({"prod.yaml": prod(world, 3)})
    process.round()
    return world, process


def watch(world: FakeWorld, process: Process, seconds: int) -> None:
    """Time goes by under the daemon's eyes."""
    for _ in range(seconds // STEP):
        world.clock.seconds += STEP - 2
        process.run("staging")
        process.run("prod")


def promoted(world: FakeWorld) -> bool:
    return world.runs_live("prod") == 3


def test_what_runs_well_for_as_long_as_prod_asks_is_promoted() -> None:
    world, process = waiting()
    watch(world, process, SOAK // 2)
    assert not promoted(world)
    watch(world, process, SOAK)
    assert promoted(world)


@pytest.mark.parametrize("character", [Character.REFUSES, Character.HANGS, Character.BAD, Character.CRASHES])
def test_what_did_not_come_to_life_earns_nothing(character: Character) -> None:
    world, process = waiting(character, rollback="hold")
    assert world.runs_live("staging") == 3
    watch(world, process, 4 * SOAK)
    assert not promoted(world)


def test_probation_earns_nothing() -> None:
    world, process = waiting(Character.BAD, within=600)
    watch(world, process, 4 * SOAK)
    assert not promoted(world)
    assert process.run("prod").reason is Reason.UPSTREAM_UNHEALTHY


def sickens(world: FakeWorld, process: Process) -> None:
    world.units.unit("staging").sick = True
    watch(world, process, SOAK)
    world.units.unit("staging").sick = False


def stops(world: FakeWorld, process: Process) -> None:
    world.units.unit("staging").dead = True
    process.run("prod")
    process.run("staging")


def is_started_anew(world: FakeWorld, process: Process) -> None:
    world.units.keep(TOKEN, "2")
    process.run("staging")
    process.run("staging")


Break = Callable[[FakeWorld, Process], None]


@pytest.mark.parametrize("breaks", [sickens, stops, is_started_anew])
def test_a_break_of_what_runs_begins_the_soak_anew(breaks: Break) -> None:
    world, process = waiting()
    watch(world, process, SOAK // 2)
    breaks(world, process)
    watch(world, process, SOAK - 2 * STEP)
    assert not promoted(world)
    watch(world, process, 2 * SOAK)
    assert promoted(world)


def test_a_unit_that_stopped_does_not_let_anything_on() -> None:
    world, process = waiting(drift="report")
    watch(world, process, SOAK - 2 * STEP)
    world.units.unit("staging").dead = True
    for _ in range(20):
        world.clock.seconds += STEP
        process.run("prod")
    assert not promoted(world)


def test_a_restart_of_the_daemon_breaks_no_soak_of_what_runs() -> None:
    world, process = waiting()
    watch(world, process, SOAK - 2 * STEP)
    process.stop()
    process = world.boot()
    process.round()
    watch(world, process, 3 * STEP)
    assert promoted(world)


def test_a_target_out_of_reach_for_a_moment_breaks_no_soak_of_what_runs() -> None:
    world, process = waiting()
    watch(world, process, SOAK - 2 * STEP)
    world.faults.down = {"target:observe"}
    process.run("staging")
    world.faults.stop()
    process.run("staging")
    watch(world, process, 3 * STEP)
    assert promoted(world)
