"""A branch that was rewritten, and an operator who says that it was meant: what goes on, and what does not."""

from __future__ import annotations

import pytest

from reconciler.errors import Reason
from reconciler.model import Sync
from tests.simulation.git import Bar
from tests.simulation.origins import BOT
from tests.simulation.policy import PATH, Floor, Policy
from tests.simulation.world import FakeWorld, Process, Said

SYNCED = (Sync.SYNCED, None)
MISSING = (Sync.HELD, Reason.APPROVAL_MISSING)
REWRITTEN = (Sync.HELD, Reason.BRANCH_REWRITTEN)
ONE_PERSON = Said(approved=("ann",), merged_by=BOT)


@pytest.fixture
def process(world: FakeWorld) -> Process:
    """Prod and dev are live, and on the same branch."""
    world.merge({"dev.yaml": world.file("dev", 5)})
    process = world.boot()
    process.round()
    assert (world.runs_live("prod"), world.runs_live("dev")) == (1, 5)
    return process


@pytest.fixture(params=[False, True], ids=["same process", "new process"])
def again(request: pytest.FixtureRequest, world: FakeWorld, process: Process) -> Process:
    """Whoever looks at the rewritten branch."""
    return world.boot() if request.param else process


def test_everything_holds_before_an_operator_accepts(world: FakeWorld, again: Process) -> None:
    world.rewrite({"prod.yaml": world.file("prod", 2)})
    assert again.verdict("prod") == again.verdict("dev") == REWRITTEN
    assert (world.runs_live("prod"), world.runs_live("dev")) == (1, 5)


def test_an_unchanged_file_goes_on_and_its_record_names_the_new_history(world: FakeWorld, again: Process) -> None:
    tip = world.rewrite({})
    again.round()
    world.accept_rewrite()
    assert again.verdict("prod") == again.verdict("dev") == SYNCED
    for name in ("prod", "dev"):
        accepted = world.place(name).accepted
        assert accepted
        assert accepted.commit == tip
    world.merge({"prod.yaml": world.file("prod", 2)})
    assert again.verdict() == SYNCED
    assert world.runs_live("prod") == 2


def test_a_changed_file_holds_until_it_goes_back(world: FakeWorld, again: Process) -> None:
    world.rewrite({"prod.yaml": world.file("prod", 2)})
    again.round()
    world.accept_rewrite()
    assert again.verdict("prod") == MISSING
    assert again.verdict("dev") == SYNCED
    assert world.runs_live("prod") == 1
    world.push({"prod.yaml": world.file("prod", 1)})
    assert again.verdict("prod") == SYNCED
    assert world.runs_live("prod") == 1


def test_what_went_back_after_a_rewrite_goes_on_from_there(world: FakeWorld, again: Process) -> None:
    """The record must name a commit that holds what it says, or the next change finds a history without it."""
    world.rewrite({"prod.yaml": world.file("prod", 2)})
    again.round()
    world.accept_rewrite()
    again.round()
    world.push({"prod.yaml": world.file("prod", 1)})
    assert again.verdict("prod") == SYNCED
    world.merge({"prod.yaml": world.file("prod", 3)})
    assert again.verdict("prod") == SYNCED
    assert world.runs_live("prod") == 3


def test_a_change_on_top_of_a_changed_file_smuggles_nothing_in(world: FakeWorld, again: Process) -> None:
    world.rewrite({"prod.yaml": world.file("prod", 2)})
    again.round()
    world.accept_rewrite()
    world.merge({"prod.yaml": world.file("prod", 2, keep=3)})
    again.round()
    assert world.runs_live("prod") == 1


def test_a_changed_file_that_is_changed_again_as_a_whole_still_meets_the_bar_of_before(
    world: FakeWorld, process: Process
) -> None:
    """The rewrite drops the bar of two; then the file is removed, and comes back with one approval."""
    world.merge({"prod.yaml": world.file("prod", 1, bar=Bar(2))})
    process.round()
    world.rewrite({"prod.yaml": world.file("prod", 1)})
    process.round()
    world.accept_rewrite()
    world.push({"prod.yaml": None})
    world.merge({"prod.yaml": world.file("prod", 2)}, ONE_PERSON)
    process.round()
    assert world.runs_live("prod") == 1


