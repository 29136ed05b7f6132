"""Hands what the daemon tells to those that keep it: the log, and the metrics where there are any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.cli.log import Changes, Log, Trouble, of_a_chore
from reconciler.metrics.passes import Passes
from reconciler.model import Status

if TYPE_CHECKING:
    from reconciler.metrics.figures import Figures


class Reports:
    """Told by the runner and by the poll.

    Args:
        log: Gets a line when something changed.
        passes: Knows what the pass that ends in this thread did.
        figures: Count; None: nobody asks for metrics.
    """

    def __init__(self, log: Log, passes: Passes, figures: Figures | None) -> None:
        self._changes = Changes(log)
        self._trouble = Trouble(log)
        self._passes = passes
        self._figures = figures

    def passed(self, status: Status, previous: Status | None, problem: Exception | None) -> None:
        """A pass ended, in the thread that it ran in."""
        done = self._passes.ended()
        self._changes.passed(status, previous, problem, done)
        if self._figures is not None:
            self._figures.passed(status, problem, done)

    def looked(self, problem: Exception | None) -> None:
        """A look at the repository ended, or work beside the passes failed; in the thread that looked."""
        seconds = self._passes.looked()
        self._trouble.looked(problem)
        if self._figures is not None:
            self._figures.looked(problem, seconds, chore=of_a_chore(problem))
