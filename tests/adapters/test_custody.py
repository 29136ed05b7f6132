"""Custody on a real disk: what lies where, what a fault or a crash at each step leaves, and what mends it."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from reconciler.bounds import Bounds
from reconciler.custody import DiskCustody
from reconciler.errors import IntegrityError, PolicyDenied, Reason, ReconcilerError, Transient
from reconciler.machine.clock import SystemClock
from reconciler.model import Digest
from reconciler.ports import ArtifactStream, Trace
from tests.contracts.test_custody_contract import DATA, DIGEST, LIMIT, Bytes, Stream, broken_after, never
from tests.factories import NOON, sha256


def quiet(step: str) -> None:
    """Nobody listens."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "custody"


def custody(root: Path, trace: Trace = quiet) -> DiskCustody:
    return DiskCustody(root, Bounds(artifact_bytes=LIMIT, fetch_seconds=60), SystemClock(), trace)


def copy_of(root: Path, digest: Digest = DIGEST) -> Path:
    return root / "sha256" / digest[:2] / digest


def part_of(root: Path) -> Path:
    return root / "incoming" / f"{DIGEST}.part"


def obtain(custody: DiskCustody, fetch: Callable[..., object] | None = None) -> bytes:
    with custody.obtain(DIGEST, fetch or Bytes()) as artifact:  # type: ignore[arg-type]
        return artifact.file.read()


def snapshot(root: Path) -> dict[str, tuple[int, int, int]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_ctime_ns, path.lstat().st_ino)
        for path in [root, *root.rglob("*")]
    }


def every_copy_is_what_its_name_says(root: Path) -> bool:
    return all(sha256(path.read_bytes()) == path.name for path in root.glob("sha256/*/*"))


def leave_part(root: Path, data: bytes, mode: int = 0o600) -> None:
    part_of(root).parent.mkdir(parents=True)
    part_of(root).write_bytes(data)
    part_of(root).chmod(mode)


# --- what lies where ----------------------------------------------------------------------------


def test_a_disk_that_can_not_be_looked_at_says_so_when_it_is_asked_for_a_copy(root: Path) -> None:
    obtain(custody(root))
    too_long = root / ("x" * 300)
    with pytest.raises(Transient) as failed:
        custody(too_long).holds(DIGEST)
    assert failed.value.reason is Reason.CUSTODY_UNAVAILABLE


def test_copies_and_folders_are_closed_to_others_and_to_writing(root: Path) -> None:
    obtain(custody(root))
    assert stat.S_IMODE(copy_of(root).stat().st_mode) == 0o400
    folders = [root, root / "incoming", root / "sha256", copy_of(root).parent]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in folders] == [0o700] * 4
    assert list((root / "incoming").iterdir()) == []


def test_a_hit_writes_nothing(root: Path) -> None:
    obtain(custody(root))
    before, steps = snapshot(root), list[str]()
    assert obtain(custody(root, steps.append), never) == DATA
    assert (snapshot(root), steps) == (before, [])


SETTLED = ["custody:sync", "custody:sync-folder", "custody:seal"]


def test_the_disk_is_waited_for_behind_the_first_use_and_once(root: Path) -> None:
    steps: list[str] = []
    ours = custody(root, steps.append)
    with ours.obtain(DIGEST, Bytes(step=len(DATA))):
        assert steps == [*["custody:prepare"] * 4, "custody:write", "custody:place"]
        steps.clear()
        assert obtain(ours, never) == DATA  # done first, and so the one who waits
        assert steps == SETTLED
    assert steps == SETTLED


def test_a_copy_is_made_durable_also_when_its_use_fails(root: Path) -> None:
    steps: list[str] = []
    with pytest.raises(OSError, match="the target"), custody(root, steps.append).obtain(DIGEST, Bytes()):
        raise OSError("the target")
    assert steps[-3:] == SETTLED


def test_a_fault_of_its_use_is_told_before_one_of_the_sync_behind_it(root: Path) -> None:
    ours = custody(root, failing_at("custody:sync", errno.EIO))
    with pytest.raises(OSError, match="the target"), ours.obtain(DIGEST, Bytes()):
        raise OSError("the target")


