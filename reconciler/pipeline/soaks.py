"""How long each upstream was seen healthy without a break, as this process saw it.

Kept in memory, where every look counts; told to the store when somebody rests a decision on it, now and then while
it still grows, and at a stop. A pass over an environment that is as it should be writes nothing for it. What was not
told is lost with the process: then the release soaks anew, which is slow and never wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from reconciler.core.soak import Sighting, same, seen
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
        self._told: dict[EnvironmentName, Soak | None] = dict(store.soaks())
        now = clock.now()
        self._rows: dict[EnvironmentName, Soak | None] = {
            name: soak for name, soak in self._told.items() if soak and (now - soak.seen).total_seconds() <= gap
        }
        self._ticks: dict[EnvironmentName, float] = {}

    def see(self, environment: EnvironmentName, home: Home, *, healthy: bool) -> Soak | None:
        """What was just seen of an environment; returns its row."""
        live, reading = home.observed.live, home.reading
        now, ticks = self._clock.now(), self._clock.monotonic()
        with self._lock:
            if live is None or reading is None or reading.declaration is None:
                return self._put(environment, None, ticks)
            settings = reading.declaration.runtime
            sighting = Sighting(
                environment,
                live.run_id,
                live.sha256,
                home.observed.live_since,
                settings,
                healthy,
                now,
                ticks,
                self._token,
            )
            if not self._token:
                told = self._told.get(environment)
                return told if told and same(told, sighting) else None
            row = seen(self._rows.get(environment), self._ticks.get(environment), sighting, self._gap)
            return self._put(environment, row, ticks)

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

    def remember_growing(self, wanted: Mapping[EnvironmentName, float]) -> None:
        """Tell the store of rows that have not yet reached what is wanted of them, in seconds, when last told.

        Raises:
            ReconcilerError: `StoreUnavailable`.
        """
        with self._lock:
            growing = [name for name, soak in wanted.items() if _earned(self._told.get(name)) < soak]
        self.remember(growing)

    def _put(self, environment: EnvironmentName, row: Soak | None, ticks: float) -> Soak | None:
        """A row that breaks is told where the store has it fresh: a process that starts now must not take it up."""
        before = self._rows.get(environment)
        self._rows[environment], self._ticks[environment] = row, ticks
        told = self._told.get(environment)
        broke = told is not None and before is not None and (row is None or row.began != before.began)
        if broke and self._token:
            self._store.save_soaks({environment: row})
            self._told[environment] = row
        return row

    def _is_news(self, environment: EnvironmentName) -> bool:
        row, told = self._rows.get(environment), self._told.get(environment)
        if row is None or told is None or row.began != told.began:
            return row is not told and row is not None
        return row.earned - told.earned >= _FRESH


def _earned(soak: Soak | None) -> float:
    return soak.earned if soak else 0.0
