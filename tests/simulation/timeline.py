"""What truly happened at each place, by the world's own clock: what a promotion may rest on.

A break is whatever ends the healthy time of a release: it was replaced, also by itself, it drifted, or it is to run
with other settings. Between two looks of one process that are near each other, and without a break, time was seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reconciler.core.approve import Approval
from reconciler.model import Accepted
from tests.simulation.faults import ManualClock


@dataclass
class Span:
    """One place's healthy time since its last break."""

    broke: float = 0.0
    """True time of the break."""
    seen: float = 0.0
    """Seconds of it that somebody saw, by the slower of two clocks."""
    last: tuple[str, float, float] | None = None
    """The last look: by whom, at which true and wall time."""


class Timeline:
    """All places. `who` looks, and whether that counts, is set by the world."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.spans: dict[str, Span] = {}
        self.gap = 150.0
        self.who = ""
        """The process that looks; empty: somebody whose looks earn nothing."""
        self.judge: Callable[[str, Approval], None] = lambda path, approval: None
        """Told right before the system makes something live."""
        self.noted: Callable[[str, Accepted | None, Accepted], None] = lambda path, before, after: None
        """Told of each declaration that is noted beside the releases."""
        self.settings: Callable[[Accepted], object] = lambda accepted: None
        """With which settings a declaration has its release run."""

    def span(self, path: str) -> Span:
        return self.spans.setdefault(path, Span(self._clock.seconds))

    def broken(self, path: str) -> None:
        """Whatever was healthy there is no more, or not the same any more."""
        self.spans[path] = Span(self._clock.seconds)

    def observed(self, path: str) -> None:
        if not self.who:
            return
        span, now, wall = self.span(path), self._clock.seconds, self._clock.wall
        if span.last is not None:
            who, then, wall_then = span.last
            apart = max(now - then, wall - wall_then)
            if apart > self.gap:
                span.seen = 0.0
            elif who == self.who:
                span.seen += max(0.0, min(now - then, wall - wall_then))
        span.last = (self.who, now, wall)

    def switching(self, path: str, approval: Approval) -> None:
        self.judge(path, approval)

    def switched(self, path: str) -> None:
        self.broken(path)

    def accepted(self, path: str, before: Accepted | None, after: Accepted) -> None:
        self.noted(path, before, after)
        if before is not None and self.settings(before) != self.settings(after):
            self.broken(path)
