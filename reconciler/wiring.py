"""Settings into concrete parts. The only module that names adapters, and it names them by their settings.

Adapters are found through entry points, the built-in ones too, and only those that the settings name are
loaded. What must hold for every adapter (hashing, size, deadlines of downloads) is in custody, around it.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from reconciler import programs
from reconciler.activators.announced import AnnouncedActivator
from reconciler.beside import Beside
from reconciler.catalog import Catalog
from reconciler.clock import SystemClock
from reconciler.core.declare import FOLDER
from reconciler.core.soak import GAP
from reconciler.custody import Announced, DiskCustody
from reconciler.daemon import Chore, Daemon, Pace
from reconciler.driftwatch import DriftWatch
from reconciler.errors import Reason, Terminal
from reconciler.git import Mirror, kill_all
from reconciler.git.branches import Branches
from reconciler.model import CommitId, EnvironmentName
from reconciler.notary import Notary, appoint
from reconciler.pipeline import Fleet, Rulebook, Soaks, World
from reconciler.plans import Plans
from reconciler.ports import (
    Activator,
    Addressed,
    Clock,
    Forge,
    Parts,
    Probe,
    PullRequests,
    Source,
    Store,
    Targets,
    Trace,
)
from reconciler.prober import Prober, Remembered
from reconciler.retention import collect
from reconciler.reverts import Reverts, Say
from reconciler.rollouts import Rollouts
from reconciler.runner import Began, Report, Runner, unheard
from reconciler.secretkeeper import SecretKeeper
from reconciler.settings import PluggedSettings, Settings
from reconciler.settings.words import options_in_words
from reconciler.statefolder import make_private, wake_folder
from reconciler.stores.heard import HeardStore, Hearer
from reconciler.stores.sql import SqlStore
from reconciler.tracker import Tracker

if TYPE_CHECKING:
    from reconciler.views.facts import Facts, Links
    from reconciler.web import Journal, Opened, Places

SOAK_SECONDS = 60.0
"""Seconds between two times that soaks are told to the store: at most so much of one is lost by a crash."""
COLLECT_SECONDS = 3_600.0
"""Seconds between two collections of custody; it looks at every target, so not at each poll."""


def silent(step: str) -> None:
    """A trace that nobody listens to."""


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
        from reconciler import routes

        found = routes.tellers(settings, self.world.store, runner.statuses, clock, self.random, say)
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
                Chore(settings.audit.checkpoint_seconds, lambda: notary().checkpoint()),
                *self._plan_chores(),
                *(Chore(0, tell, eager=True) for tell in tellers),
                *self._revert_chores(say),
            ),
            (self.prober.stop, runner.remember_soaks, lambda: notary().checkpoint(anchor=False)),
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
        forge=_forge(settings.forge, parts),
        sources=_sources(settings, parts),
        targets=_targets(settings, parts),
        custody=Announced(DiskCustody(settings.state / "custody", settings.bounds, clock, trace), trace),
        store=store,
        clock=clock,
        bounds=settings.bounds,
        secrets=SecretKeeper(settings.secrets),
        activators=_activators(settings, parts),
        probes=_probes(settings, parts),
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


def open_listener(
    system: System,
    runner: Runner,
    daemon: Daemon,
    journal: Journal,
    metrics: Callable[[], bytes] | None = None,
    trouble: Callable[[], str] = lambda: "",
) -> Opened | None:
    """The HTTP listener of a daemon, bound and not yet answering; None when none is set up.

    Args:
        system: The parts.
        runner: Knows how the environments stand.
        daemon: Is woken.
        journal: Told of deliveries, and of what went wrong.
        metrics: Makes the answer to a scrape; without it there is no such page.
        trouble: Why the last look at the repository failed; empty when it did not.

    Raises:
        Terminal: `InvalidSettings`: the address can't be had, or a secret can't be used; `web.Taken` when nobody
            chose the address.
    """
    settings, forge = system.settings, system.settings.forge
    if not (settings.web.listen or settings.web.webhook_secret_env or settings.web.webhook_secret_file):
        return None
    from reconciler import web  # it takes a while to load, and 30 MB

    tracked = web.Tracked.of(
        settings.repository.url,
        settings.repository.branch,
        forge.options if forge else {},
        [source.options for source in settings.source_settings().values()],
        lambda: getattr(system.world.forge, "repository_id", None),
    )
    limits = web.Limits(settings.bounds.webhook_bytes)
    facts = _facts(system, runner, trouble)
    return web.open_listener(_places(settings), tracked, limits, daemon, journal, metrics, facts)


def check_listener(settings: Settings, *, taken: bool) -> str:
    """What there is to say of a listener that could be opened. `taken`: a daemon runs and has the address.

    Raises:
        Terminal: `InvalidSettings`, as `open_listener` does.
    """
    from reconciler import web

    return web.check(_places(settings), taken=taken)


def _places(settings: Settings) -> Places:
    from reconciler.web import Places

    told = settings.web
    return Places(
        listen=told.listen,
        webhook_secret_env=told.webhook_secret_env,
        webhook_secret_file=told.webhook_secret_file,
        token_env=told.token_env,
        token_file=told.token_file,
        trusted_header=told.trusted_header,
        trusted_proxies=told.trusted_proxies,
        url=told.url,
        event_clients=told.event_clients,
        chosen=told.chosen,
    )


def _facts(system: System, runner: Runner, trouble: Callable[[], str]) -> Facts:
    """What pages and API show, of a daemon."""
    from reconciler.custody.contents import KeptContents
    from reconciler.views.facts import Facts

    world, state = system.world, system.settings.state
    return Facts(
        statuses=runner.statuses,
        catalog=system.catalog,
        store=world.store,
        repository=world.repository,
        clock=world.clock,
        contents=KeptContents(state / "custody", world.bounds, state / "contents"),
        links=_links(world),
        trouble=trouble,
        holds=world.custody.holds,
    )


def _links(world: World) -> Links:
    """Pages of the forge and of CI, where they have some."""
    from reconciler.views.facts import Links

    runs = {name: source.addresses.run for name, (source, _) in world.sources.items() if isinstance(source, Addressed)}

    def run(source: str, run_id: int) -> str:
        return runs[source](run_id) if source in runs else ""

    if not isinstance(world.forge, Addressed):
        return Links(run=run)
    forge = world.forge.addresses
    return Links(request=forge.request, commit=forge.commit, edit=forge.edit, run=run)


def open_store(
    settings: Settings,
    clock: Clock | None = None,
    trace: Trace = silent,
    hearer: Hearer | None = None,
) -> SqlStore:
    """The memory; `hearer` hears of each attempt when it begins, and when it ends.

    Raises:
        ReconcilerError: `StoreUnavailable`.
    """
    make_private(settings.state)
    clock = clock or SystemClock()
    url = settings.store_url
    return HeardStore(url, clock, trace, hearer) if hearer else SqlStore(url, clock, trace)


def open_notary(settings: Settings, store: Store, trace: Trace = silent) -> Notary:
    """Who signs how far the audit chain has come; with a key of its own, made when the settings name none.

    Raises:
        ReconcilerError: `InvalidSettings`, `StoreUnavailable`.
    """
    parts = Parts(SystemClock(), Random(), trace, settings.bounds, settings.state)  # noqa: S311 - protects nothing
    audit = settings.audit
    return appoint(store, parts, key=audit.key, repository=settings.repository.url, ref=audit.anchor)


def open_repository(settings: Settings, trace: Trace = silent) -> Mirror:
    """The mirror of the tracked branch; nothing is fetched yet."""
    repository = settings.repository
    return Mirror(repository.url, repository.branch, FOLDER, settings.state / "git", settings.bounds, trace)


def open_branches(settings: Settings, state: Path, trace: Trace = silent) -> Branches:
    """Pushes new branches, with its folders below `state`; nothing is done yet."""
    repository = settings.repository
    return Branches(repository.url, repository.branch, state / "git", state / "reverts", settings.bounds, trace)


def open_source(settings: Settings, name: str, parts: Parts) -> Source:
    """One source by its name in the settings."""
    plugged = settings.source_settings()[name]
    return _plugged("source", f"sources.{name}", plugged.type, plugged.options, parts)  # type: ignore[no-any-return]


def let_go() -> None:
    """End every process that was started and still runs, right before this one ends without a clean-up."""
    kill_all()
    programs.kill_all()


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


def _forge(plugged: PluggedSettings | None, parts: Parts) -> Forge | None:
    if plugged is None:
        return None
    return _plugged("forge", "forge", plugged.type, plugged.options, parts)  # type: ignore[no-any-return]


def _sources(settings: Settings, parts: Parts) -> dict[str, tuple[Source, Any]]:
    return {
        name: (_plugged("source", f"sources.{name}", plugged.type, plugged.options, parts), plugged.provenance)
        for name, plugged in settings.source_settings().items()
    }


def _targets(settings: Settings, parts: Parts) -> dict[str, Targets]:
    return {
        name: _plugged("target", f"targets.{name}", name, options, parts)
        for name, options in settings.target_settings().items()
    }


def _activators(settings: Settings, parts: Parts) -> dict[str, Activator]:
    return {
        name: AnnouncedActivator(_plugged("activator", f"activators.{name}", name, options, parts), parts.trace)
        for name, options in settings.activators.items()
    }


def _probes(settings: Settings, parts: Parts) -> dict[str, Probe]:
    """All that there are, so that a refusal can name its key; with no options they may ask nothing."""
    return {
        name: _plugged("probe", f"probes.{name}", name, options, parts)
        for name, options in {"command": {}, "http": {}, "tcp": {}, **settings.probes}.items()
    }


def _plugged(port: str, key: str, name: str, options: Mapping[str, object], parts: Parts) -> Any:
    """An adapter, found by name and given its own options."""
    group = f"reconciler.{port}s"
    found = _installed(group).select(name=name)
    if not found:
        known = ", ".join(sorted({point.name for point in _installed(group)}))
        raise Terminal(Reason.INVALID_SETTINGS, f"{key}: no {port} of type {name!r}; there are: {known}")
    try:
        return next(iter(found)).load()(options, parts)
    except ValidationError as invalid:
        problems = "\n".join(options_in_words(key, invalid))
        raise Terminal(Reason.INVALID_SETTINGS, problems, "docs/settings.md lists every key") from None


@cache
def _installed(group: str) -> EntryPoints:
    """Looked for once: each look reads what every package says of itself."""
    return entry_points(group=group)


def makers(settings: Settings, state: Path) -> dict[str, Callable[[], object]]:
    """Each adapter by its key in the settings, to be made alone, with `state` as its state folder."""
    clock, repository = SystemClock(), open_repository(settings)
    parts = Parts(clock, Random(), silent, settings.bounds, state, repository, settings.repository.branch)  # noqa: S311 - protects nothing
    made: dict[str, Callable[[], object]] = {}
    if settings.forge:
        made["forge"] = partial(_forge, settings.forge, parts)
    if settings.repository.reverts:
        made["repository.reverts"] = partial(open_branches, settings, state)
    for name in settings.source_settings():
        made[f"sources.{name}"] = partial(open_source, settings, name, parts)
    for name, options in settings.target_settings().items():
        made[f"targets.{name}"] = partial(_plugged, "target", f"targets.{name}", name, options, parts)
    for name, options in settings.activators.items():
        made[f"activators.{name}"] = partial(_plugged, "activator", f"activators.{name}", name, options, parts)
    for name, options in settings.probes.items():
        made[f"probes.{name}"] = partial(_plugged, "probe", f"probes.{name}", name, options, parts)
    if settings.secrets.allow:
        made["secrets"] = partial(SecretKeeper, settings.secrets)
    return made
