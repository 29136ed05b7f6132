"""When a freeze is closed, and from when on none of several is.

Instants are compared, never wall times. A freeze is closed from its first instant on, and open at its last.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from itertools import cycle, islice

from reconciler.core.policyfile import FreezeSpec
from reconciler.core.walltime import last_start

LOOKS = 5_000
"""Looks at a freeze in search of the opening: a quarter of a second. Some schedules never leave a gap."""


def closed_until(freeze: FreezeSpec, at: datetime) -> datetime | None:
    """When the freeze ends that is closed at this instant, in UTC; None when it is open."""
    if freeze.cron:
        # All starts close it for equally long: the last one ends last.
        start = last_start(freeze.cron, freeze.zone, at)
        end = start + freeze.lasts if start else None
        return end if end and at < end else None
    start, end = freeze.once
    return end if start <= at < end else None


def closing(freezes: Sequence[FreezeSpec], at: datetime) -> tuple[FreezeSpec, datetime] | None:
    """Of those that are closed at this instant the one that ends last, and its end; None when all are open."""
    closed = [(freeze, end) for freeze in freezes if (end := closed_until(freeze, at))]
    return max(closed, key=lambda item: item[1], default=None)


@lru_cache(maxsize=256)
def opening(freezes: tuple[FreezeSpec, ...], at: datetime) -> datetime | None:
    """The first instant, from this one on, at which none is closed; None when many looks did not find it.

    Remembered, because all environments with the same freezes ask for the same instant: the end of one.
    """
    quiet = 0
    for freeze in islice(cycle(freezes), max(LOOKS, 2 * len(freezes))):
        end = closed_until(freeze, at)
        at, quiet = (end, 0) if end else (at, quiet + 1)
        if quiet == len(freezes):
            return at
    return None
