"""Hands what the daemon tells to those that keep it: the log, and the metrics where there are any."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from reconciler.cli.log import Changes, Log, Trouble, of_a_chore
from reconciler.errors import ReconcilerError
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
        leave_word: Told why a look failed, or nothing, for commands that are asked meanwhile.
    """

    def __init__(
        self, log: Log, passes: Passes, figures: Figures | None, leave_word: Callable[[str], None] = lambda _: None
    ) -> None:
        self._changes = Changes(log)
        self._trouble = Trouble(log)
        self._passes = passes
        self._figures = figures
        self._changed: Callable[[], None] = lambda: None
        self._leave_word = leave_word
        self._problem: str | None = None

    def tell(self, changed: Callable[[], None]) -> None:
        """Call this behind every pass from now on: those that follow the states may have something to read."""
        self._changed = changed

    @property
    def problem(self) -> str:
        """Why the last look at the repository failed, for people; empty when it did not."""
        return self._problem or ""

    def passed(self, status: Status, previous: Status | None, problem: Exception | None) -> None:
        """A pass ended, in the thread that it ran in."""
        done = self._passes.ended()
        self._changes.passed(status, previous, problem, done)
        if self._figures is not None:
            self._figures.passed(status, problem, done)
        self._changed()

    def looked(self, problem: Exception | None) -> None:
        """A look at the repository ended, or work beside the passes failed; in the thread that looked."""
        seconds = self._passes.looked()
        self._trouble.looked(problem)
        if not of_a_chore(problem):
            self._note(_in_words(problem))
        if self._figures is not None:
            self._figures.looked(problem, seconds, chore=of_a_chore(problem))

    def _note(self, problem: str) -> None:
        if problem != self._problem:
            self._leave_word(problem)
        self._problem = problem


def _in_words(problem: Exception | None) -> str:
    if problem is None:
        return ""
    return problem.message if isinstance(problem, ReconcilerError) else "the repository can't be looked at"
