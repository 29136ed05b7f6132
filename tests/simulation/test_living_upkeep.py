"""When what runs is started again: other settings, rotated secrets, stopped units; by whom, and at which cost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.errors import Reason
from reconciler.model import Health, Sync
from tests.simulation.ground_living import (
    LONG,
    TOKEN,
    attempts,
    begins,
    check_stays,
    fails,
    held,
    living,
    rolled_back,
    runs,
    service,
    settle,
    told,
)
from tests.simulation.running import Character
from tests.simulation.world import FakeWorld

# --- secrets and config ----------------------------------------------------------------------------


def test_a_changed_config_and_a_rotated_secret_are_new_activations_of_the_same_release() -> None:
    world, process = living()
    world.merge({"prod.yaml": service(world, 2, config="other")})
    settle(process)
    world.units.keep(TOKEN, "2")
    process.run("prod")
    process.wait(LONG)
    assert runs(world) == (2, "other", "canary-2")
    assert told(world) == ["activate 2 succeeded", "activate 2 succeeded"]
    assert process.run("prod").ready
    check_stays(world, process)


def test_a_missing_secret_holds_before_the_switch() -> None:
    world, process = living()
    world.units.keep(TOKEN, None)
    world.merge({"prod.yaml": service(world, 3)})
    settle(process)
    assert world.runs_live("prod") == 2
    status = process.run("prod")
    assert (status.sync, status.reason) == (Sync.HELD, Reason.SECRET_MISSING)
    assert told(world) == []
    world.units.keep(TOKEN, "2")
    settle(process)
    assert runs(world) == (3, "one", "canary-2")


def test_a_secret_that_rotates_behind_a_recovered_release_is_taken_up() -> None:
    world, process = living()
    fails(world, 3, rollback="hold")
    settle(process)
    world.units.characters[3] = Character.GOOD
    process.wait(LONG)
    assert process.run("prod").ready
    world.units.keep(TOKEN, "2")
    settle(process)
    process.run("prod")
    process.wait(LONG)
    assert runs(world) == (3, "one", "canary-2")
    assert process.run("prod").ready


def test_no_record_shows_a_secret() -> None:
    world, process = living()
    for run, character in ((3, Character.REFUSES), (4, Character.HANGS), (5, Character.BAD), (6, Character.GOOD)):
        world.units.characters[run] = character
        world.units.keep(TOKEN, f"{run}")
        world.merge({"prod.yaml": service(world, run)})
        settle(process)
    records = repr((world.store.memory, world.place("prod").service, process.last, world.git.meanings))
    assert [one for one in attempts(world) if one.output]
    assert not [value for value in world.units.ever if value in records]


# --- what runs, and stops --------------------------------------------------------------------------


def test_a_unit_that_somebody_stopped_is_started_again() -> None:
    world, process = living(activate="systemd")
    world.units.unit("prod").dead = True
    process.run("prod")
    settle(process)
    assert not world.units.unit("prod").dead
    assert told(world) == ["repair 2 succeeded"]
    assert process.run("prod").ready


def test_a_unit_that_somebody_stopped_is_only_told_where_drift_is_only_reported() -> None:
    world, process = living(activate="systemd", drift="report")
    world.units.unit("prod").dead = True
    settle(process)
    status = process.run("prod")
    assert (status.health, status.reason) == (Health.DEGRADED, Reason.DRIFTED)
    assert told(world) == []


def test_what_was_healthy_once_and_is_not_any_more_is_told_and_left() -> None:
    world, process = living()
    world.units.unit("prod").sick = True
    settle(process)
    status = process.run("prod")
    assert (status.health, status.reason) == (Health.DEGRADED, Reason.HEALTH_CHECK_FAILED)
    world.units.unit("prod").sick = False
    settle(process)
    assert process.run("prod").ready
    assert told(world) == []


# --- several processes -----------------------------------------------------------------------------


def test_a_process_that_was_fenced_off_starts_nothing() -> None:
    world, old = living()
    new = world.boot()
    world.merge({"prod.yaml": service(world, 3)})
    new.round()
    new.wait(LONG)
    world.units.keep(TOKEN, "2")
    since = begins(world)
    world.merge({"prod.yaml": service(world, 4, config="other")})
    settle(old)
    assert since()[1:] == (0, 0)
    assert runs(world) == (3, "one", "canary-1")


@pytest.mark.parametrize(
    "step", ["store:intent:done", "target:unpack", "target:place", "target:accept", "target:switch"]
)
def test_a_process_that_was_overtaken_before_its_activation_starts_nothing(step: str) -> None:
    world, old = living()
    world.merge({"prod.yaml": service(world, 3)})
    new = world.boot()
    old.look()

    def overtaken() -> None:
        world.merge({"prod.yaml": service(world, 4)})
        new.round()
        new.wait(LONG)
        world.faults.steps.append("overtaken")

    world.faults.steps.clear()
    world.faults.meanwhile = {step: overtaken}
    old.run("prod")
    assert "overtaken" in world.faults.steps
    settle(old)
    assert runs(world) == (4, "one", "canary-1")


def test_another_process_ends_the_probation_and_there_is_one_outcome() -> None:
    world, process = living()
    fails(world, 3)
    process.round()
    assert told(world) == ["deploy 3 goes on"]
    process = world.boot()
    settle(process)
    assert told(world) == ["deploy 3 failed", "rollback 2 succeeded"]


def test_a_good_release_outlives_a_crash_on_probation() -> None:
    world, process = living()
    world.units.characters[3] = Character.SLOW
    world.merge({"prod.yaml": service(world, 3)})
    process.round()
    process = world.boot()
    settle(process)
    assert told(world) == ["deploy 3 succeeded"]
    assert process.run("prod").ready


# --- what costs nothing ----------------------------------------------------------------------------


@pytest.mark.parametrize("ends", [lambda world: None, held, rolled_back], ids=["well", "held", "rolled back"])
def test_a_pass_over_what_has_settled_writes_nothing(ends: Callable[[FakeWorld], None]) -> None:
    world, process = living()
    ends(world)
    settle(process)
    process.run("prod")
    world.writes.clear()
    for _ in range(5):
        process.round()
        process.run("prod")
        process.wait(7)
    assert not world.writes
