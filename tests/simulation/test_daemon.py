"""The real daemon, with its threads, in the fake world: what must not end its loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from random import Random

import pytest

from reconciler.clock import SystemClock
from reconciler.daemon import Chore, Daemon, Pace
from reconciler.model import EnvironmentName, OperatorHand
from reconciler.ports import Clock
from reconciler.runner import Result
from tests.simulation.faults import ManualClock
from tests.simulation.world import FakeWorld, Process

SECONDS = 5.0
"""How long a test waits for what must happen; it happens within a few hundredths."""


class Ticking(ManualClock):
    """A clock for the scheduler: each look at it is a millisecond later."""

    def monotonic(self) -> float:
        self.seconds += 0.001
        return self.seconds


@contextmanager
def running(
    world: FakeWorld,
    process: Process | None = None,
    clock: Clock | None = None,
    chores: Iterable[Chore] = (),
    farewells: Iterable[Callable[[], object]] = (),
    trouble: Callable[[Exception | None], None] = lambda problem: None,
) -> Iterator[Daemon]:
    process = process or world.boot()
    pace = Pace(poll=0.01, drift=1000.0, stop=SECONDS, workers=2)
    parts = (process.tracker, process.runner, pace, clock or Ticking(), Random(1))
    daemon = Daemon(*parts, watched=lambda: (), chores=chores, farewells=farewells, trouble=trouble)
    thread = threading.Thread(target=daemon.run)
    thread.start()
    try:
        yield daemon
    finally:
        daemon.stop()
        thread.join(SECONDS)
    assert not thread.is_alive()


def comes(true: Callable[[], bool]) -> bool:
    """Whether something comes about in time."""
    pause = threading.Event()
    return any(true() or pause.wait(0.01) for _ in range(int(SECONDS / 0.01)))


def two_environments() -> FakeWorld:
    world = FakeWorld()
    world.merge({"prod.yaml": world.file("prod", 1), "dev.yaml": world.file("dev", 2)})
    return world


def test_it_deploys_and_follows_the_branch() -> None:
    world = two_environments()
    with running(world):
        assert comes(lambda: (world.runs_live("prod"), world.runs_live("dev")) == (1, 2))
        world.merge({"prod.yaml": world.file("prod", 3)})
        assert comes(lambda: world.runs_live("prod") == 3)


@pytest.mark.parametrize("step", ["store:read:hands", "store:tip", "store:read:statuses", "repository:head"])
def test_a_poll_that_failed_is_not_the_last_one(step: str) -> None:
    world = two_environments()
    with running(world):
        assert comes(lambda: (world.runs_live("prod"), world.runs_live("dev")) == (1, 2))
        world.faults.fail_at = step
        world.merge({"prod.yaml": world.file("prod", 3)})
        assert comes(lambda: world.runs_live("prod") == 3)


def test_a_hand_laid_on_before_there_is_a_branch_ends_no_worker() -> None:
    world = FakeWorld()
    with running(world):
        for name in ("prod", "dev", "other"):
            hand = OperatorHand(by="ops", reason="first of all")
            world.store.save_hand(EnvironmentName(name), hand, "resume", world.clock.now())
        threading.Event().wait(0.1)
        world.merge({"prod.yaml": world.file("prod", 1)})
        assert comes(lambda: world.runs_live("prod") == 1)


def test_passes_that_hang_keep_no_other_environment_waiting() -> None:
    world = FakeWorld()
    slow = [f"slow{n}" for n in range(6)]
    world.merge({f"{name}.yaml": world.file(name, 1) for name in slow} | {"zz.yaml": world.file("zz", 2)})
    go_on = threading.Event()
    process = world.boot()
    run = process.runner.run

    def hanging(environment: EnvironmentName) -> Result:
        if environment.startswith("slow"):
            go_on.wait(10 * SECONDS)
        return run(environment)

    process.runner.run = hanging  # type: ignore[method-assign]
    with running(world, process, SystemClock()):
        assert any(comes(lambda: world.runs_live("zz") == 2) for _ in range(3))
        assert world.runs_live("slow0") is None
        go_on.set()
        assert comes(lambda: all(world.runs_live(name) == 1 for name in slow))


def test_a_chore_that_fails_is_told_and_done_again_and_stops_no_pass() -> None:
    world = two_environments()
    done: list[int] = []
    told: list[Exception] = []

    def chore() -> None:
        done.append(1)
        raise ValueError("no room")

    with running(world, chores=[Chore(0.0, chore)], trouble=lambda problem: told.append(problem) if problem else None):
        assert comes(lambda: len(done) >= 2 and len(told) >= 2)
        world.merge({"prod.yaml": world.file("prod", 3)})
        assert comes(lambda: world.runs_live("prod") == 3)
    assert {type(problem) for problem in told} == {ValueError}


def test_a_chore_waits_for_its_time() -> None:
    world = two_environments()
    done: list[str] = []
    chores = [Chore(1e9, lambda: done.append("in thirty years")), Chore(0.0, lambda: done.append("now"))]
    with running(world, chores=chores):
        assert comes(lambda: "now" in done)
    assert "in thirty years" not in done


def test_every_farewell_is_said_after_the_last_pass_also_behind_one_that_fails() -> None:
    world = two_environments()
    said: list[str] = []

    def failing() -> None:
        raise ValueError("no store")

    with running(world, farewells=[failing, lambda: said.append("bye")]):
        assert comes(lambda: world.runs_live("prod") == 1)
        assert not said
    assert said == ["bye"]
