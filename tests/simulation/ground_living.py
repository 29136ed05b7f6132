"""Where the stories of living deployments begin: prod ran 1, runs 2, and is asked for its health."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.model import Attempt, EnvironmentName, Outcome, Service
from tests.simulation.git import File
from tests.simulation.running import WITHIN, Character
from tests.simulation.world import FakeWorld, Process

PROD = EnvironmentName("prod")
TOKEN = "PROD_TOKEN"


def service(world: FakeWorld, run: int, **also: object) -> File:
    """Prod's declaration: started by a command with config and a secret, and asked for its health."""
    told: dict[str, object] = {"activate": "command", "config": "one", "secret": TOKEN, "within": WITHIN, **also}
    return world.file("prod", run, **told)


def living(**also: object) -> tuple[FakeWorld, Process]:
    """Run 2 is live and well."""
    world = FakeWorld()
    world.units.keep(TOKEN, "1")
    process = world.boot()
    for run in (1, 2):
        world.merge({"prod.yaml": service(world, run, **also)})
        process.round()
        process.wait(1)
    assert process.run("prod").ready
    assert runs(world) == (2, "one", "canary-1")
    return world, process


def runs(world: FakeWorld) -> tuple[int, str, str] | None:
    """What is started: its run, config and secret."""
    started = world.units.unit("prod").started
    if started is None:
        return None
    told = dict(line.rstrip('"').split('="') for line in started.given.splitlines())
    return started.run, told.get("CONFIG", ""), told.get("SECRET", "")


def remembered(world: FakeWorld) -> Service:
    """What prod's target remembers of how it runs."""
    found = world.place("prod").service
    assert found
    return found


def attempts(world: FakeWorld) -> list[Attempt]:
    """All that were begun for prod, oldest first."""
    mine = [one for one in world.store.memory.attempts.values() if one.environment == PROD]
    return [one for one in mine if one.outcome is not Outcome.REFUSED]


def told(world: FakeWorld) -> list[str]:
    """The same in words, from the third on: the first two brought what runs."""
    return [f"{one.action} {one.declared.run_id} {one.outcome or 'goes on'}" for one in attempts(world)[2:]]


def begins(world: FakeWorld) -> Callable[[], tuple[int, int, int]]:
    """Counts what begins from now on: attempts, starts, and switches."""
    unit, steps = world.units.unit("prod"), world.faults.steps
    was = len(attempts(world)), len(unit.starts), steps.count("target:switch:done")

    def since() -> tuple[int, int, int]:
        now = len(attempts(world)), len(unit.starts), steps.count("target:switch:done")
        return now[0] - was[0], now[1] - was[1], now[2] - was[2]

    return since


def fails(world: FakeWorld, run: int, character: Character = Character.BAD, **also: object) -> None:
    """A run that does not come to life is let in."""
    world.units.characters[run] = character
    world.merge({"prod.yaml": service(world, run, **also)})


LONG = 40
"""Seconds in which everything that is going to be done is done."""


def settle(process: Process) -> None:
    """A look, and all that follows from it."""
    process.round()
    process.wait(LONG)


def check_stays(world: FakeWorld, process: Process, again: Callable[[], Process] | None = None) -> None:
    """Nothing is begun any more, by this process or the next."""
    since = begins(world)
    for _ in range(6):
        process.round()
        process.run("prod")
        process.wait(3)
    process = again() if again else world.boot()
    for _ in range(3):
        process.round()
        process.wait(LONG)
    assert since() == (0, 0, 0), told(world)


def held(world: FakeWorld) -> None:
    """Run 3 does not come to life, and stays."""
    fails(world, 3, rollback="hold")


def rolled_back(world: FakeWorld) -> None:
    """Run 3 does not come to life, and goes."""
    fails(world, 3)
