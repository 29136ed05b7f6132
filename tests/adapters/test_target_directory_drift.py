"""The directory target when somebody changed what is live: told path by path, repaired beside."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.model import Drift, DriftKind
from tests.directory_targets import TREE_A, A, Ground, tree


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def live_id(ground: Ground) -> str:
    return ground.current.readlink().name


DAMAGES: dict[str, tuple[Callable[[Path], object], str, DriftKind]] = {
    "a changed file": (lambda live: (live / "version").write_bytes(b"x"), "version", DriftKind.CONTENT),
    "a longer file": (lambda live: (live / "version").write_bytes(b"xyz"), "version", DriftKind.CONTENT),
    "a removed file": (lambda live: (live / "version").unlink(), "version", DriftKind.MISSING),
    "a removed folder": (lambda live: shutil.rmtree(live / "data" / "deep"), "data/deep", DriftKind.MISSING),
    "an added file": (lambda live: (live / "data" / "new").write_bytes(b""), "data/new", DriftKind.FOREIGN),
    "an added folder": (lambda live: (live / "new").mkdir(), "new", DriftKind.FOREIGN),
    "an added FIFO": (lambda live: os.mkfifo(live / "pipe"), "pipe", DriftKind.FOREIGN),
    "another mode": (lambda live: (live / "version").chmod(0o666), "version", DriftKind.MODE),
    "a set-user-id bit": (lambda live: (live / "bin" / "run").chmod(0o4755), "bin/run", DriftKind.MODE),
    "another mode of a folder": (lambda live: (live / "bin").chmod(0o777), "bin", DriftKind.MODE),
    "another mode of the release": (lambda live: live.chmod(0o700), ".", DriftKind.MODE),
    "a link in the place of a file": (lambda live: _replace_by_link(live / "version"), "version", DriftKind.KIND),
    "a FIFO in the place of a file": (lambda live: _replace_by_fifo(live / "version"), "version", DriftKind.KIND),
    "a file in the place of a folder": (lambda live: _replace_by_file(live / "data"), "data", DriftKind.KIND),
}


def _replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


def _replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _replace_by_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_bytes(b"")


@pytest.mark.parametrize(("damage", "path", "kind"), DAMAGES.values(), ids=DAMAGES)
def test_drift_is_told_by_path_and_repaired_beside(
    ground: Ground, damage: Callable[[Path], object], path: str, kind: DriftKind
) -> None:
    ground.apply(A)
    first = live_id(ground)
    damage(ground.current.resolve())
    drift = {found.path: found.kind for found in ground.target().observe().drift}
    assert drift[path] is kind
    seen = ground.apply(A)
    assert seen.drift == ()
    assert ground.target().observe(thorough=True) == seen
    assert tree(ground.current) == TREE_A
    assert live_id(ground) == f"{first}.2"
    assert first in ground.releases()  # what was live before stays, for whoever still reads it


def test_a_file_that_was_only_touched_is_no_drift(ground: Ground) -> None:
    ground.apply(A)
    os.utime(ground.current / "version")
    (ground.current / "bin" / "run").chmod(0o755)
    assert ground.target().observe().drift == ()


def test_a_file_that_changed_with_its_times_set_back_is_drift(ground: Ground) -> None:
    ground.apply(A)
    live = ground.current / "version"
    times = live.stat()
    live.write_bytes(b"x")
    os.utime(live, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert [found.path for found in ground.target().observe().drift] == ["version"]


def test_a_name_on_the_disk_can_not_speak_to_a_terminal(ground: Ground) -> None:
    ground.apply(A)
    (ground.current / "\x1b[2J\nforged line").write_bytes(b"")
    Path(os.fsdecode(os.fsencode(ground.current) + b"/\xff")).write_bytes(b"")
    paths = [found.path for found in ground.target().observe().drift]
    assert len(paths) == 2
    assert all(path.isprintable() and path.encode() for path in paths)


def test_a_thousand_foreign_files_do_not_fill_the_report(ground: Ground) -> None:
    ground.apply(A)
    for number in range(1000):
        (ground.current / f"junk-{number}").touch()
    assert 100 <= len(ground.target().observe().drift) <= 300


def test_drift_says_what_was_expected_and_found(ground: Ground) -> None:
    ground.apply(A)
    (ground.current / "version").chmod(0o600)
    assert ground.target().observe().drift == (Drift("version", DriftKind.MODE, "0644", "0600"),)
