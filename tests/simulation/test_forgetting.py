"""CI forgets: what is ours by then goes live all the same, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.errors import Reason
from reconciler.model import Gate, Sync, Verdict
from tests.simulation.custody_moves import KINDS
from tests.simulation.ground import ground, prod, watch
from tests.simulation.policy import PATH, Policy, Window
from tests.simulation.world import FakeWorld, Process

SYNCED = (Sync.SYNCED, None)
ways = pytest.mark.parametrize("how", KINDS, ids=str)


def waiting(how: Reason) -> tuple[FakeWorld, Process]:
    """Prod was let in to follow staging; CI forgot the run while that soaks, and the daemon tidied up."""
    world, process = ground()
    world.merge({"prod.yaml": prod(world, 3)})
    assert process.verdict("prod")[1] is Reason.SOAKING
    world.ci.forget(3, how)
    process.collect()
    return world, process


@ways
def test_what_was_forgotten_while_it_soaked_is_deployed_when_it_has(how: Reason) -> None:
    world, process = waiting(how)
    watch(world, process, names=("staging", "prod"))
    process.run("prod")
    assert world.runs_live("prod") == 3


@ways
def test_what_was_forgotten_in_a_freeze_is_deployed_after_it(world: FakeWorld, process: Process, how: Reason) -> None:
    world.merge({PATH: Policy((Window(0, 1000),))})
    world.merge({"prod.yaml": world.file("prod", 2)})
    assert process.verdict()[1] is Reason.FROZEN
    world.ci.forget(2, how)
    process.collect()
    world.clock.seconds += 2000
    assert process.verdict() == SYNCED
    assert world.runs_live("prod") == 2


@ways
def test_an_earlier_release_comes_back_out_of_custody(world: FakeWorld, process: Process, how: Reason) -> None:
    world.merge({"prod.yaml": world.file("prod", 2)})
    process.round()
    world.ci.forget(1, how)
    process.collect()
    world.merge({"prod.yaml": world.file("prod", 1)})
    assert process.verdict() == SYNCED
    assert world.runs_live("prod") == 1


@ways
def test_what_is_not_ours_is_held_for_what_ci_says(world: FakeWorld, process: Process, how: Reason) -> None:
    world.merge({"prod.yaml": world.file("prod", 2)})
    world.ci.forget(2, how)
    assert process.verdict() == (Sync.HELD, how)
    assert world.runs_live("prod") == 1
    words = {word.gate: word.verdict for word in process.run("prod").gates}
    assert words[Gate.PROVENANCE] is Verdict.HELD


@ways
@pytest.mark.parametrize("away", ["copy", "word"])
def test_neither_the_copy_nor_the_word_is_enough_alone(
    world: FakeWorld, process: Process, how: Reason, away: str
) -> None:
    world.ci.build(2, says_digest=False)
    world.merge({"prod.yaml": world.file("prod", 2)})
    process.round()
    world.merge({"prod.yaml": world.file("prod", 3)})
    process.round()
    world.ci.forget(2, how)
    if away == "copy":
        world.custody.copies.clear()
    else:
        world.lose_store()
        process = world.boot()
    world.merge({"prod.yaml": world.file("prod", 2)})
    assert process.verdict() == (Sync.HELD, how)
    assert world.runs_live("prod") == 3


def silent(world: FakeWorld) -> None:
    """A run of which CI says no digest."""
    world.ci.build(2, says_digest=False)


def gone(world: FakeWorld) -> None:
    """The same, forgotten, and known to us by other bytes only."""
    world.ci.build(2, says_digest=False)
    world.ci.forget(2)


@pytest.mark.parametrize("build", [silent, gone])
def test_a_copy_of_another_run_s_bytes_does_not_make_them_this_run_s(
    world: FakeWorld, process: Process, build: Callable[[FakeWorld], None]
) -> None:
    build(world)
    mine = world.file("prod", 1)
    world.merge({"prod.yaml": world.file("prod", 2, sha256=mine.sha256)})
    sync, reason = process.verdict()
    assert (sync, world.runs_live("prod")) == (Sync.HELD, 1)
    assert reason in (Reason.DIGEST_MISMATCH, Reason.RUN_NOT_FOUND)


@ways
def test_while_ci_is_out_of_reach_nobody_can_tell_that_it_forgot(
    world: FakeWorld, process: Process, how: Reason
) -> None:
    world.merge({"prod.yaml": world.file("prod", 2)})
    process.round()
    world.ci.forget(1, how)
    world.merge({"prod.yaml": world.file("prod", 1)})
    world.faults.down = {"source"}
    assert process.verdict()[1] is Reason.SOURCE_UNAVAILABLE
    assert world.runs_live("prod") == 2


def test_what_ci_says_otherwise_counts_whatever_it_said_before(world: FakeWorld, process: Process) -> None:
    world.merge({"prod.yaml": world.file("prod", 2)})
    process.round()
    world.ci.fail(1)
    world.merge({"prod.yaml": world.file("prod", 1)})
    assert process.verdict()[1] is Reason.RUN_NOT_SUCCESSFUL
    assert world.runs_live("prod") == 2


@ways
def test_what_an_open_request_would_deploy_is_ours_from_its_plan_on(
    world: FakeWorld, process: Process, how: Reason
) -> None:
    assert world.git.tip
    file = world.file("prod", 2)
    head = world.git.write([world.git.tip], world.git.edited(world.git.tip, {"prod.yaml": file}))
    world.git.requests[world.open_requests.ask(7, head).head_ref] = head
    assert process.tell()
    process.collect()
    world.ci.forget(2, how)
    world.open_requests.requests.clear()
    world.merge_head(head, world.git.nodes[head].files)
    assert process.verdict() == SYNCED
    assert world.runs_live("prod") == 2


def test_what_a_closed_request_would_have_deployed_goes(world: FakeWorld, process: Process) -> None:
    assert world.git.tip
    file = world.file("prod", 2)
    head = world.git.write([world.git.tip], world.git.edited(world.git.tip, {"prod.yaml": file}))
    world.git.requests[world.open_requests.ask(7, head).head_ref] = head
    assert process.tell()
    assert process.collect() == 0
    world.open_requests.requests.clear()
    world.git.requests.clear()
    assert process.tell()
    assert process.collect() == 1
