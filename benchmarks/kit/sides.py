"""How two or more sides are measured: in turn, in the same run, the first turn not counted, medians at the end.

So a drift of the machine meets every side alike, and one bad moment none. Quote the ratios, not the times.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping

Side = Callable[[int], float]
"""Does the work once; told which turn it is, from 0; returns what it took, in seconds or whatever is measured."""


def tell(words: str) -> None:
    """One line of progress."""
    print(f"  {words}", file=sys.stderr, flush=True)


def interleaved(
    sides: Mapping[str, Side], turns: int, warm_up: int = 1, few: Mapping[str, int] | None = None
) -> dict[str, float]:
    """The median of each side.

    Args:
        sides: By name, in the order in which they take turns.
        turns: How many turns count.
        warm_up: How many do not, before them.
        few: Sides that take fewer turns and no warm-up, as each is very long.
    """
    seen: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(warm_up + turns):
        for name, side in sides.items():
            if few and name in few and not warm_up <= turn < warm_up + few[name]:
                continue
            spent = side(turn)
            if turn >= warm_up:
                seen[name].append(spent)
    return {name: statistics.median(values) for name, values in seen.items()}


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def own_cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this process and of the children that it waited for, over something that it does."""
    before = _used()
    work()
    return _used() - before


def eventually(condition: Callable[[], object], within: float, what: str, step: float = 0.001) -> float:
    """Wait for something; returns the seconds it took.

    Raises:
        TimeoutError: It did not come about; `what` says what.
    """
    start = time.perf_counter()
    while not condition():
        if time.perf_counter() - start > within:
            raise TimeoutError(f"{what}: not after {within:.0f} s")
        time.sleep(step)
    return time.perf_counter() - start


def _used() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
