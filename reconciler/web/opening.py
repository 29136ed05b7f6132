"""The listener as the settings want it, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reconciler.core.readable import counted
from reconciler.errors import Reason, Terminal
from reconciler.web.application import app
from reconciler.web.events import LOOK, Tracked, Wake
from reconciler.web.journal import Journal
from reconciler.web.listener import Listener, bound
from reconciler.web.shared_secrets import Secrets, Unusable
from reconciler.web.webhooks import Hooks, Limits


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
    """Where to listen, and where the webhook's secret is; named like the settings."""

    listen: str | None = None
    webhook_secret_env: str | None = None
    webhook_secret_file: Path | None = None


def open_listener(
    places: Places,
    tracked: Tracked,
    limits: Limits,
    sleeper: Sleeper,
    journal: Journal,
    metrics: Callable[[], bytes] | None = None,
) -> Listener | None:
    """A listener, bound and not yet answering; None when none is named.

    Args:
        places: What the settings say.
        tracked: What a webhook must be about.
        limits: How much of it is taken, and how often it wakes.
        sleeper: Is woken.
        journal: Told of deliveries, and of what went wrong.
        metrics: Makes the answer to a scrape; None: none is answered.

    Raises:
        Terminal: `InvalidSettings`.
    """
    secrets = _meant(places)
    if places.listen is None:
        return None

    def wake(wakes: frozenset[Wake]) -> None:
        sleeper.wake(passes=LOOK in wakes, chores=True)

    hooks = Hooks(secrets, tracked, limits, wake, journal) if secrets else None
    return Listener(places.listen, app(hooks, lambda: sleeper.ready, journal, metrics))


def check(places: Places, *, taken: bool) -> str:
    """What there is to say of a listener that could be opened; the address is free again then.

    Args:
        places: What the settings say.
        taken: Somebody who may have the address has it: it is not tried.

    Raises:
        Terminal: `InvalidSettings`.
    """
    secrets = _meant(places)
    if places.listen is None:
        return "nothing listens"
    if not taken:
        bound(places.listen).close()
    said = f"{places.listen} {'is left to the daemon that runs' if taken else 'can be had'}"
    if secrets is None:
        return f"{said}; no webhooks are taken, as no secret is named"
    count = len(secrets.current())
    return f"{said}; webhooks are proven by {counted(count, 'secret')}"


def _meant(places: Places) -> Secrets | None:
    """The secrets; what is named must make sense together."""
    secrets = _secrets(places)
    if places.listen is None and secrets is not None:
        raise _invalid("web: a webhook's secret is named, and nothing listens", "set web.listen, or name no secret")
    return secrets


def _secrets(places: Places) -> Secrets | None:
    env, file = places.webhook_secret_env, places.webhook_secret_file
    if env is None and file is None:
        return None
    if env is not None and file is not None:
        raise _invalid("name web.webhook_secret_env or web.webhook_secret_file, not both", "keep the one that is meant")
    secrets = Secrets(env, file)
    try:
        secrets.current()
    except Unusable as problem:
        key = "web.webhook_secret_env" if file is None else "web.webhook_secret_file"
        raise _invalid(f"{key}: {problem.message}", problem.hint) from None
    return secrets


def _invalid(message: str, hint: str) -> Terminal:
    return Terminal(Reason.INVALID_SETTINGS, message, hint)
