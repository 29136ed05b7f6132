"""When to look again: sooner after a first failure, later and later after more, never in step with others."""

from __future__ import annotations

import heapq
import itertools

FIRST_RETRY = 1.0
"""Seconds before the second try; doubled for each further one."""


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
