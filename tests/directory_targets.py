"""A directory target on a real disk, and looks at what is on it."""

from __future__ import annotations

import random
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconciler.bounds import Bounds
from reconciler.core.declare import Declaration
from reconciler.machine.clock import SystemClock
from reconciler.model import EnvironmentName, Observation
from reconciler.ports import Parts, Target, Trace
from reconciler.targets import directory
from tests import factories
from tests.archives import zip_of

Tree = dict[str, bytes | None]


def silent(step: str) -> None:
    """A trace that nobody looks at."""


@dataclass
class Ground:
    """A folder with an allowed root in it, and environments below that root."""

    base: Path
    trace: Trace = silent
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        self.root.mkdir(exist_ok=True)

    @property
    def root(self) -> Path:
        """What the operator allows."""
        return self.base / "srv"

    @property
    def path(self) -> Path:
        """The target of the environment `staging`."""
        return self.root / "shop" / "staging"

    @property
    def current(self) -> Path:
        """What a program behind the target reads."""
        return self.path / "current"

    @property
    def own(self) -> Path:
        """The target's folder of records."""
        return self.path / ".reconciler"

    def target(
        self,
        trace: Trace | None = None,
        *,
        environment: str = "staging",
        path: str | None = None,
        keep: int = 3,
        unpack: str = "outer",
        roots: list[str] | None = None,
    ) -> Target:
        """The target as wiring would make it."""
        parts = Parts(SystemClock(), random.Random(7), trace or self.trace, self.bounds, self.base / "state")
        options: dict[str, Any] = {"roots": [str(self.root)] if roots is None else roots}
        return directory.create(options, parts).target(
            EnvironmentName(environment), declaration(path or str(self.path), keep, unpack)
        )

    def apply(
        self, data: bytes, token: int = 1, trace: Trace | None = None, *, run_id: int = 101, **how: Any
    ) -> Observation:
        """Install an artifact as the pipeline would."""
        approval = factories.approval(data, run_id=run_id)
        return self.target(trace, **how).apply(factories.verified(data), approval, token)

    def releases(self) -> list[str]:
        """What lies under `releases/`."""
        return sorted(path.name for path in (self.path / "releases").iterdir())


def declaration(path: str, keep: int = 3, unpack: str = "outer") -> Declaration:
    """The declaration of an environment with a directory target."""
    return Declaration.model_validate(
        {
            "version": 1,
            "artifact": {"name": "shop", "run_id": 101, "sha256": "0" * 64, "unpack": unpack},
            "target": {"type": "directory", "path": path, "keep": keep},
        }
    )


def tree(folder: Path) -> Tree:
    """Everything below a folder: contents by relative path, None for a folder."""
    found: Tree = {}
    for path in sorted(folder.rglob("*")):
        found[str(path.relative_to(folder))] = None if path.is_dir() else path.read_bytes()
    return found


def snapshot(folder: Path) -> dict[str, tuple[int, ...]]:
    """All that `lstat` says of a folder and everything below it, but the times of reading."""
    found: dict[str, tuple[int, ...]] = {}
    for path in [folder, *folder.rglob("*")]:
        seen = path.lstat()
        kind = stat.S_IFMT(seen.st_mode)
        found[str(path)] = (
            kind,
            seen.st_mode,
            seen.st_size,
            seen.st_ino,
            seen.st_nlink,
            seen.st_mtime_ns,
            seen.st_ctime_ns,
        )
    return found


def next_tick(folder: Path) -> None:
    """Wait until the file system's clock has moved on, some milliseconds: what changes now has another time."""
    probe = folder / "probe"
    probe.touch()
    first = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == first:
        probe.touch()
    probe.unlink()


def artifact(label: str) -> tuple[bytes, Tree]:
    """An artifact and the tree that it unpacks to."""
    files: Tree = {
        "version": label.encode(),
        "bin": None,
        "bin/run": b"#!/bin/sh\necho " + label.encode(),
        "data": None,
        "data/deep": None,
        "data/deep/blob": label.encode() * 300,
    }
    return zip_of(files, {"bin/run": 0o755}), files


A, TREE_A = artifact("a")
B, TREE_B = artifact("b")
C, TREE_C = artifact("c")
