"""All parts of one process, and the daemon out of them."""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from reconciler.chores.notary import FOLLOWED_AT_REST_SECONDS, FOLLOWED_SECONDS
from reconciler.chores.plans import Plans
from reconciler.chores.retention import collect
from reconciler.chores.reverts import Reverts, Say
from reconciler.chores.rollouts import Rollouts
from reconciler.core.soak import GAP
from reconciler.custody import Announced, DiskCustody
from reconciler.declarations.catalog import Catalog
from reconciler.declarations.tracker import Tracker
from reconciler.loop.beside import Beside
from reconciler.loop.daemon import Chore, Daemon, Pace
from reconciler.loop.driftwatch import DriftWatch
from reconciler.loop.runner import Began, Report, Runner, unheard
from reconciler.machine.clock import SystemClock
from reconciler.machine.statefolder import make_private, wake_folder
from reconciler.model import CommitId, EnvironmentName
from reconciler.pipeline import Fleet, Rulebook, Soaks, World
from reconciler.ports import (
    Parts,
    PullRequests,
    Store,
    Trace,
)
from reconciler.prober import Prober, Remembered
from reconciler.secretkeeper import SecretKeeper
from reconciler.settings import Settings
from reconciler.wiring.adapters import activators_of, forge_of, probes_of, sources_of, targets_of
from reconciler.wiring.opening import open_branches, open_notary, open_repository, silent

SOAK_SECONDS = 60.0
"""Seconds between two times that soaks are told to the store: at most so much of one is lost by a crash."""
COLLECT_SECONDS = 3_600.0
"""Seconds between two collections of custody; it looks at every target, so not at each poll."""


class Bell:
    """Says that an environment is to be looked at, to a daemon that is only made after what rings."""

    def __init__(self) -> None:
        self.heard: Callable[[EnvironmentName], None] = lambda _: None
        """Who listens; nobody does in a process that runs once."""

    def ring(self, environment: EnvironmentName) -> None:
        """Have it looked at."""
        self.heard(environment)


