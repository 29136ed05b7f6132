"""Each known way past the approval, and each fault of people, as a short story on the whole product."""

from __future__ import annotations

import pytest

from reconciler.errors import Reason
from reconciler.model import EnvironmentName, Sync
from tests.simulation.git import Bar
from tests.simulation.origins import BOT
from tests.simulation.world import GOOD, NOBODY, FakeWorld, Process, Said

PROD = EnvironmentName("prod")


SYNCED = (Sync.SYNCED, None)
MISSING = (Sync.HELD, Reason.APPROVAL_MISSING)

# --- how a change comes to the branch -----------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        pytest.param(GOOD, None, id="approved by somebody else: passes"),
        pytest.param(Said(approved=(), merged_by="ann"), None, id="merged by somebody else: passes"),
        pytest.param(NOBODY, Reason.SELF_APPROVAL, id="merged by its author"),
        pytest.param(Said(approved=("dan",), merged_by=None), Reason.SELF_APPROVAL, id="approved by its author"),
        pytest.param(
            Said(("dan", "ann"), ("ann",), merged_by="dan"), Reason.SELF_APPROVAL, id="approved by its co-author"
        ),
        pytest.param(Said(approved=(BOT,), merged_by=BOT), Reason.APPROVAL_MISSING, id="approved by a bot"),
        pytest.param(
            Said(approved=(), stale=("ann",), merged_by=BOT), Reason.APPROVAL_STALE, id="pushed to after the approval"
        ),
        pytest.param(
            Said(approved=("ann",), withdrew=("ann",), merged_by=BOT), Reason.APPROVAL_MISSING, id="approval withdrawn"
        ),
    ],
)
def test_a_pull_request(world: FakeWorld, process: Process, said: Said, reason: Reason | None) -> None:
    world.merge({"prod.yaml": world.file("prod", 2)}, said)
    assert process.verdict() == (Sync.HELD if reason else Sync.SYNCED, reason)
    assert world.runs_live("prod") == (1 if reason else 2)


def test_a_direct_push_holds(world: FakeWorld, process: Process) -> None:
    world.push({"prod.yaml": world.file("prod", 2)})
    assert process.verdict() == MISSING
    assert world.runs_live("prod") == 1


def test_a_squashed_pull_request_passes(world: FakeWorld, process: Process) -> None:
    world.squash({"prod.yaml": world.file("prod", 2)})
    assert process.verdict() == SYNCED
    assert world.runs_live("prod") == 2


def test_a_pull_request_on_top_of_a_direct_push_smuggles_nothing_in(world: FakeWorld, process: Process) -> None:
    world.push({"prod.yaml": world.file("prod", 2)})
    process.round()
    world.merge({"prod.yaml": world.file("prod", 2, keep=3)})
    assert process.verdict() == MISSING
    (word,) = [gate for gate in process.last[PROD].status.gates if gate.reason]
    assert "unapproved so far: artifact.run_id, artifact.sha256" in word.evidence
    assert world.runs_live("prod") == 1


def test_a_pull_request_that_replaces_what_was_pushed_passes(world: FakeWorld, process: Process) -> None:
    world.push({"prod.yaml": world.file("prod", 2)})
    process.round()
    world.merge({"prod.yaml": world.file("prod", 3)})
    assert process.verdict() == SYNCED
    assert world.runs_live("prod") == 3


def test_a_reverted_direct_push_is_synced_again(world: FakeWorld, process: Process) -> None:
    world.push({"prod.yaml": world.file("prod", 2)})
    process.round()
    world.push({"prod.yaml": world.file("prod", 1)})
    assert process.verdict() == SYNCED
    assert world.runs_live("prod") == 1


def test_a_direct_push_back_to_what_was_live_before_holds(world: FakeWorld, process: Process) -> None:
    world.merge({"prod.yaml": world.file("prod", 2)})
    process.round()
    world.push({"prod.yaml": world.file("prod", 1)})
    assert process.verdict() == MISSING
    assert world.runs_live("prod") == 2


