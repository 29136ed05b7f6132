"""A glance at a directory target: nothing that is done through the file system escapes it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.targets import glance
from tests import factories
from tests.archives import zip_of
from tests.directory_targets import A, B, Ground, next_tick


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    made = Ground(tmp_path)
    made.apply(A)
    made.apply(B, run_id=102)
    next_tick(tmp_path)
    return made


def _set_back(path: Path, data: bytes) -> None:
    times = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _relink(ground: Ground, to: str) -> None:
    ground.current.unlink()
    ground.current.symlink_to(to)


def _put_back(path: Path) -> None:
    copy = shutil.copy2(path, path.with_name("copy"))
    path.unlink()
    Path(copy).rename(path)


def _moved_away(ground: Ground) -> None:
    shop = ground.root / "shop"
    shop.rename(ground.base / "elsewhere")
    shop.symlink_to(ground.base / "elsewhere")


CHANGES: dict[str, Callable[[Ground], object]] = {
    "a byte, its times set back": lambda ground: _set_back(ground.current / "version", b"x"),
    "a byte in a deep folder": lambda ground: _set_back(ground.current / "data/deep/blob", b"x" * 300),
    "a mode": lambda ground: (ground.current / "version").chmod(0o600),
    "a mode of a folder": lambda ground: (ground.current / "bin").chmod(0o700),
    "a mode of the release": lambda ground: ground.current.resolve().chmod(0o700),
    "an owner": lambda ground: os.chown(ground.current / "version", os.getuid(), os.getgid()),
    "a foreign file": lambda ground: (ground.current / "data/deep/new").touch(),
    "a foreign folder": lambda ground: (ground.current / "data/new").mkdir(),
    "a file that is gone": lambda ground: (ground.current / "version").unlink(),
    "a file put back": lambda ground: shutil.copy2(
        shutil.move(ground.current / "version", ground.base), ground.current
    ),
    "a further name": lambda ground: os.link(ground.current / "version", ground.base / "name"),
    "the link elsewhere": lambda ground: _relink(ground, f"releases/{ground.releases()[0]}"),
    "the same link anew": lambda ground: _relink(ground, str(ground.current.readlink())),
    "the link gone": lambda ground: ground.current.unlink(),
    "a release gone": lambda ground: shutil.rmtree(ground.path / "releases" / ground.releases()[0]),
    "the mode of our folder": lambda ground: ground.own.chmod(0o755),
    "the accepted record": lambda ground: _set_back(ground.own / "accepted.json", b"{}"),
    "a manifest": lambda ground: _set_back(next((ground.own / "manifests").iterdir()), b"{}"),
    "the fence": lambda ground: (ground.own / "fence" / "9").mkdir(),
    "what is delivered": lambda ground: ground.target().deliver(b"A=1", 1),
    "the folder above": _moved_away,
    "all of it": lambda ground: shutil.rmtree(ground.path),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("remembered", [64, 0], ids=["with its paths remembered", "walked"])
def test_a_change_changes_the_glance(
    ground: Ground, change: Callable[[Ground], object], remembered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glance, "MAX_REMEMBERED_PATHS", remembered)
    target = ground.target()
    before = target.glance()
    assert before is not None
    assert target.glance() == before
    change(ground)
    assert target.glance() != before


def test_looking_and_reading_change_nothing(ground: Ground) -> None:
    target = ground.target()
    before = target.glance()
    target.observe(thorough=True)
    target.readiness(ground.target().observe().retained[0].run_id, factories.sha256(B))
    (ground.current / "version").read_bytes()
    ground.apply(B, run_id=102)
    assert target.glance() == before
    assert ground.target().glance() == before  # nor does it hang on who looks


def test_what_is_put_beside_and_is_not_ours_does_not_count(ground: Ground) -> None:
    before = ground.target().glance()
    (ground.path / "uploads").mkdir()
    (ground.root / "shop" / "prod").mkdir()
    assert ground.target().glance() == before


def test_what_was_found_new_is_looked_at_from_then_on(ground: Ground) -> None:
    target = ground.target()
    target.glance()
    new = ground.current / "data" / "new"
    new.write_bytes(b"1")
    seen = target.glance()
    assert target.glance() == seen
    next_tick(ground.base)
    _set_back(new, b"2")
    assert target.glance() != seen


@pytest.mark.parametrize("to", ["releases", "releases/", "releases/..", "/etc", "releases/a/b", "nowhere"])
def test_a_link_that_leads_elsewhere_is_not_followed(ground: Ground, to: str) -> None:
    _relink(ground, to)
    assert ground.target().glance() is None


def test_before_the_first_deployment_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert Ground(tmp_path).target().glance() is None


def test_a_release_of_many_files_is_seen_whole(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.apply(zip_of({f"file{number}": b"%d" % number for number in range(300)}))
    next_tick(tmp_path)
    before = ground.target().glance()
    _set_back(ground.current / "file299", b"xxx")
    assert before != ground.target().glance()