def test_drift_is_mended_before_and_after(world: FakeWorld, again: Process) -> None:
    world.rewrite({"prod.yaml": world.file("prod", 2)})
    again.round()
    world.accept_rewrite()
    again.round()
    world.drift("dev")
    assert again.run("dev").ready


def test_a_second_rewrite_holds_again(world: FakeWorld, again: Process) -> None:
    world.rewrite({})
    again.round()
    world.accept_rewrite()
    again.round()
    world.rewrite({"README": b"once more"})
    assert again.verdict("prod") == again.verdict("dev") == REWRITTEN
    assert world.boot().verdict("prod") == REWRITTEN
    world.accept_rewrite()
    assert again.verdict("prod") == SYNCED


def test_a_reset_to_the_commit_that_was_accepted_holds_for_what_moved_on_since(
    world: FakeWorld, again: Process
) -> None:
    tip = world.rewrite({})
    again.round()
    world.accept_rewrite()
    again.round()
    world.merge({"prod.yaml": world.file("prod", 2)})
    assert again.verdict() == SYNCED
    world.git.tip = tip
    assert again.verdict() == REWRITTEN
    world.lose_store()
    assert world.boot().verdict() == REWRITTEN
    assert world.runs_live("prod") == 2


def test_the_history_before_is_not_come_back_to(world: FakeWorld, again: Process) -> None:
    old = world.git.tip
    world.rewrite({})
    again.round()
    world.accept_rewrite()
    again.round()
    world.git.tip = old
    assert again.verdict() == REWRITTEN


def test_a_store_from_before_holds_nothing_that_moved_on_and_accepts_nothing_by_itself(
    world: FakeWorld, process: Process
) -> None:
    backup = world.store.memory
    world.rewrite({})
    process.round()
    world.accept_rewrite()
    process.round()
    world.store.memory = backup
    process = world.boot()
    assert process.verdict() == REWRITTEN
    world.accept_rewrite()
    assert process.verdict() == SYNCED
    assert world.runs_live("prod") == 1


def test_a_rewrite_that_was_accepted_before_anybody_looked_counts_too(world: FakeWorld, process: Process) -> None:
    tip = world.rewrite({})
    world.accept_rewrite()
    process.round()
    assert process.verdict("prod") == SYNCED
    accepted = world.place("prod").accepted
    assert accepted
    assert accepted.commit == tip


def test_an_accepted_rewrite_that_drops_the_policy_loosens_nothing(world: FakeWorld, again: Process) -> None:
    world.merge({PATH: Policy(runs=(2,), floors=(Floor(Bar(2)),))})
    again.round()
    world.rewrite({PATH: None})
    again.round()
    world.accept_rewrite()
    again.round()
    world.merge({"prod.yaml": world.file("prod", 2)}, Said(approved=("ann", "cid")))
    again.round()
    assert world.runs_live("prod") == 1


def test_a_rewrite_that_nobody_accepted_leaves_no_policy_in_the_audit(world: FakeWorld, process: Process) -> None:
    world.merge({PATH: Policy(runs=(1,))})
    process.round()
    known = world.store.memory.policy
    first = world.rewrite({PATH: None})
    world.merge({PATH: Policy(comment="all is allowed")})
    assert first
    world.boot().round()
    assert world.store.memory.policy == known


def test_an_accepted_rewrite_counts_also_when_the_clock_was_set_back(world: FakeWorld, again: Process) -> None:
    world.clock.seconds += 60
    world.rewrite({})
    again.round()
    world.clock.jump(-3600)
    world.accept_rewrite()
    assert again.verdict("prod") == SYNCED


def test_a_rewrite_can_be_accepted_also_when_the_store_was_lost_with_it(world: FakeWorld, process: Process) -> None:
    """The targets know that the history is another one; the new store has never seen the old one."""
    world.rewrite({})
    world.lose_store()
    process = world.boot()
    assert process.verdict("prod") == REWRITTEN
    world.accept_rewrite()
    assert process.verdict("prod") == SYNCED