def test_a_direct_push_of_a_comment_passes(world: FakeWorld, process: Process) -> None:
    world.push({"prod.yaml": world.file("prod", 1, comment="see the wiki")})
    assert process.verdict() == SYNCED
    assert world.runs_live("prod") == 1


def test_a_merge_that_differs_from_the_reviewed_head_holds(world: FakeWorld, process: Process) -> None:
    tip = world.git.tip
    assert tip
    head = world.git.write([tip], world.git.edited(tip, {"prod.yaml": world.file("prod", 2)}))
    world.merge_head(head, world.git.edited(tip, {"prod.yaml": world.file("prod", 66)}))
    assert process.verdict() == (Sync.HELD, Reason.APPROVAL_STALE)
    assert world.runs_live("prod") == 1


def test_a_pull_request_on_an_old_base_is_judged_by_what_it_merged_into(world: FakeWorld, process: Process) -> None:
    old = world.git.tip
    world.merge({"prod.yaml": world.file("prod", 2)})
    process.round()
    assert old
    head = world.git.write([old], world.git.edited(old, {"prod.yaml": world.file("prod", 1, keep=3)}))
    world.merge_head(head, world.git.edited(old, {"prod.yaml": world.file("prod", 2, keep=3)}))
    assert process.verdict() == (Sync.HELD, Reason.APPROVAL_STALE)


# --- the bar ------------------------------------------------------------------------------------


def test_a_pull_request_that_lowers_the_bar_is_judged_by_the_old_one(world: FakeWorld, process: Process) -> None:
    world.merge({"prod.yaml": world.file("prod", 1, bar=Bar(required=2))})
    process.round()
    world.merge({"prod.yaml": world.file("prod", 2, bar=None)}, Said(approved=("ann",), merged_by=BOT))
    assert process.verdict() == MISSING
    assert world.runs_live("prod") == 1


def test_a_bar_that_was_lowered_by_a_direct_push_still_counts(world: FakeWorld, process: Process) -> None:
    world.push({"prod.yaml": world.file("prod", 1, bar=None)})
    world.push({"prod.yaml": world.file("prod", 2, bar=None)})
    assert process.verdict() == MISSING
    assert world.runs_live("prod") == 1


def test_who_is_not_named_may_not_approve(world: FakeWorld, process: Process) -> None:
    world.merge({"prod.yaml": world.file("prod", 1, bar=Bar(only=("cid",)))})
    process.round()
    world.merge({"prod.yaml": world.file("prod", 2, bar=Bar(only=("cid",)))})
    assert process.verdict() == (Sync.HELD, Reason.APPROVER_NOT_ALLOWED)
    world.merge({"prod.yaml": world.file("prod", 3, bar=Bar(only=("cid",)))}, Said(approved=("cid",)))
    assert process.verdict() == SYNCED


def test_an_approved_higher_bar_survives_a_push_back_and_a_comment(world: FakeWorld, process: Process) -> None:
    """Two direct pushes must not undo what people approved, while nothing of it could be deployed yet."""
    world.merge({"prod.yaml": world.file("prod", 1, bar=Bar(required=2))})
    world.push({"prod.yaml": world.file("prod", 1)})
    world.push({"prod.yaml": world.file("prod", 1, comment="nothing to see here")})
    process.round()
    world.merge({"prod.yaml": world.file("prod", 2)}, Said(approved=("ann",), merged_by="dan"))
    process.round()
    assert world.runs_live("prod") == 1


