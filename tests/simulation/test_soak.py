"""What earns soak and what does not, through the real runner: each way to lose it, or to gain it unearned, alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.errors import Reason
from reconciler.model import Status
from tests.simulation.faults import PowerCut
from tests.simulation.ground import GAP, SOAK, STEP, ground, prod, watch
from tests.simulation.world import FakeWorld, Process

HOUR = 3600.0
YEAR = 365 * 24 * HOUR
Meanwhile = Callable[[FakeWorld, Process], Process]


def verdict(process: Process) -> Status:
    return process.run("prod")


def waiting() -> tuple[FakeWorld, Process]:
    """Prod is to run 3; staging was seen to run it for half of the time that prod asks."""
    world, process = ground()
    world.merge({"prod.yaml": prod(world, 3)})
    process.look()
    assert process.run("staging").ready
    watch(world, process, SOAK // 2)
    return world, process


def left(world: FakeWorld, process: Process) -> float:
    """Seconds of true time that must still go by under the daemon's eyes, by trying it out; looks every second."""
    start = world.clock.seconds
    while world.runs_live("prod") != 3:
        process.run("staging")
        process.run("prod")
        assert world.clock.seconds < start + 3 * SOAK
    return world.clock.seconds - start


def test_it_passes_when_it_was_seen_for_just_as_long_as_prod_asks() -> None:
    world, process = waiting()
    began = world.timeline.span("/srv/staging").broke
    assert verdict(process).reason is Reason.SOAKING
    left(world, process)
    assert SOAK <= world.clock.seconds - began <= SOAK + 4


def test_the_earliest_time_that_is_told_is_when_it_passes() -> None:
    world, process = waiting()
    status = verdict(process)
    (word,) = [word for word in status.gates if word.reason]
    assert word.not_before
    told = (word.not_before - world.clock.now()).total_seconds()
    world.clock.seconds += told - 2
    assert verdict(process).reason is Reason.SOAKING
    assert verdict(process).ready


# --- what earns nothing, and begins anew ---------------------------------------------------------


def replaced(world: FakeWorld, process: Process) -> Process:
    world.replace_and_restore("staging")
    return process


def replaced_by_the_branch(world: FakeWorld, process: Process) -> Process:
    world.merge({"staging.yaml": world.file("staging", 4)})
    process.round()
    world.merge({"staging.yaml": world.file("staging", 3)})
    process.round()
    return process


def drifted(world: FakeWorld, process: Process) -> Process:
    world.drift("staging")
    assert process.run("staging").ready
    return process


def drifted_and_mended_by_hand(world: FakeWorld, process: Process) -> Process:
    """Seen by prod's own look: staging's pass did not come in between."""
    world.drift("staging")
    assert verdict(process).reason is Reason.UPSTREAM_UNHEALTHY
    world.mend_by_hand("staging")
    return process


def out_of_sight(world: FakeWorld, process: Process) -> Process:
    """A pause of the whole process that is longer than the gap."""
    world.clock.seconds += GAP + STEP
    return process


def other_settings(world: FakeWorld, process: Process) -> Process:
    world.merge({"staging.yaml": world.file("staging", 3, keep=3)})
    process.round()
    return process


def clock_an_hour_forward(world: FakeWorld, process: Process) -> Process:
    world.clock.jump(HOUR)
    return process


def clock_a_year_forward(world: FakeWorld, process: Process) -> Process:
    world.clock.jump(YEAR)
    return process


def a_long_outage(world: FakeWorld, process: Process) -> Process:
    process.stop()
    world.clock.seconds += GAP + STEP
    process = world.boot()
    process.look()
    return process


def a_crash_with_a_long_outage(world: FakeWorld, process: Process) -> Process:
    world.faults.cut_at = "target:glance"
    with pytest.raises(PowerCut):
        process.run("staging")
    world.clock.seconds += GAP + STEP
    process = world.boot()
    process.look()
    return process


def a_long_outage_that_the_clock_hides(world: FakeWorld, process: Process) -> Process:
    """The process ends, an hour goes by, and the wall clock is set back by as long."""
    process.stop()
    world.clock.seconds += HOUR
    world.clock.jump(-HOUR)
    process = world.boot()
    process.look()
    return process