def test_a_copy_that_a_process_did_not_live_to_make_durable_is_made_so_by_the_next_that_obtains_it(root: Path) -> None:
    command = [sys.executable, "-c", DYING, str(root), "custody:sync"]
    assert subprocess.run(command, cwd=Path(__file__).parents[2]).returncode == 9
    steps: list[str] = []
    assert obtain(custody(root, steps.append), never) == DATA
    assert steps == SETTLED


def test_a_copy_that_a_power_cut_tore_is_found_and_fetched_again(root: Path) -> None:
    torn = (lambda data: b"", lambda data: data[:4096], lambda data: bytes(len(data)))
    for tear in torn:
        with custody(root).obtain(DIGEST, Bytes()):
            pass
        copy_of(root).chmod(0o600)  # as it is before it was settled
        copy_of(root).write_bytes(tear(DATA))
        source = Bytes()
        assert obtain(custody(root), source) == DATA
        assert source.asked == [0]
        assert every_copy_is_what_its_name_says(root)


def test_what_takes_the_place_of_a_durable_copy_is_durable_first(root: Path) -> None:
    obtain(custody(root))
    steps: list[str] = []
    with custody(root, steps.append).obtain(DIGEST, Bytes(step=len(DATA)), anew=True):
        assert steps == ["custody:write", "custody:sync", "custody:place"]


def flipped(path: Path) -> None:
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)


def truncated(path: Path) -> None:
    path.chmod(0o600)
    os.truncate(path, 10)


def extended(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b"more")


def a_link(path: Path) -> None:
    good = path.with_name("good")
    path.rename(good)
    path.symlink_to(good)


def a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(("spoil", "held"), [(flipped, True), (a_link, False), (a_fifo, False)])
def test_whether_a_copy_is_held_is_a_look_at_its_name_alone(
    spoil: Callable[[Path], None], held: bool, root: Path
) -> None:
    steps: list[str] = []
    kept = custody(root, steps.append)
    obtain(kept)
    spoil(copy_of(root))
    steps.clear()
    before = snapshot(root)
    assert kept.holds(DIGEST) is held
    assert (steps, snapshot(root)) == ([], before)


@pytest.mark.parametrize("spoil", [flipped, truncated, extended, a_link, a_fifo])
def test_a_copy_that_is_no_longer_whole_is_fetched_again_in_the_same_call(
    spoil: Callable[[Path], None], root: Path
) -> None:
    obtain(custody(root))
    spoil(copy_of(root))
    source = Bytes()
    assert obtain(custody(root), source) == DATA
    assert source.asked == [0]
    assert copy_of(root).read_bytes() == DATA
    assert not copy_of(root).is_symlink()


def test_a_copy_that_is_no_longer_whole_does_not_outlive_its_discovery(root: Path) -> None:
    obtain(custody(root))
    flipped(copy_of(root))
    with pytest.raises(Transient):
        obtain(custody(root), broken_after(Bytes(), 100, OSError(errno.ECONNRESET, "")))
    assert not copy_of(root).exists()


# --- parts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o400], ids=["as it was left", "sealed before a crash"])
@pytest.mark.parametrize("count", [1, 3000, len(DATA)])
def test_a_part_of_another_process_life_is_resumed(count: int, mode: int, root: Path) -> None:
    leave_part(root, DATA[:count], mode)
    source = Bytes()
    assert obtain(custody(root), source) == DATA
    assert source.asked == [count]


def test_a_stale_part_is_not_the_artifact_s_fault(root: Path) -> None:
    leave_part(root, b"stale bytes of some earlier time")
    source = Bytes()
    assert obtain(custody(root), source) == DATA
    assert source.asked == [32, 0]


def test_a_stale_part_that_makes_the_whole_too_large_is_given_up(root: Path) -> None:
    leave_part(root, b"x" * (LIMIT - 10))
    source = Bytes(DATA + b"")
    source.chunks = lambda offset: iter([DATA])  # type: ignore[method-assign]
    assert obtain(custody(root), source) == DATA
    assert source.asked == [LIMIT - 10, 0]


def test_a_part_over_the_bound_is_not_resumed(root: Path) -> None:
    leave_part(root, b"x" * (LIMIT + 1))
    source = Bytes()
    assert obtain(custody(root), source) == DATA
    assert source.asked == [0]


