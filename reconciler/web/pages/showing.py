"""One function for each page: what a view found, and what the page needs beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.core.audit import Kind
from reconciler.model import EnvironmentName
from reconciler.reasonpages import ReasonPage
from reconciler.views.board import BAD, WORST, Board
from reconciler.views.compare import Comparison
from reconciler.views.environment import EnvironmentPage
from reconciler.views.figures import DAYS, Timeline
from reconciler.views.record import Record
from reconciler.web.pages import plots
from reconciler.web.pages.rendering import Renderer

FILES = 500
"""Files of a comparison that are listed."""
NAMED = 12
"""Environments that the page of a reason names."""


@dataclass(frozen=True, slots=True)
class Hint:
    """A place where somebody who got lost may have wanted to go."""

    title: str
    path: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, for people."""

    title: str
    """In a few words."""
    told: str
    """In a sentence."""
    hint: str = ""
    """What somebody can do."""
    near: Sequence[Hint] = ()


class Pages:
    """Every page, as HTML. `now` is what times are told relative to."""

    def __init__(self, renderer: Renderer) -> None:
        self._render = renderer.render

    def board(self, page: Board, now: datetime) -> str:
        """Every environment."""
        more = [(state, page.counts[state] - WORST) for state in BAD if page.counts.get(state, 0) > WORST]
        return self._render("board.html", now, page=page, more=more)

    def environment(self, page: EnvironmentPage, now: datetime, paged: bool = False) -> str:
        """One environment; `paged`: its history does not begin with the newest attempt."""
        return self._render("environment.html", now, page=page, paged=paged)

    def compare(self, page: Comparison, now: datetime, left: str, right: str) -> str:
        """Two artifacts beside each other, as they were asked for."""
        files = page.files.every[:FILES] if page.files else ()
        return self._render("compare.html", now, page=page, files=files, left=left, right=right)

    def timeline(self, page: Timeline, now: datetime) -> str:
        """Deployments over time."""
        last = page.as_of.date()
        first = page.days[0].day if page.days else last - timedelta(page.query.days)
        drawn = {"bars": plots.bars(page.days), "dots": plots.dots(page.leads, first, last), "frame": plots.FRAME}
        return self._render("timeline.html", now, page=page, spans=DAYS, **drawn)

    def audit(self, page: Record, now: datetime) -> str:
        """The audit record."""
        return self._render("audit.html", now, page=page, kinds=tuple(Kind))

    def reasons(self, pages: Sequence[ReasonPage], now: datetime) -> str:
        """Every reason."""
        return self._render("reasons.html", now, pages=pages)

    def reason(self, page: ReasonPage, stand: Sequence[EnvironmentName], now: datetime) -> str:
        """One reason, and the environments that stand so."""
        return self._render("reason.html", now, page=page, stand=stand[:NAMED], count=len(stand))

    def problem(self, problem: Problem, now: datetime) -> str:
        """What went wrong."""
        return self._render("problem.html", now, problem=problem)
