"""Tells one route what is due: looks at where environments stand, and at what was told. For one thread.

What was told is remembered once the channel took it, so a process that ends in between tells it once more, and a
channel that takes nothing hears of what is the case when it takes something again. A store that was lost is no reason
to tell history: a route that remembers nothing waits until the first passes are over, and tells all that is the case in
one digest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Protocol

from reconciler.core import notifying
from reconciler.core.notifying import FORGOTTEN, Allowance, Due, Route
from reconciler.core.schedule import retry_delay
from reconciler.errors import ReconcilerError
from reconciler.model import EnvironmentName, Notice, Status, ToldNotice, ToldRoute
from reconciler.notifications import words
from reconciler.notifications.channel import NotSent
from reconciler.notifications.words import Message, Page
from reconciler.ports import Clock, Store

LONGEST_BACK_OFF = 600.0
"""Seconds after which a channel that took nothing is tried again at the latest."""
FIRST_PASSES = 6
"""How many times as long as usual a route waits that remembers nothing, so that the first passes are over."""


class Sends(Protocol):
    """A channel."""

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            NotSent: It was not taken.
        """
        ...


class Teller:
    """Keeps the people of one route told.

    Args:
        route: Of what they are told.
        channel: Where they hear it.
        page: Where the pages are.
        gather: Seconds that are waited for more to tell, once there is something.
        store: Remembers what was told.
        statuses: Where every environment stands.
        clock: The time.
        random: Spreads tries.
        wait: Waits for some seconds.
        say: Told once when the channel takes nothing, and when it does again.
    """

    def __init__(
        self,
        route: Route,
        channel: Sends,
        page: Page,
        gather: float,
        store: Store,
        statuses: Callable[[], Mapping[EnvironmentName, Status]],
        clock: Clock,
        random: Random,
        wait: Callable[[float], object],
        say: Callable[[str], object],
    ) -> None:
        self.route = route
        self._channel = channel
        self._page = page
        self._gather = gather
        self._store = store
        self._statuses = statuses
        self._clock = clock
        self._random = random
        self._wait = wait
        self._say = say
        self._memory: ToldRoute | None = None
        self._told: dict[EnvironmentName, ToldNotice] = {}
        self._looked: dict[EnvironmentName, tuple[Status, Due | None]] = {}
        """What was found due where an environment stands; looked at anew when it stands otherwise."""
        self._unsaved: dict[EnvironmentName, ToldNotice | None] | None = None
        """What the store does not know yet; None: it knows all."""
        self._failures = 0
        self._not_before = 0.0

    def tell(self) -> None:
        """Send whatever is due. When nothing is, this asks nobody.

        Raises:
            ReconcilerError: `StoreUnavailable`. Once anything is known of the route, people are told all the same, as
                that the store is away may be just what there is to tell; only a restart meanwhile would repeat it.
        """
        self._tell_due()
        self._save()

    def _tell_due(self) -> None:
        memory, first = self._recalled()
        if self._clock.monotonic() < self._not_before:
            return
        if not first:
            if not self._due(memory):
                return
            self._wait(self._gather)  # what has one cause comes within seconds, and makes one message
        notices = self._without_silent(memory, self._due(memory))
        now = self._clock.now()
        room = Allowance(self.route.hourly, memory.busy_until).room(now)
        for group in notifying.messages(notices, room, together=first):
            if not self._send(group, now):
                return

    def _recalled(self) -> tuple[ToldRoute, bool]:
        """What is remembered of the route; and whether nothing was."""
        if self._memory is not None:
            return self._memory, False
        name, began = self.route.name, self._clock.now()
        known = self._store.told_route(name)
        self._told = dict(self._store.told_notices(name))
        if known is not None:
            self._memory = known
            return known, False
        self._wait(FIRST_PASSES * self._gather)
        self._remember(notifying.began(began), {})
        return notifying.began(began), True

    # --- what is due ------------------------------------------------------------------------------

    def _due(self, memory: ToldRoute) -> list[Notice]:
        now, statuses = self._clock.now(), self._statuses()
        looked = {name: self._look(name, status, memory, now) for name, status in statuses.items()}
        self._looked = looked
        return [due.notice for _, due in looked.values() if due is not None and due.at <= now]

    def _look(
        self, name: EnvironmentName, status: Status, memory: ToldRoute, now: datetime
    ) -> tuple[Status, Due | None]:
        known = self._looked.get(name)
        if known is not None and known[0] is status and (known[1] is None or known[1].at > now):
            return known
        if not self.route.covers(name):
            return status, None
        return status, notifying.due(self.route, self._told.get(name), status, memory.began, now)

    def _without_silent(self, memory: ToldRoute, notices: Sequence[Notice]) -> list[Notice]:
        """Without the end of something that was told, where the route does not tell that; it is over all the same."""
        silent = [notice for notice in notices if notice.kind not in self.route.kinds]
        if silent:
            self._remember(memory, self._after(silent, self._clock.now()))
        return [notice for notice in notices if notice.kind in self.route.kinds]

    # --- telling ----------------------------------------------------------------------------------

    def _send(self, group: Sequence[Notice], now: datetime) -> bool:
        """Send one message, and remember that; returns whether it was taken."""
        memory = self._memory or notifying.began(now)
        try:
            self._channel.send(words.message(self.route, group, self._page, now))
        except NotSent as error:
            self._failed(memory, error, now)
            return False
        busy_until = Allowance(self.route.hourly, memory.busy_until).spent(now)
        if memory.failed_since is not None:
            self._say(f"the route {self.route.name} takes notifications again")
        self._failures = 0
        self._remember(ToldRoute(memory.began, busy_until), self._after(group, now) | self._gone(now))
        return True

    def _failed(self, memory: ToldRoute, error: NotSent, now: datetime) -> None:
        """Told when it begins, and not while it goes on; tried again later and later."""
        self._failures += 1
        delay = retry_delay(self._failures, LONGEST_BACK_OFF, self._random.random())
        self._not_before = self._clock.monotonic() + delay
        if memory.failed_since is None:
            self._say(f"the route {self.route.name} takes no notifications: {error.message} ({error.hint})")
        if memory.failure != error.message:
            since = memory.failed_since or now
            self._remember(replace(memory, failed_since=since, failure=error.message), {})

    def _after(self, group: Sequence[Notice], now: datetime) -> dict[EnvironmentName, ToldNotice | None]:
        told = self._told
        return {one.environment: notifying.after(self.route, told.get(one.environment), one, now) for one in group}

    def _gone(self, now: datetime) -> dict[EnvironmentName, ToldNotice | None]:
        """Environments that nobody will hear of again."""
        return {
            name: None for name, told in self._told.items() if name not in self._looked and now - told.at > FORGOTTEN
        }

    def _remember(self, memory: ToldRoute, told: Mapping[EnvironmentName, ToldNotice | None]) -> None:
        self._memory = memory
        self._unsaved = {**(self._unsaved or {}), **told}
        for name, notice in told.items():
            self._looked.pop(name, None)
            if notice is None:
                self._told.pop(name, None)
            else:
                self._told[name] = notice
        with suppress(ReconcilerError):  # it is tried again at the end
            self._save()

    def _save(self) -> None:
        if self._unsaved is None or self._memory is None:
            return
        self._store.save_told_notices(self.route.name, self._memory, self._unsaved)
        self._unsaved = None
