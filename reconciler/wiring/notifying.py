"""The routes that people are told on, and who tells them. Nothing is sent before somebody asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from random import Random

from reconciler.core.notifying import Route
from reconciler.errors import Reason, Terminal, Transient
from reconciler.model import EnvironmentName, Status
from reconciler.net import Secret
from reconciler.notifications.channel import EXTRA, Channel, installed
from reconciler.notifications.teller import Teller
from reconciler.notifications.words import Page
from reconciler.ports import Clock, Store
from reconciler.settings import RouteSettings, Settings


def open_routes(settings: Settings) -> tuple[tuple[Route, Channel], ...]:
    """Every route, with its channel; no address is read yet.

    Raises:
        Terminal: `InvalidSettings`: apprise is missing, two routes have one name, or one has no address.
    """
    routes = settings.notifications.routes
    if not routes:
        return ()
    problems = [f"notifications.routes[{place}]: {problem}" for place, problem in _problems(routes)]
    if problems:
        raise Terminal(Reason.INVALID_SETTINGS, "\n".join(problems), "docs/notifications.md has an example")
    if not installed():
        raise Terminal(Reason.INVALID_SETTINGS, "notifications.routes: apprise, which sends them, is missing", EXTRA)
    return tuple((_route(one, settings), _channel(one, settings)) for one in routes)


def page(settings: Settings) -> Page:
    """Where people reach the pages."""
    return Page((settings.web.url or "").rstrip("/"))


def tellers(
    settings: Settings,
    store: Store,
    statuses: Callable[[], Mapping[EnvironmentName, Status]],
    clock: Clock,
    random: Random,
    say: Callable[[str], object],
) -> tuple[Teller, ...]:
    """Who tells each route, for a thread of its own.

    Args:
        settings: The operator's.
        store: Remembers what was told.
        statuses: Where every environment stands.
        clock: The time.
        random: Spreads tries.
        say: Told once when a channel takes nothing, and when it does again.

    Raises:
        Terminal: `InvalidSettings`, as `open_routes` does.
    """
    gather, where, wait = settings.notifications.gather_seconds, page(settings), threading.Event().wait
    return tuple(
        Teller(route, channel, where, gather, store, statuses, clock, random, wait, say)
        for route, channel in open_routes(settings)
    )


def _problems(routes: tuple[RouteSettings, ...]) -> list[tuple[int, str]]:
    names = [one.name for one in routes]
    found = [
        (place, f"there is another route {one.name!r} above")
        for place, one in enumerate(routes)
        if one.name in names[:place]
    ]
    found += [
        (place, "found no address; wanted url_env or url_file")
        for place, one in enumerate(routes)
        if not (one.url_env or one.url_file)
    ]
    return sorted(found)


def _route(one: RouteSettings, settings: Settings) -> Route:
    repeat = timedelta(seconds=settings.notifications.repeat_seconds)
    return Route(one.name, one.environments, one.kinds, repeat, one.hourly)


def _channel(one: RouteSettings, settings: Settings) -> Channel:
    secret = Secret(f"the address of the route {one.name}", _unavailable, one.url_env, one.url_file)
    return Channel(one.name, secret, settings.notifications.send_seconds)


def _unavailable(message: str, hint: str) -> Transient:
    return Transient(Reason.INVALID_SETTINGS, message, hint)
