"""What can happen to what runs, in a random history: one function each, and how often: the table at the end."""

from __future__ import annotations

from tests.simulation.history import NAMES, SECRETS, History
from tests.simulation.moves import DAEMON, DISKS, EVERYTHING, PEOPLE


def rotate_secret(h: History) -> str:
    name = h.random.choice(SECRETS)
    h.world.units.keep(name, f"{len(h.told)}")
    return name


def lose_secret(h: History) -> str:
    name = h.random.choice(SECRETS)
    h.world.units.keep(name, None)
    return name


def stop_unit(h: History) -> str:
    name = h.random.choice(NAMES)
    h.world.units.unit(name).dead = True
    return name


def sicken(h: History) -> str:
    name = h.random.choice(NAMES)
    unit = h.world.units.unit(name)
    unit.sick = not unit.sick
    return f"{name}: {unit.sick}"


def get_well(h: History) -> str:
    for name in NAMES:
        h.world.units.unit(name).sick = False
    return ""


def crash_at_the_start(h: History) -> str:
    steps = ("activator:start", "activator:start:done", "target:deliver", "target:deliver:done")
    h.world.faults.cut_at = h.random.choice((*steps, "target:remember", "target:remember:done"))
    return f"at the next {h.world.faults.cut_at}"


def fail_at_the_start(h: History) -> str:
    steps = ("activator:start", "target:deliver", "target:deliver:done", "target:remember", "target:remember:done")
    h.world.faults.fail_at = h.random.choice(steps)
    return f"at the next {h.world.faults.fail_at}"


def thorough_look(h: History) -> str:
    """Its time has come."""
    h.world.clock.seconds += 60
    return ""


LIVING = (
    *(EVERYTHING + PEOPLE * 2 + DAEMON + DISKS),
    *(*(History.wait,) * 30, *(rotate_secret,) * 4, lose_secret, stop_unit, stop_unit, sicken, get_well, get_well),
    *(*(crash_at_the_start,) * 8, *(fail_at_the_start,) * 4, thorough_look),
)
