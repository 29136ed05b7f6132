"""Where the marks of a figure go: numbers in, coordinates out. Templates draw them as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import count

from reconciler.views.figures import Day, LeadPoint
from reconciler.web.pages.words import span

WIDTH, HEIGHT = 720, 200
"""The drawing's own units; the page scales it."""
LEFT, BOTTOM, TOP, RIGHT = 58, 24, 10, 6
_GAP = 0.25
"""Part of a bar's place that stays empty."""
_LABELS = 6


@dataclass(frozen=True, slots=True)
class Frame:
    """Within what the marks lie."""

    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT


FRAME = Frame()


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a stacked bar."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    """`deployed`, `failed`, `rolled-back` or `refused`."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A label on an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Bars:
    """Deployments by day."""

    bars: tuple[Bar, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Dot:
    """One point."""

    x: float
    y: float
    told: str


@dataclass(frozen=True, slots=True)
class Dots:
    """Lead times over time."""

    dots: tuple[Dot, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


def bars(days: Sequence[Day]) -> Bars:
    """One stacked bar for each day."""
    most = max((sum(_parts(day).values()) for day in days), default=0)
    steps = whole_steps(most)
    high = steps[-1]
    place = (WIDTH - LEFT - RIGHT) / max(1, len(days))
    made = []
    for number, day in enumerate(days):
        base = 0
        for kind, number_of in _parts(day).items():
            if number_of:
                made.append(_bar(number, place, base, number_of, high, kind))
            base += number_of
    up = tuple(Tick(_y(step, high), str(step)) for step in steps)
    return Bars(tuple(made), _dates([day.day for day in days], place), up)


def dots(points: Sequence[LeadPoint], first: date, last: date) -> Dots:
    """One dot for each deployment, on a scale of powers: lead times differ by orders."""
    seconds = [max(1.0, point.lead.total_seconds()) for point in points]
    steps = _time_steps(max(seconds, default=60.0), min(seconds, default=1.0))
    low, high = math.log(steps[0]), math.log(steps[-1])
    days = [first + timedelta(n) for n in range((last - first).days + 1)]
    width = (WIDTH - LEFT - RIGHT) / max(1, len(days))
    begin = datetime(first.year, first.month, first.day, tzinfo=points[0].at.tzinfo) if points else None
    made = tuple(
        Dot(
            round(LEFT + width * (point.at - begin).total_seconds() / 86_400, 1),
            _y(math.log(value) - low, high - low),
            f"{point.environment}: {span(value)}",
        )
        for point, value in zip(points, seconds, strict=True)
        if begin is not None
    )
    return Dots(made, _dates(days, width), tuple(Tick(_y(math.log(s) - low, high - low), span(s)) for s in steps))


def sparkline(counts: Sequence[int], width: int = 96, height: int = 20) -> str:
    """The points of a line through some counts, as SVG writes them."""
    if not counts:
        return ""
    most, step = max(1, *counts), width / max(1, len(counts) - 1)
    return " ".join(
        f"{round(n * step, 1):g},{round(height - 2 - (height - 4) * one / most, 1):g}" for n, one in enumerate(counts)
    )


def whole_steps(most: int) -> tuple[int, ...]:
    """Round whole numbers from 0 up to at least `most`, two to six of them."""
    step = next(base * 10**power for power in count() for base in (1, 2, 5) if most <= 5 * base * 10**power)
    return tuple(range(0, max(1, math.ceil(most / step)) * step + 1, step))


def _parts(day: Day) -> dict[str, int]:
    return {"deployed": day.deployed, "rolled-back": day.rolled_back, "failed": day.failed, "refused": day.refused}


def _bar(number: int, place: float, base: int, height: int, high: int, kind: str) -> Bar:
    top, bottom = _y(base + height, high), _y(base, high)
    x = LEFT + place * (number + _GAP / 2)
    return Bar(round(x, 1), top, round(place * (1 - _GAP), 1), round(bottom - top, 1), kind)


def _y(value: float, high: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (value / high if high else 0), 1)


def _dates(days: Sequence[date], place: float) -> tuple[Tick, ...]:
    every = max(1, math.ceil(len(days) / _LABELS))
    return tuple(
        Tick(round(LEFT + place * (n + 0.5), 1), f"{day.day} {day:%b}")
        for n, day in enumerate(days)
        if n % every == 0 and LEFT + place * (n + 0.5) < WIDTH - 20
    )


def _time_steps(most: float, least: float) -> tuple[float, ...]:
    nice = (1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0, 2_592_000.0, 31_536_000.0)
    first = max((n for n, step in enumerate(nice) if step <= least), default=0)
    last = next((n for n, step in enumerate(nice) if step >= most and n > first), len(nice) - 1)
    return nice[first : last + 1]
