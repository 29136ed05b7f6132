"""Each way to bring a release to life, and back, stopped at each of its steps: one more pass, and it is as without.

A power cut, an answer that is an error, and a disk that is full for a while: from one step on nothing is written to the
target. What counts is the state at the end; each attempt has one outcome, and what failed is not tried again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from reconciler.errors import ReconcilerError
from tests.simulation.faults import WRITES, PowerCut
from tests.simulation.ground_living import PROD, TOKEN, begins, fails, living, runs, service
from tests.simulation.oracle import Oracle
from tests.simulation.running import BAD_CONFIG, Character
from tests.simulation.world import FakeWorld, Process

LONG = 16
SAMPLED = 1
"""Times that each question fails once; later ones are the same question again."""


def upgrade(world: FakeWorld) -> None:
    world.merge({"prod.yaml": service(world, 3)})


def upgrade_that_fails(world: FakeWorld) -> None:
    fails(world, 3)


def upgrade_that_is_refused(world: FakeWorld) -> None:
    fails(world, 3, Character.REFUSES, config="three")


def upgrade_that_fails_and_is_held(world: FakeWorld) -> None:
    fails(world, 3, rollback="hold")


def changed_config(world: FakeWorld) -> None:
    world.merge({"prod.yaml": service(world, 2, config="other")})


def changed_config_that_fails(world: FakeWorld) -> None:
    world.merge({"prod.yaml": service(world, 2, config=BAD_CONFIG)})


def rotated_secret(world: FakeWorld) -> None:
    world.units.keep(TOKEN, "2")


def drift(world: FakeWorld) -> None:
    world.drift("prod")


def stopped_unit(world: FakeWorld) -> None:
    world.units.unit("prod").dead = True


def declared_rollback(world: FakeWorld) -> None:
    world.merge({"prod.yaml": service(world, 1)})


WORKLOADS = (
    *(upgrade, upgrade_that_fails, upgrade_that_is_refused, upgrade_that_fails_and_is_held, changed_config),
    *(changed_config_that_fails, rotated_secret, drift, stopped_unit, declared_rollback),
)
Workload = Callable[[FakeWorld], None]


def ground(workload: Workload) -> tuple[FakeWorld, Process]:
    kind = "systemd" if workload is stopped_unit else "command"
    world, process = living(activate=kind)
    workload(world)
    return world, process


def work(process: Process) -> None:
    """A look, what is due, the timers' pass, and what the checks bring about."""
    process.round()
    process.run("prod")
    process.wait(LONG)


def state(world: FakeWorld) -> dict[str, object]:
    """What counts at the end."""
    place, status = world.place("prod"), world.store.memory.statuses[PROD]
    known, unit = place.service, world.units.unit("prod")
    return {
        "live": place.live and (place.live.release.run_id, place.live.drifted),
        "accepted": place.accepted and place.accepted.declaration,
        "runs": (runs(world), unit.dead),
        "status": (status.sync, status.health, status.reason),
        "good": known and known.good and known.good.declaration,
        "failed": known and known.failed and known.failed.declaration,
    }


def steps_of(workload: Workload) -> tuple[list[str], dict[str, object]]:
    world, process = ground(workload)
    world.faults.steps.clear()
    work(process)
    return list(world.faults.steps), state(world)


def interrupted(workload: Workload, number: int, kind: str) -> tuple[FakeWorld, Process]:
    """The same with one fault, and one more pass behind it."""
    world, process = ground(workload)
    world.faults.nth = number if kind == "power cut" else -number
    world.faults.full = kind == "full disk"
    try:
        work(process)
    except PowerCut:
        process, world.faults.current = world.boot(), None
    except ReconcilerError:
        process = world.boot()
    world.faults.stop()
    world.faults.struck.clear()
    work(process)
    return world, process


def problem(world: FakeWorld, process: Process, expected: dict[str, object]) -> str:
    """What is not as without the fault; empty when nothing is."""
    found = state(world)
    differing = {key: (found[key], expected[key]) for key in expected if found[key] != expected[key]}
    since = begins(world)
    world.lose_store()
    process = world.boot()
    work(process)
    work(process)
    after = state(world)
    lost = {key: (after[key], expected[key]) for key in expected if after[key] != expected[key]}
    begun = since()[1:]
    return f"{differing or ''}{lost or ''}{begun if any(begun) else ''}"


def worth_stopping(steps: list[str], kind: str) -> list[tuple[int, str]]:
    """Where a fault of a kind makes a difference: where nothing is written, the power may as well go a step later."""
    found, seen = list[tuple[int, str]](), Counter[str]()
    for number, step in enumerate(steps, 1):
        seen[step] += 1
        writes = step.startswith(("target:", "activator:", "store:")) and "read" not in step
        reads = step.startswith(("store:read", "repository", "target:glance", "target:observe", "forge", "custody"))
        if kind == "full disk" and step not in [f"target:{write}" for write in WRITES]:
            continue
        if kind == "failure" and step.startswith("activator:"):
            continue  # an activation that fails is a verdict on the release
        if (writes and not reads) or (kind == "failure" and seen[step] <= SAMPLED):
            found.append((number, step))
    return found


@pytest.mark.parametrize("kind", ["power cut", "failure", "full disk"])
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.__name__.replace("_", " "))
def test_stopped_at_any_step_what_runs_in_the_end_is_the_same(workload: Workload, kind: str) -> None:
    steps, expected = steps_of(workload)
    problems = []
    for number, step in worth_stopping(steps, kind):
        world, process = interrupted(workload, number, kind)
        Oracle(world).check_record()
        if found := problem(world, process, expected):
            problems.append(f"{number} {step}: {found}")
    assert not problems, "\n".join(problems)
