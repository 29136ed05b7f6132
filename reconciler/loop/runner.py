"""Runs passes and shields each environment from every other: a pass that fails, fails alone.

Keeps in memory what a pass needs between two runs and nobody should have to read again: the last status,
open intents, how often in a row an environment failed, and what a pass that left nothing to do rested on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from reconciler.core.alike import Alike
from reconciler.declarations.catalog import Catalog
from reconciler.errors import WAITS_FOR_PEOPLE, Reason, ReconcilerError
from reconciler.loop.rests import Rests
from reconciler.model import Attempt, EnvironmentName, Health, OperatorHand, Status, Sync, Verdict
from reconciler.pipeline import (
    Fence,
    Fleet,
    Home,
    Pass,
    Rulebook,
    Soaks,
    World,
    internal_error,
    source_name,
    unrecorded,
)
from reconciler.ports import Checks

REHASH_SECONDS = 21_600.0
"""Seconds after which every byte of a release is hashed anew."""

Report = Callable[[Status, Status | None, Exception | None], None]
"""Told of every pass: the status, the one before, and the unexpected exception, if there was one."""

Began = Callable[[EnvironmentName], None]
"""Told right before a pass, in its thread; the report ends it. Not of looks that found nothing touched."""


def unheard(environment: EnvironmentName) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a pass came to, for whoever schedules the next one."""

    status: Status
    failures: int
    """Passes in a row that did not reach the declaration; 0 when this one did."""
    not_before: datetime | None = None
    """When the gate that holds can open at the earliest, where that is known."""
    news: bool = False
    """Whether it stands otherwise than before this pass."""

    @property
    def waits_for_people(self) -> bool:
        """Whether only a person's next deed can help, and asking again does not."""
        return self.status.reason in WAITS_FOR_PEOPLE


