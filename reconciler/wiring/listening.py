"""The daemon's HTTP listener: what it is given to show, and whom it wakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from reconciler.loop.daemon import Daemon
from reconciler.loop.runner import Runner
from reconciler.pipeline import World
from reconciler.ports import (
    Addressed,
)
from reconciler.settings import Settings

if TYPE_CHECKING:
    from reconciler.views.facts import Facts, Links
    from reconciler.web import Journal, Opened, Places

from reconciler.wiring.system import System


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
