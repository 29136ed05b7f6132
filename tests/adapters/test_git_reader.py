"""The processes that objects are read through: they end when they should, and whoever asks does not notice."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.bounds import Bounds
from reconciler.errors import Transient
from reconciler.git import reader
from reconciler.git.command import Git, GitFailed
from reconciler.git.local import LocalMirror
from reconciler.git.processes import PROCESSES
from reconciler.git.reader import Missing, Readers
from reconciler.git.remote import parse
from tests.gitworld import Author, GitWorld
from tests.site import eventually

ALICE = Author("Alice", "alice@example.com")
MUCH = 1000**2


class Stage:
    """A repository in the mirror's place, and readers of it."""

    def __init__(self, folder: Path) -> None:
        self.world = GitWorld(folder / "world")
        self.steps: list[str] = []
        remote = parse(self.world.url)
        self.git = Git(remote, Bounds(), self.steps.append)
        self.mirror = LocalMirror(folder / "state", remote, "main", self.git, Bounds())
        self.mirror.path.parent.mkdir(parents=True)
        self.world.run("git", "clone", "-q", "--bare", self.world.url, str(self.mirror.path))
        self.readers = self.open()

    def open(self, **bounds: float) -> Readers:
        limits = Bounds.model_validate(bounds)
        return Readers(Git(parse(self.world.url), limits, self.steps.append), self.mirror, limits)

    def store(self, content: bytes) -> str:
        """A blob, as if it had been fetched just now."""
        name = self.world.git("hash-object", "-w", "--stdin", stdin=content)
        pack = self.mirror.path / "objects/pack/pack"
        self.world.run("git", "pack-objects", "-q", str(pack), stdin=f"{name}\n".encode())
        return name

    def read(self, name: str) -> bytes | None:
        return self.readers.read("blob", [name], 100)[name]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def running(stage: Stage) -> list[subprocess.Popen[bytes]]:
    """The processes that read this mirror."""
    place = f"--git-dir={stage.mirror.path}"
    return [process for process in tuple(PROCESSES._running) if place in str(process.args)]


def test_many_questions_cost_one_process_also_about_what_was_fetched_later(stage: Stage) -> None:
    for content in (b"1", b"2", b"3"):
        assert stage.read(stage.store(content)) == content
    assert stage.steps == ["git cat-file"]


def test_what_is_missing_is_told_and_costs_no_process(stage: Stage) -> None:
    name = stage.store(b"1")
    assert stage.read(name) == b"1"
    for _ in range(3):
        with pytest.raises(Missing):
            stage.read("1" * 40)
    assert stage.read(name) == b"1"
    assert stage.steps == ["git cat-file"]


def test_what_is_too_large_is_not_read_and_many_come_in_order(stage: Stage) -> None:
    large = stage.store(b"x" * MUCH)
    small = [stage.store(b"%d" % number) for number in range(5)]
    assert stage.readers.read("blob", [*small, large, *small], 100) == {
        **{name: b"%d" % number for number, name in enumerate(small)},
        large: None,
    }
    assert stage.readers.read("blob", [large], MUCH)[large] == b"x" * MUCH


@pytest.mark.parametrize("name", ["HEAD", "main:x", "", "1" * 39, "1" * 40 + "\ninfo HEAD", "-x", "1" * 40 + " "])
def test_what_is_not_a_full_name_is_never_asked(stage: Stage, name: str) -> None:
    with pytest.raises(GitFailed, match="not the name of an object"):
        stage.read(name)
    assert stage.steps == []


def test_another_type_than_the_wanted_is_refused(stage: Stage) -> None:
    name = stage.store(b"1")
    with pytest.raises(GitFailed, match="wanted is a commit"):
        stage.readers.read("commit", [name], 100)
    assert stage.read(name) == b"1"


def test_a_process_that_was_killed_while_idle_is_not_noticed(stage: Stage) -> None:
    name = stage.store(b"1")
    assert stage.read(name) == b"1"
    (process,) = running(stage)
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert stage.read(name) == b"1"
    assert stage.steps == ["git cat-file"] * 2
    assert process not in running(stage)


def test_a_process_that_does_not_answer_costs_the_deadline_and_is_ended(stage: Stage) -> None:
    name = stage.store(b"1")
    stage.readers = stage.open(git_local_seconds=0.3)
    assert stage.read(name) == b"1"
    (process,) = running(stage)
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(Transient, match="did not end within"):
        stage.read(name)
    assert running(stage) == []
    assert stage.read(name) == b"1"


def test_one_that_hangs_holds_nobody_else_up(stage: Stage) -> None:
    name = stage.store(b"1")
    assert stage.read(name) == b"1"
    (process,) = running(stage)
    os.kill(process.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(stage.read, name)
        eventually(lambda: stage.readers._lent == 1)
        assert stage.read(name) == b"1"
        os.kill(process.pid, signal.SIGCONT)
        assert slow.result() == b"1"


def test_many_threads_share_a_few_processes(stage: Stage) -> None:
    names = [stage.store(b"%d" % number) for number in range(20)]
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(stage.read, names * 10))
    assert found == [b"%d" % number for number in range(20)] * 10
    assert len(stage.steps) <= reader.READERS


def test_processes_that_nobody_asks_are_ended(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "IDLE_SECONDS", 0.05)
    name = stage.store(b"1")
    assert stage.read(name) == b"1"
    eventually(lambda: not running(stage), 5)
    assert stage.read(name) == b"1"


def test_processes_go_with_the_readers(stage: Stage) -> None:
    stage.read(stage.store(b"1"))
    assert len(running(stage)) == 1
    del stage.readers
    gc.collect()
    assert running(stage) == []


def test_a_mirror_that_was_made_anew_is_read_by_a_new_process(stage: Stage) -> None:
    name = stage.store(b"1")
    assert stage.read(name) == b"1"
    (old,) = running(stage)
    shutil.copytree(stage.mirror.path, stage.mirror.path.with_name("copy"))
    shutil.rmtree(stage.mirror.path)
    stage.mirror.path.with_name("copy").rename(stage.mirror.path)
    stage.mirror.generation += 1
    assert stage.read(name) == b"1"
    assert old not in running(stage)


def test_content_that_is_not_what_its_name_says_is_refused(stage: Stage) -> None:
    name, other = stage.store(b"1"), stage.world.git("hash-object", "-w", "--stdin", stdin=b"2")
    shutil.rmtree(stage.mirror.path / "objects/pack")
    stored = stage.world.work / ".git/objects" / other[:2] / other[2:]
    place = stage.mirror.path / "objects" / name[:2] / name[2:]
    place.parent.mkdir()
    shutil.copy(stored, place)
    with pytest.raises(GitFailed):
        stage.read(name)


def test_a_git_that_is_too_old_for_it_is_asked_each_time(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, large = stage.store(b"1"), stage.store(b"x" * MUCH)
    old = tmp_path / "bin" / "git"
    old.parent.mkdir()
    refused = 'case "$*" in *batch-command*) echo "error: unknown option" >&2; exit 129;; esac'
    old.write_text(f'#!/bin/sh\n{refused}\nexec {shutil.which("git")} "$@"\n')
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{old.parent}:{os.environ['PATH']}")
    stage.readers = stage.open()
    for _ in range(2):
        assert stage.readers.read("blob", [name, large], 100) == {name: b"1", large: None}
    assert stage.steps == ["git cat-file"] * 3


def test_no_thread_stays_once_nothing_is_read(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "IDLE_SECONDS", 0.01)
    before = set(threading.enumerate())
    stage.read(stage.store(b"1"))
    eventually(lambda: set(threading.enumerate()) <= before, 5)
