"""The long-running loop: triggers → due queue → lanes of bounded workers.

Events only wake; each pass reads everything anew, so a lost, doubled or false event costs nothing but one
poll. One thread looks at the repository, one schedules, and those of `crew` work: what fails or hangs among
itself, beside what does not. Where nothing has changed since the last pass left nothing to do, the next one is
left out. Stopping lets passes under way end; one that does not end in time is left at a named step, which the
next start mends like any crash.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from watchfiles import watch

from reconciler.core.lanes import Past, lane_of
from reconciler.core.schedule import DueQueue, Signal, hold_delay, signalled, sweep_at
from reconciler.declarations.tracker import Tracker
from reconciler.errors import ReconcilerError
from reconciler.loop.crew import Crew
from reconciler.loop.driftwatch import DriftWatch
from reconciler.loop.inotify import Inotify
from reconciler.loop.runner import Result, Runner
from reconciler.machine.heap import few_arenas
from reconciler.model import EnvironmentName
from reconciler.ports import Clock

WATCH_STEP_MS = 50
"""Milliseconds between two looks at what changed, where there is no inotify: 1.6 ms of CPU a second, and a twentieth
of a second at each merge."""
WATCH_DEBOUNCE_MS = 100
"""Milliseconds for which changes are gathered at most: a push touches several files."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how wide. Seconds, but for `workers`."""

    poll: float
    drift: float
    stop: float
    workers: int


@dataclass(frozen=True, slots=True)
class Chore:
    """What is done now and then beside the passes: at the first poll after so many seconds."""

    seconds: float
    job: Callable[[], object]
    eager: bool = False
    """Whether a wake may ask for it before its time."""


