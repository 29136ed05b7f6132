"""Folders that the kernel watches for us."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.loop.inotify import Inotify

LONG = 20.0


@pytest.mark.parametrize("what", ["made", "written", "renamed", "removed", "mode"])
def test_a_change_is_told_once(tmp_path: Path, what: str) -> None:
    file, other = tmp_path / "main", tmp_path / "main.lock"
    file.write_text("a")
    other.write_text("b")
    changes = Inotify([tmp_path])
    act: dict[str, Callable[[], object]] = {
        "made": (tmp_path / "new").touch,
        "written": lambda: file.write_text("c"),
        "renamed": lambda: other.rename(file),
        "removed": file.unlink,
        "mode": lambda: file.chmod(0o600),
    }
    act[what]()
    assert changes.wait(LONG)
    assert not changes.wait(0.0)
    changes.close()


def test_many_changes_at_once_are_one_word_and_reading_is_none(tmp_path: Path) -> None:
    changes = Inotify([tmp_path])
    for number in range(1_000):
        (tmp_path / f"{number}").write_text("a")
    assert changes.wait(LONG)
    assert not changes.wait(0.0)
    assert (tmp_path / "7").read_text() == "a"
    assert not changes.wait(0.0)
    changes.close()


def test_what_never_ends_is_told_all_the_same(tmp_path: Path) -> None:
    changes, over = Inotify([tmp_path]), threading.Event()

    def write() -> None:
        while not over.wait(0.001):
            (tmp_path / "busy").write_text("a")

    thread = threading.Thread(target=write)
    thread.start()
    assert changes.wait(LONG)
    over.set()
    thread.join()
    changes.close()


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Inotify([tmp_path / "nothing"])
