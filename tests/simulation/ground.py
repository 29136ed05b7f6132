"""Where the stories of governance begin: staging, and prod, which promotes from it after a minute."""

from __future__ import annotations

from collections.abc import Iterable

from tests.simulation.git import File
from tests.simulation.world import FakeWorld, Process

SOAK = 60
GAP = 30.0
STEP = 10


def prod(world: FakeWorld, run: int, **also: object) -> File:
    """Prod's declaration."""
    return world.file("prod", run, **{"after": ("staging",), "soak": SOAK, **also})


def ground() -> tuple[FakeWorld, Process]:
    """Prod ran 1 and runs 2; staging has just got 3. Prod promotes from staging from here on."""
    world = FakeWorld()
    world.gap = GAP
    process = world.boot()
    for run in (1, 2):
        world.merge({f"{name}.yaml": world.file(name, run) for name in ("prod", "staging")})
        process.round()
    world.merge({"prod.yaml": prod(world, 2), "staging.yaml": world.file("staging", 3)})
    process.round()
    assert (world.runs_live("staging"), world.runs_live("prod")) == (3, 2)
    return world, process


def watch(world: FakeWorld, process: Process, seconds: int = SOAK, names: Iterable[str] = ("staging",)) -> None:
    """Time goes by under the daemon's eyes; each look takes a second of it."""
    for _ in range(seconds // STEP):
        world.clock.seconds += STEP - len(tuple(names))
        for name in names:
            process.run(name)
