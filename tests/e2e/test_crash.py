"""Pull the plug at every named step of a whole pass: one more pass converges, the audit is whole, and whoever
reads `current` meanwhile sees one complete release.

A step is named right before its effect (git, custody, store, target), so killing at step n leaves the
effects of the n-1 steps before it, and nothing of the rest.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.core.audit import line, trailer, verify
from tests.site import Site, environment


def first_deploy(site: Site) -> int:
    site.declare("prod", 1)
    return 1


def upgrade(site: Site) -> int:
    site.declare("prod", 1)
    site.reconcile()
    site.declare("prod", 2)
    return 2


def rollback(site: Site) -> int:
    for run in (1, 2):
        site.declare("prod", run)
        site.reconcile()
    site.declare("prod", 1)
    return 1


def clean_up(site: Site) -> int:
    for run in (1, 2, 3):
        site.declare("prod", run)
        site.reconcile()
    site.declare("prod", 4)
    return 4


def drift_repair(site: Site) -> int:
    site.declare("prod", 1)
    site.reconcile()
    (site.live / "prod" / "current").resolve().joinpath("lib/0.txt").write_bytes(b"by hand")
    return 1


WORKLOADS: list[Callable[[Site], int]] = [first_deploy, upgrade, rollback, clean_up, drift_repair]


class Stop:
    """A trace that ends the process, or fails the step, at the n-th step."""

    def __init__(self, at: int, how: str) -> None:
        self.at, self.how, self.steps = at, how, list[str]()

    def __call__(self, step: str) -> None:
        self.steps.append(step)
        if len(self.steps) == self.at:
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(getattr(errno, self.how), os.strerror(getattr(errno, self.how)))


CASES = [*((workload, "kill") for workload in WORKLOADS), (upgrade, "ENOSPC"), (clean_up, "EIO")]


@pytest.mark.parametrize(("workload", "how"), CASES, ids=[f"{work.__name__}-{how}" for work, how in CASES])
def test_stopped_at_every_step(
    tmp_path: Path, workload: Callable[[Site], int], how: str, record_property: Callable[[str, object], None]
) -> None:
    site = Site(tmp_path / "site")
    for run in (1, 2, 3, 4):
        site.publish(run)
    wanted = workload(site)
    before = site.current("prod") if workload is not drift_repair else 1
    shutil.copytree(site.folder, tmp_path / "backup", symlinks=True)
    count = _steps(site)
    for at in range(1, count + 1):
        _restore(site, tmp_path / "backup")
        allowed = {before, wanted} - ({None} if before else set())
        with _watched(site, allowed, drifted=workload is drift_repair):
            _run_and_stop(site, at, how)
            _converge(site, at)
        assert site.current("prod") == wanted, at
        _whole_audit(site)
    record_property("steps", count)


def _converge(site: Site, at: int) -> None:
    """One more pass converges, and another one finds nothing to do."""
    with site.system() as system:
        runner = system.runner(lambda *_: None)
        system.tracker.look()
        status = runner.run(environment("prod")).status
        assert status.ready, (at, status)
        entries = len(list(system.world.store.audit()))
        assert runner.run(environment("prod")).status.ready
        assert len(list(system.world.store.audit())) == entries, f"step {at}: a converged pass wrote to the audit"


def _steps(site: Site) -> int:
    counting = Stop(0, "kill")
    assert site.reconcile(counting)["prod"].ready
    assert {step.split(":")[0] for step in counting.steps} >= {"store", "target"}, counting.steps
    return len(counting.steps)


def _restore(site: Site, backup: Path) -> None:
    for name in ("state", "live"):
        shutil.rmtree(site.folder / name, ignore_errors=True)
        if (backup / name).exists():
            _copy_with_times(backup / name, site.folder / name)


def _copy_with_times(source: Path, goal: Path) -> None:
    shutil.copytree(source, goal, symlinks=True)


def _run_and_stop(site: Site, at: int, how: str) -> None:
    """One pass in a child that is stopped at a step."""
    child = os.fork()
    if child == 0:
        try:
            with site.system(Stop(at, how)) as system:
                runner = system.runner(lambda *_: None)
                system.tracker.look()
                runner.run(environment("prod"))
        finally:
            os._exit(7)
    _, ended = os.waitpid(child, 0)
    assert os.WIFSIGNALED(ended) == (how == "kill"), f"step {at} was not reached"


def _whole_audit(site: Site) -> None:
    entries = site.audit()
    export = [line(entry) for entry in entries]
    export.append(trailer(len(entries), entries[-1].hash))
    assert verify(export).problems == ()
    intents = [entry.attempt for entry in entries if entry.kind == "intent"]
    outcomes = [entry.attempt for entry in entries if entry.kind == "outcome"]
    assert sorted(map(str, intents)) == sorted(map(str, outcomes)), "an intent without its one outcome"


@contextmanager
def _watched(site: Site, allowed: set[int | None], *, drifted: bool) -> Iterator[None]:
    """Read `current` all the while."""
    seen: list[object] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.001):
            try:
                run = site.current("prod")
            except FileNotFoundError:
                continue  # the release was replaced between two of our own reads
            except AssertionError as mixture:
                if not drifted:
                    seen.append(mixture)
                continue
            if run not in allowed:
                seen.append(run)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not seen, seen[:3]