@dataclass(frozen=True, slots=True)
class System:
    """All parts of one process, made and ready."""

    settings: Settings
    world: World
    catalog: Catalog
    tracker: Tracker
    random: Random
    prober: Prober
    bell: Bell

    @property
    def fleet(self) -> Fleet:
        """What concerns more than one environment, for who only looks: it earns, decides and remembers nothing."""
        world, catalog = self.world, self.catalog
        soaks = Soaks(world.store, world.clock, world.gap, token=0)
        return Fleet(catalog, Rulebook(world, catalog, remember=False), soaks, Remembered(world.store))

    def runner(self, report: Report, began: Began = unheard) -> Runner:
        """Take the lease for this process; `began` and `report` are told of every pass.

        Raises:
            ReconcilerError: `StoreUnavailable`.
        """
        holder, rehash = f"{os.getpid()}-{uuid.uuid4().hex}", self.settings.rehash_seconds
        return Runner(self.world, self.catalog, self.prober, holder, report, began, rehash)

    def collect(self) -> int:
        """Remove from custody what nobody needs; returns how many copies went.

        Raises:
            ReconcilerError: An environment can't be looked at; nothing was removed.
        """
        return collect(self.world, self.catalog)

    @property
    def pull_requests(self) -> PullRequests | None:
        """Where plans are shown before a merge; None: the forge has no such place."""
        return self.world.forge.pull_requests if self.world.forge else None

    def plans(self) -> Plans | None:
        """Tells plans on open pull requests; None: there are none, or the forge's option `plans` is off."""
        requests, forge = self.pull_requests, self.settings.forge
        if requests is None or forge is None or forge.options.get("plans") is False:
            return None
        return Plans(self.world, self.settings.repository.branch, self.settings.state / "plans", requests)

    def _plan_chores(self) -> tuple[Chore, ...]:
        """At each poll, beside the passes, as artifacts may be large; and whenever a webhook says so."""
        plans = self.plans()
        if plans is None:
            return ()
        tell = Beside(plans.tell, "plans", self.world.clock)
        return Chore(math.inf, plans.look_again, eager=True), Chore(0, tell, eager=True)

    def rollouts(self) -> Rollouts | None:
        """Shows rollouts at the forge; None: it has no such place, or its option `rollouts` is off."""
        forge, settings = self.world.forge, self.settings.forge
        if forge is None or settings is None or settings.options.get("rollouts") is False:
            return None
        return Rollouts(self.world.store, forge.deployments) if forge.deployments else None

    def reverts(self, say: Say) -> Reverts | None:
        """Proposes to declare what runs after automatic rollbacks; None: `repository.reverts` is off, or no forge."""
        forge, tracked = self.world.forge, self.settings.repository
        if not tracked.reverts or forge is None:
            return None
        world, branches = self.world, open_branches(self.settings, self.settings.state)
        return Reverts(world.store, world.repository, forge, branches, tracked.branch, world.clock, say)

    def _revert_chores(self, say: Say) -> tuple[Chore, ...]:
        """At each poll, beside the passes."""
        reverts = self.reverts(say)
        return (Chore(0, Beside(reverts.tell, "reverts", self.world.clock), eager=True),) if reverts else ()

    def _rollout_tellers(self) -> tuple[Beside, ...]:
        """Beside the passes: a forge that is slow keeps neither them nor the next look waiting."""
        rollouts = self.rollouts()
        return (Beside(rollouts.tell, "rollouts", self.world.clock),) if rollouts else ()

    def _people_tellers(self, runner: Runner, say: Callable[[str], object]) -> tuple[Beside, ...]:
        """One for each route, so that a channel that hangs keeps no other waiting."""
        settings, clock = self.settings, self.world.clock
        if not settings.notifications.routes:
            return ()
        from reconciler.wiring import notifying

        found = notifying.tellers(settings, self.world.store, runner.statuses, clock, self.random, say)
        return tuple(Beside(teller.tell, f"notify-{teller.route.name}", clock) for teller in found)

    def daemon(
        self,
        runner: Runner,
        trouble: Callable[[Exception | None], None],
        tell: Callable[[str], object] = silent,
        say: Say = lambda _, __: None,
    ) -> Daemon:
        """The loop around a runner; health is asked for from now on.

        Args:
            runner: Runs the passes.
            trouble: Told when a look or a chore failed, and with None when a look succeeds.
            tell: Told once of what can't be had, and is not needed.
            say: Told of what was done beside the passes, for an environment.
        """
        settings, notary = self.settings, cache(lambda: open_notary(self.settings, self.world.store))
        pace = Pace(settings.repository.poll_seconds, settings.drift_seconds, settings.stop_seconds, settings.workers)
        watch = DriftWatch(settings.bounds.watched_targets, self.world.clock, tell) if settings.drift_watch else None
        people = self._people_tellers(runner, tell)  # first: what it has to say of the settings ends a start
        tellers = (*self._rollout_tellers(), *people)  # at each poll, and behind each pass that changed something
        daemon = Daemon(
            self.tracker,
            runner,
            pace,
            self.world.clock,
            self.random,
            lambda: watched(settings, self.world),
            (
                Chore(COLLECT_SECONDS, Beside(self.collect, "collect", self.world.clock)),
                Chore(min(SOAK_SECONDS, self.world.gap / 2), runner.remember_soaks),
                Chore(0, lambda: notary().follow(FOLLOWED_SECONDS if daemon.waiting else FOLLOWED_AT_REST_SECONDS)),
                Chore(settings.audit.checkpoint_seconds, lambda: notary().checkpoint()),
                *self._plan_chores(),
                *(Chore(0, tell, eager=True) for tell in tellers),
                *self._revert_chores(say),
            ),
            (self.prober.stop, runner.remember_soaks, lambda: notary().farewell()),
            trouble,
            watch,
            tellers,
        )
        self.bell.heard = lambda environment: daemon.look_at((environment,))
        self.prober.start()
        return daemon


def build(settings: Settings, store: Store, trace: Trace = silent) -> System:
    """Make every part that a pass needs.

    Raises:
        ReconcilerError: `InvalidSettings`, naming the key; or a part's own reason.
    """
    clock, random = SystemClock(), Random()  # noqa: S311 - spreads retries, protects nothing
    repository = open_repository(settings, trace)
    parts = Parts(clock, random, trace, settings.bounds, settings.state, repository, settings.repository.branch)
    world = World(
        repository=repository,
        forge=forge_of(settings.forge, parts),
        sources=sources_of(settings, parts),
        targets=targets_of(settings, parts),
        custody=Announced(DiskCustody(settings.state / "custody", settings.bounds, clock, trace), trace),
        store=store,
        clock=clock,
        bounds=settings.bounds,
        secrets=SecretKeeper(settings.secrets),
        activators=activators_of(settings, parts),
        probes=probes_of(settings, parts),
        repairs=settings.drift_repairs,
        newcomer=settings.new_environments,
        baseline=CommitId(settings.repository.baseline) if settings.repository.baseline else None,
        floors=settings.floors,
        gap=max(GAP * settings.drift_seconds, 2 * settings.repository.poll_seconds),
    )
    catalog = Catalog(repository, settings.bounds, settings.state / "outlines")
    tracker = Tracker(repository, catalog, store, getattr(world.forge, "expect", None))
    bell = Bell()
    prober = Prober(world.probes, clock, random, settings.bounds, bell.ring)
    return System(settings, world, catalog, tracker, random, prober, bell)


def watched(settings: Settings, world: World) -> Iterator[Path]:
    """Local folders whose changes wake the daemon: the repository's refs, CI's runs, and the wake folder."""
    folder = wake_folder(settings.state)
    make_private(folder)
    yield folder
    yield from world.repository.watched()
    for plugged in settings.source_settings().values():
        root = plugged.options.get("root")
        if isinstance(root, str):
            yield Path(root)
