"""Lost stores, shared targets, drift, the operator's hand, and what is recorded how often: on the whole product."""

from __future__ import annotations

import pytest

from reconciler.errors import Reason
from reconciler.model import EnvironmentName, OperatorHand, Sync
from tests.simulation.git import File
from tests.simulation.world import FakeWorld, Process

PROD = EnvironmentName("prod")


SYNCED = (Sync.SYNCED, None)
MISSING = (Sync.HELD, Reason.APPROVAL_MISSING)

# --- the store ----------------------------------------------------------------------------------


def test_a_lost_store_changes_no_target_and_comes_to_the_same_state(world: FakeWorld, process: Process) -> None:
    world.merge({"prod.yaml": world.file("prod", 2)})
    world.merge({"dev.yaml": world.file("dev", 3)})
    process.round()
    before = {name: process.last[EnvironmentName(name)].status for name in ("prod", "dev")}
    world.lose_store()
    world.writes.clear()
    after = world.boot().round()
    assert world.writes["target"] == 0
    for name, status in after.items():
        was = before[name]
        assert (status.sync, status.live, status.declared) == (was.sync, was.live, was.declared)


def test_a_store_from_an_old_backup_goes_on_above_the_token_that_the_target_saw(
    world: FakeWorld, process: Process
) -> None:
    backup = world.store.memory
    for _ in range(3):
        world.boot().round()
    world.merge({"prod.yaml": world.file("prod", 2)})
    world.boot().round()
    seen = world.place("prod").fence
    world.store.memory = backup
    world.writes.clear()
    process = world.boot()
    assert process.verdict() == SYNCED
    assert world.writes["target"] == 0
    world.merge({"prod.yaml": world.file("prod", 3)})
    assert process.verdict() == SYNCED
    assert world.runs_live("prod") == 3
    assert world.place("prod").fence > seen


# --- two environments, one target ---------------------------------------------------------------


def test_of_two_environments_on_one_target_the_incumbent_goes_on(world: FakeWorld, process: Process) -> None:
    world.merge({"thief.yaml": world.file("thief", 2, path="/srv/prod")})
    assert process.verdict("thief")[0] is Sync.HELD
    assert process.verdict() == SYNCED
    assert world.runs_live("prod") == 1
    world.merge({"prod.yaml": world.file("prod", 3)})
    assert process.verdict() == SYNCED
    assert world.runs_live("prod") == 3


@pytest.mark.parametrize("path", ["/srv/prod/releases", "/srv"])
def test_a_newcomer_inside_or_around_an_incumbent_holds(world: FakeWorld, process: Process, path: str) -> None:
    world.merge({"thief.yaml": world.file("thief", 2, path=path)})
    assert process.verdict("thief")[0] is Sync.HELD
    assert path not in world.targets.places or world.targets.places[path].live is None


def test_two_newcomers_on_one_target_both_hold(world: FakeWorld, process: Process) -> None:
    shared = "/srv/shared"
    world.merge({f"{name}.yaml": world.file(name, 2, path=shared) for name in ("one", "two")})
    assert process.verdict("one")[0] is process.verdict("two")[0] is Sync.HELD
    world.merge({"two.yaml": None})
    assert process.verdict("one") == SYNCED


def test_an_environment_that_moves_into_the_folder_of_another_one_holds(world: FakeWorld, process: Process) -> None:
    """It is the incumbent of the place that it leaves, not of the one that it goes to."""
    world.merge({"dev.yaml": world.file("dev", 2)})
    process.round()
    world.merge({"dev.yaml": world.file("dev", 2, path="/srv/prod/releases/dev")})
    assert process.verdict("dev")[0] is Sync.HELD
    assert "/srv/prod/releases/dev" not in world.targets.places or (
        world.targets.places["/srv/prod/releases/dev"].live is None
    )


def test_an_environment_that_moves_onto_another_one_holds(world: FakeWorld, process: Process) -> None:
    world.merge({"dev.yaml": world.file("dev", 2)})
    process.round()
    world.merge({"dev.yaml": world.file("dev", 2, path="/srv/prod")})
    assert process.verdict("dev") == (Sync.HELD, Reason.INVALID_DECLARATION)
    assert (world.runs_live("prod"), world.runs_live("dev")) == (1, 2)


def test_an_environment_moves_to_a_place_of_its_own(world: FakeWorld, process: Process) -> None:
    world.merge({"prod.yaml": world.file("prod", 1, path="/srv/elsewhere")})
    assert process.verdict() == SYNCED
    live = world.targets.places["/srv/elsewhere"].live
    assert live
    assert live.release.run_id == 1
    assert world.runs_live("prod") == 1


# --- drift --------------------------------------------------------------------------------------


def test_drift_is_repaired(world: FakeWorld, process: Process) -> None:
    world.drift("prod")
    assert process.run("prod").ready
    assert world.place("prod").live
    assert not world.place("prod").live.drifted  # type: ignore[union-attr]


def test_drift_is_repaired_without_the_forge_and_ci(world: FakeWorld, process: Process) -> None:
    world.drift("prod")
    world.faults.down = {"forge", "source"}
    assert process.run("prod").ready


def unapproved(world: FakeWorld) -> File | bytes | None:
    return world.file("prod", 2)


def broken(world: FakeWorld) -> File | bytes | None:
    return b"artifact: ["


def removed(world: FakeWorld) -> File | bytes | None:
    return None


HOLDING = pytest.mark.parametrize("tip", [unapproved, broken, removed], ids=["unapproved", "broken", "removed"])


