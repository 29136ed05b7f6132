"""Checkpoints pushed to a real repository: only forward, never forced, and nothing over another chain."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.bounds import Bounds
from reconciler.core.audit import Checkpoint, checkpoint_line
from reconciler.errors import IntegrityError, Terminal, Transient
from reconciler.git.anchor import FILE, Anchor
from tests.factories import NOON
from tests.gitworld import GitWorld

REF = "refs/reconciler/audit"
ONE, TWO, THREE = (Checkpoint(n, f"{n}" * 64, NOON, f"signature {n}\n") for n in (1, 2, 3))


def silent(_: str) -> None: ...


def yes(_: Checkpoint) -> bool:
    return True


def no(_: Checkpoint) -> bool:
    return False


@pytest.fixture(params=["sha1", "sha256"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> GitWorld:
    world = GitWorld(tmp_path / "git", object_format=request.param)
    world.write("a", "b").commit(world.person("alice"), "Begin").push()
    return world


@pytest.fixture
def anchor(world: GitWorld, tmp_path: Path) -> Anchor:
    return Anchor(str(world.origin), REF, tmp_path / "state", Bounds(), silent)


def at_origin(world: GitWorld, *arguments: str) -> str:
    return world.run("git", f"--git-dir={world.origin}", *arguments).decode().strip()


def test_each_checkpoint_is_a_commit_on_top_of_the_one_before(world: GitWorld, anchor: Anchor, tmp_path: Path) -> None:
    assert anchor.read() == ()
    main = at_origin(world, "rev-parse", "main")
    assert [anchor.push(made, yes) for made in (ONE, TWO, THREE)] == [True, True, True]
    assert anchor.read() == (THREE, TWO, ONE)
    assert at_origin(world, "rev-list", "--count", REF) == "3"
    assert at_origin(world, "ls-tree", "--name-only", REF) == FILE
    assert at_origin(world, "show", f"{REF}:{FILE}") == checkpoint_line(THREE).decode().strip()
    assert at_origin(world, "rev-parse", "main") == main
    at_origin(world, "fsck", "--strict")
    assert list((tmp_path / "state").iterdir()) == [], "nothing is left behind"


def test_what_is_anchored_already_is_not_pushed_again(world: GitWorld, anchor: Anchor) -> None:
    anchor.push(TWO, yes)
    tip = at_origin(world, "rev-parse", REF)
    assert [anchor.push(made, yes) for made in (TWO, ONE)] == [False, False]
    assert at_origin(world, "rev-parse", REF) == tip


def test_an_anchor_that_our_chain_does_not_hold_stops_everything(world: GitWorld, anchor: Anchor) -> None:
    anchor.push(TWO, yes)
    tip = at_origin(world, "rev-parse", REF)
    with pytest.raises(IntegrityError, match="knows 2 entries") as found:
        anchor.push(THREE, lambda newest: newest != TWO)
    assert "lost, rolled back or altered" in found.value.hint
    assert at_origin(world, "rev-parse", REF) == tip


def test_a_push_that_the_server_refuses_is_told_and_never_forced(world: GitWorld, anchor: Anchor) -> None:
    hook = world.origin / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(Transient, match="git push"):
        anchor.push(ONE, yes)
    assert anchor.read() == ()


def test_somebody_who_pushed_meanwhile_is_not_overwritten(world: GitWorld, anchor: Anchor, tmp_path: Path) -> None:
    anchor.push(ONE, yes)
    other = Anchor(str(world.origin), REF, tmp_path / "other", Bounds(), silent)

    def meanwhile(newest: Checkpoint) -> bool:
        return other.push(TWO, yes)

    with pytest.raises(Transient, match="git push"):
        anchor.push(THREE, meanwhile)
    assert anchor.read() == (TWO, ONE)


def test_what_is_no_anchor_is_not_built_upon(world: GitWorld, anchor: Anchor) -> None:
    at_origin(world, "update-ref", REF, "main")
    for attempt in (lambda: anchor.push(ONE, yes), anchor.read):
        with pytest.raises(IntegrityError, match="holds no anchor"):
            attempt()


def test_a_repository_without_any_commit_can_be_anchored_in(tmp_path: Path) -> None:
    world = GitWorld(tmp_path / "git")
    anchor = Anchor(str(world.origin), REF, tmp_path / "state", Bounds(), silent)
    assert anchor.push(ONE, no)
    assert anchor.read() == (ONE,)


def test_a_repository_that_is_away_is_out_of_reach(tmp_path: Path) -> None:
    with pytest.raises(Transient):
        Anchor(str(tmp_path / "none"), REF, tmp_path, Bounds(), silent).push(ONE, yes)


@pytest.mark.parametrize("ref", ["audit", "refs/audit", "refs/a/../b", "refs/a/b:refs/heads/main", "refs/a/*", "-f"])
def test_a_name_that_is_no_reference_of_its_own_is_refused(ref: str, tmp_path: Path) -> None:
    with pytest.raises(Terminal, match=r"audit\.anchor"):
        Anchor(str(tmp_path), ref, tmp_path, Bounds(), silent)
