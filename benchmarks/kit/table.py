"""Results: one row for each piece of work, what the other side took, and the goal; shown as a table for terminals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

TIMES = "\u00d7"
NOT_INSTALLED = "not installed"


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement.

    Args:
        work: What was done.
        unit: Of both values.
        ours: What it took here.
        against: What the other side is; empty where there is none.
        other: What it took there, in the same run.
        goal: The bound of the ratio where there is another side, else of the value.
        at_least: Whether the goal is a lower bound.
        absolute: Whether the goal is about the value although there is another side.
        beside: Other tools with their ratio to the other side, or why there is none.
        remark: What a reader must know.
    """

    work: str
    unit: str
    ours: float
    against: str = ""
    other: float | None = None
    goal: float | None = None
    at_least: bool = False
    absolute: bool = False
    beside: dict[str, float | str] = field(default_factory=dict)
    remark: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours by theirs."""
        return self.ours / self.other if self.other else None

    @property
    def judged(self) -> float:
        """What the goal is about: the ratio, or the value where there is nothing to compare with."""
        return self.ours if self.ratio is None or self.absolute else self.ratio

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None: there is none."""
        if self.goal is None:
            return None
        return self.judged >= self.goal if self.at_least else self.judged <= self.goal


@dataclass(frozen=True, slots=True)
class Result:
    """What one benchmark came to."""

    name: str
    title: str
    rows: tuple[Row, ...]


HEAD = ("work", "compared with", "there", "here", "ratio", "goal", "")


def cells(row: Row) -> tuple[str, ...]:
    """A row in words."""
    other = "" if row.other is None else f"{number(row.other)} {row.unit}"
    ratio = "" if row.ratio is None else number(row.ratio)
    goal = "" if row.goal is None else f"{'≥' if row.at_least else '≤'} {row.goal:g}{unit_of_goal(row)}"
    met = {None: "", True: "met", False: "missed"}[row.met]
    return row.work, row.against, other, f"{number(row.ours)} {row.unit}", ratio, goal, met


def unit_of_goal(row: Row) -> str:
    """What stands behind a goal: a factor where two are compared, else the unit."""
    return f" {row.unit}" if row.ratio is None or row.absolute else TIMES


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def text(result: Result) -> str:
    """A table for a terminal, with what stands beside it."""
    lines = [HEAD, *(cells(row) for row in result.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    shown = [result.title, *(_line(line, widths) for line in lines)]
    shown += [f"  {row.work}: {words}" for row in result.rows for words in _notes(row)]
    return "\n".join(shown)


def _line(line: Sequence[str], widths: Iterable[int]) -> str:
    return "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def beside(row: Row) -> str:
    """Other tools at the same work, as multiples of the other side."""
    parts = [
        f"{name} {found if isinstance(found, str) else number(found) + TIMES}" for name, found in row.beside.items()
    ]
    return ", ".join(parts)


def _notes(row: Row) -> Iterable[str]:
    if row.beside:
        yield beside(row)
    if row.remark:
        yield row.remark