@HOLDING
def test_drift_is_repaired_towards_what_was_approved_while_the_tip_is_held(
    world: FakeWorld, process: Process, tip: object
) -> None:
    world.push({"prod.yaml": tip(world)})  # type: ignore[operator]
    process.round()
    world.drift("prod")
    status = process.run("prod")
    live = world.place("prod").live
    assert live
    assert (status.sync, live.release.run_id, live.drifted) == (Sync.HELD, 1, False)


@HOLDING
def test_a_removed_current_is_put_back_while_the_tip_is_held(world: FakeWorld, process: Process, tip: object) -> None:
    world.push({"prod.yaml": tip(world)})  # type: ignore[operator]
    process.round()
    world.drop_current("prod")
    assert process.run("prod").sync is Sync.HELD
    assert world.runs_live("prod") == 1


def test_a_removed_current_is_put_back(world: FakeWorld, process: Process) -> None:
    world.drop_current("prod")
    assert process.run("prod").ready
    assert world.runs_live("prod") == 1


def test_bytes_that_rotted_in_custody_are_fetched_anew(world: FakeWorld, process: Process) -> None:
    world.custody.copies = dict.fromkeys(world.custody.copies, b"rotten")
    world.drift("prod")
    assert process.run("prod").ready
    assert world.place("prod").live.data == b"artifact of run 1\n"  # type: ignore[union-attr]


# --- the operator's hand, and what is not tried again -------------------------------------------


@pytest.mark.parametrize("by_file", [True, False], ids=["in its file", "by the operator"])
def test_a_suspended_environment_is_left_alone(world: FakeWorld, process: Process, by_file: bool) -> None:
    world.merge({"prod.yaml": world.file("prod", 2, suspend=by_file)})
    if not by_file:
        world.hand("prod", "suspend", suspended=True)
    assert process.verdict() == (Sync.HELD, Reason.SUSPENDED)
    world.drift("prod")
    process.run("prod")
    live = world.place("prod").live
    assert live
    assert (live.release.run_id, live.drifted) == (1, True)
    if by_file:
        world.merge({"prod.yaml": world.file("prod", 2)})
    else:
        world.hand("prod", "resume", suspended=False)
    assert process.verdict() == SYNCED
    assert world.runs_live("prod") == 2


def fetches(world: FakeWorld) -> int:
    return world.faults.steps.count("source:open")


@pytest.fixture
def failed(world: FakeWorld, process: Process) -> Process:
    """Run 2, approved, turned out to be other bytes than declared."""
    world.ci.tamper(2)
    world.merge({"prod.yaml": world.file("prod", 2)})
    assert process.verdict() == (Sync.HELD, Reason.DIGEST_MISMATCH)
    world.faults.steps.clear()
    return process


def test_bytes_that_failed_are_not_tried_again(world: FakeWorld, failed: Process) -> None:
    for _ in range(3):
        assert failed.verdict() == (Sync.HELD, Reason.DIGEST_MISMATCH)
    assert world.boot().verdict() == (Sync.HELD, Reason.DIGEST_MISMATCH)
    assert fetches(world) == 0
    assert world.runs_live("prod") == 1


def test_bytes_that_failed_are_tried_again_when_the_operator_says_so(world: FakeWorld, failed: Process) -> None:
    world.ci.build(2)
    world.retry("prod")
    assert failed.verdict() == SYNCED
    assert fetches(world) == 1
    assert world.runs_live("prod") == 2


def test_bytes_that_failed_are_tried_again_when_the_declaration_changes(world: FakeWorld, failed: Process) -> None:
    world.merge({"prod.yaml": world.file("prod", 3)})
    assert failed.verdict() == SYNCED
    assert world.runs_live("prod") == 3


@pytest.mark.parametrize("port", ["repository", "forge", "target", "store"])
def test_bytes_that_failed_are_not_tried_again_after_another_fault(
    world: FakeWorld, failed: Process, port: str
) -> None:
    world.faults.down = {port}
    failed.run("prod")
    world.faults.down = set()
    failed.run("prod")
    assert fetches(world) == 0


# --- the record ---------------------------------------------------------------------------------


def test_a_refusal_is_recorded_once_and_not_at_every_pass(world: FakeWorld, process: Process) -> None:
    world.push({"prod.yaml": world.file("prod", 2)})
    process.round()
    entries, writes = len(world.store.memory.entries), world.writes.copy()
    for _ in range(3):
        assert process.verdict() == MISSING
    assert world.boot().verdict() == MISSING
    assert len(world.store.memory.entries) == entries
    assert world.writes["store"] == writes["store"] + 1  # the new process took its lease


@pytest.mark.parametrize("port", ["repository", "forge", "source", "target"])
def test_an_outage_is_recorded_once_however_the_branch_moves(world: FakeWorld, process: Process, port: str) -> None:
    world.merge({"prod.yaml": world.file("prod", 2)})
    process.look()
    world.faults.down = {port}
    process.run("prod")
    entries = len(world.store.memory.entries)
    for number in range(3):
        world.faults.down = set()
        world.push({"README": f"version {number}".encode()})
        process.look()
        world.faults.down = {port}
        process.run("prod")
    assert len(world.store.memory.entries) == entries


def test_a_hand_laid_on_before_there_is_a_branch_breaks_no_pass() -> None:
    world = FakeWorld()
    process = world.boot()
    process.look()
    world.store.save_hand(PROD, OperatorHand(suspended=True, by="ops"), "suspend", world.clock.now())
    process.round()
    world.merge({"prod.yaml": world.file("prod", 1)})
    assert process.verdict() == (Sync.HELD, Reason.SUSPENDED)
