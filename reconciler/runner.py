"""Runs passes and shields each environment from every other: a pass that fails, fails alone.

Keeps in memory what a pass needs between two runs and nobody should have to read again: the last status,
open intents, and how often in a row an environment failed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from reconciler.catalog import Catalog
from reconciler.errors import WAITS_FOR_PEOPLE, Reason, ReconcilerError
from reconciler.model import Attempt, EnvironmentName, Health, OperatorHand, Status, Sync, Verdict
from reconciler.pipeline import Fence, Fleet, Pass, Rulebook, Soaks, World, internal_error, unrecorded

Report = Callable[[Status, Status | None, Exception | None], None]
"""Told of every pass: the status, the one before, and the unexpected exception, if there was one."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a pass came to, for whoever schedules the next one."""

    status: Status
    failures: int
    """Passes in a row that did not reach the declaration; 0 when this one did."""
    not_before: datetime | None = None
    """When the gate that holds can open at the earliest, where that is known."""

    @property
    def waits_for_people(self) -> bool:
        """Whether only a person's next deed can help, and asking again does not."""
        return self.status.reason in WAITS_FOR_PEOPLE


class Runner:
    """One pass at a time for one environment, any number for different ones; safe from several threads."""

    def __init__(self, world: World, catalog: Catalog, holder: str, report: Report) -> None:
        """Take the lease and read what is remembered.

        Raises:
            ReconcilerError: `StoreUnavailable`.
        """
        self._world = world
        self._catalog = catalog
        self._report = report
        self._fence = Fence(world.store, holder)
        soaks = Soaks(world.store, world.clock, world.gap, self._fence.token)
        self._fleet = Fleet(catalog, Rulebook(world, catalog), soaks)
        self._lock = threading.Lock()
        self._statuses = dict(world.store.statuses())
        self._hands: dict[EnvironmentName, OperatorHand] = dict(world.store.hands())
        self._failures: dict[EnvironmentName, int] = {}
        self._unfinished = _by_environment(world.store.unfinished())
        self._doubtful: set[EnvironmentName] = set()
        """Environments whose last answer of the store was lost: it may know an intent that we don't."""

    def run(self, environment: EnvironmentName) -> Result:
        """One pass. Never raises: whatever goes wrong is the status of this environment alone."""
        file = self._catalog.get(environment)
        with self._lock:
            previous = self._statuses.get(environment)
        problem: Exception | None = None
        try:
            unfinished = self._open_intents(environment)
            hand = self._world.store.hand(environment)
            current = Pass(self._world, self._fleet, self._fence, file, previous, hand, unfinished)
            status = current.run()
            self._seen(environment, hand, current.closed_unfinished)
        except ReconcilerError as error:
            status = self._told(unrecorded(file, previous, error, self._world.clock.now()))
        except Exception as error:  # noqa: BLE001 - a bug in one environment must not stop the others
            problem = error
            status = self._told(internal_error(file, previous, error, self._world.clock.now()))
        with self._lock:
            self._statuses[environment] = status
            if _forgotten(status):
                del self._statuses[environment]
            failures = 0 if settled(status) else self._failures.get(environment, 0) + 1
            self._failures[environment] = failures
        self._report(status, previous, problem)
        return Result(status, failures, _not_before(status))

    def remember_soaks(self) -> None:
        """Tell the store how long each upstream was seen healthy.

        Raises:
            ReconcilerError: `StoreUnavailable`.
        """
        self._fleet.soaks.remember(self._catalog.soaks)

    def _open_intents(self, environment: EnvironmentName) -> tuple[Attempt, ...]:
        """Intents without an outcome: read once, and anew only after an answer of the store was lost."""
        with self._lock:
            doubtful = environment in self._doubtful
        if doubtful:
            found = _by_environment(self._world.store.unfinished()).get(environment, ())
            with self._lock:
                self._unfinished[environment] = found
                self._doubtful.discard(environment)
        with self._lock:
            return self._unfinished.get(environment, ())

    def _told(self, status: Status) -> Status:
        """A status that no pass could leave: told to whoever asks the store, if that is there."""
        with self._lock:
            self._doubtful.add(status.environment)
        with suppress(ReconcilerError):
            self._world.store.save(status, self._world.clock.now())
        return status

    def _seen(self, environment: EnvironmentName, hand: OperatorHand, closed: bool) -> None:
        with self._lock:
            self._hands[environment] = hand
            if closed:
                self._unfinished.pop(environment, None)

    def asked_for(self) -> frozenset[EnvironmentName]:
        """Environments that are due whatever Git says: the operator asked something, or an intent is still open."""
        with self._lock:
            seen, open_ones = dict(self._hands), {name for name, found in self._unfinished.items() if found}
        hands = self._world.store.hands()
        asked = {name for name, hand in hands.items() if seen.get(name, OperatorHand()) != hand}
        if asked and self._world.forge:
            self._world.forge.look_again()  # `retry` may follow what was just done at the forge
        return frozenset(asked | open_ones)

    def unsettled(self) -> frozenset[EnvironmentName]:
        """Environments whose last pass did not reach the declaration, for when whatever held them may be gone.

        A policy that waits for people's word is judged anew, too.
        """
        if self._world.forge:
            self._world.forge.look_again()
        self._fleet.rulebook.look_again()
        with self._lock:
            return frozenset(name for name, failures in self._failures.items() if failures)


def _by_environment(attempts: Iterable[Attempt]) -> dict[EnvironmentName, tuple[Attempt, ...]]:
    found: dict[EnvironmentName, tuple[Attempt, ...]] = {}
    for attempt in attempts:
        found[attempt.environment] = (*found.get(attempt.environment, ()), attempt)
    return found


def _not_before(status: Status) -> datetime | None:
    held = next((word for word in status.gates if word.verdict is Verdict.HELD), None)
    return held.not_before if held else None


def _forgotten(status: Status) -> bool:
    """Whether the environment is gone, and nothing of it was ever live."""
    return status.reason is Reason.ENVIRONMENT_REMOVED and not status.target


def settled(status: Status) -> bool:
    """Whether there is nothing left to try."""
    return _forgotten(status) or (status.sync is Sync.SYNCED and status.health is not Health.DEGRADED)
