"""What every target promises, whatever it is made of. An adapter joins by a `World` of its own."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from reconciler.core.delivery import fingerprint
from reconciler.errors import PolicyDenied, Reason, Terminal
from reconciler.model import Activation, CommitId, Digest, DriftKind, Failed, RunId, Service
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
    assert world.target().observe(around=True) == replace(world.target().observe(), drift=())
    assert world.target().apply(factories.verified(A), factories.approval(A), 1).drift == ()


def test_a_thorough_look_at_what_is_whole_says_what_a_fast_one_says(world: World) -> None:
    world.target().apply(factories.verified(A), factories.approval(A), 1)
    assert world.target().observe(thorough=True) == world.target().observe()


SALT = "0123456789abcdef" * 2
DELIVERED = b'A="1"\n'
SERVICE = Service(
    salt=SALT,
    activation=Activation("101-abcdefabcdef", Digest("a" * 64), "b" * 64, factories.NOON, fingerprint(SALT, DELIVERED)),
    proven=True,
    back=True,
    failed=Failed(
        CommitId("f" * 40),
        Digest("e" * 64),
        RunId(102),
        Digest("c" * 64),
        Reason.HEALTH_CHECK_FAILED,
        "answered 503",
        factories.NOON,
    ),
)


def test_what_is_remembered_is_observed_word_for_word(world: World) -> None:
    accepted = world.target().apply(factories.verified(A), factories.approval(A), 1).accepted
    target = world.target()
    assert target.observe().service is None
    for service in (Service(SALT), SERVICE, replace(SERVICE, good=accepted, failed=None), Service(SALT, back=True)):
        target.remember(service, 1)
        assert world.target().observe().service == service


def test_to_remember_the_same_once_more_touches_nothing(world: World) -> None:
    world.target().apply(factories.verified(A), factories.approval(A), 1)
    world.target().remember(SERVICE, 1)
    before = world.target().glance()
    world.target().remember(SERVICE, 2)
    assert world.target().glance() == before


def test_a_deployment_forgets_nothing_of_what_is_remembered(world: World) -> None:
    world.target().apply(factories.verified(A), factories.approval(A), 1)
    world.target().remember(Service(SALT, proven=True), 1)
    world.target().apply(factories.verified(B), factories.approval(B, run_id=102), 1)
    assert world.target().observe().service == Service(SALT, proven=True)


def test_a_smaller_token_may_neither_remember_nor_deliver(world: World) -> None:
    world.target().apply(factories.verified(A), factories.approval(A), 7)
    before = world.target().glance()
    acts: tuple[Callable[[], object], ...] = (
        lambda: world.target().remember(SERVICE, 6),
        lambda: world.target().deliver(DELIVERED, 6),
        lambda: world.target().deliver(None, 6),
    )
    for act in acts:
        with pytest.raises(PolicyDenied) as caught:
            act()
        assert caught.value.reason is Reason.FENCED_OFF
    assert world.target().glance() == before


def test_what_is_delivered_is_there_for_its_owner_alone_and_goes_again(world: World) -> None:
    world.target().deliver(DELIVERED, 1)  # also before the first deployment
    path = world.target().premises.environment
    assert path.read_bytes() == DELIVERED
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.stat()
    world.target().deliver(DELIVERED, 1)
    assert path.stat() == before
    world.target().deliver(b"", 1)
    assert path.read_bytes() == b""
    world.target().deliver(None, 1)
    world.target().deliver(None, 1)
    assert not path.exists()


def test_delivered_otherwise_than_activated_is_drift_until_it_is_delivered_again(world: World) -> None:
    target = world.target()
    target.deliver(DELIVERED, 1)
    applied = target.apply(factories.verified(A), factories.approval(A), 1)
    assert applied.drift == ()  # nothing says yet what was activated with
    target.remember(SERVICE, 1)
    assert target.observe().drift == ()
    target.deliver(None, 1)
    assert [(drift.path, drift.kind) for drift in target.observe().drift] == [
        (".reconciler/environment", DriftKind.MISSING)
    ]
    target.deliver(b"A=2", 1)
    assert [drift.kind for drift in target.observe().drift] == [DriftKind.CONTENT]
    target.deliver(DELIVERED, 1)
    assert target.observe().drift == ()


def test_the_premises_lead_to_what_is_live(world: World) -> None:
    live = world.target().apply(factories.verified(A), factories.approval(A), 1).live
    assert live is not None
    assert world.target().premises.current.resolve().name == live.id


def test_a_glance_is_the_same_until_something_is_touched(world: World) -> None:
    world.target().apply(factories.verified(A), factories.approval(A), 1)
    seen = [world.target().glance()]
    assert seen[0]
    acts: tuple[Callable[[], object], ...] = (
        lambda: world.target().remember(SERVICE, 1),
        lambda: world.target().deliver(DELIVERED, 1),
        lambda: world.target().accept(factories.approval(A, declaration="e" * 64), 1),
        lambda: world.target().apply(factories.verified(B), factories.approval(B, run_id=102), 1),
        world.damage,
    )
    for act in acts:
        act()
        seen.append(world.target().glance())
        world.target().observe(thorough=True)
        assert world.target().glance() == seen[-1]
    assert len(set(seen)) == 6


def test_readiness_tells_of_kept_releases_alone_and_whether_they_are_whole(world: World) -> None:
    target = world.target()
    assert target.readiness(RunId(101), factories.sha256(A)) is None
    before = target.apply(factories.verified(A), factories.approval(A), 1).live
    target.apply(factories.verified(B), factories.approval(B, run_id=102), 1)
    found = target.readiness(RunId(101), factories.sha256(A))
    assert before is not None
    assert found is not None
    assert (found.release, found.ready, found.why) == (before.id, True, "")
    assert target.readiness(RunId(103), factories.sha256(A)) is None
    assert target.readiness(RunId(101), factories.sha256(B)) is None
    world.damage()
    live = target.readiness(RunId(102), factories.sha256(B))
    assert live is not None
    assert not live.ready
    assert live.why


def test_unsafe_bytes_leave_live_as_it_is(world: World) -> None:
    before = world.target().apply(factories.verified(A), factories.approval(A), 1)
    evil = tar_of({"../evil": b"x"})
    with pytest.raises(Terminal) as caught:
        world.target().apply(factories.verified(evil), factories.approval(evil, run_id=102), 1)
    assert caught.value.reason is Reason.ARTIFACT_UNSAFE
    assert world.target().observe().live == before.live
