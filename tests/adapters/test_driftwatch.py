"""Watching live releases on a real file system: whose folder was touched, how often, and what can't be watched."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.loop import driftwatch
from reconciler.loop.driftwatch import DriftWatch
from reconciler.machine.clock import SystemClock
from reconciler.model import EnvironmentName

SECONDS = 20.0
"""How long a test waits for what must happen."""
PROD, DEV = EnvironmentName("prod"), EnvironmentName("dev")


class Watched:
    """Targets as they lie on disk, and who was said to be touched."""

    def __init__(self, folder: Path, most: int = 500) -> None:
        self.folder = folder
        self.touched: list[EnvironmentName] = []
        self.told: list[str] = []
        self.watch = DriftWatch(most, SystemClock(), self.told.append)
        self.stopping = threading.Event()

    def deploy(self, name: EnvironmentName, release: str = "1-a") -> Path:
        """Lay a release down, and follow it as the daemon does behind a pass."""
        place = self.folder / name
        inner = place / "releases" / release / "lib"
        inner.mkdir(parents=True)
        (inner / "a.txt").write_text("a")
        (place / ".own").mkdir(exist_ok=True)
        (place / "next").symlink_to(f"releases/{release}")
        (place / "next").rename(place / "current")
        self.watch.follow(name, place / "current")
        return place

    def hear(self, names: Iterable[EnvironmentName]) -> None:
        self.touched.extend(names)

    def comes(self, true: Callable[[], bool]) -> bool:
        pause = threading.Event()
        return any(true() or pause.wait(0.02) for _ in range(int(SECONDS / 0.02)))

    def is_heard(self, name: EnvironmentName, act: Callable[[], object]) -> bool:
        """Whether something that is done is noticed, of this environment alone."""
        self.touched.clear()
        act()
        return self.comes(lambda: bool(self.touched)) and set(self.touched) == {name}


@contextmanager
def running(watched: Watched) -> Iterator[Watched]:
    thread = threading.Thread(target=watched.watch.run, args=(watched.hear, watched.stopping), daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        watched.stopping.set()
        thread.join(SECONDS)
        assert not thread.is_alive()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driftwatch, "SETTLE_SECONDS", 0.1)
    monkeypatch.setattr(driftwatch, "STEP_MS", 10)


def test_each_way_to_touch_a_release_is_heard(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    prod, _ = watched.deploy(PROD), watched.deploy(DEV)
    file = prod / "current" / "lib" / "a.txt"
    with running(watched):
        assert watched.comes(lambda: {PROD, DEV} <= set(watched.touched)), "each is looked at when watching begins"
        assert watched.is_heard(PROD, lambda: file.write_text("b"))
        assert watched.is_heard(PROD, lambda: file.chmod(0o600))
        assert watched.is_heard(PROD, (file.parent / "foreign").mkdir)
        assert watched.is_heard(PROD, file.unlink)
        assert watched.is_heard(PROD, (prod / "current").unlink)
        assert watched.is_heard(PROD, lambda: (prod / ".own" / "record").write_text("x"))
        assert watched.is_heard(PROD, lambda: (prod / "releases" / "1-a").rename(prod / "releases" / "away"))


def test_reading_is_no_touch(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    prod = watched.deploy(PROD)
    with running(watched):
        assert watched.comes(lambda: PROD in watched.touched)
        assert watched.is_heard(PROD, lambda: (prod / "current" / "lib" / "b.txt").write_text("b"))
        threading.Event().wait(0.2)
        watched.touched.clear()
        for _ in range(50):
            (prod / "current" / "lib" / "a.txt").read_text()
        threading.Event().wait(0.2)
        assert not watched.touched


def test_it_follows_what_is_live(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.deploy(PROD)
    with running(watched):
        assert watched.comes(lambda: PROD in watched.touched)
        before = watched.watch.folders
        prod = watched.deploy(PROD, "2-b")
        assert watched.watch.folders == before
        dev = watched.deploy(DEV)
        assert watched.comes(lambda: DEV in watched.touched)
        assert watched.is_heard(PROD, lambda: (prod / "current" / "lib" / "a.txt").write_text("x"))
        assert watched.is_heard(DEV, lambda: (dev / "current" / "lib" / "a.txt").write_text("x"))
        watched.watch.follow(DEV, None)
        assert watched.watch.folders == before


def test_the_same_release_again_changes_nothing(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    prod = watched.deploy(PROD)
    with running(watched):
        assert watched.comes(lambda: watched.touched == [PROD])
        for _ in range(10):
            watched.watch.follow(PROD, prod / "current")
        threading.Event().wait(0.3)
        assert watched.touched == [PROD]


def test_above_the_bound_nothing_is_watched_and_that_is_told_once(tmp_path: Path) -> None:
    watched = Watched(tmp_path, most=3)
    with running(watched):
        for number in range(6):
            watched.deploy(EnvironmentName(f"e{number}"))
        assert watched.comes(lambda: watched.watch.folders == 0)
    assert len(watched.told) == 1
    assert "more than 3 environments" in watched.told[0]


def test_where_the_system_can_not_watch_it_is_told_once_and_nothing_else_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "OS file watch limit reached")

    monkeypatch.setattr(driftwatch, "RustNotify", full)
    watched = Watched(tmp_path)
    watched.deploy(PROD)
    with running(watched):
        assert watched.comes(lambda: bool(watched.told))
        watched.deploy(DEV)
    assert len(watched.told) == 1
    assert "fs.inotify.max_user_watches" in watched.told[0]


def test_a_target_that_went_away_takes_no_other_along(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    prod, dev = watched.deploy(PROD), watched.deploy(DEV)
    (dev / "current").unlink()
    (dev / "releases").rename(tmp_path / "away")
    with running(watched):
        assert watched.comes(lambda: PROD in watched.touched)
        assert watched.is_heard(PROD, lambda: (prod / "current" / "lib" / "a.txt").write_text("x"))
    assert not watched.told


def test_a_network_file_system_is_not_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(tmp_path)
    watched.deploy(PROD)
    assert watched.watch.folders > 0
    kind = _type_of(tmp_path)
    monkeypatch.setattr(driftwatch, "REMOTE", (kind[:3],))
    watched.deploy(DEV)
    assert watched.watch.folders == 5, "those of prod: the target's, beside the link, the release and what is in it"


def _type_of(path: Path) -> str:
    device = path.stat().st_dev
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if before.split(" ")[2] == f"{os.major(device)}:{os.minor(device)}":
            return after.split(" ")[0]
    return pytest.skip("the type of the temporary folder's file system is not listed")