@pytest.mark.parametrize(
    "meanwhile",
    [
        *(replaced, replaced_by_the_branch, drifted, drifted_and_mended_by_hand, out_of_sight, other_settings),
        *(clock_an_hour_forward, clock_a_year_forward, a_long_outage, a_crash_with_a_long_outage),
        a_long_outage_that_the_clock_hides,
    ],
)
def test_the_clock_begins_anew_after(meanwhile: Meanwhile) -> None:
    world, process = waiting()
    process = meanwhile(world, process)
    assert SOAK <= left(world, process) <= SOAK + 5


def test_each_of_two_replacements_begins_anew() -> None:
    world, process = waiting()
    for _ in range(2):
        world.replace_and_restore("staging")
        watch(world, process, SOAK - STEP)
        assert verdict(process).reason is Reason.SOAKING
    world.replace_and_restore("staging")
    assert SOAK <= left(world, process) <= SOAK + 4


# --- what earns nothing, and lets what was earned stand -------------------------------------------


def clock_stopped(world: FakeWorld, process: Process) -> Process:
    world.clock.stop_wall()
    watch(world, process, 2 * SOAK)
    world.clock.go_on()
    return process


def clock_set_back(world: FakeWorld, process: Process) -> Process:
    world.clock.jump(-HOUR)
    return process


def a_short_outage(world: FakeWorld, process: Process) -> Process:
    process.stop()
    world.clock.seconds += GAP / 2
    process = world.boot()
    process.look()
    return process


def out_of_reach(world: FakeWorld, process: Process) -> Process:
    world.faults.down = {"target:observe"}
    watch(world, process, int(GAP) - STEP)
    world.faults.down = set()
    return process


@pytest.mark.parametrize("meanwhile", [clock_stopped, clock_set_back, a_short_outage, out_of_reach])
def test_nothing_is_earned_by(meanwhile: Meanwhile) -> None:
    world, process = waiting()
    process = meanwhile(world, process)
    assert SOAK / 2 - 3 <= left(world, process) <= SOAK / 2 + STEP + 5


def test_a_crash_loses_what_was_not_told_and_no_more() -> None:
    world, process = waiting()
    process.chore()
    watch(world, process, STEP)
    world.clock.seconds += 1
    process = world.boot()
    process.look()
    assert SOAK / 2 - 3 <= left(world, process) <= SOAK / 2 + STEP + 5


# --- what changes nothing --------------------------------------------------------------------------


def test_a_comment_upstream_lets_the_clock_run_on() -> None:
    world, process = waiting()
    world.push({"staging.yaml": world.file("staging", 3, comment="see the wiki")})
    process.round()
    assert left(world, process) <= SOAK / 2 + 5


# --- what is told, and believed ---------------------------------------------------------------------


def test_a_break_that_could_not_be_told_is_told_at_the_next_look() -> None:
    world, process = waiting()
    process.chore()
    world.drift("staging")
    world.faults.fail_at = "store:soaks"
    process.run("prod")
    world.mend_by_hand("staging")
    process.run("prod")
    process = world.boot()
    process.look()
    assert SOAK <= left(world, process) <= SOAK + 4


def test_a_plan_promises_nothing_that_the_daemon_will_not_keep() -> None:
    """What was told before a long outage is worth nothing; a plan that is asked for then says so."""
    world, process = waiting()
    watch(world, process, SOAK)
    process.stop()
    world.clock.seconds += HOUR
    process = world.boot()
    process.look()
    planned = process.plan("prod")
    assert [word.reason for word in planned.gates if word.reason] == [Reason.SOAKING]


def test_what_staging_lost_while_the_bytes_were_fetched_counts() -> None:
    world, process = waiting()
    watch(world, process, SOAK)
    world.faults.meanwhile["target:fence"] = lambda: None
    world.custody.copies.clear()
    world.faults.meanwhile["source:chunk"] = lambda: world.drift("staging")
    process.run("prod")
    assert world.runs_live("prod") == 2
