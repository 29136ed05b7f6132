"""When to look again: sooner after a first failure, later and later after more, never in step with others."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

FIRST_RETRY = 1.0
"""Seconds before the second try; doubled for each further one."""
FREE_REPAIRS = 3
"""Repairs of one environment that follow each other at once: a person who edits several files, say."""
REPAIR_PAUSE = timedelta(seconds=30)
"""Between the last free repair and the next; doubled for each further one."""
HOUR = timedelta(hours=1)
SIGNAL_GAP = 1.0
"""Seconds between two looks that changes of a target ask for; doubled while they go on."""
LONGEST_GAP = 60.0
"""Seconds between two such looks at most."""


def retry_delay(failures: int, longest: float, spread: float) -> float:
    """Seconds to wait after `failures` failed tries in a row.

    Args:
        failures: 1 after the first.
        longest: Upper bound in seconds: one poll interval, so that an environment converges within two
            polls once its faults stop.
        spread: A random number from 0 to 1; the delay is between half and all of its nominal length.
    """
    nominal = min(longest, FIRST_RETRY * 2.0 ** min(failures - 1, 30))
    return nominal * (0.5 + 0.5 * spread)


def hold_delay(
    failures: int, poll: float, drift: float, spread: float, *, waits_for_people: bool, opens_in: float | None
) -> float:
    """Seconds to the next pass of an environment that something holds; never past the time at which that can end.

    Each pass asks forge and CI. What they can't change, because a person or the time has to, is asked about as seldom
    as a converged target is looked at.

    Args:
        failures: Passes in a row that were held.
        poll: Seconds between two looks at the repository.
        drift: Seconds between two looks at a converged target.
        spread: As for `retry_delay`.
        waits_for_people: Whether only a person's next deed can help.
        opens_in: Seconds until the gate can open at the earliest, where that is known; negative when it could by now.
    """
    seldom = waits_for_people or (opens_in is not None and opens_in > 0)
    delay = retry_delay(failures, max(poll, drift) if seldom else poll, spread)
    return delay if opens_in is None else min(delay, max(FIRST_RETRY, opens_in))


def sweep_at(now: float, drift: float, spread: float) -> float:
    """When a target that is as it should be is looked at again, in monotonic seconds.

    In whole seconds: what is due in the same one is looked at in one go, and not each for a wake-up of its own.

    Args:
        now: Monotonic seconds.
        drift: Seconds between two looks.
        spread: A random number from 0 to 1.
    """
    delay = drift * (0.9 + 0.2 * spread)
    return now + delay if delay < 2.0 else float(math.ceil(now + delay))


def repair_from(repairs: Iterable[datetime], now: datetime, hourly: int) -> datetime | None:
    """When drift of one environment may be repaired; None: now.

    Somebody, or something, writes there again and again: repairing at once each time would keep both busy for good.

    Args:
        repairs: When earlier repairs began, in any order, also those that failed; older ones than an hour don't count.
        now: An aware time.
        hourly: Repairs within any hour at most; 0: none at all, for who only reports drift.

    Returns:
        A time later than `now`, or None.
    """
    if hourly <= 0:
        return now + HOUR
    # One of the future was made before the clock was set back: it would count for as long as the clock was wrong.
    lately = sorted(at for at in repairs if now - HOUR < at <= now)
    if len(lately) < min(FREE_REPAIRS, hourly):
        return None
    start = lately[-1] + min(HOUR, REPAIR_PAUSE * 2 ** min(max(0, len(lately) - FREE_REPAIRS), 20))
    if len(lately) >= hourly:
        start = max(start, lately[-hourly] + HOUR)
    return start if start > now else None


@dataclass(frozen=True, slots=True)
class Signal:
    """A look that a change of a target asked for."""

    at: float
    """When, in monotonic seconds."""
    gap: float
    """Seconds from then on without another one."""


def signalled(before: Signal | None, now: float) -> Signal:
    """When a target that was touched just now is looked at: at once, and later and later while that goes on.

    Args:
        before: The look that was asked for last.
        now: Monotonic seconds.
    """
    if before is None or now > before.at + 2 * before.gap:
        return Signal(now, SIGNAL_GAP)
    if now <= before.at:
        return before  # that look is still to come, and sees this too
    return Signal(max(now, before.at + before.gap), min(LONGEST_GAP, 2 * before.gap))


class DueQueue:
    """What is due when: each key once, at its earliest time. Not thread-safe; times are monotonic seconds."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str]] = []
        self._due: dict[str, float] = {}
        self._count = itertools.count()

    def put(self, key: str, at: float) -> None:
        """Make `key` due at `at`; an earlier time that it already has stays."""
        if key in self._due and self._due[key] <= at:
            return
        self._due[key] = at
        heapq.heappush(self._heap, (at, next(self._count), key))

    def take(self, now: float) -> str | None:
        """The key that is due longest, removed; None when nothing is due."""
        while self._heap and self._heap[0][0] <= now:
            at, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == at:
                del self._due[key]
                return key
        return None

    def next_at(self) -> float | None:
        """When the next key is due; None when there is none."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
