"""What lies beside the releases of a directory target: how the live one runs, what was delivered, the fence."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.delivery import fingerprint
from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.model import Activation, CommitId, Digest, Drift, DriftKind, Failed, RunId, Service
from reconciler.ports import Trace
from reconciler.targets import records, service
from tests import factories
from tests.archives import zip_of
from tests.directory_targets import A, B, Ground, silent, snapshot

SALT = "5" * 32
SECRET = b'TOKEN="canary-4711"\n'
ACTIVATION = Activation("101-x", Digest("a" * 64), "", factories.NOON, fingerprint(SALT, SECRET))
SERVICE = Service(SALT, ACTIVATION, proven=True)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    made = Ground(tmp_path)
    made.apply(A)
    made.target().deliver(SECRET, 1)
    made.target().remember(SERVICE, 1)
    assert made.target().observe().drift == ()
    return made


def drift(ground: Ground) -> list[tuple[str, DriftKind]]:
    return [(found.path, found.kind) for found in ground.target().observe().drift]


def test_the_release_that_worked_last_is_kept_however_many_failed_since(ground: Ground) -> None:
    good = ground.target().observe().accepted
    ground.target().remember(replace(SERVICE, good=good), 1)
    for number in range(2, 6):
        ground.apply(zip_of({"a.txt": b"%d" % number}), run_id=number, keep=1)
    assert good is not None
    assert [name.split("-")[0] for name in ground.releases()] == [str(good.run_id), "4", "5"]


# --- what is remembered -------------------------------------------------------------------------


def test_what_is_remembered_lies_where_the_documentation_says(ground: Ground) -> None:
    record = ground.own / "service.json"
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert json.loads(record.read_text())["head"]["salt"] == SALT


def test_remembering_is_durable_before_it_is_seen_and_leaves_nothing_behind(ground: Ground) -> None:
    steps: list[str] = []
    ground.target(steps.append).remember(replace(SERVICE, proven=False), 1)
    assert steps == [f"target:remember:{step}" for step in ("write", "sync", "rename", "settle")]
    assert list((ground.own / "fence" / "1").iterdir()) == []


def test_the_same_once_more_writes_nothing(ground: Ground) -> None:
    before, steps = snapshot(ground.base), list[str]()
    ground.target(steps.append).remember(SERVICE, 1)
    ground.target(steps.append).deliver(SECRET, 9)
    assert steps == []
    assert snapshot(ground.base) == before


def test_a_bit_flipped_in_what_is_remembered_is_told_and_never_believed(ground: Ground) -> None:
    record = ground.own / "service.json"
    whole = record.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        record.write_bytes(damaged)
        seen = ground.target().observe()
        assert seen.service is None, f"byte {position} is wrong and believed"
        assert (seen.drift[0].path, seen.drift[0].kind) == (".reconciler/service.json", DriftKind.CONTENT)
    ground.target().remember(SERVICE, 1)
    assert ground.target().observe().service == SERVICE


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("accepted.json")])
@pytest.mark.parametrize("name", ["service.json", "environment"])
def test_something_else_in_the_place_of_a_file_is_told_and_replaced(
    ground: Ground, name: str, make: Callable[[Path], object]
) -> None:
    (ground.own / name).unlink()
    make(ground.own / name)
    assert f".reconciler/{name}" in dict(drift(ground))
    ground.target().remember(SERVICE, 1)
    ground.target().deliver(SECRET, 1)
    assert drift(ground) == []


def _sealed(ground: Ground, change: Callable[[dict[str, Any]], object]) -> None:
    record = ground.own / "service.json"
    head = records.unseal(record.read_bytes())
    change(head)
    record.write_bytes(records.seal(head))


def test_fields_of_a_later_version_are_passed_over_and_missing_ones_stand_at_their_defaults(ground: Ground) -> None:
    def later(head: dict[str, Any]) -> None:
        head.update(version=2, mood="sunny")
        head["activation"]["colour"] = "red"
        del head["proven"], head["back"], head["good"], head["failed"]

    _sealed(ground, later)
    seen = ground.target().observe()
    assert (seen.service, seen.drift) == (replace(SERVICE, proven=False), ())


def test_a_failure_for_a_reason_of_a_later_version_is_still_a_failure(ground: Ground) -> None:
    failed = Failed(
        CommitId("f" * 40), Digest("e" * 64), RunId(9), Digest("c" * 64), Reason.SOAKING, "because", factories.NOON
    )
    ground.target().remember(replace(SERVICE, failed=failed), 1)
    _sealed(ground, lambda head: head["failed"].update(reason="SomethingNew"))
    seen = ground.target().observe().service
    assert seen is not None
    assert seen.failed == replace(failed, reason=Reason.ACTIVATION_FAILED)


@pytest.mark.parametrize("salt", ["", "zz" * 16, "5" * 31, None])
def test_a_record_without_a_salt_is_none(salt: str | None) -> None:
    data = records.seal({"version": 1, "salt": salt})
    with pytest.raises(records.Damaged):
        service.decode(data)


# --- what is delivered --------------------------------------------------------------------------


DELIVERIES: dict[str, tuple[Callable[[Path], object], DriftKind]] = {
    "changed": (lambda path: path.write_bytes(b"X=1"), DriftKind.CONTENT),
    "of the same size": (lambda path: path.write_bytes(b"x" * len(SECRET)), DriftKind.CONTENT),
    "readable for others": (lambda path: path.chmod(0o644), DriftKind.MODE),
    "gone": (lambda path: path.unlink(), DriftKind.MISSING),
}


@pytest.mark.parametrize(("damage", "kind"), DELIVERIES.values(), ids=DELIVERIES)
def test_what_was_delivered_and_is_not_so_any_more_is_drift_and_mended(
    ground: Ground, damage: Callable[[Path], object], kind: DriftKind
) -> None:
    damage(ground.own / "environment")
    (found,) = ground.target().observe().drift
    assert (found.path, found.kind) == (".reconciler/environment", kind)
    assert "canary" not in repr(found)
    assert ACTIVATION.environment[:6] not in repr(found)
    ground.target().deliver(SECRET, 1)
    assert drift(ground) == []


def test_a_file_that_no_activation_took_is_foreign(ground: Ground) -> None:
    ground.target().remember(replace(SERVICE, activation=replace(ACTIVATION, environment="")), 1)
    assert drift(ground) == [(".reconciler/environment", DriftKind.FOREIGN)]
    ground.target().deliver(None, 1)
    assert drift(ground) == []


def test_a_secret_is_never_readable_for_others_not_even_on_its_way(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    modes = set[int]()

    def watch(step: str) -> None:
        for path in [*ground.own.rglob("environment")]:
            modes.add(stat.S_IMODE(path.stat().st_mode))

    before = os.umask(0)
    try:
        ground.target(watch).deliver(SECRET, 1)
    finally:
        os.umask(before)
    assert modes == {0o600}
    assert stat.S_IMODE(ground.own.stat().st_mode) == 0o700


def test_what_only_a_delivery_mends_makes_no_deployment(ground: Ground) -> None:
    (ground.own / "environment").unlink()
    before, steps = snapshot(ground.base), list[str]()
    seen = ground.apply(A, trace=steps.append)
    assert [found.kind for found in seen.drift] == [DriftKind.MISSING]
    assert steps == []
    assert snapshot(ground.base) == before


# --- stopped, failed and overtaken at each step ---------------------------------------------------


OTHER = replace(SERVICE, proven=False, back=True)
WORK: dict[str, Callable[[Ground, Trace, int], None]] = {
    "remember": lambda ground, trace, token: ground.target(trace).remember(OTHER, token),
    "deliver": lambda ground, trace, token: ground.target(trace).deliver(b"B=2", token),
    "take away": lambda ground, trace, token: ground.target(trace).deliver(None, token),
    "with a newer token": lambda ground, trace, token: ground.target(trace).remember(OTHER, token + 1),
}
whatever_the_work = pytest.mark.parametrize("work", WORK.values(), ids=WORK)


def _steps(work: Callable[[Ground, Trace, int], None], ground: Ground, base: Path) -> list[str]:
    steps: list[str] = []
    work(Ground(shutil.copytree(ground.base, base, symlinks=True)), steps.append, 1)
    return steps


def _at(number: int, act: Callable[[], object]) -> Trace:
    """A trace that acts right before the step of this number, counted from 0."""
    counted = iter(range(1_000))

    def trace(step: str) -> None:
        if next(counted) == number:
            act()

    return trace


def _raise(error: BaseException) -> Callable[[], object]:
    def act() -> None:
        raise error

    return act


def _beside(ground: Ground) -> tuple[Service | None, bytes | None]:
    path = ground.own / "environment"
    return ground.target().observe().service, path.read_bytes() if path.exists() else None


@whatever_the_work
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full")], ids=["stopped", "disk full"])
def test_interrupted_before_any_step_the_old_or_the_new_is_there_and_once_more_ends_it(
    ground: Ground, work: Callable[[Ground, Trace, int], None], error: BaseException, tmp_path: Path
) -> None:
    before = _beside(ground)
    with tempfile.TemporaryDirectory() as base:
        steps = _steps(work, ground, Path(base) / "undisturbed")
        after = _beside(Ground(Path(base) / "undisturbed"))
        assert steps
        assert after != before
        for number in range(len(steps)):
            copy = Ground(shutil.copytree(tmp_path, Path(base) / str(number), symlinks=True))
            with pytest.raises((KeyboardInterrupt, Transient)):
                work(copy, _at(number, _raise(error)), 1)
            assert _beside(copy) in (before, after)
            work(copy, silent, 1)
            assert _beside(copy) == after
            assert [list(token.iterdir()) for token in (copy.own / "fence").iterdir()] == [[]]


@whatever_the_work
def test_a_former_holder_that_sleeps_before_any_step_changes_nothing_of_its_successor(
    ground: Ground, work: Callable[[Ground, Trace, int], None], tmp_path: Path
) -> None:
    with tempfile.TemporaryDirectory() as base:
        steps = _steps(work, ground, Path(base) / "undisturbed")
        for number in range(len(steps)):
            copy = Ground(shutil.copytree(tmp_path, Path(base) / str(number), symlinks=True))

            def take_over(copy: Ground = copy) -> None:
                copy.target().remember(Service("6" * 32), 9)
                copy.target().deliver(b"C=3", 9)

            with contextlib.suppress(PolicyDenied):
                work(copy, _at(number, take_over), 1)
            assert _beside(copy) == (Service("6" * 32), b"C=3")


# --- our folder and the fence -------------------------------------------------------------------


def test_our_folder_open_to_others_is_drift_and_closed_again(ground: Ground) -> None:
    ground.own.chmod(0o755)
    assert ground.target().observe().drift == (Drift(".reconciler", DriftKind.MODE, "0700", "0755"),)
    link = ground.current.lstat()
    assert ground.apply(A).drift == ()
    assert drift(ground) == []
    assert ground.current.lstat() == link


@pytest.mark.parametrize("name", ["fence", "fence/1"])
def test_a_fence_that_is_gone_is_drift_and_raised_again(ground: Ground, name: str) -> None:
    (ground.own / "fence" / "1").rmdir()
    if name == "fence":
        (ground.own / "fence").rmdir()
    assert drift(ground) == [(".reconciler/fence", DriftKind.MISSING)]
    assert ground.apply(A, token=4).drift == ()
    assert drift(ground) == []
    assert ground.target().observe().fence == 4


def test_a_file_named_as_a_token_is_drift_and_nobody_acts(ground: Ground) -> None:
    (ground.own / "fence" / "2").touch()
    assert drift(ground) == [(".reconciler/fence/2", DriftKind.KIND)]
    before = ground.current.readlink()
    with pytest.raises(Exception, match="TargetUnavailable"):
        ground.apply(B, token=3, run_id=102)
    assert ground.current.readlink() == before


# --- whether a rollback would work ---------------------------------------------------------------


def test_a_kept_release_with_a_changed_byte_is_not_ready_and_says_why(ground: Ground) -> None:
    ground.apply(B, run_id=102)
    kept = ground.path / "releases" / f"101-{factories.sha256(A)[:12]}" / "version"
    times = kept.stat()
    kept.write_bytes(b"x")
    os.utime(kept, ns=(times.st_atime_ns, times.st_mtime_ns))
    found = ground.target().readiness(RunId(101), factories.sha256(A))
    assert found is not None
    assert not found.ready
    assert found.why.startswith("version is not as it was put there")
    assert drift(ground) == []  # what is kept is not what is live


def test_a_kept_release_that_nothing_proves_is_not_ready(ground: Ground) -> None:
    ground.apply(B, run_id=102)
    name = f"101-{factories.sha256(A)[:12]}"
    (ground.own / "manifests" / f"{name}.json").unlink()
    found = ground.target().readiness(RunId(101), factories.sha256(A))
    assert found is not None
    assert (found.release, found.ready) == (name, False)


def test_of_two_installations_the_whole_one_makes_it_ready(ground: Ground) -> None:
    (ground.current / "version").write_bytes(b"x")
    ground.apply(A)  # the second generation; the first stays as it is
    found = ground.target().readiness(RunId(101), factories.sha256(A))
    assert found is not None
    assert found.release.endswith(".2")
    assert found.ready
