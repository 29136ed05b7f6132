"""What is looked at: environments in a mood, and which pages of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from reconciler.views.facts import Facts
from tests.browser.serving import Site, serving
from tests.factories import NOON
from tests.views_samples import Layout, Mood, sampled


@dataclass(frozen=True)
class Sample:
    """Environments in a mood, and which pages of them are looked at."""

    name: str
    count: int
    mood: Mood
    layout: Layout
    pages: Sequence[tuple[str, str]]

    @contextmanager
    def prepared(self, now: datetime = NOON) -> Iterator[Facts]:
        """In a real store and a real repository."""
        with (
            tempfile.TemporaryDirectory() as place,
            sampled(Path(place), self.count, self.mood, self.layout, now) as facts,
        ):
            yield facts

    @contextmanager
    def served(self) -> Iterator[Site]:
        """Served by the real application."""
        with self.prepared() as facts, serving(facts) as site:
            yield site


BOARD = (("board", "/"),)
BOTH = (*BOARD, ("environment", "/environments/shop/prod"))
MOODS: tuple[Mood, ...] = ("well", "held", "degraded", "drifted", "frozen")
SAMPLES = (
    Sample(
        "thirty",
        30,
        "mixed",
        "services",
        (
            *BOARD,
            ("board-search", "/?text=shop&state=held"),
            ("board-nothing", "/?text=nothing"),
            ("environment", "/environments/mail/staging"),
            ("compare", "/compare?left=shop/prod&right=shop/dev"),
            ("compare-ask", "/compare"),
            ("timeline", "/timeline"),
            ("audit", "/audit"),
            ("reason", "/reasons/Soaking"),
            ("reasons", "/reasons"),
            ("lost", "/environments/shp/prod"),
        ),
    ),
    Sample("thousands", 3000, "mixed", "services", BOARD),
    Sample("flat", 3000, "mixed", "flat", BOARD),
    *(Sample(mood, 9, mood, "services", BOTH) for mood in MOODS),
    Sample("none", 0, "well", "services", (*BOARD, ("compare", "/compare"), ("audit", "/audit"))),
    Sample("three", 3, "held", "flat", BOARD),
)
"""Those that take longest first."""
