"""A process of the daemon in the fake world: made anew after each crash from what is durable.

What the daemon would do is a method of it. Everything the product itself decides is decided by the product: tracker,
catalog, runner, pass and judges are the real ones.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.chores.plans import Plans
from reconciler.chores.retention import collect
from reconciler.declarations.catalog import Catalog
from reconciler.declarations.tracker import Tracker
from reconciler.errors import Reason, ReconcilerError
from reconciler.loop.runner import Result, Runner
from reconciler.model import CommitId, EnvironmentName, Status, Sync
from reconciler.pipeline import Fleet, Planned, Planner, Rulebook, Soaks
from tests.simulation.health import FakeChecks
from tests.simulation.running import FakeProbe, RotaChecks

if TYPE_CHECKING:
    from tests.simulation.world import FakeWorld


_NEVER = 1e12
"""Seconds to the first thorough look, which writes what it found of the releases that are kept."""


class Process:
    """What the daemon does, one thing at a time: a look at the branch, and passes of what is due."""

    def __init__(self, world: FakeWorld, holder: str) -> None:
        self._world = world
        self._holder = holder
        self.parts = parts = world.parts()
        self.catalog = Catalog(parts.repository, parts.bounds)
        self.tracker = Tracker(parts.repository, self.catalog, parts.store)
        self.checks = RotaChecks(FakeProbe(world.units), world)
        self.runner = Runner(parts, self.catalog, self.checks, holder, self._report, rehash=_NEVER)
        self.plans = Plans(parts, "main", Path("/nowhere"), world.open_requests)
        self.due: set[EnvironmentName] = set()
        self.last: dict[EnvironmentName, Result] = {}

    def _report(self, status: Status, previous: Status | None, problem: Exception | None) -> None:
        if problem is not None:
            raise AssertionError(f"the pass of {status.environment} broke") from problem

    def look(self) -> bool:
        """Look at the branch, as the daemon's poll does; False when it was out of reach."""
        self._world.clock.seconds += 1
        self._world.faults.struck.clear()
        self.check()
        try:
            asked_for = self.runner.asked_for()
            due = self.tracker.look()
            if self.tracker.has_declarations:
                due |= asked_for
            self.runner.disturb(due)
            self.due |= due
        except ReconcilerError:
            return False
        return True

    def run(self, name: str) -> Status:
        """One pass, or the glance in place of it that the daemon has to do with."""
        environment = EnvironmentName(name)
        self._world.clock.seconds += 1
        self._world.faults.struck.clear()
        self.check()
        self._world.faults.current, self._world.timeline.who = environment, self._holder
        self._world.tip_in_sight = self.catalog.tip
        try:
            if environment in self.last and self.runner.at_rest(environment):
                return self.last[environment].status
            result = self.runner.run(environment)
        finally:
            self._world.faults.current, self._world.timeline.who = None, ""
        self.last[environment] = result
        self.due.discard(environment)
        if result.failures:
            self.due.add(environment)
        return result.status

    def check(self) -> set[EnvironmentName]:
        """Make the checks that are due; whose health changed is due for a pass in full."""
        self.checks.go_on()
        woken, self.checks.woken = self.checks.woken, set()
        self.runner.disturb(woken)
        self.due |= woken
        return woken

    def wait(self, seconds: int) -> None:
        """Time goes by under the daemon's eyes: checks, and passes of what they change."""
        for _ in range(seconds):
            self._world.clock.seconds += 1
            for name in sorted(self.check()):
                self.run(name)

    def stop(self) -> None:
        """End as the daemon does when it is told to."""
        with suppress(ReconcilerError):
            self.runner.remember_soaks()

    def chore(self) -> None:
        """What the daemon does once a minute."""
        with suppress(ReconcilerError):
            self.runner.remember_soaks()

    def collect(self) -> int:
        """What the daemon does once an hour: how many copies went.

        Raises:
            ReconcilerError: Not everything can be looked at.
        """
        return collect(self.parts, self.catalog)

    def tell(self) -> bool:
        """What the daemon tells on open requests; False when not all of it could be told."""
        self._world.clock.seconds += 1
        self._world.faults.struck.clear()
        try:
            self.plans.tell()
        except ReconcilerError:
            return False
        return True

    def plan(self, name: str, merge: CommitId | None = None, onto: CommitId | None = None) -> Planned:
        """What `reconciler plan` would say now; of the tip that was seen, or of a commit that is only proposed."""
        parts, catalog, environment = self.parts, self.catalog, EnvironmentName(name)
        if merge is not None:
            assert onto
            catalog = Catalog(parts.repository, parts.bounds)
            catalog.refresh(onto)
            catalog.refresh(merge)
        soaks = Soaks(parts.store, parts.clock, parts.gap, token=0)
        fleet = Fleet(catalog, Rulebook(parts, catalog, remember=False), soaks, FakeChecks())
        hand = parts.store.hand(environment)
        writes = self._world.writes.copy()
        planned = Planner(parts, fleet, catalog.get(environment), hand, merge).plan()
        assert self._world.writes == writes, f"a plan wrote: {self._world.writes - writes}"
        return planned

    def verdict(self, name: str = "prod") -> tuple[Sync, Reason | None]:
        """A round, and how one environment stands then; it gets a pass in any case."""
        status = self.round().get(name) or self.run(name)
        return status.sync, status.reason

    def everything(self) -> list[EnvironmentName]:
        """Every environment that the daemon's timers would come to."""
        return sorted({*self.catalog.environments, *self.last}) if self.catalog.tip else []

    def round(self) -> dict[str, Status]:
        """A look, and a pass of each environment that is due after it."""
        self.look()
        return {name: self.run(name) for name in sorted(self.due)}
