"""Whose turn it is: rows of checks, when each is due, and who goes first when workers are short. No threads here.

Three lanes. What was just activated comes first, as people wait for it. Then what is asked as usual. Last comes what
took long the last time: it has half of the workers at most, so that hosts that hang keep nobody else waiting. A part
of the workers is kept for the first lane, as what hangs for the first time is in the second one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from random import Random

from reconciler.core import health
from reconciler.core.health import Tally
from reconciler.core.schedule import DueQueue
from reconciler.model import Checked, EnvironmentName, HealthState, Probed
from reconciler.ports import Check

SLOW_SECONDS = 1.0
"""Seconds after which a check counts as slow, and its next one waits among its like."""

SLOW_SHARE = 2
"""One worker of so many may ask what took long the last time."""
KEPT_SHARE = 8
"""One worker of so many is kept for what was just activated."""


class Lane(IntEnum):
    """Where a check waits for a worker; the smaller one goes first."""

    FIRST = 0
    USUAL = 1
    SLOW = 2


@dataclass(slots=True, eq=False)
class Row:
    """The checks of one activation."""

    check: Check
    zero: float
    """Monotonic seconds at which its time began."""
    since: datetime
    """When its state was entered."""
    tally: Tally = field(default_factory=Tally)
    slow: bool = False

    @property
    def checked(self) -> Checked:
        """What came of it so far."""
        return Checked(self.tally.state, self.since, self.tally.message)

    @property
    def lane(self) -> Lane:
        """Where its next check waits."""
        if self.slow:
            return Lane.SLOW
        waited_for = self.tally.state is HealthState.WAITING and not self.check.proven
        return Lane.FIRST if waited_for else Lane.USUAL


class Rota:
    """Rows by environment. Not thread-safe; times are monotonic seconds.

    Args:
        workers: Checks that are made at the same time, at most.
        random: Spreads them.
    """

    def __init__(self, workers: int, random: Random) -> None:
        self._random = random
        self._rows: dict[EnvironmentName, Row] = {}
        self._due = DueQueue()
        self._waiting: dict[Lane, deque[Row]] = {lane: deque() for lane in Lane}
        self._running: dict[Lane, int] = dict.fromkeys(Lane, 0)
        usual = workers - workers // KEPT_SHARE
        self._most = {Lane.FIRST: workers, Lane.USUAL: usual, Lane.SLOW: max(1, workers // SLOW_SHARE)}

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, environment: EnvironmentName) -> Row | None:
        """The row of an environment; None: nothing is asked about it."""
        return self._rows.get(environment)

    def expect(self, check: Check, now: float, wall: datetime) -> Row:
        """The row of a check: the one there is, or a new one in its place that is due soon."""
        environment = check.job.environment
        row = self._rows.get(environment)
        if row and row.check == check:
            return row
        if row and row.check == replace(check, proven=False):
            row.check = check
            return row
        behind = health.start((wall - check.since).total_seconds(), check.spec.within_seconds)
        new = Row(check, now - behind, check.since, slow=row.slow if row else False)
        self._rows[environment] = new
        self._due.put(environment, now + health.first_delay(check.spec, self._random.random(), proven=check.proven))
        return new

    def forget(self, environment: EnvironmentName) -> None:
        """Ask nothing more about it; what is under way comes to nothing."""
        self._rows.pop(environment, None)

    def call(self, now: float) -> float | None:
        """Let all that is due wait for a worker; returns when the next one is due."""
        while name := self._due.take(now):
            row = self._rows.get(EnvironmentName(name))
            if row:
                self._waiting[row.lane].append(row)
        return self._due.next_at()

    @property
    def next_at(self) -> float | None:
        """When the next row is due; None when none is."""
        return self._due.next_at()

    @property
    def ready(self) -> bool:
        """Whether something waits that may be asked now; what was forgotten meanwhile counts, too."""
        for lane in Lane:
            if not self._room(lane):
                return False
            if self._waiting[lane]:
                return True
        return False

    def take(self) -> tuple[Row, Lane] | None:
        """The row that is asked next, to be given back by `done`; None: nothing waits that may be asked now."""
        for lane in Lane:
            if not self._room(lane):
                return None  # nor is there any for the lanes behind it
            row = self._next(lane)
            if row:
                self._running[lane] += 1
                return row, lane
        return None

    def done(self, row: Row, lane: Lane, probed: Probed, began: float, now: float, wall: datetime) -> bool:
        """Count an answer; returns whether it changed the state of a row that still counts."""
        self._running[lane] -= 1
        environment = row.check.job.environment
        if self._rows.get(environment) is not row:
            return False
        before, spec = row.tally.state, row.check.spec
        row.slow = now - began > SLOW_SECONDS
        row.tally = health.after(row.tally, probed, spec, now - row.zero, proven=row.check.proven)
        delay = health.next_delay(row.tally, spec, now - row.zero, self._random.random())
        self._due.put(environment, now + delay)
        if row.tally.state is before:
            return False
        row.since = wall
        return True

    def _room(self, lane: Lane) -> bool:
        """Whether one more of a lane may be asked: those of the lanes behind it count among its own."""
        return sum(self._running[one] for one in Lane if one >= lane) < self._most[lane]

    def _next(self, lane: Lane) -> Row | None:
        waiting = self._waiting[lane]
        while waiting:
            row = waiting.popleft()
            if self._rows.get(row.check.job.environment) is row:
                return row
        return None
