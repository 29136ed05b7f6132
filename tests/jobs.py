"""A release with programs in it, to be activated: real files, and the parts that an activator is given."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from random import Random

import pytest

from reconciler.bounds import Bounds
from reconciler.core.running import ActivateSpec
from reconciler.errors import Reason, Terminal
from reconciler.machine.clock import SystemClock
from reconciler.model import EnvironmentName
from reconciler.ports import Activator, Job, Parts

PROD = EnvironmentName("shop/prod")
SECRET = "s3cret-canary/4711"


def parts(folder: Path, bounds: Bounds | None = None) -> Parts:
    """What wiring gives to every adapter."""
    return Parts(SystemClock(), Random(0), lambda step: None, bounds or Bounds(), folder / "state")


def release(folder: Path, **programs: str) -> Path:
    """A release's folder with executable scripts in `bin`, by name; a first line is put before each."""
    root = folder / "releases" / "17-abc"
    (root / "bin").mkdir(parents=True, exist_ok=True)
    for name, script in programs.items():
        path = root / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    return root


def job(folder: Path, variables: dict[str, str] | None = None, secrets: frozenset[str] = frozenset()) -> Job:
    """For the environment `shop/prod`."""
    return Job(PROD, folder, variables or {}, secrets)


def failure(activator: Activator, spec: ActivateSpec, work: Job) -> Terminal:
    """How an activation fails that does."""
    with pytest.raises(Terminal) as caught:
        activator.activate(spec, work)
    assert caught.value.reason is Reason.ACTIVATION_FAILED
    return caught.value


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def ends(pid: int) -> bool:
    """Whether a process that was killed is gone, which takes the kernel a moment."""
    clock = SystemClock()
    deadline = clock.monotonic() + 20
    while alive(pid) and clock.monotonic() < deadline:
        threading.Event().wait(0.005)
    return not alive(pid)
