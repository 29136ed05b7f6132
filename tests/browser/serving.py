"""The real application over given facts, on a free port: pages, API and live events, without a daemon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from reconciler.machine.clock import SystemClock
from reconciler.model import EnvironmentName, Status
from reconciler.views.facts import Facts
from reconciler.web.access import Access, Rules
from reconciler.web.application import Shown, app
from reconciler.web.listener import Listener
from reconciler.web.live import Feed
from tests.adapters.weblistener import Journal


@dataclass
class Site:
    """What is served, and a way to change it."""

    url: str
    facts: Facts
    feed: Feed
    journal: Journal
    changed: dict[EnvironmentName, Status] = field(default_factory=dict)

    def change(self, name: str, **fields: object) -> None:
        """Let a pass find an environment otherwise; whoever looks at it is told."""
        status = replace(self.facts.statuses()[EnvironmentName(name)], **fields)  # type: ignore[arg-type]
        self.changed[status.environment] = status
        self.facts.store.save(status, self.facts.clock.now())
        self.feed.wake()


@contextmanager
def serving(facts: Facts, url: str = "", address: str = "127.0.0.1:0") -> Iterator[Site]:
    """Serve as long as the block lasts.

    Args:
        facts: What is shown.
        url: Where people reach it, as in the settings.
        address: That it listens on; any port that is free, unless one is named.
    """
    changed: dict[EnvironmentName, Status] = {}

    def statuses(before: Facts = facts) -> Mapping[EnvironmentName, Status]:
        return {**before.statuses(), **changed}

    facts = replace(facts, statuses=statuses)
    journal = Journal()
    feed = Feed(facts.store, 64, journal)
    access = Access(Rules("127.0.0.1"), journal, SystemClock().monotonic)
    listener = Listener(address, app(None, lambda: True, journal, None, Shown(facts, access, feed, url)), feed.close)
    with listener:
        yield Site(listener.url, facts, feed, journal, changed)