def test_an_approved_higher_bar_survives_a_push_back_while_another_field_is_held(
    world: FakeWorld, process: Process
) -> None:
    """A direct push holds one field, so that the raised bar is not let in; the next push takes it back unseen."""
    world.push({"prod.yaml": world.file("prod", 1, keep=3)})
    world.merge({"prod.yaml": world.file("prod", 1, keep=3, bar=Bar(required=2))})
    world.push({"prod.yaml": world.file("prod", 1, keep=3)})
    world.merge({"prod.yaml": world.file("prod", 2, keep=4)}, Said(approved=("ann",), merged_by="dan"))
    process.round()
    assert world.runs_live("prod") == 1


# --- files that can't be read, or are gone ------------------------------------------------------


def test_a_file_broken_by_a_direct_push_stays_held_when_an_approved_change_mends_it(
    world: FakeWorld, process: Process
) -> None:
    world.push({"prod.yaml": b"artifact: [run 2, smuggled"})
    assert process.verdict() == (Sync.HELD, Reason.INVALID_DECLARATION)
    world.merge({"prod.yaml": world.file("prod", 2)})
    assert process.verdict() == MISSING
    assert world.runs_live("prod") == 1


def test_a_file_broken_and_put_back_by_direct_pushes_is_synced(world: FakeWorld, process: Process) -> None:
    world.push({"prod.yaml": b"artifact: ["})
    process.round()
    world.push({"prod.yaml": world.file("prod", 1)})
    assert process.verdict() == SYNCED


def test_a_removed_file_holds_and_tears_nothing_down(world: FakeWorld, process: Process) -> None:
    world.push({"prod.yaml": None})
    assert process.verdict() == (Sync.HELD, Reason.ENVIRONMENT_REMOVED)
    assert world.runs_live("prod") == 1


@pytest.mark.parametrize(
    ("approved", "run", "live"),
    [
        pytest.param(False, 1, 1, id="as it was, by a direct push: synced"),
        pytest.param(False, 2, 1, id="with another run, by a direct push: held"),
        pytest.param(True, 2, 2, id="with another run, by an approved change: passes"),
    ],
)
def test_a_removed_file_comes_back(world: FakeWorld, process: Process, approved: bool, run: int, live: int) -> None:
    world.push({"prod.yaml": None})
    process.round()
    (world.merge if approved else world.push)({"prod.yaml": world.file("prod", run)})
    assert (process.verdict() == SYNCED) == (run == live)
    assert world.runs_live("prod") == live


# --- history ------------------------------------------------------------------------------------


def test_a_branch_that_was_reset_changes_nothing_until_it_is_pushed_back(world: FakeWorld, process: Process) -> None:
    first = world.git.tip
    second = world.merge({"prod.yaml": world.file("prod", 2)})
    process.round()
    world.git.tip = first
    assert process.verdict() == (Sync.HELD, Reason.BRANCH_REWRITTEN)
    assert world.runs_live("prod") == 2
    world.git.tip = second
    assert process.verdict() == SYNCED


@pytest.mark.parametrize("lost", [False, True], ids=["the store as it was", "the store lost too"])
def test_a_branch_that_was_reset_while_nobody_looked_changes_nothing(
    world: FakeWorld, process: Process, lost: bool
) -> None:
    first = world.git.tip
    world.merge({"prod.yaml": world.file("prod", 2)})
    process.round()
    world.git.tip = first
    if lost:
        world.lose_store()
    assert world.boot().verdict() == (Sync.HELD, Reason.BRANCH_REWRITTEN)
    assert world.runs_live("prod") == 2


def test_an_orphan_with_the_same_files_changes_nothing(world: FakeWorld, process: Process) -> None:
    world.git.tip = world.git.write([], world.git.edited(world.git.tip, {}))
    assert process.verdict() == (Sync.HELD, Reason.BRANCH_REWRITTEN)


def test_a_deleted_branch_changes_nothing(world: FakeWorld, process: Process) -> None:
    world.git.tip = None
    assert process.verdict() == (Sync.HELD, Reason.BRANCH_REWRITTEN)
    assert world.runs_live("prod") == 1