class Daemon:
    """Drives every environment until it is told to stop."""

    def __init__(
        self,
        tracker: Tracker,
        runner: Runner,
        pace: Pace,
        clock: Clock,
        random: Random,
        watched: Callable[[], Iterable[Path]],
        chores: Iterable[Chore],
        farewells: Iterable[Callable[[], object]],
        trouble: Callable[[Exception | None], None],
        drift: DriftWatch | None = None,
        behind: Iterable[Callable[[], object]] = (),
    ) -> None:
        """Prepare; nothing starts yet.

        Args:
            tracker: Says which environments are due after a look at the repository.
            runner: Runs one pass.
            pace: How often and how wide.
            clock: For due times.
            random: Spreads retries.
            watched: Local folders whose changes mean "look now"; asked once.
            chores: What is done now and then.
            farewells: What is done once, after the last pass.
            trouble: Told when a look or a chore failed, and with None when a look succeeds.
            drift: Watches live releases; None: drift is looked for when its time has come.
            behind: Called behind each pass that changed how an environment stands; must not block.
        """
        self._tracker = tracker
        self._runner = runner
        self._pace = pace
        self._clock = clock
        self._random = random
        self._watched = watched
        self._chores = tuple(chores)
        self._farewells = tuple(farewells)
        self._trouble = trouble
        self._drift = drift
        self._behind = tuple(behind)
        self._look_now = threading.Event()
        self._passes_now = threading.Event()
        self._chores_now = threading.Event()
        self._looked = threading.Event()
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._due = DueQueue()
        self._news: set[str] = set()
        """What something happened to since its last pass began."""
        self._pasts: dict[str, Past] = {}
        """Of what has failed; all others' last passes were as they should be."""
        self._signals: dict[str, Signal] = {}
        self._crew = Crew(self._pass, pace.workers, clock)

    def run(self) -> bool:
        """Work until `stop` is called; returns whether every pass ended in time."""
        few_arenas()
        self._thread(self._poll, "poll")
        self._thread(self._watch, "watch")
        if self._drift is not None:
            self._thread(partial(self._drift.run, self.touched, self._stopping), "drift")
        self._schedule()
        ended = self._crew.stop(self._pace.stop)
        for farewell in self._farewells:
            self._guarded(farewell)
        return ended

    def stop(self) -> None:
        """Ask the loop to end; returns at once. Safe in a signal handler and from any thread."""
        self._stopping.set()
        self._look_now.set()

    def wake(self, *, passes: bool = True, chores: bool = False) -> None:
        """Look at the repository now; returns at once. Safe from any thread.

        Any number of calls before the next look count as one.

        Args:
            passes: Whether every environment that is not settled is due too: what holds it may be gone.
            chores: Whether eager chores are due too.
        """
        if passes:
            self._passes_now.set()
        if chores:
            self._chores_now.set()
        self._look_now.set()  # last: what is asked must be there when the poll begins

    @property
    def ready(self) -> bool:
        """Whether the repository was looked at once since the start."""
        return self._looked.is_set()

    @property
    def waiting(self) -> int:
        """Environments that are due and wait for a worker."""
        return self._crew.waiting()

    @property
    def busy(self) -> int:
        """Environments that are worked on right now."""
        return len(self._crew.running())

    def look_at(self, environments: Iterable[EnvironmentName]) -> None:
        """Something happened that concerns these, to their health, say: each gets a pass now. Safe from any thread."""
        self._make_due(environments)

    def touched(self, environments: Iterable[EnvironmentName]) -> None:
        """Somebody changed something where these live: a glance soon, and later and later while that goes on."""
        now = self._clock.monotonic()
        with self._changed:
            for environment in environments:
                self._signals[environment] = signal = signalled(self._signals.get(environment), now)
                self._due.put(environment, signal.at)
            self._changed.notify()

    def _thread(self, body: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=body, name=name, daemon=True)
        thread.start()
        return thread

    # --- triggers --------------------------------------------------------------------------------

    def _poll(self) -> None:
        """Look at the repository at each poll and whenever woken."""
        started = self._clock.monotonic()
        due = [started + chore.seconds for chore in self._chores]
        while not self._stopping.is_set():
            self._look_now.clear()
            hurry = _taken(self._chores_now)
            self._guarded(self._look)
            for number, chore in enumerate(self._chores):
                if (hurry and chore.eager) or self._clock.monotonic() >= due[number]:
                    self._guarded(chore.job)
                    due[number] = self._clock.monotonic() + chore.seconds
            self._look_now.wait(self._pace.poll * (0.9 + 0.2 * self._random.random()))

    def _guarded(self, job: Callable[[], object]) -> None:
        """The poll outlives any single job."""
        try:
            job()
        except Exception as error:  # noqa: BLE001 - told, and tried again at the next poll
            self._trouble(error)

    def _look(self) -> None:
        unsettled = self._unsettled() if _taken(self._passes_now) else frozenset()
        try:
            asked_for = self._runner.asked_for()  # first: what a look found is handed over only once
            due = self._look_or_recover()
        finally:
            # Also when the repository is away: an approval may have come all the same.
            self._make_due(unsettled, news=False)
        self._make_due(due | (asked_for if self._tracker.has_declarations else frozenset()))
        self._looked.set()
        self._trouble(None)

    def _unsettled(self) -> frozenset[EnvironmentName]:
        """What a new fact may let on; also what is being worked on, as that may have read the fact before it came."""
        under_way = frozenset(map(EnvironmentName, self._crew.running()))
        return self._runner.unsettled() | under_way

    def _look_or_recover(self) -> frozenset[EnvironmentName]:
        try:
            return self._tracker.look()
        except ReconcilerError as error:
            self._make_due(self._tracker.recover())  # what is known can still be kept as it was approved
            raise error from None

    def _make_due(self, due: Iterable[EnvironmentName], *, news: bool = True) -> None:
        """Give each a pass now, and not only a glance.

        Args:
            due: Which.
            news: Whether what is known of each is new; else something may be, and what fails need not wait in front.
        """
        due = sorted(due)
        if not due:
            return
        self._runner.disturb(due)
        now = self._clock.monotonic()
        with self._changed:
            for environment in due:
                self._due.put(environment, now)
            self._news.update(due if news else ())
            self._changed.notify()

    def _watch(self) -> None:
        paths = [path for path in self._watched() if path.is_dir()]
        if not paths:
            return
        try:
            changes = Inotify(paths)
        except OSError:
            self._watch_step_by_step(paths)
            return
        while not self._stopping.is_set():
            if changes.wait(_TICK):
                self._look_now.set()
        changes.close()

    def _watch_step_by_step(self, paths: Iterable[Path]) -> None:
        """Where the system does not wake us."""
        for _ in watch(
            *paths,
            stop_event=self._stopping,
            step=WATCH_STEP_MS,
            debounce=WATCH_DEBOUNCE_MS,
            watch_filter=None,
            recursive=False,
            raise_interrupt=False,
        ):
            self._look_now.set()

    # --- the queue -------------------------------------------------------------------------------

    def _schedule(self) -> None:
        """Hand what is due to the workers, until told to stop."""
        with self._changed:
            while not self._stopping.is_set():
                now = self._clock.monotonic()
                while (key := self._due.take(now)) is not None:
                    self._crew.offer(key, lane_of(self._pasts.get(key, Past()), news=key in self._news))
                waits = [self._crew.staff(), self._seconds_to(self._due.next_at(), now)]
                self._changed.wait(min([_TICK, *(seconds for seconds in waits if seconds is not None)]))

    @staticmethod
    def _seconds_to(at: float | None, now: float) -> float | None:
        return None if at is None else max(0.0, at - now)

    def _pass(self, key: str) -> bool:
        """One pass, where one is needed; returns whether it was."""
        environment = EnvironmentName(key)
        with self._changed:
            self._news.discard(key)
        if self._runner.at_rest(environment):
            self._put_off(key, self._next_sweep())
            return False
        if self._runner.may_wait(environment) and self._crew.give_way(key):
            return False
        self._crew.more(key)
        result = self._runner.run(environment)
        if self._drift is not None:
            self._drift.follow(environment, self._runner.lives_at(environment))
        for tell in self._behind if result.news else ():
            self._guarded(tell)
        if result.failures:
            self._pasts[key] = Past(failed=True, slow=self._crew.is_slow(key))
            self._retry(key, result)
        else:
            self._pasts.pop(key, None)
            self._put_off(key, self._next_sweep())
        return True

    def _next_sweep(self) -> float:
        return sweep_at(self._clock.monotonic(), self._pace.drift, self._random.random())

    def _put_off(self, key: str, at: float) -> None:
        """Have a key due later. The scheduler is woken only when it would sleep for longer than that."""
        with self._changed:
            self._due.put(key, at)
            if self._due.next_at() == at:
                self._changed.notify()

    def _retry(self, key: str, result: Result) -> None:
        """Have a pass that did not reach the declaration tried again, or looked at when what holds it can end."""
        delay = self._delay(result)
        opens_at = result.not_before
        if opens_at and 0 < (opens_at - self._clock.now()).total_seconds() <= delay:
            with self._changed:
                self._news.add(key)  # that it is open then
        self._put_off(key, self._clock.monotonic() + delay)

    def _delay(self, result: Result) -> float:
        """Seconds to the next pass of what did not settle; never past the time at which a gate that holds can open."""
        opens_at, pace = result.not_before, self._pace
        return hold_delay(
            result.failures,
            pace.poll,
            pace.drift,
            self._random.random(),
            waits_for_people=result.waits_for_people,
            opens_in=(opens_at - self._clock.now()).total_seconds() if opens_at else None,
        )


def _taken(asked: threading.Event) -> bool:
    """Whether something was asked for; it is not any more. What is asked right after is found by the next poll."""
    if not asked.is_set():
        return False
    asked.clear()
    return True


_TICK = 1.0
"""Seconds after which a signal is noticed at the latest: a handler can't take the lock to notify."""
