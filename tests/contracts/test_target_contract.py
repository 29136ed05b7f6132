"""What every target promises, whatever it is made of. An adapter joins by a `World` of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.errors import PolicyDenied, Reason, Terminal
from reconciler.ports import Target
from tests import factories
from tests.archives import tar_of
from tests.directory_targets import A, B, Ground


@dataclass(frozen=True)
class World:
    """One adapter on fresh ground: a target for `staging`, and a way to damage what is live behind its back."""

    target: Callable[[], Target]
    damage: Callable[[], object]


def _directory(base: Path) -> World:
    ground = Ground(base)
    return World(ground.target, lambda: (ground.current / "version").write_bytes(b"x"))


@pytest.fixture(params=[_directory], ids=["directory"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    made: World = request.param(tmp_path)
    return made


def test_before_the_first_deployment_nothing_is_live(world: World) -> None:
    seen = world.target().observe()
    assert (seen.live, seen.accepted, seen.drift, seen.retained, seen.fence) == (None, None, (), (), 0)


def test_apply_makes_live_and_says_what_observe_says(world: World) -> None:
    applied = world.target().apply(factories.verified(A), factories.approval(A), 1)
    assert applied.live is not None
    assert (applied.live.run_id, applied.live.sha256) == (101, factories.sha256(A))
    assert applied == world.target().observe()


def test_apply_twice_is_apply_once(world: World) -> None:
    first = world.target().apply(factories.verified(A), factories.approval(A), 1)
    assert world.target().apply(factories.verified(A), factories.approval(A), 1) == first


def test_an_upgrade_keeps_the_release_before(world: World) -> None:
    before = world.target().apply(factories.verified(A), factories.approval(A), 1).live
    seen = world.target().apply(factories.verified(B), factories.approval(B, run_id=102), 1)
    assert seen.live != before
    assert before in seen.retained
    assert seen.retained[0] == seen.live


def test_a_smaller_token_is_fenced_off_and_changes_nothing(world: World) -> None:
    before = world.target().apply(factories.verified(A), factories.approval(A), 7)
    with pytest.raises(PolicyDenied) as caught:
        world.target().apply(factories.verified(B), factories.approval(B, run_id=102), 6)
    assert caught.value.reason is Reason.FENCED_OFF
    assert world.target().observe() == before
    assert before.fence == 7


def test_accept_moves_the_record_and_nothing_else(world: World) -> None:
    before = world.target().apply(factories.verified(A), factories.approval(A), 1)
    world.target().accept(factories.approval(A, declaration="e" * 64), 1)
    seen = world.target().observe()
    assert seen.accepted is not None
    assert seen.accepted.declaration == "e" * 64
    assert (seen.live, seen.live_since) == (before.live, before.live_since)


def test_drift_is_seen_and_apply_repairs_it(world: World) -> None:
    world.target().apply(factories.verified(A), factories.approval(A), 1)
    world.damage()
    assert world.target().observe().drift
    assert world.target().apply(factories.verified(A), factories.approval(A), 1).drift == ()


def test_unsafe_bytes_leave_live_as_it_is(world: World) -> None:
    before = world.target().apply(factories.verified(A), factories.approval(A), 1)
    evil = tar_of({"../evil": b"x"})
    with pytest.raises(Terminal) as caught:
        world.target().apply(factories.verified(evil), factories.approval(evil, run_id=102), 1)
    assert caught.value.reason is Reason.ARTIFACT_UNSAFE
    assert world.target().observe().live == before.live
