"""The memory, with somebody who hears of each attempt once it is remembered: when it begins, and when it ends."""

from __future__ import annotations

from typing import Protocol

from reconciler.model import Accepted, Attempt, Status
from reconciler.ports import Clock, Trace
from reconciler.stores.sql import SqlStore


class Hearer(Protocol):
    """Hears of attempts, in the thread that records them."""

    def recorded(self, attempt: Attempt) -> None:
        """One began, or has its outcome; called right behind the commit."""
        ...

    def timed(self, attempt: Attempt) -> Attempt:
        """One that gets its outcome now, with how long its stages took, where that is known."""
        ...


class HeardStore(SqlStore):
    """A `SqlStore`.

    Args:
        url: As for `SqlStore`.
        clock: As for `SqlStore`.
        trace: As for `SqlStore`.
        hearer: Hears of each attempt.
    """

    def __init__(self, url: str, clock: Clock, trace: Trace, hearer: Hearer) -> None:
        super().__init__(url, clock, trace)
        self._hearer = hearer

    def begin(self, attempt: Attempt) -> Attempt:
        """Record intent, and tell."""
        begun = super().begin(attempt)
        self._hearer.recorded(begun)
        return begun

    def finish(self, attempt: Attempt, status: Status, accepted: Accepted | None) -> None:
        """Record the one outcome, with where the time went, and tell."""
        attempt = self._hearer.timed(attempt)
        super().finish(attempt, status, accepted)
        self._hearer.recorded(attempt)

    def refuse(self, attempt: Attempt, status: Status) -> None:
        """Record an attempt that no gate let begin, and tell."""
        super().refuse(attempt, status)
        self._hearer.recorded(attempt)
