"""The directory target stopped, failed and killed at each step of each workload; then one more apply.

Also: a holder of the right to act that sleeps right before each step while another one takes over.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.ports import Trace
from tests import factories
from tests.directory_targets import TREE_A, TREE_B, TREE_C, A, B, C, Ground, Tree, artifact, snapshot, tree


@dataclass(frozen=True)
class Work:
    """One thing to do to a target: how it stands before, what is applied, what may be seen meanwhile."""

    name: str
    before: Callable[[Ground], object]
    data: bytes
    run_id: int
    after: Tree
    meanwhile: tuple[Tree, ...] = ()
    """Trees that `current` may show before the switch; none: it may also be missing."""
    keep: int = 3

    def run(self, ground: Ground, trace: Trace) -> None:
        ground.apply(self.data, 5, trace, run_id=self.run_id, keep=self.keep)


def _deployed(*numbered: tuple[bytes, int]) -> Callable[[Ground], None]:
    def deploy(ground: Ground) -> None:
        for data, run_id in numbered:
            ground.apply(data, 4, run_id=run_id)

    return deploy


def _drifted(ground: Ground) -> None:
    ground.apply(A, 4)
    (ground.current / "version").write_bytes(b"x")


def _with_a_damaged_release(ground: Ground) -> None:
    _deployed((A, 101), (B, 102))(ground)
    (ground.path / "releases" / f"101-{factories.sha256(A)[:12]}" / "version").write_bytes(b"x")


def _with_a_folder_in_the_way(ground: Ground) -> None:
    ground.apply(A, 4)
    ground.current.unlink()
    ground.current.mkdir()
    (ground.current / "precious").write_bytes(b"theirs")


def _without_records(ground: Ground) -> None:
    ground.apply(A, 4)
    shutil.rmtree(ground.own)


_DRIFTED: Tree = {**TREE_A, "version": b"x"}
_OLD = [(artifact(f"old {number}")[0], number) for number in range(1, 5)]
WORKLOADS = [
    Work("first deploy", lambda ground: None, A, 101, TREE_A),
    Work("upgrade", _deployed((A, 101)), B, 102, TREE_B, (TREE_A,)),
    Work("rollback", _deployed((A, 101), (B, 102)), A, 101, TREE_A, (TREE_B,)),
    Work("rollback to a damaged release", _with_a_damaged_release, A, 101, TREE_A, (TREE_B,)),
    Work("drift repair", _drifted, A, 101, TREE_A, (_DRIFTED,)),
    Work("prune", _deployed(*_OLD, (B, 102)), C, 103, TREE_C, (TREE_B,), keep=1),
    Work("something in the way", _with_a_folder_in_the_way, A, 101, TREE_A, ({"precious": b"theirs"},)),
    Work("adoption", _without_records, A, 101, TREE_A, (TREE_A,)),
]
whatever_the_work = pytest.mark.parametrize("work", WORKLOADS, ids=lambda work: work.name)


class Stopped(BaseException):
    """The end of the process, as far as the code can see it. No handler may take it for a failure."""


class Stage:
    """One kind of work prepared once, and copied for each step at which something goes wrong."""

    def __init__(self, work: Work, base: Path) -> None:
        self._base = base
        base.joinpath("before").mkdir()
        work.before(Ground(base / "before"))
        self.steps: list[str] = []
        work.run(self.ground("undisturbed"), self.steps.append)

    def ground(self, name: str) -> Ground:
        return Ground(shutil.copytree(self._base / "before", self._base / name, symlinks=True))

    def grounds(self, every: int = 1) -> Iterator[tuple[int, Ground]]:
        for number in range(0, len(self.steps), every):
            yield number, self.ground(str(number))


def _at(number: int, act: Callable[[], object]) -> Trace:
    """A trace that acts right before the step of this number, counted from 0, once."""
    counted = iter(range(1_000_000))

    def trace(step: str) -> None:
        if next(counted) == number:
            act()

    return trace


def _raise(error: BaseException) -> Callable[[], object]:
    def act() -> None:
        raise error

    return act


def _check_whole(work: Work, ground: Ground) -> None:
    """`current` shows a whole tree, the one before or the one after; nothing only where nothing was."""
    if not ground.current.is_symlink() and (work.name == "something in the way" or not work.meanwhile):
        return
    assert tree(ground.current.resolve(strict=True)) in (work.after, *work.meanwhile)


def _check_converges(work: Work, ground: Ground, token: int = 5) -> None:
    """One more apply ends where an undisturbed one does, and leaves nothing to do and nothing behind."""
    approval = factories.approval(work.data, run_id=work.run_id)
    seen = ground.target(keep=work.keep).apply(factories.verified(work.data), approval, token)
    assert seen.drift == ()
    assert seen.live is not None
    assert seen.live.run_id == work.run_id
    assert seen.accepted is not None
    assert seen.accepted.sha256 == factories.sha256(work.data)
    assert tree(ground.current) == work.after
    assert tree(ground.own / "fence") in ({"5": None}, {str(token): None})
    assert sorted(path.stem for path in (ground.own / "manifests").iterdir()) == ground.releases()
    assert len(ground.releases()) <= max(work.keep, 2)
    if work.name == "something in the way":
        assert [path.read_bytes() for path in (ground.own / "displaced").rglob("precious")] == [b"theirs"]
    before = snapshot(ground.base)
    ground.target(keep=work.keep).apply(factories.verified(work.data), approval, token)
    assert snapshot(ground.base) == before


@whatever_the_work
def test_stopped_before_any_step_one_more_apply_converges(work: Work, tmp_path: Path) -> None:
    stage = Stage(work, tmp_path)
    print(f"{work.name}: stopped before each of {len(stage.steps)} steps")
    for number, ground in stage.grounds():
        with pytest.raises(Stopped):
            work.run(ground, _at(number, _raise(Stopped())))
        _check_whole(work, ground)
        _check_converges(work, ground)


@whatever_the_work
def test_killed_before_any_step_one_more_apply_converges(work: Work, tmp_path: Path) -> None:
    stage = Stage(work, tmp_path)
    print(f"{work.name}: killed before each of {len(stage.steps)} steps")
    for number, ground in stage.grounds():
        child = os.fork()
        if child == 0:
            try:
                work.run(ground, _at(number, lambda: os.kill(os.getpid(), signal.SIGKILL)))
            finally:
                os._exit(99)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)
        _check_whole(work, ground)
        _check_converges(work, ground, token=6)


@whatever_the_work
def test_a_disk_that_fails_at_any_step_is_told_and_survived(work: Work, tmp_path: Path) -> None:
    stage = Stage(work, tmp_path)
    open_files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # iterdir would open one more
    for step, ground in stage.grounds():
        number = (errno.ENOSPC, errno.EIO)[step % 2]
        with pytest.raises(Transient) as caught:
            work.run(ground, _at(step, _raise(OSError(number, os.strerror(number)))))
        assert caught.value.reason is Reason.TARGET_UNAVAILABLE
        assert str(ground.path) in caught.value.message
        assert caught.value.hint
        _check_whole(work, ground)
        _check_converges(work, ground)
        assert len(os.listdir("/proc/self/fd")) == open_files, f"step {step} leaves a file open"  # noqa: PTH208


def test_a_full_disk_is_called_full(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    with pytest.raises(Transient) as caught:
        ground.apply(A, trace=_at(9, _raise(OSError(errno.ENOSPC, "No space left on device"))))
    assert "disk is full" in caught.value.hint


def test_a_disk_that_fails_for_good_leaves_live_as_it_is(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.apply(A)
    before = tree(ground.path)

    def broken(step: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Transient):
        ground.apply(B, run_id=102, trace=broken)
    assert tree(ground.path) == before


def _run_fenced(work: Work, ground: Ground, trace: Trace) -> bool:
    """Whether the former holder was told that it is one."""
    try:
        work.run(ground, trace)
    except PolicyDenied as denied:
        return denied.reason is Reason.FENCED_OFF
    return False


def _of_successor(ground: Ground) -> dict[str, tuple[int, ...]]:
    """All but the times of the fence's folder, where a late token came and went."""
    return {path: seen for path, seen in snapshot(ground.path).items() if path != str(ground.own / "fence")}


