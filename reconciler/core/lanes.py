"""Which queue a pass waits in, so that environments that fail, or hang, take their turns among themselves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

REST = 39.0
"""Times the length of a retry for which the next one waits, while anything prompt does: a fortieth of one worker.

A retry hardly waits for the disk, as a deployment does, and computes as long: with a tenth of one worker, retries took
a sixteenth of all that the process computed while 5,000 environments were deployed.
"""
LONGEST_REST = 5.0
"""Seconds of that rest at most."""
SHORTEST_PATIENCE = 0.1
"""Seconds of a prompt pass after which it may count as slow at the earliest."""
LONGEST_PATIENCE = 5.0
"""Seconds after which it does in any case."""
_TIMES = 4.0
"""Times the usual length of a pass that is slow."""
_WEIGHT = 0.1
"""Of the newest pass in what is usual."""


class Lane(IntEnum):
    """A queue with workers of its own. The smaller one wins where one environment is due for two reasons."""

    PROMPT = 0
    """Something new is known of it, or its last pass left nothing to try."""
    RETRY = 1
    """Its last pass failed or was held, and it is tried again because time went by."""
    SLOW = 2
    """The same, and that pass was slow: something there may hang."""


@dataclass(frozen=True, slots=True)
class Past:
    """What the last pass of an environment was like."""

    failed: bool = False
    slow: bool = False


def lane_of(past: Past, *, news: bool) -> Lane:
    """Where the next pass of an environment waits.

    Args:
        past: What the last one was like.
        news: Whether something happened since that can change what it comes to: a merge, an operator's word, the time
            that a gate waited for.
    """
    if news or not past.failed:
        return Lane.PROMPT
    return Lane.SLOW if past.slow else Lane.RETRY


def usual(before: float, took: float) -> float:
    """Seconds that a pass takes usually, with one more; a slow one counts as far as patience went."""
    return before + _WEIGHT * (min(took, patience(before)) - before)


def patience(usually: float) -> float:
    """Seconds after which a pass counts as slow, and another worker takes its place.

    So much longer than is usual here and now, as on a busy machine every pass takes longer, and more workers would
    make it busier still.
    """
    return max(SHORTEST_PATIENCE, min(LONGEST_PATIENCE, _TIMES * usually))


def rest(took: float) -> float:
    """Seconds without a retry behind one that took so long, while something prompt waits."""
    return min(LONGEST_REST, REST * took)
