"""The directory target where somebody else was at work: links, strangers, flipped bits, other holders."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.model import DriftKind, Service
from reconciler.targets.manifest import printable
from tests import factories
from tests.directory_targets import TREE_A, TREE_B, A, B, Ground, snapshot, tree


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious").write_bytes(b"theirs")
    return folder


def denial(act: Callable[[], object]) -> PolicyDenied:
    open_files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # iterdir would open one more
    with pytest.raises(PolicyDenied) as caught:
        act()
    assert len(os.listdir("/proc/self/fd")) == open_files  # noqa: PTH208
    assert caught.value.reason is Reason.TARGET_NOT_ALLOWED
    assert caught.value.hint
    return caught.value


# --- which places may be a target ---------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("{base}/elsewhere", id="beside the root"),
        pytest.param("{base}/srv", id="the root itself"),
        pytest.param("{base}", id="above the root"),
        pytest.param("{base}/srv-too/shop", id="a root that is only a prefix of the text"),
        pytest.param("/etc/shop", id="somewhere else"),
    ],
)
def test_a_path_that_is_not_below_a_root_is_not_allowed(ground: Ground, path: str) -> None:
    error = denial(lambda: ground.target(path=path.format(base=ground.base)))
    assert "roots" in error.hint
    assert str(ground.root) in error.message


def test_without_roots_nothing_is_allowed(ground: Ground) -> None:
    assert "none" in denial(lambda: ground.target(roots=[])).message


def test_a_root_that_is_missing_is_told_and_not_made(ground: Ground) -> None:
    gone = ground.base / "not-mounted"
    with pytest.raises(Transient, match="does not exist"):
        ground.target(roots=[str(gone)], path=str(gone / "shop"))
    assert not gone.exists()


def test_a_root_below_the_state_folder_is_made(ground: Ground) -> None:
    root = ground.base / "state" / "live"
    ground.apply(A, roots=[str(root)], path=str(root / "shop"))
    assert tree(root / "shop" / "current") == TREE_A


def test_a_root_may_itself_be_a_link_for_the_operator_chose_it(ground: Ground) -> None:
    link = ground.base / "link"
    link.symlink_to(ground.root)
    ground.apply(A, roots=[str(link)], path=str(link / "shop"))
    assert tree(ground.root / "shop" / "current") == TREE_A


def test_a_link_on_the_way_is_not_followed(ground: Ground, outside: Path) -> None:
    (ground.root / "shop").symlink_to(outside)
    assert "not a real folder" in denial(ground.target).message
    assert tree(outside) == {"precious": b"theirs"}


def test_a_link_that_comes_later_is_not_followed_either(ground: Ground, outside: Path) -> None:
    target = ground.target()
    (ground.root / "shop").symlink_to(outside)
    denial(target.observe)
    denial(lambda: target.apply(factories.verified(A), factories.approval(A), 1))
    assert tree(outside) == {"precious": b"theirs"}


def test_a_file_on_the_way_is_not_allowed(ground: Ground) -> None:
    (ground.root / "shop").write_bytes(b"")
    denial(ground.target)


def test_a_target_inside_of_another_target_is_not_allowed(ground: Ground) -> None:
    ground.apply(A)
    inside = ground.path / "releases" / ground.releases()[0] / "data"
    assert "another target" in denial(lambda: ground.target(path=str(inside), environment="prod")).message
    assert tree(ground.current) == TREE_A


@pytest.mark.parametrize("name", ["releases", ".reconciler", ".reconciler/manifests", ".reconciler/fence"])
def test_a_folder_of_ours_that_became_a_link_is_not_followed(ground: Ground, outside: Path, name: str) -> None:
    ground.apply(A)
    shutil.rmtree(ground.path / name)
    (ground.path / name).symlink_to(outside)
    denial(ground.target().observe)
    denial(lambda: ground.apply(B, run_id=102))
    assert tree(outside) == {"precious": b"theirs"}


def test_a_link_among_the_releases_is_not_taken_for_one(ground: Ground, outside: Path) -> None:
    ground.apply(A)
    planted = f"102-{factories.sha256(B)[:12]}"
    (ground.path / "releases" / planted).symlink_to(outside)
    seen = ground.apply(B, run_id=102)
    assert seen.live is not None
    assert seen.live.id == f"{planted}.2"
    assert tree(outside) == {"precious": b"theirs"}


# --- whose target it is -------------------------------------------------------------------------


def _make_folder(current: Path) -> None:
    current.mkdir()
    (current / "index.html").write_bytes(b"theirs")


STRANGERS: dict[str, Callable[[Path], object]] = {
    "a folder": _make_folder,
    "a file": lambda current: current.write_bytes(b"theirs"),
    "a link to somewhere": lambda current: current.symlink_to("/etc"),
    "a dangling link": lambda current: current.symlink_to("nowhere"),
    "a release of another tool": lambda current: current.symlink_to("releases/20240101120000"),
    "a FIFO": os.mkfifo,
}


@pytest.mark.parametrize("make", STRANGERS.values(), ids=STRANGERS)
def test_a_current_that_was_never_ours_is_not_touched(ground: Ground, make: Callable[[Path], object]) -> None:
    (ground.path / "releases" / "20240101120000").mkdir(parents=True)
    make(ground.current)
    before = snapshot(ground.base)
    for act in (ground.target().observe, lambda: ground.apply(A)):
        assert "not put here by reconciler" in denial(act).message
    denial(lambda: ground.target().accept(factories.approval(A), 1))
    assert snapshot(ground.base) == before


@pytest.mark.parametrize("make", STRANGERS.values(), ids=STRANGERS)
def test_a_current_that_was_ours_is_drift_and_repaired(ground: Ground, make: Callable[[Path], object]) -> None:
    ground.apply(A)
    ground.current.unlink()
    make(ground.current)
    seen = ground.target().observe()
    assert seen.live is None
    assert [drift.kind for drift in seen.drift] == [DriftKind.LINK]
    assert ground.apply(A).drift == ()
    assert tree(ground.current) == TREE_A
    assert len(ground.releases()) == 1


@pytest.mark.parametrize(
    "form", ["{path}/releases/{id}", "./releases/{id}", "releases/{id}/", "../staging/releases/{id}"]
)
def test_a_link_of_another_form_still_tells_what_is_live(ground: Ground, form: str) -> None:
    seen = ground.apply(A)
    assert seen.live is not None
    ground.current.unlink()
    ground.current.symlink_to(form.format(path=ground.path, id=seen.live.id))
    drifted = ground.target().observe()
    assert drifted.live == seen.live
    assert [drift.kind for drift in drifted.drift] == [DriftKind.LINK]
    ground.apply(A)
    assert str(ground.current.readlink()) == f"releases/{seen.live.id}"


def test_a_link_that_is_gone_is_drift_and_repaired(ground: Ground) -> None:
    ground.apply(A)
    ground.current.unlink()
    assert [drift.kind for drift in ground.target().observe().drift] == [DriftKind.LINK]
    assert ground.apply(A).drift == ()


def test_what_stood_in_the_way_is_kept_and_does_not_pile_up(ground: Ground) -> None:
    ground.apply(A)
    for number in range(6):
        ground.current.unlink()
        ground.current.mkdir()
        (ground.current / "theirs").write_bytes(b"%d" % number)
        ground.apply(A)
    kept = sorted(path.read_bytes() for path in (ground.own / "displaced").rglob("theirs"))
    assert kept == [b"3", b"4", b"5"]


def test_what_stands_in_the_way_stays_there_when_it_can_not_be_kept(ground: Ground) -> None:
    ground.apply(A)
    ground.current.unlink()
    ground.current.mkdir()
    (ground.current / "theirs").write_bytes(b"x")
    (ground.own / "displaced").rmdir()
    (ground.own / "displaced").touch()
    with pytest.raises(Transient):
        ground.apply(A)
    assert (ground.current / "theirs").read_bytes() == b"x"
    (ground.own / "displaced").unlink()
    ground.apply(A)
    assert tree(ground.current) == TREE_A


def test_a_target_of_another_environment_is_not_taken_over(ground: Ground) -> None:
    ground.apply(A)
    prod = ground.target(environment="prod")
    before = snapshot(ground.base)
    for act in (
        prod.observe,
        lambda: prod.apply(factories.verified(B), factories.approval(B, environment="prod"), 9),
        lambda: prod.accept(factories.approval(B, environment="prod"), 9),
    ):
        error = denial(act)
        assert "staging" in error.message
        assert "accepted.json" in error.hint
    assert snapshot(ground.base) == before
    (ground.own / "accepted.json").unlink()
    prod.apply(factories.verified(B), factories.approval(B, environment="prod"), 9)
    assert tree(ground.current) == TREE_B


# --- the right to act ---------------------------------------------------------------------------


def test_a_smaller_token_is_refused_and_an_equal_or_larger_one_is_not(ground: Ground) -> None:
    ground.apply(A, token=5)
    before = snapshot(ground.base)
    for act in (
        lambda: ground.apply(B, token=4, run_id=102),
        lambda: ground.apply(A, token=4),
        lambda: ground.target().accept(factories.approval(A, commit="e" * 40), 4),
    ):
        with pytest.raises(PolicyDenied) as caught:
            act()
        assert caught.value.reason is Reason.FENCED_OFF
    assert snapshot(ground.base) == before
    ground.apply(B, token=5, run_id=102)
    assert ground.apply(A, token=6).fence == 6


@pytest.mark.parametrize("name", ["garbage", "5x", "-1", "007", "5\n", "1" + "0" * 18, "9223372036854775807"])
def test_a_fence_that_can_not_be_read_lets_nobody_pass(ground: Ground, name: str) -> None:
    ground.apply(A, token=5)
    (ground.own / "fence" / name).mkdir()
    before = snapshot(ground.base)
    service = Service("0" * 32)
    for act in (
        lambda: ground.apply(A, token=99),
        lambda: ground.apply(B, token=99, run_id=102),
        lambda: ground.target().accept(factories.approval(A, commit="e" * 40), 99),
        lambda: ground.target().remember(service, 99),
        lambda: ground.target().deliver(b"A=1", 99),
    ):
        with pytest.raises(Transient) as caught:
            act()
        assert caught.value.reason is Reason.TARGET_UNAVAILABLE
        assert "fence" in caught.value.hint
    assert snapshot(ground.base) == before
    (drift,) = ground.target().observe().drift
    assert (drift.kind, drift.path) == (DriftKind.FOREIGN, f".reconciler/fence/{printable(name)}")
    assert tree(ground.current) == TREE_A


def test_a_token_that_no_store_could_follow_raises_no_fence(ground: Ground) -> None:
    ground.apply(A, token=10**18 - 1)
    with pytest.raises(Transient, match="out of range"):
        ground.apply(B, token=10**18, run_id=102)
    assert ground.target().observe().fence == 10**18 - 1


def test_the_same_token_twice_at_once_is_kept_apart(ground: Ground) -> None:
    ground.apply(A, token=5)
    work = ground.own / "fence" / "5"
    fd = os.open(work, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        (work / "prepared").touch()
        with pytest.raises(Transient, match="same token"):
            ground.apply(B, token=5, run_id=102)
        assert tree(ground.current) == TREE_A
        assert (work / "prepared").exists()  # whoever holds the lock goes on undisturbed
        ground.apply(B, token=6, run_id=102)  # a larger one need not wait for whoever was stopped
    finally:
        os.close(fd)
    assert tree(ground.current) == TREE_B


def test_a_process_started_in_the_middle_of_a_turn_does_not_keep_its_lock(ground: Ground) -> None:
    """Until it executes its program it has a copy of every descriptor: another thread may start one at any moment."""
    copies: list[int] = []

    def fork(step: str) -> None:
        if step == "target:switch" and not copies:
            copies.extend(os.dup(fd) for fd in open_at(ground.own / "fence" / "5"))

    ground.apply(A, token=5, trace=fork)
    try:
        assert copies
        ground.apply(B, token=5, run_id=102)
    finally:
        for fd in copies:
            os.close(fd)
    assert tree(ground.current) == TREE_B


def open_at(path: Path) -> list[int]:
    """This process's descriptors of a file or folder."""
    found = []
    for link in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(FileNotFoundError):  # of the listing itself
            if link.readlink() == path.resolve():
                found.append(int(link.name))
    return found


def test_leftovers_of_any_shape_are_cleared(ground: Ground) -> None:
    ground.apply(A, token=5)
    work = ground.own / "fence" / "5"
    deep = work / "left"
    for _ in range(60):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "file").touch()
    os.mkfifo(work / "pipe")
    (work / "link").symlink_to(ground.base)
    (work / "left" / "d").chmod(0)
    ground.apply(A, token=5)
    assert list(work.iterdir()) == []
    assert ground.root.is_dir()


def test_a_release_that_nothing_accounts_for_is_removed(ground: Ground) -> None:
    ground.apply(A)
    (ground.path / "releases" / "999-abcdefabcdef").mkdir()
    (ground.own / "manifests" / "998-abcdefabcdef.json").write_bytes(b"{}")
    ground.apply(A)
    assert len(ground.releases()) == 1
    assert len(list((ground.own / "manifests").iterdir())) == 1