class Runner:
    """One pass at a time for one environment, any number for different ones; safe from several threads."""

    def __init__(
        self,
        world: World,
        catalog: Catalog,
        checks: Checks,
        holder: str,
        report: Report,
        began: Began = unheard,
        rehash: float = REHASH_SECONDS,
    ) -> None:
        """Take the lease and read what is remembered.

        Args:
            world: The parts.
            catalog: All declarations.
            checks: The health of what is live.
            holder: This process's name.
            report: Told of every pass.
            began: Told right before each.
            rehash: Seconds after which every byte of a release is hashed anew.

        Raises:
            ReconcilerError: `StoreUnavailable`.
        """
        self._world = world
        self._catalog = catalog
        self._report = report
        self._began = began
        self.skipped = 0
        """Passes that were left out, as nothing had changed."""
        self._fence = Fence(world.store, holder)
        soaks = Soaks(world.store, world.clock, world.gap, self._fence.token)
        self._fleet = Fleet(catalog, Rulebook(world, catalog), soaks, checks)
        self._lock = threading.Lock()
        self._alike = Alike()
        self._statuses = {name: self._alike.status(status) for name, status in world.store.statuses().items()}
        self._asked: Mapping[EnvironmentName, OperatorHand] = world.store.hands()
        """What operators asked for, as of the last look."""
        self._hands: dict[EnvironmentName, OperatorHand] = dict(self._asked)
        """The same, as the last pass of each environment found it."""
        self._rests = Rests(world, self._fleet, rehash)
        self._lives_at: dict[EnvironmentName, Path | None] = {}
        self._failures: dict[EnvironmentName, int] = {}
        self._unfinished = _by_environment(world.store.unfinished())
        self._doubtful: set[EnvironmentName] = set()
        """Environments whose last answer of the store was lost: it may know an intent that we don't."""

    def at_rest(self, environment: EnvironmentName) -> bool:
        """Whether a pass would come to the same as the last one, and that left nothing to do. Never raises.

        Writes nothing and costs a glance at the target. What was seen counts for those that promote from there.
        """
        if not self._rests.hold(environment, self._asked.get(environment, _NOTHING_ASKED)):
            return False
        self.skipped += 1
        return True

    def may_wait(self, environment: EnvironmentName) -> bool:
        """Whether what a pass would ask seems to be out just now: others need not wait behind it. Never raises."""
        outages, clock = self._world.outages, self._world.clock
        if not outages.any(clock):
            return False
        try:
            reading = self._catalog.get(environment).reading
            declaration = reading.declaration if reading else None
        except ReconcilerError:
            return False  # the pass tells what can't be read
        return declaration is not None and outages.of(source_name(self._world, declaration), clock)

    def lives_at(self, environment: EnvironmentName) -> Path | None:
        """The link to what is live, as of the last pass; None: there is nothing, or nobody can tell."""
        return self._lives_at.get(environment)

    def disturb(self, environments: Iterable[EnvironmentName]) -> None:
        """Something happened that may concern these: their next pass reads everything anew."""
        self._rests.disturb(environments)

    def run(self, environment: EnvironmentName) -> Result:
        """One pass. Never raises: whatever goes wrong is the status of this environment alone."""
        file = self._catalog.get(environment)
        with self._lock:
            previous = self._statuses.get(environment)
        problem: Exception | None = None
        self._began(environment)
        try:
            unfinished = self._open_intents(environment)
            hand = self._world.store.hand(environment)
            basis = self._rests.begin(file, hand)
            current = Pass(
                self._world, self._fleet, self._fence, file, previous, hand, unfinished, thorough=basis.thorough
            )
            status = current.run()
            self._seen(environment, hand, current.open_intents)
            self._lives_at[environment] = _link(current.home)
            self._rests.end(basis, status, current.home)
        except ReconcilerError as error:
            status = self._told(unrecorded(file, previous, error, self._world.clock.now()))
        except Exception as error:  # noqa: BLE001 - a bug in one environment must not stop the others
            problem = error
            status = self._told(internal_error(file, previous, error, self._world.clock.now()))
        with self._lock:
            self._statuses[environment] = self._alike.status(status)
            if _forgotten(status):
                del self._statuses[environment]
            failures = 0 if settled(status) else self._failures.get(environment, 0) + 1
            self._failures[environment] = failures
        self._report(status, previous, problem)
        return Result(
            status, failures, _not_before(status), news=previous is None or _stands(previous) != _stands(status)
        )

    def statuses(self) -> Mapping[EnvironmentName, Status]:
        """Where every environment stands, as of now."""
        with self._lock:
            return dict(self._statuses)

    def undecided(self) -> frozenset[EnvironmentName]:
        """Environments with an attempt that has no outcome yet: its first checks are still under way."""
        with self._lock:
            return frozenset(name for name, found in self._unfinished.items() if found)

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

    def _seen(self, environment: EnvironmentName, hand: OperatorHand, open_intents: tuple[Attempt, ...]) -> None:
        with self._lock:
            self._hands[environment] = hand
            self._unfinished[environment] = open_intents

    def asked_for(self) -> frozenset[EnvironmentName]:
        """Environments that are due whatever Git says: the operator asked something, or an intent is still open."""
        with self._lock:
            seen, open_ones = dict(self._hands), {name for name, found in self._unfinished.items() if found}
        if self._world.store.tip() != self._catalog.tip:
            self._rests.disturb_all()  # the store was lost, or put back: only passes in full fill it again
        self._asked = hands = self._world.store.hands()
        asked = {name for name, hand in hands.items() if seen.get(name, _NOTHING_ASKED) != hand}
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


_NOTHING_ASKED = OperatorHand()


def _by_environment(attempts: Iterable[Attempt]) -> dict[EnvironmentName, tuple[Attempt, ...]]:
    found: dict[EnvironmentName, tuple[Attempt, ...]] = {}
    for attempt in attempts:
        found[attempt.environment] = (*found.get(attempt.environment, ()), attempt)
    return found


def _stands(status: Status) -> tuple[object, ...]:
    """How it stands, without the words and times."""
    return status.sync, status.health, status.reason, status.live, status.declared


def _link(home: Home | None) -> Path | None:
    return home.target.premises.current if home and home.observed.live else None


def _not_before(status: Status) -> datetime | None:
    held = next((word for word in status.gates if word.verdict is Verdict.HELD), None)
    return held.not_before if held else None


def _forgotten(status: Status) -> bool:
    """Whether the environment is gone, and nothing of it was ever live."""
    return status.reason is Reason.ENVIRONMENT_REMOVED and not status.target


def settled(status: Status) -> bool:
    """Whether there is nothing left to try."""
    return _forgotten(status) or (status.sync is Sync.SYNCED and status.health is not Health.DEGRADED)
