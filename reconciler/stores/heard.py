"""The memory, with somebody who hears of each attempt once it is remembered: when it begins, and when it ends."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.model import Accepted, Attempt, Status
from reconciler.ports import Clock, Trace
from reconciler.stores.sql import SqlStore


class HeardStore(SqlStore):
    """A `SqlStore`.

    Args:
        url: As for `SqlStore`.
        clock: As for `SqlStore`.
        trace: As for `SqlStore`.
        heard: Gets each attempt right behind the commit, in the thread that recorded it.
    """

    def __init__(self, url: str, clock: Clock, trace: Trace, heard: Callable[[Attempt], None]) -> None:
        super().__init__(url, clock, trace)
        self._heard = heard

    def begin(self, attempt: Attempt) -> Attempt:
        """Record intent, and tell."""
        begun = super().begin(attempt)
        self._heard(begun)
        return begun

    def finish(self, attempt: Attempt, status: Status, accepted: Accepted | None) -> None:
        """Record the one outcome, and tell."""
        super().finish(attempt, status, accepted)
        self._heard(attempt)

    def refuse(self, attempt: Attempt, status: Status) -> None:
        """Record an attempt that no gate let begin, and tell."""
        super().refuse(attempt, status)
        self._heard(attempt)
