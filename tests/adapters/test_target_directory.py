"""The directory target when nothing goes wrong around it: deploy, repair, roll back, keep, adopt."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from pathlib import Path

import pytest

from reconciler.bounds import Bounds
from reconciler.errors import IntegrityError, PolicyDenied, Reason, Terminal
from reconciler.model import DriftKind
from tests import factories
from tests.archives import gz, tar_of, zip_of
from tests.directory_targets import TREE_A, TREE_B, A, B, C, Ground, artifact, snapshot, tree


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def live_id(ground: Ground) -> str:
    return ground.current.readlink().name


def test_a_first_deployment_lies_where_the_documentation_says(ground: Ground) -> None:
    seen = ground.apply(A)
    release = f"101-{factories.sha256(A)[:12]}"
    assert str(ground.current.readlink()) == f"releases/{release}"
    assert tree(ground.current) == TREE_A
    assert ground.releases() == [release]
    assert sorted(path.name for path in ground.path.iterdir()) == [".reconciler", "current", "releases"]
    assert stat.S_IMODE(ground.own.stat().st_mode) == 0o700
    assert seen.live is not None
    assert (seen.live.id, seen.live.sha256, seen.drift) == (release, factories.sha256(A), ())


def test_modes_are_those_of_the_archive_whatever_the_umask(ground: Ground) -> None:
    before = os.umask(0o077)
    try:
        ground.apply(A)
    finally:
        os.umask(before)
    modes = {
        str(path.relative_to(ground.current.resolve())): stat.S_IMODE(path.stat().st_mode)
        for path in ground.current.resolve().rglob("*")
    }
    assert modes == {
        "version": 0o644,
        "bin": 0o755,
        "bin/run": 0o755,
        "data": 0o755,
        "data/deep": 0o755,
        "data/deep/blob": 0o644,
    }
    assert stat.S_IMODE(ground.current.resolve().stat().st_mode) == 0o755


def test_a_set_group_id_folder_above_does_not_colour_a_release(ground: Ground) -> None:
    ground.path.mkdir(parents=True)
    ground.path.chmod(0o2775)
    assert ground.apply(A).drift == ()


def test_nothing_is_written_when_nothing_differs(ground: Ground) -> None:
    ground.apply(A, token=3)
    ground.apply(B, token=3, run_id=102)
    steps: list[str] = []
    before = snapshot(ground.base)
    ground.apply(B, token=3, run_id=102, trace=steps.append)
    ground.apply(B, token=9, run_id=102, trace=steps.append)
    ground.target(steps.append).observe()
    assert steps == []
    assert snapshot(ground.base) == before


def test_observing_writes_nothing_not_even_the_folders(ground: Ground) -> None:
    before = snapshot(ground.base)
    seen = ground.target().observe()
    assert (seen.live, seen.accepted, seen.retained, seen.fence) == (None, None, (), 0)
    assert snapshot(ground.base) == before


def test_a_newer_declaration_of_the_live_artifact_moves_only_the_record(ground: Ground) -> None:
    ground.apply(A)
    link = ground.current.lstat()
    ground.target().accept(factories.approval(A, commit="e" * 40), 1)
    seen = ground.target().observe()
    assert seen.accepted is not None
    assert seen.accepted.commit == "e" * 40
    assert ground.current.lstat() == link
    assert ground.releases() == [f"101-{factories.sha256(A)[:12]}"]


def test_the_record_on_the_target_says_all_that_the_approval_said(ground: Ground) -> None:
    approval = factories.approval(A)
    seen = ground.apply(A).accepted
    assert seen is not None
    assert (seen.environment, seen.commit, seen.declaration) == ("staging", approval.commit, approval.declaration)
    assert (seen.run_id, seen.sha256, seen.request) == (approval.run_id, approval.sha256, approval.request)
    assert (seen.approvers, seen.accepted_at) == (approval.approvers, approval.judged_at)


def test_a_rollback_checks_what_is_kept_and_unpacks_nothing(ground: Ground) -> None:
    ground.apply(A)
    ground.apply(B, run_id=102)
    steps: list[str] = []
    ground.apply(A, trace=steps.append)
    assert tree(ground.current) == TREE_A
    assert "target:unpack" not in steps
    assert "target:switch" in steps


def test_a_rollback_to_a_damaged_release_installs_it_anew(ground: Ground) -> None:
    ground.apply(A)
    ground.apply(B, run_id=102)
    kept = ground.path / "releases" / f"101-{factories.sha256(A)[:12]}" / "version"
    times = kept.stat()
    kept.write_bytes(b"x")  # same size; the times set back: only the full hash can tell
    os.utime(kept, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert ground.apply(A).drift == ()
    assert tree(ground.current) == TREE_A
    assert live_id(ground) == f"101-{factories.sha256(A)[:12]}"


def test_a_damaged_later_generation_goes_together_with_its_manifest(ground: Ground) -> None:
    ground.apply(A)
    (ground.current / "version").write_bytes(b"x")
    ground.apply(A)
    second = ground.current.resolve()
    ground.apply(B, run_id=102, keep=2)
    assert second.name in ground.releases()
    (second / "version").write_bytes(b"x")
    ground.apply(A)
    assert not second.exists()
    assert sorted(path.stem for path in (ground.own / "manifests").iterdir()) == ground.releases()


def test_repair_again_and_again_neither_piles_up_nor_touches_what_is_live(ground: Ground) -> None:
    ground.apply(A, keep=2)
    for _ in range(5):
        damaged = live_id(ground)
        (ground.current / "version").write_bytes(b"x")
        assert ground.apply(A, keep=2).drift == ()
        assert tree(ground.current) == TREE_A
        assert (ground.path / "releases" / damaged / "version").read_bytes() == b"x"
        assert len(ground.releases()) == 2


def test_the_newest_are_kept_and_their_manifests_with_them(ground: Ground) -> None:
    for number in range(1, 7):
        data, _ = artifact(f"v{number}")
        ground.apply(data, run_id=number, keep=3)
    assert [release.run_id for release in ground.target().observe().retained] == [6, 5, 4]
    assert len(ground.releases()) == 3
    assert sorted(path.stem for path in (ground.own / "manifests").iterdir()) == ground.releases()


def test_the_release_before_the_live_one_is_kept_even_when_one_is_to_be_kept(ground: Ground) -> None:
    for number, data in enumerate((A, B, C), start=1):
        ground.apply(data, run_id=number, keep=1)
    assert [name.partition("-")[0] for name in ground.releases()] == ["2", "3"]


def test_a_rollback_never_prunes_what_it_makes_live(ground: Ground) -> None:
    for number, data in enumerate((A, B, C), start=1):
        ground.apply(data, run_id=number, keep=3)
    seen = ground.apply(A, run_id=1, keep=1)
    assert seen.live is not None
    assert seen.live.run_id == 1
    assert {release.run_id for release in seen.retained} == {1, 3}


def test_things_that_are_not_ours_are_left_alone(ground: Ground) -> None:
    ground.apply(A)
    (ground.path / "shared").mkdir()
    (ground.path / "shared" / "upload").write_bytes(b"precious")
    (ground.path / "releases" / "notes").mkdir()
    for number in range(2, 6):
        ground.apply(artifact(str(number))[0], run_id=number, keep=1)
    assert (ground.path / "shared" / "upload").read_bytes() == b"precious"
    assert (ground.path / "releases" / "notes").is_dir()


def test_the_same_artifact_of_another_run_is_another_release(ground: Ground) -> None:
    ground.apply(A, run_id=1)
    seen = ground.apply(A, run_id=2)
    assert seen.live is not None
    assert seen.live.run_id == 2


def test_an_artifact_that_is_now_unpacked_otherwise_is_installed_again(ground: Ground) -> None:
    outer = zip_of({"inner.tar.gz": gz(tar_of({"file": b"1"}))})
    ground.apply(outer)
    assert [path.name for path in ground.current.iterdir()] == ["inner.tar.gz"]
    assert [drift.kind for drift in ground.target(unpack="inner").observe().drift] == [DriftKind.KIND]
    assert ground.apply(outer, unpack="inner").drift == ()
    assert tree(ground.current) == {"file": b"1"}


def test_unsafe_bytes_change_nothing_and_leave_nothing(ground: Ground) -> None:
    ground.apply(A)
    before = tree(ground.path)
    with pytest.raises(Terminal) as caught:
        ground.apply(tar_of({"good": bytes(100_000), "../evil": b"x"}), run_id=102)
    assert caught.value.reason is Reason.ARTIFACT_UNSAFE
    assert tree(ground.path) == before


def test_a_bomb_leaves_nothing_on_the_disk(tmp_path: Path) -> None:
    ground = Ground(tmp_path, bounds=Bounds(unpacked_bytes=100_000))
    ground.apply(A)
    before = tree(ground.path)
    with pytest.raises(Terminal) as caught:
        ground.apply(gz(tar_of({"a": bytes(90_000), "b": bytes(90_000)})), run_id=102)
    assert caught.value.reason is Reason.ARTIFACT_TOO_LARGE
    assert tree(ground.path) == before


def test_an_approval_of_other_bytes_deploys_nothing(ground: Ground) -> None:
    with pytest.raises(IntegrityError):
        ground.target().apply(factories.verified(A), factories.approval(B), 1)
    assert not ground.path.exists()


def test_an_approval_for_another_environment_deploys_nothing(ground: Ground) -> None:
    with pytest.raises(PolicyDenied):
        ground.target().apply(factories.verified(A), factories.approval(A, environment="prod"), 1)
    assert not ground.path.exists()


def test_with_the_store_lost_the_target_tells_all(ground: Ground) -> None:
    ground.apply(A)
    ground.apply(B, token=5, run_id=102)
    shutil.rmtree(ground.base / "state", ignore_errors=True)
    seen = Ground(ground.base).target().observe()
    assert seen.live is not None
    assert seen.accepted is not None
    assert (seen.live.run_id, seen.accepted.run_id, seen.fence) == (102, 102, 5)
    assert [release.run_id for release in seen.retained] == [102, 101]


def test_with_our_records_lost_a_whole_release_is_adopted_without_a_switch(ground: Ground) -> None:
    ground.apply(A)
    shutil.rmtree(ground.own)
    link, before = ground.current.lstat(), live_id(ground)
    lost = ground.target().observe()
    assert lost.live is not None
    assert lost.live.sha256 != factories.sha256(A)  # nothing proves the whole digest
    assert [drift.kind for drift in lost.drift] == [DriftKind.MISSING]
    seen = ground.apply(A)
    assert (seen.drift, live_id(ground), ground.current.lstat()) == ((), before, link)


def test_with_our_records_lost_a_damaged_release_is_installed_again(ground: Ground) -> None:
    ground.apply(A)
    shutil.rmtree(ground.own)
    (ground.current / "version").write_bytes(b"x")
    assert ground.apply(A).drift == ()
    assert tree(ground.current) == TREE_A
    assert live_id(ground).endswith(".2")


def test_readers_see_one_whole_release_at_every_instant(ground: Ground) -> None:
    ground.apply(A)
    stop, seen, torn = threading.Event(), set[bytes](), list[str]()
    whole = {files["version"]: files["data/deep/blob"] for files in (TREE_A, TREE_B)}

    def poll() -> None:
        while not stop.is_set():
            folder = os.open(ground.current, os.O_RDONLY | os.O_DIRECTORY)
            try:
                version, blob = (_read_at(folder, name) for name in ("version", "data/deep/blob"))
            finally:
                os.close(folder)
            seen.add(version)
            if whole[version] != blob:
                torn.append(f"{version!r} with {blob[:10]!r}")

    poller = threading.Thread(target=poll)
    poller.start()
    try:
        for _ in range(25):
            ground.apply(B, run_id=102)
            ground.apply(A)
    finally:
        stop.set()
        poller.join()
    assert torn == []
    assert len(seen) == 2


def _read_at(folder: int, name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY, dir_fd=folder)
    try:
        return os.read(fd, 10_000)
    finally:
        os.close(fd)
