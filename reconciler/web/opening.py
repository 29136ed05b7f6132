"""The listener as the settings want it, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from fastapi import FastAPI

from reconciler.core.readable import counted
from reconciler.errors import Reason, Terminal
from reconciler.views.facts import Facts
from reconciler.web.access import Access, Network, Rules, network
from reconciler.web.application import Shown, app
from reconciler.web.deliveries import LOOK, Tracked, Wake
from reconciler.web.journal import Journal
from reconciler.web.listener import Listener, bound
from reconciler.web.live import Feed
from reconciler.web.shared_secrets import TOKEN, WEBHOOK, Purpose, Secrets, Unusable
from reconciler.web.webhooks import Hooks, Limits

_SENT_BY_ALL = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "authorization", "connection", "cookie", "host", "origin"),
        *("referer", "user-agent", "forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port"),
        *("x-forwarded-proto", "x-forwarded-scheme", "x-forwarded-server", "x-real-ip", "x-request-id"),
    }
)
"""Headers of any browser, and of proxies that sign nobody in."""


class Sleeper(Protocol):
    """What the listener wakes: the daemon."""

    def wake(self, *, passes: bool = True, chores: bool = False) -> None:
        """Look now; returns at once."""
        ...

    @property
    def ready(self) -> bool:
        """Whether it looked once."""
        ...


@dataclass(frozen=True, slots=True)
class Places:
    """Where to listen, who may read, and where secrets are; named like the settings."""

    listen: str | None = None
    webhook_secret_env: str | None = None
    webhook_secret_file: Path | None = None
    token_env: str | None = None
    token_file: Path | None = None
    trusted_header: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    url: str | None = None
    event_clients: int = 64
    chosen: bool = True
    """Whether somebody wrote where to listen. Else an address that can't be had is told, and no mistake."""


class Taken(Terminal):
    """The address that nobody chose can't be had: it goes on without pages."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A listener, bound and not yet answering, and what it wants to be told."""

    listener: Listener
    changed: Callable[[], None]
    """Call it whenever an environment's state may have changed; returns at once, from any thread."""


def open_listener(
    places: Places,
    tracked: Tracked,
    limits: Limits,
    sleeper: Sleeper,
    journal: Journal,
    metrics: Callable[[], bytes] | None = None,
    facts: Facts | None = None,
) -> Opened | None:
    """A listener, bound and not yet answering; None when none is named.

    Args:
        places: What the settings say.
        tracked: What a webhook must be about.
        limits: How much of it is taken, and how often it wakes.
        sleeper: Is woken.
        journal: Told of deliveries, and of what went wrong.
        metrics: Makes the answer to a scrape; None: none is answered.
        facts: What pages and API show; None: there are none.

    Raises:
        Taken: The address can't be had, and nobody chose it.
        Terminal: `InvalidSettings`.
    """
    secrets, rules = _meant(places)
    if places.listen is None or rules is None:
        return None

    def wake(wakes: frozenset[Wake]) -> None:
        sleeper.wake(passes=LOOK in wakes, chores=True)

    hooks = Hooks(secrets, tracked, limits, wake, journal) if secrets else None
    if facts is None:
        answering = app(hooks, lambda: sleeper.ready, journal, metrics)
        return Opened(_listener(places, places.listen, answering), lambda: None)
    feed = Feed(facts.store, places.event_clients, journal)
    shown = Shown(facts, Access(rules, journal, facts.clock.monotonic), feed, places.url or "")
    answering = app(hooks, lambda: sleeper.ready, journal, metrics, shown)
    return Opened(_listener(places, places.listen, answering, feed.close), feed.wake)


def _listener(places: Places, address: str, app: FastAPI, stopping: Callable[[], None] = lambda: None) -> Listener:
    try:
        return Listener(address, app, stopping)
    except Terminal as error:
        if places.chosen:
            raise
        raise _taken(error) from None


def check(places: Places, *, taken: bool) -> str:
    """What there is to say of a listener that could be opened; the address is free again then.

    Args:
        places: What the settings say.
        taken: Somebody who may have the address has it: it is not tried.

    Raises:
        Terminal: `InvalidSettings`.
    """
    secrets, rules = _meant(places)
    if places.listen is None or rules is None:
        return "nothing listens"
    said = f"{places.listen} is left to the daemon that runs"
    if not taken:
        try:
            bound(places.listen).close()
        except Terminal as error:
            if places.chosen:
                raise
            return f"{_taken(error).message}; {_taken(error).hint}"
        said = f"{places.listen} can be had"
    hooks = "no webhooks are taken, as no secret is named"
    if secrets is not None:
        hooks = f"webhooks are proven by {counted(len(secrets.current()), 'secret')}"
    bare = [
        f"everybody on this machine can read {one.file}: chmod 600"
        for one in (rules.tokens, secrets)
        if one and one.is_bare
    ]
    return "; ".join((said, rules.told(), hooks, *bare))


def _taken(error: Terminal) -> Taken:
    message = f"{error.message.removeprefix('web.listen: ')}, so there are no pages"
    return Taken(error.reason, message, "set web.listen to another address, or to null")


def _meant(places: Places) -> tuple[Secrets | None, Rules | None]:
    """The webhook's secrets, and who may read; what is named must make sense together.

    Raises:
        Terminal: `InvalidSettings`.
    """
    secrets = _secrets(places.webhook_secret_env, places.webhook_secret_file, WEBHOOK)
    tokens = _secrets(places.token_env, places.token_file, TOKEN)
    if places.listen is None:
        if secrets is not None:
            raise _invalid("web: a webhook's secret is named, and nothing listens", "set web.listen, or name no secret")
        return None, None
    if bool(places.trusted_header) != bool(places.trusted_proxies):
        hint = "a header is believed of proxies that are named, and of nobody else"
        raise _invalid("set web.trusted_header and web.trusted_proxies, or neither", hint)
    host = places.listen.rpartition(":")[0].removeprefix("[").removesuffix("]")
    url_host = urlsplit(places.url).hostname or "" if places.url else ""
    proxies = tuple(network(one) for one in places.trusted_proxies)
    _check_proxies(places, proxies)
    return secrets, Rules(host, url_host, tokens, places.trusted_header or "", proxies)


def _check_proxies(places: Places, proxies: tuple[Network, ...]) -> None:
    """What would take anybody for somebody.

    Raises:
        Terminal: `InvalidSettings`.
    """
    if any(one.prefixlen == 0 for one in proxies):
        hint = "name the address of the proxy: whoever comes from there is believed"
        raise _invalid("web.trusted_proxies: found every address there is", hint)
    header = places.trusted_header or ""
    if header.lower() in _SENT_BY_ALL:
        hint = "name the header that the proxy sets once it knows who it is, such as X-Forwarded-User"
        raise _invalid(f"web.trusted_header: {header} is sent whoever asks, and does not say who", hint)


def _secrets(env: str | None, file: Path | None, purpose: Purpose) -> Secrets | None:
    if env is None and file is None:
        return None
    if env is not None and file is not None:
        raise _invalid(f"name {purpose.key}_env or {purpose.key}_file, not both", "keep the one that is meant")
    secrets = Secrets(env, file, purpose)
    try:
        secrets.current()
    except Unusable as problem:
        key = f"{purpose.key}_env" if file is None else f"{purpose.key}_file"
        raise _invalid(f"{key}: {problem.message}", problem.hint) from None
    return secrets


def _invalid(message: str, hint: str) -> Terminal:
    return Terminal(Reason.INVALID_SETTINGS, message, hint)
