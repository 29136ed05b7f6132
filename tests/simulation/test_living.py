"""What becomes of a release that is started and asked for its health: it stays, or the last good one runs again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.errors import Reason
from reconciler.model import Health, Sync
from tests.simulation.faults import PowerCut
from tests.simulation.ground_living import (
    LONG,
    PROD,
    TOKEN,
    attempts,
    begins,
    check_stays,
    fails,
    held,
    living,
    remembered,
    rolled_back,
    runs,
    service,
    settle,
    told,
)
from tests.simulation.policy import PATH, Policy
from tests.simulation.running import BAD_CONFIG, FAILS, WITHIN, Character
from tests.simulation.world import FakeWorld, Process

# --- what fails is rolled back --------------------------------------------------------------------


@pytest.mark.parametrize("character", sorted(FAILS))
@pytest.mark.parametrize("kind", ["command", "systemd"])
def test_a_release_that_does_not_come_to_life_is_rolled_back_once_and_for_good(kind: str, character: Character) -> None:
    world, process = living(activate=kind)
    fails(world, 3, character, activate=kind, config="three")
    settle(process)
    assert runs(world) == (2, "one", "canary-1")
    status = process.run("prod")
    reason = (
        Reason.ACTIVATION_FAILED if character in (Character.REFUSES, Character.HANGS) else Reason.HEALTH_CHECK_FAILED
    )
    assert (status.sync, status.health, status.reason) == (Sync.HELD, Health.DEGRADED, reason)
    assert status.live
    assert status.live.run_id == 2
    assert told(world) == ["deploy 3 failed", "rollback 2 succeeded"]
    assert remembered(world).back
    check_stays(world, process)


@pytest.mark.parametrize("character", [Character.SLOW, Character.FLAPS])
def test_a_release_that_is_bad_only_at_first_stays(character: Character) -> None:
    world, process = living()
    world.units.characters[3] = character
    world.merge({"prod.yaml": service(world, 3)})
    settle(process)
    assert process.run("prod").ready
    assert told(world) == ["deploy 3 succeeded"]
    check_stays(world, process)


def test_a_config_that_is_bad_is_rolled_back_with_the_one_before() -> None:
    world, process = living()
    world.merge({"prod.yaml": service(world, 2, config=BAD_CONFIG)})
    settle(process)
    assert runs(world) == (2, "one", "canary-1")
    assert told(world) == ["activate 2 failed", "rollback 2 succeeded"]
    check_stays(world, process)


def test_back_goes_to_what_worked_last_and_not_to_what_never_did() -> None:
    world, process = living()
    for run in (3, 4):
        fails(world, run)
        settle(process)
    assert runs(world) == (2, "one", "canary-1")
    assert told(world) == ["deploy 3 failed", "rollback 2 succeeded", "deploy 4 failed", "rollback 2 succeeded"]


def test_what_is_overtaken_on_probation_is_nothing_to_go_back_to() -> None:
    world, process = living()
    for run in (3, 4):
        fails(world, run)
        process.round()
    settle(process)
    assert runs(world) == (2, "one", "canary-1")
    assert told(world) == ["deploy 3 interrupted", "deploy 4 failed", "rollback 2 succeeded"]


def test_a_rollback_is_never_rolled_back() -> None:
    world, process = living()
    fails(world, 3)
    world.units.characters[2] = Character.BAD
    settle(process)
    assert told(world) == ["deploy 3 failed", "rollback 2 failed"]
    check_stays(world, process)
    world.lose_store()
    check_stays(world, world.boot())
    assert runs(world) == (2, "one", "canary-1")


@pytest.mark.parametrize("character", [Character.REFUSES, Character.HANGS])
def test_a_rollback_whose_activation_fails_is_left_at_that(character: Character) -> None:
    world, process = living()
    fails(world, 3)
    world.units.characters[2] = character
    settle(process)
    assert told(world) == ["deploy 3 failed", "rollback 2 failed"]
    assert process.run("prod").health is Health.DEGRADED
    check_stays(world, process)


@pytest.mark.parametrize("character", sorted(FAILS))
def test_hold_leaves_what_failed_until_somebody_says_retry(character: Character) -> None:
    world, process = living()
    fails(world, 3, character, rollback="hold")
    settle(process)
    assert world.runs_live("prod") == 3
    assert told(world) == ["deploy 3 failed"]
    status = process.run("prod")
    assert status.health is Health.DEGRADED
    assert status.reason in (Reason.ACTIVATION_FAILED, Reason.HEALTH_CHECK_FAILED)
    check_stays(world, process)
    world.units.characters[3] = Character.GOOD
    world.retry("prod")
    settle(process)
    assert process.run("prod").ready
    recovers = character is Character.BAD  # by itself, right when it is good
    assert told(world) == ["deploy 3 failed", *([] if recovers else ["activate 3 succeeded"])]


@pytest.mark.parametrize("kind", ["command", "systemd"])
@pytest.mark.parametrize("character", sorted(FAILS))
def test_drift_of_what_failed_and_is_held_is_mended_and_nothing_is_started(character: Character, kind: str) -> None:
    world, process = living(activate=kind)
    fails(world, 3, character, rollback="hold", activate=kind)
    settle(process)
    since = begins(world)
    world.drift("prod")
    process.run("prod")
    live = world.place("prod").live
    assert live
    assert not live.drifted
    assert since()[1] == 0
    check_stays(world, process)
    assert process.run("prod").health is Health.DEGRADED


def test_what_failed_is_tried_again_when_somebody_says_retry_and_only_once() -> None:
    world, process = living()
    fails(world, 3)
    settle(process)
    world.retry("prod")
    settle(process)
    assert told(world) == ["deploy 3 failed", "rollback 2 succeeded"] * 2
    check_stays(world, process)
    world.units.characters[3] = Character.GOOD
    world.retry("prod")
    settle(process)
    assert runs(world) == (3, "one", "canary-1")
    assert process.run("prod").ready


def test_what_failed_is_tried_again_when_its_declaration_changes() -> None:
    world, process = living()
    fails(world, 3)
    settle(process)
    world.units.characters[3] = Character.GOOD
    world.merge({"prod.yaml": service(world, 3, config="other")})
    settle(process)
    assert runs(world) == (3, "other", "canary-1")
    assert process.run("prod").ready


# --- memory that is lost ---------------------------------------------------------------------------


def drifts(world: FakeWorld, process: Process) -> None:
    world.drift("prod")
    process.run("prod")


def dies(world: FakeWorld, process: Process) -> None:
    world.units.unit("prod").dead = True
    process.run("prod")


def rotates(world: FakeWorld, process: Process) -> None:
    world.units.keep(TOKEN, "2")
    process.run("prod")


def quiet(world: FakeWorld, process: Process) -> None:
    pass


@pytest.mark.parametrize("meanwhile", [quiet, drifts, dies, rotates])
@pytest.mark.parametrize("ends", [held, rolled_back])
def test_who_lost_the_store_does_not_try_again_what_failed(
    ends: Callable[[FakeWorld], None], meanwhile: Callable[[FakeWorld, Process], None]
) -> None:
    world, process = living(activate="systemd")
    fails(world, 3, activate="systemd", rollback="hold" if ends is held else "auto")
    settle(process)
    meanwhile(world, process)
    process.wait(LONG)
    world.lose_store()
    process = world.boot()
    settle(process)
    tried = [one for one in attempts(world) if one.declared.run_id == 3]
    assert not tried
    assert process.run("prod").health is Health.DEGRADED
    world.units.characters[3] = Character.GOOD
    world.retry("prod")
    settle(process)
    assert process.run("prod").ready
    assert world.runs_live("prod") == 3


def test_a_rollback_that_was_interrupted_and_fails_makes_nobody_try_again_what_failed_before_it() -> None:
    world, process = living()
    fails(world, 3)
    world.units.characters[2] = Character.BAD
    process.round()
    world.faults.cut_at = "target:accept:done"
    with pytest.raises(PowerCut):
        process.wait(LONG)
    world.faults.current = None
    settle(world.boot())
    world.lose_store()
    process = world.boot()
    settle(process)
    assert not [one for one in attempts(world) if one.declared.run_id == 3]
    assert runs(world) == (2, "one", "canary-1")


# --- rollbacks that can't be had at once -----------------------------------------------------------


def secret_gone(world: FakeWorld) -> None:
    world.units.keep(TOKEN, None)


def custody_gone(world: FakeWorld) -> None:
    world.custody.copies.clear()
    world.faults.down = {"source"}


def target_full(world: FakeWorld) -> None:
    world.faults.down = {"target:remember"}


def branch_gone(world: FakeWorld) -> None:
    world.faults.down = {"repository:entry"}


@pytest.mark.parametrize("trouble", [secret_gone, custody_gone, target_full, branch_gone])
def test_a_rollback_that_is_not_possible_yet_is_done_once_it_is(trouble: Callable[[FakeWorld], None]) -> None:
    world, process = living()
    fails(world, 3, secret="")
    process.round()
    trouble(world)
    process.wait(LONG)
    assert world.units.unit("prod").started
    world.faults.stop()
    world.units.keep(TOKEN, "1")
    settle(process)
    assert runs(world) == (2, "one", "canary-1")
    assert not [one for one in attempts(world) if one.outcome is None]
    assert process.run("prod").reason is Reason.HEALTH_CHECK_FAILED
    check_stays(world, process)


def test_nothing_goes_back_to_what_was_revoked() -> None:
    world, process = living()
    fails(world, 3)
    process.round()
    world.merge({PATH: Policy(runs=(2,))})
    settle(process)
    assert world.runs_live("prod") == 3
    assert told(world) == ["deploy 3 failed"]
    assert process.run("prod").health is Health.DEGRADED
    check_stays(world, process)


def test_what_is_suspended_is_rolled_back_only_when_it_goes_on() -> None:
    world, process = living()
    fails(world, 3)
    process.round()
    world.hand("prod", "suspend", suspended=True)
    settle(process)
    assert world.runs_live("prod") == 3
    world.hand("prod", "resume", suspended=False)
    settle(process)
    assert runs(world) == (2, "one", "canary-1")


def test_a_failed_release_under_a_tip_that_nobody_let_in_is_rolled_back() -> None:
    world, process = living()
    fails(world, 3)
    process.round()
    world.push({"prod.yaml": service(world, 4)})
    settle(process)
    assert runs(world) == (2, "one", "canary-1")
    assert process.run("prod").reason is Reason.APPROVAL_MISSING


def test_a_tip_that_moved_on_meanwhile_is_shown_as_it_stands() -> None:
    world, process = living()
    fails(world, 3)
    process.round()
    world.clock.seconds += 2 * WITHIN
    process.checks.go_on()
    world.merge({"prod.yaml": service(world, 4)})
    process.round()
    assert process.last[PROD].status.reason is None
    settle(process)
    assert runs(world) == (4, "one", "canary-1")


def test_what_was_never_started_is_what_the_first_start_that_fails_goes_back_to() -> None:
    world = FakeWorld()
    world.units.keep(TOKEN, "1")
    world.merge({"prod.yaml": world.file("prod", 2)})
    process = world.boot()
    settle(process)
    fails(world, 3)
    settle(process)
    assert world.runs_live("prod") == 2
    assert [str(one.action) for one in attempts(world)] == ["deploy", "deploy", "rollback"]
    assert process.run("prod").reason is Reason.HEALTH_CHECK_FAILED
    check_stays(world, process)


def test_what_was_started_and_then_lost_its_record_is_brought_back_when_it_is_taken_away() -> None:
    world, process = living()
    world.merge({"prod.yaml": service(world, 3, within=0)})
    world.faults.cut_at = "store:outcome"
    with pytest.raises(PowerCut):
        process.round()
    world.faults.current = None
    world.push({"prod.yaml": service(world, 4)})
    process = world.boot()
    process.round()
    assert told(world) == ["deploy 3 interrupted"]
    world.drop_current("prod")
    process.run("prod")
    assert runs(world) == (3, "one", "canary-1")
    assert world.runs_live("prod") == 3
