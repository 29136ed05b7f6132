"""What a row of checks comes to: waiting, healthy, unhealthy, failed. Pure: answers in, a state out.

    WAITING ──good──▶ HEALTHY ──bad──▶ UNHEALTHY        good: `successes` passed in a row
       │                 ▲  ◀──good──────┘              bad:  `failures` did not pass in a row
       └──late──▶ FAILED ┘ good                         late: one did not pass, and `within` is over

Only an answer changes a state. A check that nobody had the time to make says nothing, so a busy daemon takes no release
for a failed one. For the same reason a row of passed checks that is under way when the time is over is let finish: the
first check that does not pass from then on fails it. What was proven once can't fail any more, and only be unhealthy.

A service that flaps between passed and not passed stays what it is, until one of the two rows is long enough.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.core.running import HealthSpec
from reconciler.model import HealthState, Probed

FIRST_PAUSE = 0.05
"""Seconds between the first two checks after an activation; doubled for each further one."""
LONGEST_PAUSE = 1.0
"""Seconds between two checks while it is waited for, unless `every` is shorter."""
SPREAD = 0.1
"""Of `every`, by which checks are moved back and forth, so that they don't all come at once."""
_ASKED = 10
"""Answers that are counted; by then the pause is at its longest."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Where a row of checks stands."""

    state: HealthState = HealthState.WAITING
    good: int = 0
    """Checks that passed in a row; at most as many as count."""
    bad: int = 0
    """Checks that did not pass in a row; at most as many as count."""
    asked: int = 0
    """Answers so far; no more are counted than the pauses depend on."""
    message: str = ""
    """What the last check that did not pass said; empty once it is healthy and the last one passed."""


def after(tally: Tally, probed: Probed, spec: HealthSpec, elapsed: float, *, proven: bool) -> Tally:
    """Where the row stands with one more answer.

    Args:
        tally: Where it stood.
        probed: The answer.
        spec: What counts.
        elapsed: Seconds from the activation to the answer.
        proven: Whether it was healthy before this row began.
    """
    asked = min(_ASKED, tally.asked + 1)
    if probed.passed:
        good = min(spec.successes, tally.good + 1)
        state = HealthState.HEALTHY if good == spec.successes else tally.state
        message = "" if state is HealthState.HEALTHY else tally.message
        return Tally(state, good, 0, asked, message)
    worse = Tally(tally.state, 0, min(spec.failures, tally.bad + 1), asked, probed.message)
    return replace(worse, state=_without(worse, spec, elapsed, proven=proven))


def _without(tally: Tally, spec: HealthSpec, elapsed: float, *, proven: bool) -> HealthState:
    """The state behind a check that did not pass."""
    if tally.state is HealthState.WAITING and not proven:
        return HealthState.FAILED if elapsed >= spec.within_seconds else HealthState.WAITING
    if tally.state is HealthState.FAILED or tally.bad < spec.failures:
        return tally.state
    return HealthState.UNHEALTHY


def start(since: float, within: float) -> float:
    """Seconds of its time that a row has behind it when it begins.

    Args:
        since: Seconds from the activation to now, by the wall clock: it may have been set, so anything.
        within: The time.
    """
    return max(0.0, min(since, within))


def first_delay(spec: HealthSpec, spread: float, *, proven: bool) -> float:
    """Seconds to the first check: none after an activation; at a restart, when many rows begin, a little for each.

    Args:
        spec: What is asked.
        spread: A random number from 0 to 1.
        proven: Whether it was healthy before.
    """
    return spread * min(spec.every_seconds, LONGEST_PAUSE) if proven else 0.0


def next_delay(tally: Tally, spec: HealthSpec, elapsed: float, spread: float) -> float:
    """Seconds from an answer to the next check.

    While it is waited for the pauses grow, so that what starts fast is found healthy fast; and one check is made right
    when the time is over.

    Args:
        tally: With the answer.
        spec: What is asked.
        elapsed: Seconds from the activation to the answer.
        spread: A random number from 0 to 1.
    """
    if tally.state is not HealthState.WAITING:
        return spec.every_seconds * (1 - SPREAD + 2 * SPREAD * spread)
    pause = min(spec.every_seconds, LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (tally.asked - 1))
    left = spec.within_seconds - elapsed
    return min(pause, left) if left > 0 else pause
