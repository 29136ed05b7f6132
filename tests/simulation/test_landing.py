"""Requests that land as several commits, people's rights, and an approval that comes late: on the whole product."""

from __future__ import annotations

import pytest

from reconciler.errors import Reason
from reconciler.model import Sync
from reconciler.pipeline.rulebook import LONGEST_PATIENCE
from tests.simulation.git import Bar
from tests.simulation.origins import BOT
from tests.simulation.policy import PATH, Policy
from tests.simulation.world import GOOD, NOBODY, FakeWorld, Process, Said

SYNCED = (Sync.SYNCED, None)
own = pytest.mark.parametrize("own", [False, True], ids=["copies", "moved forward"])


@own
def test_all_commits_of_a_request_land_together(world: FakeWorld, process: Process, own: bool) -> None:
    world.rebase([{"prod.yaml": world.file("prod", run)} for run in (2, 3, 4)], own=own)
    assert process.verdict() == SYNCED
    assert world.runs_live("prod") == 4


@own
def test_a_tip_in_their_middle_is_held_until_the_last_is_there(world: FakeWorld, process: Process, own: bool) -> None:
    landed = world.rebase([{"prod.yaml": world.file("prod", run)} for run in (2, 3)], own=own)
    world.git.tip = landed[0]
    assert process.verdict() == (Sync.HELD, Reason.APPROVAL_STALE)
    assert world.runs_live("prod") == 1
    world.git.tip = landed[1]
    assert process.verdict() == SYNCED
    assert world.runs_live("prod") == 3


def test_a_merge_around_the_last_commit_is_held(world: FakeWorld, process: Process) -> None:
    first, last = world.rebase([{"prod.yaml": world.file("prod", run)} for run in (2, 3)])
    world.git.tip = world.git.write([first, last], world.git.nodes[first].files)
    assert process.verdict()[0] is Sync.HELD
    world.git.tip = world.git.write([first, last], world.git.nodes[last].files)
    assert process.verdict()[0] is Sync.HELD
    assert world.runs_live("prod") == 1


def test_a_request_that_began_before_the_last_change_is_held(world: FakeWorld, process: Process) -> None:
    forked = world.git.tip
    world.merge({"prod.yaml": world.file("prod", 2)})
    world.rebase([{"prod.yaml": world.file("prod", run)} for run in (3, 4)], forked_at=forked)
    assert process.verdict() == (Sync.HELD, Reason.APPROVAL_STALE)


def test_a_request_that_swapped_sides_put_onto_an_older_state_is_held(world: FakeWorld, process: Process) -> None:
    older = world.git.tip
    assert older
    world.merge({"prod.yaml": world.file("prod", 2)})
    assert process.verdict() == SYNCED
    newer = world.git.tip
    assert newer
    side = world.git.write([older], world.git.edited(older, {"README": b"beside"}))
    head = world.git.write([side], world.git.edited(side, {"prod.yaml": world.file("prod", 3)}))
    landed = world.git.write([side, head], world.git.nodes[head].files)
    world.note(landed, head, GOOD)
    world.git.tip = world.git.write([landed, newer], world.git.nodes[head].files)
    assert process.verdict()[0] is Sync.HELD
    assert world.runs_live("prod") == 2


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Said(approved=("fay",), merged_by=BOT), Reason.APPROVER_NOT_ALLOWED),
        (Said(approved=(), merged_by="fay"), Reason.APPROVER_NOT_ALLOWED),
        (Said(approved=(), merged_by=BOT, early=("ann",), retargeted=True), Reason.APPROVAL_STALE),
        (Said(approved=(), merged_by=BOT, early=("cid",), retargeted=True), Reason.APPROVAL_STALE),
        (Said(approved=(), merged_by=BOT, early=("eve",), retargeted=True), Reason.APPROVAL_STALE),
        (Said(approved=(), merged_by=BOT, stale=("ann",)), Reason.APPROVAL_STALE),
        (Said(approved=("ann",), merged_by=BOT, retargeted=True), None),
        (Said(approved=(), merged_by=BOT, early=("ann",)), None),
    ],
    ids=[
        "a reader approved", "a reader merged", "approved in the very moment it was retargeted",
        "approved before it was retargeted", "approved nobody knows when", "approved an older head",
        "approved after it was retargeted", "it never was retargeted",
    ],
)  # fmt: skip
def test_whose_word_counts(world: FakeWorld, process: Process, said: Said, reason: Reason | None) -> None:
    world.forge.readers = {"fay"}
    world.squash({"prod.yaml": world.file("prod", 2)}, said)
    assert process.verdict() == ((Sync.HELD, reason) if reason else SYNCED)
    assert world.runs_live("prod") == (1 if reason else 2)


