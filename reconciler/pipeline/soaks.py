"""How long each upstream was seen healthy without a break, as this process saw it.

Kept in memory, where every look counts; told to the store when somebody rests a decision on it, once in a while, and
at a stop. A pass over an environment that is as it should be writes nothing for it. What was not told is lost with the
process: then the release soaks anew, which is slow and never wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

from reconciler.core.soak import Sighting, same, seen
from reconciler.errors import ReconcilerError
from reconciler.model import EnvironmentName, Soak
from reconciler.pipeline.home import Home
from reconciler.ports import Clock, Store

_FRESH = 1.0
"""Seconds by which a row must have grown to be worth telling."""


class Soaks:
    """The rows of every environment that others promote from; safe from several threads."""

    def __init__(self, store: Store, clock: Clock, gap: float, token: int) -> None:
        """Take up what is remembered.

        Args:
            store: Remembers rows.
            clock: Both of its clocks count.
            gap: Seconds for which a release may be out of sight.
            token: This process's; 0 for one that only reads, and so earns and tells nothing.
        """
        self._store = store
        self._clock = clock
        self._gap = gap
        self._token = token
        self._lock = threading.Lock()
        fresh = {name: soak for name, soak in store.soaks().items() if self._is_fresh(soak)}
        self._told: dict[EnvironmentName, Soak | None] = dict(fresh)
        self._rows: dict[EnvironmentName, Soak | None] = dict(fresh)
        self._ticks: dict[EnvironmentName, float] = {}

    def see(self, environment: EnvironmentName, home: Home, *, healthy: bool) -> Soak | None:
        """What was just seen of an environment; returns its row."""
        with self._lock:
            now, ticks = self._clock.now(), self._clock.monotonic()
            sighting = self._sighting(environment, home, healthy, now, ticks)
            if not self._token:
                told = self._told.get(environment)
                return told if sighting and told and same(told, sighting) else None
            row = self._rows.get(environment)
            row = seen(row, self._ticks.get(environment), sighting, self._gap) if sighting else None
            self._rows[environment], self._ticks[environment] = row, ticks
            self._tell_break(environment, row)
            return row

    def lost_sight(self, environment: EnvironmentName) -> None:
        """An environment could not be looked at: the time up to the next look earns nothing."""
        with self._lock:
            self._ticks.pop(environment, None)

    def remember(self, environments: Iterable[EnvironmentName]) -> None:
        """Tell the store what has changed of these since it was last told.

        Raises:
            ReconcilerError: `StoreUnavailable`.
        """
        if not self._token:
            return
        with self._lock:
            news = {name: self._rows.get(name) for name in environments if self._is_news(name)}
            self._store.save_soaks(news)
            self._told.update(news)

    def _sighting(
        self, environment: EnvironmentName, home: Home, healthy: bool, now: datetime, ticks: float
    ) -> Sighting | None:
        live, reading = home.observed.live, home.reading
        if live is None or reading is None or reading.declaration is None:
            return None
        since, settings = home.observed.live_since, reading.declaration.runtime
        return Sighting(environment, live.run_id, live.sha256, since, settings, healthy, now, ticks, self._token)

    def _tell_break(self, environment: EnvironmentName, row: Soak | None) -> None:
        """A row that broke is told at once where the store has it: a process that starts now must not take it up.

        What could not be told is told at the next look.
        """
        told = self._told.get(environment)
        if told is not None and (row is None or row.began != told.began):
            with suppress(ReconcilerError):
                self._store.save_soaks({environment: row})
                self._told[environment] = row

    def _is_fresh(self, soak: Soak) -> bool:
        """Whether a row was told so lately, by both clocks, that it may go on.

        One of the future was told before the wall clock was set back, or before the machine was started anew.
        """
        wall, ticked = (self._clock.now() - soak.seen).total_seconds(), self._clock.monotonic() - soak.ticks
        return 0 <= wall <= self._gap and 0 <= ticked <= self._gap

    def _is_news(self, environment: EnvironmentName) -> bool:
        row, told = self._rows.get(environment), self._told.get(environment)
        if row is None or told is None or row.began != told.began:
            return row is not None
        return row.earned - told.earned >= _FRESH
