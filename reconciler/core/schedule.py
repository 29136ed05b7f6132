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