@whatever_the_work
def test_a_former_holder_that_sleeps_before_any_step_does_nothing_to_its_successor(work: Work, tmp_path: Path) -> None:
    """S5: the successor deploys something else in between; what it left is what stays."""
    stage = Stage(work, tmp_path)
    data, after = artifact("successor")
    effects = ("target:switch", "target:accept:rename")
    last_effect = max(index for index, step in enumerate(stage.steps) if step in effects)
    for number, ground in stage.grounds():
        left: dict[str, tuple[int, ...]] = {}

        def take_over(ground: Ground = ground, left: dict[str, tuple[int, ...]] = left) -> None:
            ground.apply(data, 6, run_id=200)
            left.update(_of_successor(ground))

        fenced = _run_fenced(work, ground, _at(number, take_over))
        assert fenced or number > last_effect  # behind it nothing is left that could be refused
        assert tree(ground.current) == after
        assert _of_successor(ground) == left


@whatever_the_work
def test_a_former_holder_that_sleeps_and_is_overtaken_twice_does_nothing(work: Work, tmp_path: Path) -> None:
    """A→B→A while it slept: what it wanted to do is again what is there, and still not its to do."""
    data, _ = artifact("in between")
    for number, ground in Stage(work, tmp_path).grounds(every=3):
        left: dict[str, tuple[int, ...]] = {}

        def take_over(ground: Ground = ground, left: dict[str, tuple[int, ...]] = left) -> None:
            ground.apply(data, 6, run_id=200)
            ground.apply(work.data, 7, run_id=work.run_id)
            left.update(_of_successor(ground))

        _run_fenced(work, ground, _at(number, take_over))
        assert tree(ground.current) == work.after
        assert _of_successor(ground) == left


def test_an_upgrade_waits_for_the_disk_three_times(tmp_path: Path) -> None:
    ground, steps = Ground(tmp_path), list[str]()
    ground.apply(A)
    ground.apply(B, run_id=102, trace=steps.append)
    assert [step for step in steps if step.endswith(("sync", "settle"))] == [
        "target:sync",
        "target:settle",
        "target:switch:settle",
    ]


def test_every_workload_goes_through_the_steps_in_the_promised_order(tmp_path: Path) -> None:
    steps = Stage(WORKLOADS[0], tmp_path).steps
    order = [
        "target:fence",
        "target:unpack",
        "target:sync",
        "target:manifest:rename",
        "target:place",
        "target:accept:rename",
        "target:settle",
        "target:switch",
        "target:switch:settle",
    ]
    positions = [steps.index(step) for step in order]
    assert positions == sorted(positions)
    assert max(index for index, step in enumerate(steps) if step == "target:unpack") < steps.index("target:sync")
