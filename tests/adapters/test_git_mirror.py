"""The mirror's own promises: what a poll costs, and that no damage to it needs a person."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.bounds import Bounds
from reconciler.errors import Reason, Transient
from reconciler.git import Mirror, local
from reconciler.model import CommitId
from tests.gitworld import Author, GitWorld

ALICE = Author("Alice", "alice@example.com")
DEV = "environments/dev.yaml"


class Stage:
    """A world, a mirror of it, and the git processes that the mirror started."""

    def __init__(self, folder: Path) -> None:
        self.world = GitWorld(folder / "world")
        self.state = folder / "state" / "git"
        self.steps: list[str] = []
        self.mirror = self.open()

    def open(self, **bounds: float) -> Mirror:
        """Another mirror on the same state, as after a restart."""
        limits = Bounds.model_validate(bounds)
        return Mirror(self.world.url, "main", "environments", self.state, limits, self.steps.append)

    def follow(self) -> CommitId:
        """What a poll does."""
        tip = self.mirror.head()
        assert tip is not None
        self.mirror.fetch(tip)
        return tip

    def grow(self, text: str) -> CommitId:
        """One more commit on the origin."""
        return self.world.write(DEV, text).commit(ALICE, text).push().tip

    def read(self, tip: CommitId) -> bytes | None:
        """The declaration at a commit."""
        blob = self.mirror.tree(tip)["dev.yaml"].blob
        return self.mirror.read_blobs([blob], 1000)[blob]

    def spent(self) -> list[str]:
        """The processes since the last call."""
        steps = self.steps[:]
        self.steps.clear()
        return steps

    @property
    def disk(self) -> Path:
        """The bare repository."""
        return next(self.state.glob("*/mirror.git"))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


# --- cost ---------------------------------------------------------------------------------------


def test_nothing_is_started_or_written_before_the_first_call(stage: Stage) -> None:
    assert stage.spent() == []
    assert not stage.state.exists()


@pytest.mark.parametrize("packed", [False, True], ids=["a file holds the branch", "git is asked"])
def test_a_poll_that_finds_nothing_new_is_at_most_one_git_process(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    stage.grow("1")
    stage.follow()
    if packed:
        stage.world.run("git", "pack-refs", "--all", cwd=stage.world.origin)
    counter = tmp_path / "bin"
    counter.mkdir()
    script = f'#!/bin/sh\necho "$@" >> {tmp_path}/count\nexec {shutil.which("git")} "$@"\n'
    (counter / "git").write_text(script)
    (counter / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{counter}:{os.environ['PATH']}")
    stage.mirror = stage.open()  # also right after a restart
    before = _snapshot(stage.state)
    stage.spent()
    for _ in range(3):
        stage.follow()
    assert stage.spent() == (["git:tip", "git ls-remote"] if packed else ["git:tip"]) * 3
    started = (tmp_path / "count").read_text().splitlines() if packed else []
    ours = [line for line in started if "git-dir" in line]
    assert len(ours) == len([line for line in ours if "ls-remote" in line]) == (3 if packed else 0)
    assert (tmp_path / "count").exists() == packed
    assert _snapshot(stage.state) == before


def test_a_new_commit_costs_one_fetch(stage: Stage) -> None:
    stage.grow("1")
    tip = stage.follow()
    stage.mirror.is_ancestor(tip, tip)
    stage.spent()
    stage.grow("2")
    stage.follow()
    assert stage.spent() == ["git:tip", "git fetch"]


def test_questions_of_descent_from_one_tip_cost_one_process_together_and_none_at_the_next_tip(stage: Stage) -> None:
    commits = [stage.grow(str(number)) for number in range(20)]
    tip = stage.follow()
    stage.spent()
    assert all(stage.mirror.is_ancestor(old, tip) for old in commits)
    assert stage.spent() == ["git rev-list"]
    newer = stage.grow("more")
    stage.follow()
    stage.spent()
    assert all(stage.mirror.is_ancestor(old, newer) for old in commits)
    assert stage.spent() == ["git cat-file"]  # which stays, and answers everything below
    newest = stage.grow("still more")
    stage.follow()
    assert all(stage.mirror.is_ancestor(old, newest) for old in (*commits, newer))
    assert stage.spent() == ["git:tip", "git fetch"]


def test_a_commit_that_is_there_already_is_not_fetched_again(stage: Stage) -> None:
    first, second = stage.grow("1"), stage.grow("2")
    stage.follow()
    shutil.rmtree(stage.world.origin)
    stage.mirror.fetch(first)
    stage.mirror.fetch(second)
    assert stage.read(first) == b"1"


def test_packs_are_put_together_before_they_are_many(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "PACKS", 3)
    for number in range(6):
        stage.grow(str(number))
        stage.follow()
    assert len(list((stage.disk / "objects/pack").glob("*.pack"))) <= 3
    assert stage.read(stage.world.rev("HEAD~5")) == b"0"


def test_the_state_is_for_its_owner_alone(stage: Stage) -> None:
    stage.grow("1")
    stage.follow()
    assert stat.S_IMODE(stage.disk.parent.stat().st_mode) == 0o700


# --- damage -------------------------------------------------------------------------------------


def _truncate_packs(disk: Path) -> None:
    for pack in (disk / "objects/pack").glob("*.pack"):
        pack.chmod(0o600)
        os.truncate(pack, 40)


def _flip_packs(disk: Path) -> None:
    for pack in (disk / "objects/pack").glob("*.pack"):
        pack.chmod(0o600)
        data = bytearray(pack.read_bytes())
        data[12:-20] = bytes(byte ^ 0xFF for byte in data[12:-20])
        pack.write_bytes(data)


def _empty_config(disk: Path) -> None:
    (disk / "config").write_text("[core\n")


def _replace_by_file(disk: Path) -> None:
    shutil.rmtree(disk)
    disk.write_text("not a repository")


def _empty(disk: Path) -> None:
    shutil.rmtree(disk)
    disk.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "packs are cut short": _truncate_packs,
    "packs have flipped bits": _flip_packs,
    "packs are gone": lambda disk: shutil.rmtree(disk / "objects"),
    "the configuration is broken": _empty_config,
    "HEAD is gone": lambda disk: (disk / "HEAD").unlink(),
    "all of it is gone": shutil.rmtree,
    "a file is in its place": _replace_by_file,
    "a half-made clone is in its place": _empty,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_broken_mirror_is_made_anew_when_it_is_read(stage: Stage, damage: Callable[[Path], object]) -> None:
    stage.grow("1")
    tip = stage.follow()
    damage(stage.disk)
    assert stage.read(tip) == b"1"
    assert stage.mirror.is_ancestor(tip, tip)
    assert stage.mirror.commit(tip).id == tip


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_broken_mirror_is_made_anew_when_it_is_fetched_into(stage: Stage, damage: Callable[[Path], object]) -> None:
    stage.grow("1")
    stage.follow()
    damage(stage.disk)
    stage.mirror = stage.open()
    tip = stage.grow("2")
    stage.follow()
    assert stage.read(tip) == b"2"
    assert not list(stage.disk.parent.glob("old*")) + list(stage.disk.parent.glob("new*"))


# --- after a power cut: nothing here waits for the disk --------------------------------------------


def _cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _emptied(path: Path) -> None:
    os.truncate(path, 0)


def _zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _zeroed_behind(path: Path) -> None:
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size // 2] + bytes(size - size // 2))


TORN = {"short": _cut_short, "empty": _emptied, "zeros": _zeroed, "zeros behind": _zeroed_behind, "gone": Path.unlink}
PLACES = {
    "the last pack": "objects/pack/*.pack",
    "the last index": "objects/pack/*.idx",
    "the reference": "refs/reconciler/tip",
    "the configuration": "config",
}


def _torn(stage: Stage, place: str, tear: Callable[[Path], object]) -> None:
    last = max(stage.disk.glob(place), key=lambda path: path.stat().st_mtime_ns)
    last.chmod(0o600)
    tear(last)
    stage.mirror = stage.open()


@pytest.mark.parametrize("tear", TORN.values(), ids=TORN.keys())
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_a_mirror_that_a_power_cut_tore_tells_nothing_wrong_and_heals(
    stage: Stage, place: str, tear: Callable[[Path], object]
) -> None:
    first = stage.grow("1")
    stage.follow()
    tip = stage.grow("2")
    stage.follow()
    aside = stage.world.origin.with_name("aside")
    stage.world.origin.rename(aside)
    _torn(stage, place, tear)
    for wanted, text in ((tip, b"2"), (first, b"1")):
        for _ in range(2):
            try:  # as `Tracker.recover` does while the remote is away
                stage.mirror.fetch(wanted)
                assert stage.read(wanted) == text
                assert stage.mirror.is_ancestor(first, wanted)
                assert stage.mirror.commit(wanted).id == wanted
                assert not stage.mirror.is_ancestor(tip, first)
            except Transient as away:
                assert away.reason is Reason.REPOSITORY_UNAVAILABLE  # noqa: PT017 - both are right
    aside.rename(stage.world.origin)
    assert stage.follow() == tip
    assert (stage.read(tip), stage.read(first)) == (b"2", b"1")
    assert stage.mirror.is_ancestor(first, tip)


@pytest.mark.parametrize("tear", TORN.values(), ids=TORN.keys())
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_what_is_fetched_into_a_torn_mirror_is_whole(stage: Stage, place: str, tear: Callable[[Path], object]) -> None:
    first = stage.grow("1")
    stage.follow()
    second = stage.grow("2")
    stage.follow()
    _torn(stage, place, tear)
    tip = stage.grow("3")
    stage.follow()
    assert stage.mirror.is_ancestor(second, tip)
    assert stage.mirror.is_ancestor(first, tip)
    assert [stage.read(each) for each in (tip, second, first)] == [b"3", b"2", b"1"]
    assert [change.commit for change in stage.mirror.changes("dev.yaml", first, tip)] == [second, tip]


@pytest.mark.parametrize("content", ["", "ref: refs/heads/x\n", "0" * 40, "rubbish"])
def test_a_broken_reference_is_mended_by_the_next_fetch(stage: Stage, content: str) -> None:
    stage.grow("1")
    stage.follow()
    (stage.disk / "refs/reconciler/tip").write_text(content)
    stage.mirror = stage.open()
    tip = stage.follow()
    assert stage.read(tip) == b"1"


def test_a_replace_reference_in_the_mirror_itself_shows_no_other_tree(stage: Stage) -> None:
    first, second = stage.grow("1"), stage.grow("2")
    stage.follow()
    (stage.disk / "refs/replace").mkdir()
    (stage.disk / "refs/replace" / first).write_text(second + "\n")
    assert stage.read(first) == b"1"


def test_locks_and_half_packs_of_a_killed_process_are_removed(stage: Stage) -> None:
    stage.grow("1")
    stage.follow()
    leftovers = ["refs/reconciler/tip.lock", "packed-refs.lock", "config.lock", "objects/pack/tmp_pack_x"]
    for name in leftovers:
        (stage.disk / name).write_text("")
    tip = stage.grow("2")
    stage.follow()
    assert stage.read(tip) == b"2"
    assert not any((stage.disk / name).exists() for name in leftovers)


def test_a_mirror_that_can_not_be_made_anew_is_kept(stage: Stage) -> None:
    stage.grow("1")
    tip = stage.follow()
    shutil.rmtree(stage.world.origin)
    with pytest.raises(Transient):
        stage.mirror.fetch(CommitId("1" * 40))
    assert stage.read(tip) == b"1"


def test_a_state_directory_that_can_not_be_written_is_named(stage: Stage) -> None:
    stage.grow("1")
    stage.state.parent.mkdir()
    stage.state.write_text("a file")
    with pytest.raises(Transient) as failed:
        stage.follow()
    assert str(stage.state) in failed.value.message
    assert failed.value.hint


def test_a_fetch_waits_for_another_process_and_gives_up_in_time(stage: Stage) -> None:
    first = stage.grow("1")
    stage.follow()
    stage.grow("2")
    lock = os.open(stage.disk.parent / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    busy = stage.open(git_seconds=0.2)
    with pytest.raises(Transient, match="another fetch"):
        busy.fetch(stage.world.tip)
    stage.mirror.fetch(first)  # what is there needs nobody's leave
    os.close(lock)
    stage.follow()


def test_another_address_or_branch_has_a_mirror_of_its_own(stage: Stage) -> None:
    stage.grow("1")
    stage.world.git("push", "--quiet", "origin", "main:other")
    stage.follow()
    Mirror(stage.world.url, "other", "environments", stage.state, Bounds(), lambda _: None).fetch(stage.world.tip)
    Mirror(f"file://{stage.world.url}", "main", "environments", stage.state, Bounds(), lambda _: None).head()
    assert len(list(stage.state.glob("*/mirror.git"))) == 2


def test_git_that_is_not_installed_is_told_with_a_hint(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Transient) as failed:
        stage.open().head()
    assert failed.value.reason is Reason.REPOSITORY_UNAVAILABLE
    assert "install git" in failed.value.hint


def _snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in sorted(folder.rglob("*"))}
