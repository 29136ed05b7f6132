"""What each gate between environments does to each action: one table, on the whole product, and each cell foreseen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from reconciler.errors import Reason
from reconciler.model import EnvironmentName
from tests.simulation.foresight import foreseen
from tests.simulation.git import File
from tests.simulation.ground import SOAK, ground, prod, watch
from tests.simulation.policy import PATH, Policy, Window
from tests.simulation.world import FakeWorld, Process

YEAR = 365 * 86_400

# held: live stays as it is. mended: what is declared is held, and what is live is repaired all the same.
TABLE = """
state               reason             promote  rollback  repair  config  move  first
open                -                  done     done      done    done    done  done
frozen              Frozen             held     done      done    done    held  held
revoked             Revoked            held     held      mended  held    held  held
not in upstream     NotInUpstream      held     done      done    done    done  held
upstream unhealthy  UpstreamUnhealthy  held     done      done    done    done  held
soaking             Soaking            held     done      done    done    done  held
suspended           Suspended          held     held      held    held    held  held
forge down          ForgeUnavailable   held     held      done    held    held  held
policy unreadable   InvalidDeclaration held     held      mended  held    held  held
clock behind        Frozen             held     done      done    done    held  held
"""


@dataclass(frozen=True)
class Deed:
    """Something that people, or a disk, want of the product."""

    name: str
    run: int
    """The artifact that it is about."""
    change: Callable[[FakeWorld], File | None]
    """The declaration that asks for it; None: nobody declares anything."""
    path: str = "/srv/prod"

    @property
    def environment(self) -> str:
        return "eu" if self.path == "/srv/eu" else "prod"


DEEDS = {
    deed.name: deed
    for deed in (
        Deed("promote", 3, lambda world: prod(world, 3)),
        Deed("rollback", 1, lambda world: prod(world, 1)),
        Deed("repair", 2, lambda world: None),
        Deed("config", 2, lambda world: prod(world, 2, keep=3)),
        Deed("move", 2, lambda world: prod(world, 2, path="/srv/prod-2"), "/srv/prod-2"),
        Deed("first", 3, lambda world: prod(world, 3, path="/srv/eu"), "/srv/eu"),
    )
}


def open_(world: FakeWorld, process: Process, deed: Deed) -> None:
    """Nothing stands in the way."""


def frozen(world: FakeWorld, process: Process, deed: Deed) -> None:
    world.merge({PATH: Policy(freeze=(Window(0, YEAR, ("prod", "eu")),))})


def revoked(world: FakeWorld, process: Process, deed: Deed) -> None:
    world.merge({PATH: Policy(runs=(deed.run,))})


def not_in_upstream(world: FakeWorld, process: Process, deed: Deed) -> None:
    world.merge({"staging.yaml": world.file("staging", 4)})
    process.round()
    watch(world, process)


def upstream_unhealthy(world: FakeWorld, process: Process, deed: Deed) -> None:
    world.drift("staging")


def soaking(world: FakeWorld, process: Process, deed: Deed) -> None:
    world.replace_and_restore("staging")
    process.run("staging")


def suspended(world: FakeWorld, process: Process, deed: Deed) -> None:
    world.hand(deed.environment, "suspend", suspended=True)


def forge_down(world: FakeWorld, process: Process, deed: Deed) -> None:
    world.faults.down = {"forge"}


def policy_unreadable(world: FakeWorld, process: Process, deed: Deed) -> None:
    world.push({PATH: b"version: ["})


def clock_behind(world: FakeWorld, process: Process, deed: Deed) -> None:
    world.merge({PATH: Policy(freeze=(Window(2 * YEAR, 3 * YEAR),))})
    process.round()
    world.clock.jump(-YEAR)


STATES = {
    state.__name__.strip("_").replace("_", " "): state
    for state in (
        *(open_, frozen, revoked, not_in_upstream, upstream_unhealthy, soaking, suspended, forge_down),
        *(policy_unreadable, clock_behind),
    )
}


def cells() -> list[tuple[str, str, str, str]]:
    """State, deed, reason, and what must come of it."""
    head, *rows = TABLE.strip("\n").splitlines()
    names = head.split()[2:]
    split = [(row[:20].strip(), *row[20:].split()) for row in rows]
    return [(state, name, reason, end) for state, reason, *ends in split for name, end in zip(names, ends, strict=True)]


def test_the_table_has_every_state_and_every_deed() -> None:
    assert [(state, name) for state, name, _, _ in cells()] == [(state, name) for state in STATES for name in DEEDS]


def done(world: FakeWorld, deed: Deed) -> bool:
    """Whether it came about."""
    place = world.targets.places.get(deed.path)
    live = place and place.live
    if not place or not live or live.drifted or live.release.run_id != deed.run:
        return False
    declared = world.git.nodes[place.accepted.commit].files[f"{deed.environment}.yaml"] if place.accepted else None
    wanted = deed.change(world)
    return wanted is None or declared == wanted.data


@pytest.mark.parametrize(
    ("state", "name", "reason", "end"),
    [pytest.param(*cell, id=f"{cell[0]}: {cell[1]} is {cell[3]}") for cell in cells()],
)
def test_what_comes_of_each_action_at_each_gate(state: str, name: str, reason: str, end: str) -> None:
    deed = DEEDS[name]
    world, process = ground()
    watch(world, process, SOAK + 20)
    STATES[state](world, process, deed)
    change = deed.change(world)
    if change is None:
        world.drift("prod")
    else:
        world.merge({f"{deed.environment}.yaml": change})
    assert not done(world, deed)
    process.look()
    status = foreseen(world, process, deed.environment).status
    assert status.reason == (None if end == "done" else Reason(reason)), status.message
    assert done(world, deed) == (end != "held")
    if end == "held":
        assert world.runs_live("prod") == 2
    assert status.hint or status.reason is None


def test_what_was_held_goes_on_by_itself_when_its_window_opens() -> None:
    world, process = ground()
    watch(world, process, SOAK + 20)
    closes = int(world.clock.wall) + 300
    world.merge({PATH: Policy(freeze=(Window(0, closes, ("prod",)),)), "prod.yaml": prod(world, 3)})
    assert process.verdict()[1] is Reason.FROZEN
    (word,) = [word for word in process.last[EnvironmentName("prod")].status.gates if word.reason]
    assert word.not_before
    assert (word.not_before - world.clock.now()).total_seconds() == closes - world.clock.wall
    while world.clock.wall + 10 < closes:
        watch(world, process, 10, ("staging", "prod"))
        assert world.runs_live("prod") == 2
    watch(world, process, 20, ("staging", "prod"))
    assert world.runs_live("prod") == 3


def test_a_live_release_that_is_revoked_is_flagged_and_stays() -> None:
    world, process = ground()
    world.merge({PATH: Policy(runs=(2,))})
    status = process.round()["prod"]
    assert (status.reason, str(status.health)) == (Reason.REVOKED, "Degraded")
    assert world.runs_live("prod") == 2
    world.merge({"prod.yaml": prod(world, 3)})
    status = process.round()["prod"]
    assert (status.reason, str(status.health)) == (Reason.SOAKING, "Degraded")
    assert "revoked" in status.message
    assert world.runs_live("prod") == 2


def test_a_rollback_to_what_was_revoked_is_said_not_to_work() -> None:
    world, process = ground()
    before = process.run("prod").rollback
    assert before
    assert (before.release.partition("-")[0], before.ready) == ("1", True)
    world.merge({PATH: Policy(runs=(1,))})
    found = process.round()["prod"].rollback
    assert found
    assert (found.release, found.ready, found.why) == (before.release, False, "it is revoked: bad")


def test_what_a_deployment_leaves_behind_is_no_way_back_when_it_is_revoked() -> None:
    world, process = ground()
    world.merge({PATH: Policy(runs=(2,)), "prod.yaml": prod(world, 1)})
    found = process.round()["prod"].rollback
    assert world.runs_live("prod") == 1
    assert found
    assert (found.release.partition("-")[0], found.ready, found.why) == ("2", False, "it is revoked: bad")
