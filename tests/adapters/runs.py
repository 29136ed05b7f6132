"""Runs in the layout on disk, made the short way; and the parts that a source is given."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from reconciler.bounds import Bounds
from reconciler.machine.clock import SystemClock
from reconciler.model import Artifact, Run, RunId
from reconciler.ports import Parts
from tests import factories
from tests.factories import sha256

SHOP = b"the shop, as CI stored it\n" * 100
RUN = RunId(101)


def artifact(data: bytes = SHOP, *, name: str = "shop", file: str = "shop.zip") -> Artifact:
    return Artifact(name, file, len(data), sha256(data))


def run(*artifacts: Artifact, run_id: int = RUN) -> Run:
    return replace(factories.RUN, run_id=RunId(run_id), workflow="build", artifacts=artifacts)


def run_json(**changes: Any) -> bytes:
    """A run file by hand, as some other CI might write it. A value of ... leaves the field out."""
    fields: dict[str, Any] = {
        "version": 1,
        "run_id": 101,
        "repository": "acme/shop",
        "workflow": "build",
        "branch": "main",
        "event": "push",
        "commit": "c" * 40,
        "conclusion": "success",
        "attempt": 1,
        "created": "2026-03-01T12:00:00Z",
        "artifacts": [{"name": "shop", "file": "shop.zip", "size": len(SHOP), "sha256": sha256(SHOP)}],
    }
    return json.dumps({key: value for key, value in {**fields, **changes}.items() if value is not ...}).encode()


def store(root: Path, data: bytes = SHOP, **changes: Any) -> Path:
    """Put the run and its one artifact below a root; returns the run's folder."""
    folder = root / "101"
    folder.mkdir(parents=True)
    (folder / "run.json").write_bytes(run_json(**changes))
    (folder / "shop.zip").write_bytes(data)
    return folder


def parts(tmp_path: Path, **bounds: Any) -> Parts:
    return Parts(SystemClock(), Random(1), lambda _: None, Bounds(**bounds), tmp_path / "state")