def test_a_rule_that_names_a_reader_does_not_make_their_word_count(world: FakeWorld, process: Process) -> None:
    world.merge({"prod.yaml": world.file("prod", 1, bar=Bar(only=("fay",)))})
    process.round()
    world.forge.readers = {"fay"}
    world.merge({"prod.yaml": world.file("prod", 2, bar=Bar(only=("fay",)))}, Said(approved=("fay",), merged_by=BOT))
    assert process.verdict() == (Sync.HELD, Reason.APPROVER_NOT_ALLOWED)


def test_who_gains_the_right_to_write_lets_in_and_who_loses_it_takes_nothing_back(
    world: FakeWorld, process: Process
) -> None:
    world.forge.readers = {"fay"}
    world.merge({"prod.yaml": world.file("prod", 2)}, Said(approved=("fay",), merged_by=BOT))
    assert process.verdict()[0] is Sync.HELD
    world.forge.readers = set()
    assert process.verdict() == SYNCED
    world.forge.readers = {"fay"}
    assert process.verdict() == SYNCED
    assert world.boot().verdict() == SYNCED
    assert world.runs_live("prod") == 2


def test_a_head_that_can_t_be_fetched_holds_and_is_fetched_later(world: FakeWorld, process: Process) -> None:
    world.faults.down = {"repository:retrieve"}
    world.squash({"prod.yaml": world.file("prod", 2)})
    assert process.verdict() == (Sync.HELD, Reason.REPOSITORY_UNAVAILABLE)
    world.faults.stop()
    assert process.verdict() == SYNCED


def revoked_without_a_word(world: FakeWorld, process: Process) -> Said:
    """What is declared stays revoked: taking it back was merged, and waits for an approval. Returns that."""
    world.merge({PATH: Policy(runs=(2,))})
    world.merge({"prod.yaml": world.file("prod", 2, bar=Bar())})
    commit = world.merge({PATH: Policy()}, NOBODY)
    for _ in range(20):  # patience grows
        world.clock.seconds += LONGEST_PATIENCE
        assert process.verdict() == (Sync.HELD, Reason.REVOKED)
    world.note(commit, world.forge.merges[commit].head, GOOD)
    return GOOD


def test_a_policy_that_is_approved_late_is_in_force_after_the_longest_patience(
    world: FakeWorld, process: Process
) -> None:
    revoked_without_a_word(world, process)
    world.clock.seconds += LONGEST_PATIENCE
    assert process.verdict() == SYNCED


def test_a_policy_that_is_approved_late_is_in_force_at_once_when_somebody_tells(
    world: FakeWorld, process: Process
) -> None:
    revoked_without_a_word(world, process)
    process.runner.unsettled()
    assert process.verdict() == SYNCED


def test_a_policy_that_waits_for_people_is_not_asked_for_at_every_pass(world: FakeWorld, process: Process) -> None:
    revoked_without_a_word(world, process)
    process.verdict()
    world.forge.asked.clear()
    for _ in range(20):
        process.run("prod")
    assert world.git.tip not in world.forge.asked


def test_a_forge_that_was_down_is_asked_again_within_seconds(world: FakeWorld, process: Process) -> None:
    world.merge({PATH: Policy(runs=(2,))})
    process.round()
    world.merge({PATH: Policy()})
    world.merge({"prod.yaml": world.file("prod", 2)})
    world.faults.down = {"forge"}
    for _ in range(7):
        world.clock.seconds += 10
        assert process.verdict()[0] is Sync.HELD
    world.faults.stop()
    world.clock.seconds += 5
    assert process.verdict() == SYNCED
