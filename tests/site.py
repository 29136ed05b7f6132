"""A whole site for end-to-end tests: a real origin with people, CI runs, an operator's settings, and the program.

    site = Site(tmp_path)
    site.publish(1)
    site.declare("prod", run=1)       # arrives by a merge that the reviewer signed
    assert site.reconcile()["prod"].ready

`reconcile` runs one look and the due passes in this process, on the same parts as `reconciler run`;
`daemon()` starts the real program.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import yaml
from typer.testing import CliRunner

from reconciler import wiring
from reconciler.bounds import Bounds
from reconciler.cli.app import app
from reconciler.core.audit import Entry
from reconciler.loop.runner import Runner
from reconciler.machine import statefolder
from reconciler.model import CommitId, EnvironmentName, RunId, Status
from reconciler.ports import Store, Trace
from reconciler.publish import publish
from reconciler.settings import load
from tests.archives import zip_of
from tests.factories import RUN, sha256
from tests.gitworld import GitWorld

_WIDE = {"NO_COLOR": "1", "COLUMNS": "160"}


def files_of(run: int) -> dict[str, bytes | None]:
    """What the artifact of a run holds: every file says which run it is of, so that a mixture shows."""
    return {"bin/app": b"#!/bin/sh\n# %d\n" % run, **{f"lib/{n}.txt": b"run %d" % run for n in range(2)}}


class Program:
    """An operator's settings below one folder, and the program run on them.

    What people, the forge and CI do there is the part of whoever extends it.
    """

    def __init__(self, folder: Path, settings: dict[str, object]) -> None:
        self.folder = folder
        self.live = folder / "live"
        self.live.mkdir()
        self.settings_file = folder / "reconciler.yaml"
        self.settings = {"web": {"listen": None}, **settings}  # many run at once, and most show nothing to anybody
        self.configure()

    def configure(self, **changes: object) -> None:
        """Write the operator's settings."""
        self.settings |= changes
        self.settings_file.write_text(yaml.safe_dump(self.settings))

    @contextmanager
    def system(self, trace: Trace = wiring.silent) -> Iterator[wiring.System]:
        """The parts, made anew as at a start of the program."""
        settings = load(self.settings_file)
        store = wiring.open_store(settings, trace=trace)
        try:
            with statefolder.exclusive(settings.state):
                yield wiring.build(settings, store, trace)
        finally:
            store.close()

    def reconcile(self, trace: Trace = wiring.silent, *, everything: bool = True) -> dict[str, Status]:
        """One look and one pass for each environment that is due, or for every one."""
        with self.system(trace) as system:
            runner = system.runner(_raise)
            due = system.tracker.look()
            names = {*due, *system.catalog.environments} if everything else due
            return {str(name): runner.run(name).status for name in sorted(names)}

    def restarted(self) -> dict[str, Status]:
        """What a process that was started anew comes to."""
        return self.reconcile()

    def store(self) -> Store:
        """The memory, opened anew; the caller need not close it for reading."""
        return wiring.open_store(load(self.settings_file))

    def audit(self) -> list[Entry]:
        """Every audit entry."""
        store = wiring.open_store(load(self.settings_file))
        try:
            return list(store.audit())
        finally:
            store.close()

    def current(self, name: str) -> int | None:
        """Which run is live, read from every file of the release; fails on a mixture. None: nothing is."""
        link = self.live / name / "current"
        if not link.is_symlink():
            return None
        release = (self.live / name / link.readlink()).resolve(strict=True)
        return self.whole_run(release)

    def whole_run(self, release: Path) -> int:
        """The run that a release is of, by all of its files."""
        return whole_run(release)

    @contextmanager
    def daemon(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """The real program, until the block ends; its log is `daemon.log`."""
        with (self.folder / "daemon.log").open("ab") as log:
            process = self.start(*options, log=log)
            try:
                yield process
            finally:
                process.terminate()
                process.wait(40)

    def start(self, *options: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the daemon."""
        argv = [sys.executable, "-m", "reconciler", "-c", str(self.settings_file), "run", *options]
        return subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One command of the real program."""
        argv = [sys.executable, "-m", "reconciler", "-c", str(self.settings_file), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, env={**os.environ, **_WIDE})

    def answer(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The same by the same code in this process: each start of the program takes longer than most commands.

        What a command raises unexpectedly is the test's failure.
        """
        argv = ["-c", str(self.settings_file), *arguments]
        result = CliRunner().invoke(app, argv, prog_name="reconciler", env=_WIDE)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return subprocess.CompletedProcess(argv, result.exit_code, result.stdout, result.stderr)


class Site(Program):
    """Everything below one folder, approved by signed merges."""

    def __init__(self, folder: Path) -> None:
        self.git = GitWorld(folder / "git")
        self.engineer = self.git.person("engineer")
        self.reviewer = self.git.person("reviewer")
        self.runs = folder / "runs"
        self.runs.mkdir()
        settings: dict[str, object] = {
            "state": "state",
            "repository": {"url": str(self.git.origin), "poll_seconds": 1},
            "forge": {"type": "signed_merge", "allowed_signers": str(self.git.allowed_signers)},
            "sources": {
                "ci": {
                    "type": "directory",
                    "root": "runs",
                    "provenance": {"repositories": ["acme/shop"], "workflows": ["build.yml"]},
                }
            },
            "targets": {"directory": {"roots": ["live"]}},
        }
        super().__init__(folder, settings)
        self._branches = 0
        self.git.commit(self.engineer, "Begin").push()

    # --- what people and CI do --------------------------------------------------------------------

    def publish(self, run: int, data: bytes | None = None, **facts: object) -> bytes:
        """Store a run as CI would; returns the artifact's bytes."""
        data = self.artifact(run) if data is None else data
        place = self.folder / "build" / str(run) / "app.zip"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        described = replace(RUN, run_id=RunId(run), **facts)  # type: ignore[arg-type]
        publish(self.runs, described, {"app": place}, wiring.silent, Bounds())
        return data

    @staticmethod
    def artifact(run: int) -> bytes:
        """The bytes that CI builds in a run."""
        return zip_of(files_of(run), {"bin/app": 0o755})

    def declaration(
        self,
        name: str,
        run: int,
        *,
        sha: str | None = None,
        approval: object = None,
        path: str | None = None,
        promote: object = None,
        keep: int = 3,
    ) -> str:
        """An environment file."""
        document: dict[str, object] = {
            "version": 1,
            "artifact": {"name": "app", "run_id": run, "sha256": sha or sha256(self.artifact(run))},
            "target": {"type": "directory", "path": path or str(self.live / name), "keep": keep},
        }
        if promote is not None:
            document["promote"] = promote
        if approval is not None:
            document["approval"] = approval
        return yaml.safe_dump(document, sort_keys=False)

    def merge(self, files: Mapping[str, str | bytes], *, signed_by: object = None, author: object = None) -> CommitId:
        """Change files on a branch, signed by the engineer, and merge it, signed by the reviewer."""
        self._branches += 1
        who = author or self.engineer
        self.git.switch(self.git.main).branch(f"change-{self._branches}")
        for path, text in files.items():
            self.git.write(path, text)
        self.git.commit(who, "Change", sign=True)  # type: ignore[arg-type]
        self.git.merge(f"change-{self._branches}", signer=signed_by or self.reviewer)  # type: ignore[arg-type]
        return self.git.push().tip

    def declare(self, name: str, run: int, **fields: object) -> CommitId:
        """Declare a run for an environment through an approved merge."""
        return self.merge({f"environments/{name}.yaml": self.declaration(name, run, **fields)})  # type: ignore[arg-type]

    def policy(self, **rules: object) -> CommitId:
        """Set the policy through an approved merge."""
        return self.merge({"environments/policy.yaml": policy_text(**rules)})

    def push(self, name: str, run: int, **fields: object) -> CommitId:
        """Declare a run for an environment by a direct push."""
        text = self.declaration(name, run, **fields)  # type: ignore[arg-type]
        return self.git.direct_push(self.engineer, f"environments/{name}.yaml", text).tip


def policy_text(**rules: object) -> str:
    """A policy file."""
    return yaml.safe_dump({"version": 1, **rules}, sort_keys=False)


def whole_run(release: Path) -> int:
    """The run that a release is of.

    Raises:
        AssertionError: It is not, file for file, what that run built.
    """
    run = int(release.name.split("-")[0])
    found = {p.relative_to(release).as_posix(): p.read_bytes() for p in release.rglob("*") if p.is_file()}
    assert found == {name: content for name, content in files_of(run).items() if content is not None}, release
    assert os.access(release / "bin/app", os.X_OK)
    return run


def snapshot(folder: Path) -> dict[str, tuple[int, ...]]:
    """Every path below a folder with what a write would change."""
    found: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        found[path.relative_to(folder).as_posix()] = (info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    return found


def eventually(condition: Callable[[], object], seconds: float = 30.0) -> float:
    """Wait for a condition; returns the seconds it took, fails when it does not come about."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "it did not come about in time"
        time.sleep(0.005)
    return time.monotonic() - start


def environment(name: str) -> EnvironmentName:
    """A name as the type it is."""
    return EnvironmentName(name)


def _raise(status: Status, previous: Status | None, problem: Exception | None) -> None:
    if problem is not None:
        raise problem


__all__ = ["Runner", "Site", "environment", "eventually", "files_of", "policy_text", "snapshot", "whole_run"]
