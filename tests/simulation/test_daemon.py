"""The real daemon, with its threads, in the fake world: what must not end its loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from reconciler.errors import Reason, Transient
from reconciler.loop import daemon as daemon_module
from reconciler.loop.daemon import Chore, Daemon, Pace
from reconciler.loop.runner import Result
from reconciler.machine.clock import SystemClock
from reconciler.model import EnvironmentName, OperatorHand, Run, RunId
from reconciler.ports import Clock
from tests.simulation.faults import ManualClock
from tests.simulation.git import File
from tests.simulation.world import GOOD, NOBODY, FakeWorld, Process

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
    poll: float = 0.01,
    drift: float = 1000.0,
    watched: Iterable[Path] = (),
    behind: Iterable[Callable[[], object]] = (),
) -> Iterator[Daemon]:
    process = process or world.boot()
    pace = Pace(poll=poll, drift=drift, stop=SECONDS, workers=2)
    parts = (process.tracker, process.runner, pace, clock or Ticking(), Random(1))
    daemon = Daemon(*parts, watched=lambda: watched, chores=chores, farewells=farewells, trouble=trouble, behind=behind)
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


def test_passes_that_fail_again_and_again_keep_no_other_environment_waiting() -> None:
    world = FakeWorld()
    failing = [f"fails{n}" for n in range(20)]
    world.merge({f"{name}.yaml": world.file(name, 1) for name in failing} | {"zz.yaml": world.file("zz", 2)})
    stuck, go_on = threading.Event(), threading.Event()
    process, passes = world.boot(), list[str]()
    run = process.runner.run

    def failed(environment: EnvironmentName) -> Result:
        result = run(environment)
        passes.append(environment)
        if environment == "zz":
            return result
        if len(passes) > len(failing) + 1:  # a retry
            stuck.set()
            go_on.wait(10 * SECONDS)
        return replace(result, failures=1)

    process.runner.run = failed  # type: ignore[method-assign]
    with running(world, process, SystemClock(), poll=0.2):
        assert stuck.wait(SECONDS)
        for number in (3, 4, 5):
            world.merge({"zz.yaml": world.file("zz", number)})
            assert comes(lambda number=number: world.runs_live("zz") == number)  # type: ignore[misc]
        assert len(set(passes)) == len(failing) + 1
        go_on.set()


def test_what_asks_a_source_that_is_out_lets_all_others_go_first_and_asks_it_all_the_same() -> None:
    world = FakeWorld()
    failing, well = [f"a{n}" for n in range(20)], [f"z{n}" for n in range(20)]
    world.merge({f"{name}.yaml": of_source("ci", world.file(name, 1)) for name in failing})
    world.merge({f"{name}.yaml": of_source("spare", world.file(name, 2)) for name in well})
    process, passes = world.boot(), list[str]()
    run, (_, rules) = process.runner.run, process.parts.sources["ci"]
    process.parts.sources["spare"] = (copy(world.ci), rules)  # type: ignore[index]

    def out(run_id: RunId) -> Run:
        raise Transient(Reason.SOURCE_UNAVAILABLE, f"answers 503 for run {run_id}")

    def told(environment: EnvironmentName) -> Result:
        passes.append(environment)
        return run(environment)

    world.ci.run = out  # type: ignore[method-assign]
    process.runner.run = told  # type: ignore[method-assign]
    with running(world, process, SystemClock(), poll=SECONDS):
        assert comes(lambda: set(passes) == {*failing, *well})
        assert comes(lambda: all(world.runs_live(name) == 2 for name in well))  # the last pass has only begun
    first = list(dict.fromkeys(passes))
    assert sum(name in failing for name in first[: first.index("z9")]) < 10, "three, and what was under way by then"


def of_source(name: str, file: File) -> bytes:
    return file.data.replace(b"artifact: {", f"artifact: {{source: {name}, ".encode())


def test_what_is_as_it_should_be_gets_glances_and_no_passes() -> None:
    world = two_environments()
    process = world.boot()
    with running(world, process, SystemClock(), drift=0.02):
        assert comes(lambda: process.runner.skipped > 20)
        before, wrote = world.faults.steps.count("target:observe"), world.writes.copy()
        assert comes(lambda: process.runner.skipped > 60)
        assert world.faults.steps.count("target:observe") == before
        assert world.writes == wrote
        world.drift("prod")
        assert comes(lambda: world.faults.steps.count("target:observe") > before)
        assert comes(lambda: is_whole(world))


def is_whole(world: FakeWorld) -> bool:
    live = world.place("prod").live
    return live is not None and not live.drifted


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


def test_who_tells_of_changes_is_called_behind_each_pass_that_made_one_and_no_other() -> None:
    """At once: the next poll may be far off."""
    world = two_environments()
    calls: list[int] = []
    with running(world, poll=1000.0, behind=[lambda: calls.append(1)]) as daemon:
        assert comes(lambda: len(calls) == 2), "one for each environment that was deployed"
        daemon.look_at([EnvironmentName("prod"), EnvironmentName("dev")])
        assert comes(lambda: daemon.busy == 0 and daemon.waiting == 0)
        world.merge({"prod.yaml": world.file("prod", 3)})
        daemon.wake()
        assert comes(lambda: world.runs_live("prod") == 3)
        assert comes(lambda: len(calls) >= 3)
    assert len(calls) == 3, "nothing changed in the passes between"


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


# --- woken: the clock stands, so that nothing comes due by itself ---------------------------------

NEVER = 1e6


@contextmanager
def asleep(
    world: FakeWorld, process: Process | None = None, chores: Iterable[Chore] = (), clock: Clock | None = None
) -> Iterator[Daemon]:
    """A daemon that looked once, and would look again in days."""
    with running(world, process, clock or ManualClock(), chores, poll=NEVER) as daemon:
        assert comes(lambda: daemon.ready)
        yield daemon


def held_for_want_of_an_approval(world: FakeWorld) -> Callable[[], None]:
    """A merge that nobody approved; returns how the approval comes, without a move of the branch."""
    commit = world.merge({"prod.yaml": world.file("prod", 1)}, NOBODY)
    head = world.forge.merges[commit].head
    return lambda: world.note(commit, head, GOOD)


def is_held(world: FakeWorld) -> bool:
    status = world.store.memory.statuses.get(EnvironmentName("prod"))
    return status is not None and not status.ready


def test_a_wake_finds_what_was_merged() -> None:
    world = two_environments()
    with asleep(world) as daemon:
        assert comes(lambda: world.runs_live("prod") == 1)
        world.merge({"prod.yaml": world.file("prod", 3)})
        daemon.wake()
        assert comes(lambda: world.runs_live("prod") == 3)


@pytest.mark.parametrize("away", ["", "repository:head", "store:read:hands"])
def test_a_wake_lets_on_what_was_held_although_the_branch_did_not_move(away: str) -> None:
    world = FakeWorld()
    approve = held_for_want_of_an_approval(world)
    with asleep(world) as daemon:
        assert comes(lambda: is_held(world))
        world.faults.down = {away} if away else set()
        approve()
        daemon.wake()
        assert comes(lambda: world.runs_live("prod") == 1)


def test_a_wake_in_the_middle_of_a_pass_gives_it_another_one() -> None:
    world = FakeWorld()
    approve = held_for_want_of_an_approval(world)
    process = world.boot()
    looks = counted(process)
    daemons: list[Daemon] = []

    def meanwhile() -> None:  # the forge was asked by now
        approve()
        assert comes(lambda: bool(daemons))
        daemons[0].wake()
        assert comes(lambda: looks() == 2)

    world.faults.meanwhile["store:refuse"] = meanwhile
    with running(world, process, ManualClock(), poll=NEVER) as daemon:
        daemons.append(daemon)
        assert comes(lambda: world.runs_live("prod") == 1)


def test_a_wake_for_requests_alone_gives_nothing_a_pass() -> None:
    world = FakeWorld()
    held_for_want_of_an_approval(world)
    process, passes, done = world.boot(), list[str](), list[int]()
    run = process.runner.run

    def counting(environment: EnvironmentName) -> Result:
        passes.append(environment)
        return run(environment)

    process.runner.run = counting  # type: ignore[method-assign]
    with asleep(world, process, [Chore(NEVER, lambda: done.append(1), eager=True)]) as daemon:
        assert comes(lambda: is_held(world))
        for number in (1, 2, 3):
            daemon.wake(passes=False, chores=True)
            assert comes(lambda number=number: len(done) == number)  # type: ignore[misc]
    assert passes == ["prod"]


def test_a_wake_is_one_look_and_no_loop() -> None:
    world = FakeWorld()
    held_for_want_of_an_approval(world)
    process, done = world.boot(), list[int]()
    looks = counted(process)
    with asleep(world, process, [Chore(NEVER, lambda: done.append(1), eager=True)]) as daemon:
        assert comes(lambda: is_held(world))
        daemon.wake(chores=True)
        assert comes(lambda: done == [1])
        threading.Event().wait(0.1)
        assert looks() == 2


def test_only_eager_chores_are_done_before_their_time_and_only_when_they_are_asked_for() -> None:
    world = two_environments()
    process, done = world.boot(), list[str]()
    looks = counted(process)
    chores = [Chore(NEVER, lambda: done.append("patient")), Chore(NEVER, lambda: done.append("eager"), eager=True)]
    with asleep(world, process, chores) as daemon:
        daemon.wake()
        assert comes(lambda: looks() == 2)
        daemon.wake(chores=True)
        assert comes(lambda: done == ["eager"])
        daemon.wake()
        assert comes(lambda: looks() == 4)
    assert done == ["eager"]


def test_a_touch_is_looked_at_at_once_and_only_there() -> None:
    world = two_environments()
    process, glances = world.boot(), list[str]()
    rest = process.runner.at_rest

    def counting(environment: EnvironmentName) -> bool:
        glances.append(environment)
        return rest(environment)

    process.runner.at_rest = counting  # type: ignore[method-assign]
    clock = ManualClock()
    with asleep(world, process, clock=clock) as daemon:
        assert comes(lambda: (world.runs_live("prod"), world.runs_live("dev")) == (1, 2))
        assert comes(lambda: not daemon.busy)
        glances.clear()
        world.drift("prod")
        daemon.touched([EnvironmentName("prod")])
        assert comes(lambda: is_whole(world))
        assert glances == ["prod"]
        assert comes(lambda: not daemon.busy)
        clock.seconds += 0.5
        for _ in range(100):
            daemon.touched([EnvironmentName("prod")])
        threading.Event().wait(0.1)
        assert glances == ["prod"]
        clock.seconds += 0.6
        daemon.touched([])
        assert comes(lambda: glances == ["prod", "prod"])


def test_what_happens_beside_git_gives_a_pass_in_full() -> None:
    world = two_environments()
    process = world.boot()
    with asleep(world, process) as daemon:
        assert comes(lambda: world.runs_live("dev") == 2)
        assert comes(lambda: not daemon.busy)
        for number in range(3):
            before = world.faults.steps.count("target:observe")
            daemon.look_at([EnvironmentName("dev")])
            assert comes(lambda before=before: world.faults.steps.count("target:observe") == before + 1), number  # type: ignore[misc]


@pytest.mark.parametrize("kernel", [True, False], ids=["by inotify", "without it"])
def test_a_change_in_a_watched_folder_is_a_look(kernel: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not kernel:
        monkeypatch.setattr(daemon_module, "Inotify", no_inotify)
    world = two_environments()
    process = world.boot()
    looks = counted(process)
    with running(world, process, ManualClock(), poll=NEVER, watched=[tmp_path, tmp_path / "nothing"]) as daemon:
        assert comes(lambda: daemon.ready)
        for number in (3, 4, 5):
            world.merge({"prod.yaml": world.file("prod", number)})
            # Watching may begin after the first look: somebody pushes again and again.
            assert comes(lambda number=number: pushed(tmp_path) and world.runs_live("prod") == number)  # type: ignore[misc]
    assert looks() >= 4


def no_inotify(_: object) -> None:
    raise OSError("none")


def pushed(folder: Path) -> bool:
    (folder / "main").write_text("a")
    return True


def test_it_is_ready_when_the_repository_was_looked_at_once() -> None:
    world = two_environments()
    world.faults.down = {"repository:head"}
    troubles: list[object] = []
    with running(world, clock=ManualClock(), poll=NEVER, trouble=troubles.append) as daemon:
        assert comes(lambda: bool(troubles))
        assert not daemon.ready
        world.faults.down = set()
        daemon.wake()
        assert comes(lambda: daemon.ready)


def counted(process: Process) -> Callable[[], int]:
    """How often a process has looked at the branch."""
    looks: list[int] = []
    look = process.tracker.look

    def counting() -> frozenset[EnvironmentName]:
        try:
            return look()
        finally:
            looks.append(1)

    process.tracker.look = counting  # type: ignore[method-assign]
    return lambda: len(looks)