def test_a_source_that_begins_anew_is_believed_and_the_part_forgotten(root: Path) -> None:
    leave_part(root, DATA[:3000])

    @contextmanager
    def from_start(offset: int) -> Iterator[ArtifactStream]:
        yield Stream(0, lambda: iter([DATA]))

    assert obtain(custody(root), from_start) == DATA


def test_a_source_that_goes_on_from_elsewhere_is_not_believed(root: Path) -> None:
    leave_part(root, DATA[:3000])

    @contextmanager
    def from_elsewhere(offset: int) -> Iterator[ArtifactStream]:
        yield Stream(2000, lambda: iter([DATA[2000:]]))

    with pytest.raises(Transient, match="goes on from byte 2000 instead of 3000"):
        obtain(custody(root), from_elsewhere)
    assert part_of(root).read_bytes() == DATA[:3000]


def test_wrong_bytes_after_a_resumed_download_are_judged_from_a_fresh_one(root: Path) -> None:
    leave_part(root, DATA[:3000])
    source = Bytes(b"\0" + DATA[1:-1] + b"\0")
    with pytest.raises(IntegrityError) as caught:
        obtain(custody(root), source)
    assert source.asked == [3000, 0]
    assert sha256(source.data) in caught.value.message
    assert not part_of(root).exists()


@pytest.mark.parametrize("data", [b"wrong", DATA + b"x"], ids=["other bytes", "too large"])
def test_nothing_is_left_of_what_was_refused(data: bytes, root: Path) -> None:
    with pytest.raises((IntegrityError, PolicyDenied)):
        obtain(custody(root), Bytes(data))
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_a_source_that_gives_nothing_leaves_nothing(root: Path) -> None:
    with pytest.raises(Transient):
        obtain(custody(root), broken_after(Bytes(), 0, OSError(errno.ECONNREFUSED, "")))
    assert [path for path in root.rglob("*") if path.is_file()] == []


class Ticking:
    """A clock that goes on by a step at each look."""

    def __init__(self, step: float) -> None:
        self.seconds = 0.0
        self.step = step

    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        self.seconds += self.step
        return self.seconds


def test_a_byte_a_second_ends_at_the_deadline_and_goes_on_from_there(root: Path) -> None:
    slow = DiskCustody(root, Bounds(artifact_bytes=LIMIT, fetch_seconds=5), Ticking(1), quiet)
    with pytest.raises(Transient, match="not done after 5 s") as caught:
        obtain(slow, Bytes(step=1))
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
    assert part_of(root).read_bytes() == DATA[:6]
    source = Bytes()
    assert obtain(custody(root), source) == DATA
    assert source.asked == [6]


def test_a_part_that_another_process_writes_is_left_to_it(root: Path) -> None:
    leave_part(root, DATA[:10])
    with part_of(root).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Transient, match="another process") as caught:
            obtain(custody(root), never)
        assert caught.value.reason is Reason.CUSTODY_UNAVAILABLE
    assert obtain(custody(root)) == DATA


def test_collecting_removes_parts_and_leaves_strangers(root: Path) -> None:
    leave_part(root, DATA[:10])
    (root / "incoming/notes.txt").write_text("mine")
    steps: list[str] = []
    assert custody(root, steps.append).collect({DIGEST}) == 0
    assert part_of(root).exists()
    assert custody(root, steps.append).collect(set()) == 0
    assert [path.name for path in (root / "incoming").iterdir()] == ["notes.txt"]
    assert steps == ["custody:remove"]


def test_nothing_stays_open(root: Path) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    for fetch in (broken_after(Bytes(), 10, ValueError()), Bytes(b"wrong"), Bytes(), never):
        try:
            obtain(custody(root), fetch)
        except ReconcilerError:
            assert count() == before
    assert count() == before


# --- faults of our own disk ---------------------------------------------------------------------

STEPS = [
    "custody:prepare",
    "custody:write",
    "custody:sync",
    "custody:seal",
    "custody:place",
    "custody:sync-folder",
    "custody:restart",
    "custody:remove",
]


