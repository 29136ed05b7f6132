"""The long-running loop: triggers → due queue → bounded workers.

Events only wake; each pass reads everything anew, so a lost, doubled or false event costs nothing but one
poll. One thread looks at the repository, one schedules, a fixed number works; an environment is worked on
by one of them at a time. Stopping lets passes under way end; one that does not end in time is left at a
named step, which the next start mends like any crash.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from random import Random

from watchfiles import watch

from reconciler.core.schedule import DueQueue, hold_delay
from reconciler.errors import ReconcilerError
from reconciler.model import EnvironmentName
from reconciler.ports import Clock
from reconciler.runner import Result, Runner
from reconciler.tracker import Tracker

SLOW_SECONDS = 1.0
"""Seconds after which a pass counts as slow: it goes on, and another worker takes its place."""
SLOW_WORKERS = 128
"""Slow passes that are replaced like this; each is a thread that mostly waits."""
WATCH_STEP_MS = 20
"""Milliseconds without a change after which the watcher wakes us. It looks so often when idle, too: 5 would cost
four times the idle CPU, 50 a twentieth of a second at each merge."""
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
        self._look_now = threading.Event()
        self._passes_now = threading.Event()
        self._chores_now = threading.Event()
        self._looked = threading.Event()
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._due = DueQueue()
        self._running: dict[str, float] = {}
        """When each pass under way began."""
        self._queued: set[str] = set()
        self._workers: set[threading.Thread] = set()
        self._again: set[str] = set()
        self._jobs: SimpleQueue[EnvironmentName | None] = SimpleQueue()

    def run(self) -> bool:
        """Work until `stop` is called; returns whether every pass ended in time."""
        self._thread(self._poll, "poll")
        self._thread(self._watch, "watch")
        self._schedule()
        workers = tuple(self._workers)
        for _ in workers:
            self._jobs.put(None)
        deadline = self._clock.monotonic() + self._pace.stop
        for worker in workers:
            worker.join(max(0.0, deadline - self._clock.monotonic()))
        for farewell in self._farewells:
            self._guarded(farewell)
        return not any(worker.is_alive() for worker in workers)

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
            self._make_due(unsettled)  # also when the repository is away: an approval may have come all the same
        self._make_due(due | (asked_for if self._tracker.has_declarations else frozenset()))
        self._looked.set()
        self._trouble(None)

    def _unsettled(self) -> frozenset[EnvironmentName]:
        """What a new fact may let on; also what is being worked on, as that may have read the fact before it came."""
        with self._changed:
            under_way = frozenset(map(EnvironmentName, self._running))
        return self._runner.unsettled() | under_way

    def _look_or_recover(self) -> frozenset[EnvironmentName]:
        try:
            return self._tracker.look()
        except ReconcilerError as error:
            self._make_due(self._tracker.recover())  # what is known can still be kept as it was approved
            raise error from None

    def _make_due(self, due: Iterable[EnvironmentName]) -> None:
        now = self._clock.monotonic()
        with self._changed:
            for environment in sorted(due):
                self._due.put(environment, now)
            self._changed.notify()

    def _watch(self) -> None:
        paths = [path for path in self._watched() if path.is_dir()]
        if not paths:
            return
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
                    self._start(key)
                self._staff(now)
                next_at = self._due.next_at()
                self._changed.wait(_TICK if next_at is None else min(_TICK, max(0.0, next_at - now)))

    def _staff(self, now: float) -> None:
        """As many workers as are set, not counting those that are stuck in a slow pass.

        So that environments whose source or target is slow or hangs keep none of the others waiting.
        """
        wanted = self._wanted(now) if self._queued or not self._workers else 0
        while len(self._workers) < wanted:
            self._workers.add(self._thread(self._work, f"worker-{len(self._workers)}"))

    def _wanted(self, now: float) -> int:
        slow = sum(1 for since in self._running.values() if now - since > SLOW_SECONDS)
        return self._pace.workers + min(slow, SLOW_WORKERS)

    def _start(self, key: str) -> None:
        """Give one environment to a worker; one that is being worked on gets another pass afterwards."""
        if key in self._running or key in self._queued:
            self._again.add(key)
            return
        self._queued.add(key)
        self._jobs.put(EnvironmentName(key))

    def _work(self) -> None:
        while (environment := self._jobs.get()) is not None and not self._stopping.is_set():
            with self._changed:
                self._queued.discard(environment)
                self._running[environment] = self._clock.monotonic()
            result = self._runner.run(environment)
            delay = self._delay(result)
            with self._changed:
                self._running.pop(environment, None)
                again = environment in self._again
                self._again.discard(environment)
                now = self._clock.monotonic()
                self._due.put(environment, now + (0.0 if again else delay))
                self._changed.notify()
                if len(self._workers) > self._wanted(now):
                    self._workers.discard(threading.current_thread())
                    return

    def _delay(self, result: Result) -> float:
        """Seconds to the next pass; never past the time at which a gate that holds can open."""
        if not result.failures:
            return self._pace.drift * (0.9 + 0.2 * self._random.random())
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
