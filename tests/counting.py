"""A process that does what it is told on the real parts, and counts its work: files, hashes, rows, syncs, processes.

    with Counted(site) as process:
        process.look()
        process.run("prod")
        print(process.counts())       # since the start, or since the last time it was asked

Counted at the borders that the operating system and the standard library offer, so that it holds whatever the
code in between is made of: an audit hook for opened files, SQLite's own counters, `hashlib` and `fsync` wrapped before
the first import of the product, and a `git` and an `ssh-keygen` first on PATH that note each start.
Counting is exact and the same on every machine, however busy it is.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from tests.site import Program

WATCHED = ("git", "ssh-keygen")


@dataclass(frozen=True)
class Counts:
    """Work that was done."""

    git: int = 0
    """Git processes started by us, not by git."""
    keygen: int = 0
    """`ssh-keygen` processes."""
    opened: int = 0
    """Files and folders opened below the site's folder, by us: not by git, not by SQLite."""
    hashed: int = 0
    """Bytes that went through SHA-256."""
    commits: int = 0
    """Transactions of SQLite that write: each waits for the disk."""
    rows: int = 0
    """Rows inserted, changed or deleted in SQLite."""
    synced: int = 0
    """Calls of fsync, fdatasync and syncfs, by us: not by git, not by SQLite."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)})


class Counted:
    """The process, seen from the test."""

    def __init__(self, site: Program) -> None:
        self._site = site
        self._folder = site.folder / "counted"
        self._log = self._folder / "processes"
        self._process: subprocess.Popen[str]
        self.started: list[str] = []
        """The command lines of the processes that were counted last."""

    def __enter__(self) -> Self:
        self._folder.mkdir(exist_ok=True)
        self._log.write_text("")
        for name in WATCHED:
            self._note_starts(name)
        environment = {**os.environ, "PATH": f"{self._folder}{os.pathsep}{os.environ['PATH']}"}
        argv = [sys.executable, "-m", "tests.counting", str(self._site.settings_file)]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, bufsize=1
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        ended = self._process.wait(30)
        self._process.stdout.close()
        assert ended == 0

    def look(self) -> list[str]:
        """One look at the repository; the environments that are due."""
        return list(self._ask("look"))

    def run(self, name: str) -> None:
        """One pass, which must reach the declaration."""
        told = self._ask(f"run {name}")
        assert told == "Synced", f"{name}: {told}"

    def counts(self) -> Counts:
        """What was counted since the last time."""
        found = Counts(**self._ask("counts"))
        self.started = self._log.read_text().splitlines()
        self._log.write_text("")
        names = [line.split()[0] for line in self.started]
        return found + Counts(git=names.count("git"), keygen=names.count("ssh-keygen"))

    def _ask(self, words: str) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(words + "\n")
        answer = self._process.stdout.readline()
        assert answer, f"the process ended at {words!r}: {self._process.wait(10)}"
        return json.loads(answer)

    def _note_starts(self, name: str) -> None:
        real = shutil.which(name)
        assert real, name
        program = self._folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self._log}"\nexec "{real}" "$@"\n')
        program.chmod(0o755)


# --- in the process ---------------------------------------------------------------------------------


class Meter:
    """The counters."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self.opened = self.hashed = self.commits = self.synced = 0
        self._rows_before = 0
        self._connections: list[sqlite3.Connection] = []

    def install(self) -> None:
        """Begin to count. Before the first import of what is to be counted."""
        sys.addaudithook(self._heard)
        hashlib.sha256 = self._counted_hash(hashlib.sha256)
        for name in ("fsync", "fdatasync"):
            setattr(os, name, self._counted_sync(getattr(os, name)))
        ctypes.CDLL = self._counted_library()  # type: ignore[misc]
        sqlite3.dbapi2.connect = self._counted_connect(sqlite3.dbapi2.connect)  # type: ignore[assignment]

    def taken(self) -> Counts:
        """What was counted since the last time."""
        rows = sum(connection.total_changes for connection in self._connections)
        found = Counts(0, 0, self.opened, self.hashed, self.commits, rows - self._rows_before, self.synced)
        self.opened = self.hashed = self.commits = self.synced = 0
        self._rows_before = rows
        return found

    def _heard(self, event: str, arguments: tuple[object, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], str | bytes):
            return
        path = os.fsdecode(arguments[0])
        if not path.startswith("/") or path.startswith(self._folder):  # relative: from a folder that is open
            self.opened += 1

    def _counted_hash(self, real: Callable[..., Any]) -> Callable[..., Any]:
        meter = self

        class Counting:
            def __init__(self, data: bytes = b"", **options: object) -> None:
                self._real = real(data, **options)
                meter.hashed += len(data)

            def update(self, data: bytes) -> None:
                meter.hashed += memoryview(data).nbytes
                self._real.update(data)

            def __getattr__(self, name: str) -> object:
                return getattr(self._real, name)

        return Counting

    def _counted_sync(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def counting(fd: int) -> None:
            self.synced += 1
            real(fd)

        return counting

    def _counted_library(self) -> type[ctypes.CDLL]:
        meter = self

        class Library(ctypes.CDLL):
            def __getattr__(self, name: str) -> Any:
                real = super().__getattr__(name)
                if name != "syncfs":
                    return real
                counting = meter._counted_sync_call(real)
                setattr(self, name, counting)
                return counting

        return Library

    def _counted_sync_call(self, real: Any) -> Callable[[int], int]:
        def counting(fd: int) -> int:
            self.synced += 1
            return int(real(fd))

        return counting

    def _counted_connect(self, real: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
        def counting(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection = real(*arguments, **options)
            connection.set_trace_callback(self._stated)
            self._connections.append(connection)
            return connection

        return counting

    def _stated(self, statement: str) -> None:
        self.commits += statement.upper().startswith("BEGIN IMMEDIATE")


def main(settings_file: Path, commands: IO[str], answers: IO[str]) -> None:
    """Do what each line says, and answer it with a line."""
    meter = Meter(settings_file.parent)
    meter.install()
    from reconciler import wiring
    from reconciler.machine import statefolder
    from reconciler.model import EnvironmentName
    from reconciler.settings import load

    settings = load(settings_file)
    store = wiring.open_store(settings)
    with statefolder.exclusive(settings.state):
        system = wiring.build(settings, store)
        runner = system.runner(lambda *_: None)
        meter.taken()
        for line in commands:
            order, _, name = line.strip().partition(" ")
            answer: object = None
            if order == "look":
                answer = sorted(runner.asked_for() | system.tracker.look())
            elif order == "run":
                status = runner.run(EnvironmentName(name)).status
                answer = str(status.sync) if status.ready else f"{status.sync}: {status.message}"
            else:
                answer = {key: value for key, value in asdict(meter.taken()).items() if key not in ("git", "keygen")}
            print(json.dumps(answer), file=answers, flush=True)
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.stdin, sys.stdout)