def scene(root: Path) -> None:
    """A spoilt copy and a stale part: a download from here passes through every step."""
    obtain(custody(root))
    flipped(copy_of(root))
    copy_of(root).rename(root / "spoilt")
    for folder in (copy_of(root).parent, root / "sha256"):
        folder.rmdir()
    copy_of(root).parent.mkdir(parents=True)
    (root / "spoilt").rename(copy_of(root))
    (root / "incoming").rmdir()
    leave_part(root, b"stale")
    (root / "incoming/keep").touch()


def failing_at(step: str, number: int) -> Trace:
    def trace(name: str) -> None:
        if name == step:
            raise OSError(number, os.strerror(number))

    return trace


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=["full", "broken", "read-only"])
@pytest.mark.parametrize("step", STEPS)
def test_a_fault_of_the_disk_is_told_as_ours_and_mended_by_the_next_call(step: str, number: int, root: Path) -> None:
    if step != "custody:prepare":
        scene(root)
    with pytest.raises(Transient) as caught:
        obtain(custody(root, failing_at(step, number)))
    assert caught.value.reason is Reason.CUSTODY_UNAVAILABLE
    assert os.strerror(number) in caught.value.message
    assert step == "custody:remove" or every_copy_is_what_its_name_says(root)
    assert obtain(custody(root)) == DATA
    assert every_copy_is_what_its_name_says(root)


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EROFS, "mount it writable"),
        (errno.EACCES, "give the user"),
        (0, "state folder"),
    ],
    ids=["full", "read-only", "not writable", "anything else"],
)
def test_a_fault_of_the_disk_comes_with_what_mends_it(number: int, told: str, root: Path) -> None:
    with pytest.raises(Transient) as caught:
        obtain(custody(root, failing_at("custody:write", number)))
    assert told in caught.value.hint


def test_a_part_whose_sync_failed_is_not_resumed(root: Path) -> None:
    with pytest.raises(Transient):
        obtain(custody(root, failing_at("custody:sync", errno.EIO)))
    assert not part_of(root).exists()
    assert not copy_of(root).exists()


def test_bytes_whose_sync_failed_do_not_take_the_place_of_a_copy(root: Path) -> None:
    obtain(custody(root))
    before = copy_of(root).stat().st_ino
    ours = custody(root, failing_at("custody:sync", errno.EIO))
    with pytest.raises(Transient), ours.obtain(DIGEST, Bytes(), anew=True):
        pass
    assert not part_of(root).exists()
    assert copy_of(root).stat().st_ino == before


def test_a_full_disk_is_not_taken_for_a_fault_of_the_source(root: Path) -> None:
    with pytest.raises(Transient) as caught:
        obtain(custody(root, failing_at("custody:write", errno.ENOSPC)), broken_after(Bytes(), 10, ValueError()))
    assert caught.value.reason is Reason.CUSTODY_UNAVAILABLE


def test_a_root_that_is_a_file_is_a_fault_of_our_disk(root: Path) -> None:
    root.write_bytes(b"")
    with pytest.raises(Transient) as caught:
        obtain(custody(root))
    assert caught.value.reason is Reason.CUSTODY_UNAVAILABLE


DYING = """
import os, sys
from pathlib import Path
from reconciler.bounds import Bounds
from reconciler.machine.clock import SystemClock
from reconciler.custody import DiskCustody
from tests.contracts.test_custody_contract import DIGEST, LIMIT, Bytes

def trace(step):
    if step == sys.argv[2]:
        os._exit(9)

with DiskCustody(Path(sys.argv[1]), Bounds(artifact_bytes=LIMIT), SystemClock(), trace).obtain(DIGEST, Bytes()):
    pass
"""


@pytest.mark.parametrize("step", STEPS)
def test_a_process_that_dies_at_a_step_leaves_what_the_next_one_completes(step: str, root: Path) -> None:
    if step != "custody:prepare":
        scene(root)
    command = [sys.executable, "-c", DYING, str(root), step]
    assert subprocess.run(command, cwd=Path(__file__).parents[2]).returncode == 9
    assert step == "custody:remove" or every_copy_is_what_its_name_says(root)
    assert obtain(custody(root)) == DATA
    assert every_copy_is_what_its_name_says(root)
    assert not part_of(root).exists()
