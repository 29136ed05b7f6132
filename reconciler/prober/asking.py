"""The threads that make the checks: one that looks at what is due, and workers that ask.

Workers are started when they are needed, up to a bound, and end when they have had nothing to do for a while. Whoever
waits for a change of an environment's health is woken once for each change, and for nothing else.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from random import Random

from reconciler.bounds import Bounds
from reconciler.model import Checked, EnvironmentName, HealthState, Probed
from reconciler.ports import Check, Clock, Probe
from reconciler.prober.rota import Lane, Rota, Row

IDLE_SECONDS = 10.0
"""After which a worker without work ends."""
STEP_SECONDS = 0.05
"""What is due within one step is asked together, so that thousands of rows don't wake us thousands of times."""
STOP_SECONDS = 2.0
"""How long a stop waits for checks under way."""


class Prober:
    """`ports.Checks` by asking; safe from several threads."""

    def __init__(
        self,
        probes: Mapping[str, Probe],
        clock: Clock,
        random: Random,
        bounds: Bounds,
        wake: Callable[[EnvironmentName], None],
    ) -> None:
        """Prepare; nothing is asked before `start`.

        Args:
            probes: By kind: `http`, `tcp`, `command`.
            clock: For when a check is due, and for when a state was entered.
            random: Spreads the checks.
            bounds: `probes` is the number of workers.
            wake: Told of each change of state, by a worker; must not block.
        """
        self.made = {True: 0, False: 0}
        """Checks made so far, by whether they passed; for metrics."""
        self._probes = probes
        self._clock = clock
        self._wake = wake
        self._most = bounds.probes
        self._rota = Rota(bounds.probes, random)
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        """For the thread that looks at what is due: something is due sooner than it thinks."""
        self._changed = threading.Condition(self._lock)
        self._workers: set[threading.Thread] = set()
        self._resting: list[threading.Condition] = []
        """One for each worker without work. The last one is called first, so that those that are too many go."""
        self._sleeps_until = 0.0
        self._caller: threading.Thread | None = None
        self._stopping = False

    # --- ports.Checks -------------------------------------------------------------------------------

    def expect(self, check: Check) -> Checked:
        """See `ports.Checks`."""
        now = self._clock.monotonic()
        with self._lock:
            known = self._rota.row(check.job.environment)
            row = self._rota.expect(check, now, self._clock.now())
            if row is not known and self._caller and not self._stopping:
                self._look(now, row)
            return row.checked

    def forget(self, environment: EnvironmentName) -> None:
        """See `ports.Checks`."""
        with self._lock:
            self._rota.forget(environment)

    # --- for whoever drives it ----------------------------------------------------------------------

    def start(self) -> None:
        """Begin to ask. Once."""
        self._caller = threading.Thread(target=self._call, name="checks", daemon=True)
        self._caller.start()

    def stop(self) -> None:
        """Ask nothing more. Checks under way get a little time; one that hangs is left to its own deadline."""
        with self._lock:
            self._stopping = True
            self._news.notify_all()
            for bell in self._resting:
                bell.notify()
            self._changed.notify_all()
            threads = [*self._workers, *([self._caller] if self._caller else [])]
        until = self._clock.monotonic() + STOP_SECONDS
        for thread in threads:
            thread.join(max(0.0, until - self._clock.monotonic()))

    def settle(self, environments: Collection[EnvironmentName], seconds: float) -> frozenset[EnvironmentName]:
        """Wait until it is known of each environment whether it is healthy; for who runs once.

        Args:
            environments: Those that are asked nothing count as known.
            seconds: At most.

        Returns:
            Those of which it is not known yet.
        """
        until = self._clock.monotonic() + seconds
        with self._lock:
            while waiting := self._unknown(environments):
                left = until - self._clock.monotonic()
                if left <= 0 or self._stopping:
                    break
                self._changed.wait(left)
        return waiting

    def _unknown(self, environments: Collection[EnvironmentName]) -> frozenset[EnvironmentName]:
        rows = ((name, self._rota.row(name)) for name in environments)
        return frozenset(name for name, row in rows if row and row.tally.state is HealthState.WAITING)

    def _look(self, now: float, row: Row) -> None:
        """A new row may be due before the caller looks again, and somebody waits for what was just activated."""
        if row.lane is Lane.FIRST:
            self._rota.call(now)
            self._call_workers(1)
        elif now < self._sleeps_until:
            self._news.notify()

    # --- threads ------------------------------------------------------------------------------------

    def _call(self) -> None:
        """See what is due, and call workers for it, again and again.

        One is called first, as it may do all that is due now by itself in no time, and switching between many would
        cost more than the checks. As long as something still waits at the next step, more are: 2, 4, 8 …
        """
        calls = 1
        with self._lock:
            while not self._stopping:
                now = self._clock.monotonic()
                late = self._rota.ready
                due = self._rota.call(now)
                calls = min(self._most, 2 * calls) if late else 1
                if self._rota.ready:
                    self._call_workers(calls)
                    due = now
                self._sleeps_until = math.inf if due is None else due
                self._news.wait(None if due is None else max(STEP_SECONDS, due - now))
                self._sleeps_until = 0.0

    def _call_workers(self, count: int) -> None:
        """So many more, as far as there are some."""
        called = min(count, len(self._resting))
        for _ in range(called):
            self._resting.pop().notify()
        for _ in range(min(count - called, self._most - len(self._workers))):
            worker = threading.Thread(target=self._serve, name="check", daemon=True)
            with suppress(RuntimeError):  # no more threads: those that there are do the work
                worker.start()
                self._workers.add(worker)

    def _serve(self) -> None:
        """A worker's life."""
        while turn := self._next():
            self._ask(*turn)

    def _next(self) -> tuple[Row, Lane] | None:
        """What a worker asks next; None: nothing came for long, and it may go."""
        with self._lock:
            called = True
            while not self._stopping:
                turn = self._rota.take()
                if turn:
                    return turn
                if not called:  # looked once more, as a call may come just when the waiting is over
                    break
                bell = threading.Condition(self._lock)
                self._resting.append(bell)
                called = bell.wait(IDLE_SECONDS)
                if not called and bell in self._resting:
                    self._resting.remove(bell)
            self._workers.discard(threading.current_thread())
            return None

    def _ask(self, row: Row, lane: Lane) -> None:
        check, began = row.check, self._clock.monotonic()
        probed = self._probed(check)
        now, wall = self._clock.monotonic(), self._clock.now()
        with self._lock:
            self.made[probed.passed] += 1
            changed = self._rota.done(row, lane, probed, began, now, wall)
            if changed:
                self._changed.notify_all()
            due = self._rota.next_at
            if due is not None and due < self._sleeps_until:
                self._news.notify()
        if changed:
            self._wake(check.job.environment)

    def _probed(self, check: Check) -> Probed:
        probe = self._probes.get(check.spec.kind)
        if probe is None:
            return Probed(False, f"there is no probe of the kind {check.spec.kind}")
        try:
            return probe.probe(check.spec, check.job)
        except Exception as error:  # noqa: BLE001 - a bug in a plug-in must not end the checks of the others
            return Probed(False, f"the check itself failed: {type(error).__name__}")