def test_a_foxtrot_merge_that_keeps_the_content_passes(world: FakeWorld, process: Process) -> None:
    base = world.git.tip
    ours = world.merge({"prod.yaml": world.file("prod", 2)})
    process.round()
    assert base
    side = world.git.write([base], world.git.edited(base, {"README": b"hello"}))
    world.git.tip = world.git.write([side, ours], world.git.nodes[ours].files)
    assert process.verdict() == SYNCED
    assert world.runs_live("prod") == 2


def test_a_foxtrot_merge_that_drops_the_content_holds(world: FakeWorld, process: Process) -> None:
    base = world.git.tip
    ours = world.merge({"prod.yaml": world.file("prod", 2)})
    process.round()
    assert base
    side = world.git.write([base], world.git.edited(base, {"README": b"hello"}))
    world.git.tip = world.git.write([side, ours], world.git.nodes[side].files)
    assert process.verdict() == MISSING
    assert world.runs_live("prod") == 2


@pytest.mark.parametrize("between", [False, True], ids=["at once", "behind an approved change of another environment"])
def test_a_foxtrot_merge_that_drops_the_content_is_not_let_in_by_a_change_of_something_else(
    world: FakeWorld, process: Process, between: bool
) -> None:
    """The approved pull request shows `keep: 3` alone; that run 2 went back to run 1 before it, nobody was shown."""
    base = world.git.tip
    ours = world.merge({"prod.yaml": world.file("prod", 2)})
    process.round()
    assert base
    side = world.git.write([base], world.git.edited(base, {"README": b"hello"}))
    world.git.tip = world.git.write([side, ours], world.git.nodes[side].files)
    if between:
        world.merge({"dev.yaml": world.file("dev", 3)})
    world.merge({"prod.yaml": world.file("prod", 1, keep=3)})
    process.round()
    assert world.runs_live("prod") == 2


def test_a_direct_push_from_the_side_rolls_nothing_back_behind_an_approval_that_was_used_before(
    world: FakeWorld, process: Process
) -> None:
    """The side line begins at the very merge that let run 1 in, and adds a comment to the file."""
    base = world.git.tip
    ours = world.merge({"prod.yaml": world.file("prod", 2)})
    process.round()
    assert base
    side = world.git.write([base], world.git.edited(base, {"prod.yaml": world.file("prod", 1, comment="see the wiki")}))
    world.git.tip = world.git.write([side, ours], world.git.nodes[side].files)
    process.round()
    assert world.runs_live("prod") == 2


def test_a_foxtrot_merge_rolls_nothing_back_behind_an_approval_of_something_else(
    world: FakeWorld, process: Process
) -> None:
    """On a side line people approved `keep: 3`; on the branch run 2 is live. Swapped sides bring no run 1 back."""
    base = world.git.tip
    ours = world.merge({"prod.yaml": world.file("prod", 2)})
    process.round()
    world.git.tip = base
    side = world.merge({"prod.yaml": world.file("prod", 1, keep=3)})
    world.git.tip = world.git.write([side, ours], world.git.nodes[side].files)
    process.round()
    assert world.runs_live("prod") == 2


@pytest.mark.parametrize("approved", [False, True], ids=["removed by a push", "removed with an approval"])
def test_a_file_that_was_removed_does_not_come_back_without_its_rule_by_a_push(
    world: FakeWorld, process: Process, approved: bool
) -> None:
    """What is gone from the file is a difference too: prod no longer asks where an artifact was proven."""
    world.merge({"dev.yaml": world.file("dev", 1)})
    world.merge({"prod.yaml": world.file("prod", 1, after=("dev",))})
    process.round()
    (world.merge if approved else world.push)({"prod.yaml": None})
    world.push({"prod.yaml": world.file("prod", 1)})
    assert process.verdict() == MISSING
    world.merge({"prod.yaml": world.file("prod", 2)})
    process.round()
    assert world.runs_live("prod") == 1
