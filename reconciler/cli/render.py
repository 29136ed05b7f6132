"""Text for people and scripts: data to stdout, everything else to stderr, and nothing that a terminal obeys.

Whatever comes from outside (names, titles, messages, paths) passes `escape` here and only here: each cell
and line is escaped on its way out, so that no command can forget it. Lists are aligned by hand, since a
table of thousands of rows takes a layout engine seconds; prose, which must wrap, is laid out by rich.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import typer

from reconciler.core.readable import ARROW, escape

_MORE = "…"
_END = re.compile(r"(?: |\x1b\[[0-9;]*m)+$")
"""The blanks that a layout leaves, with the ends of colours among them."""
_UNBOUNDED = 100_000
"""Columns of what is not a terminal: nothing is wrapped there."""
_GAP = "  "
_LEAST = 7
"""Columns that a cut cell keeps, however narrow the terminal is: its title's."""
_READABLE = 20
"""Columns that a cut cell should have: others make room for it."""
_LEFT_OUT = -1
"""In place of the width of a column that made room."""
_STYLES: Mapping[str, Mapping[str, Any]] = {
    "good": {"fg": "green"},
    "bad": {"fg": "red"},
    "warn": {"fg": "yellow"},
    "dim": {"dim": True},
    "head": {"bold": True},
}
_RICH = {"good": "green", "bad": "red", "warn": "yellow", "dim": "dim", "head": "bold"}
_MOOD = {
    **dict.fromkeys(("Synced", "Healthy", "True", "succeeded", "passed", "ok"), "good"),
    **dict.fromkeys(("Held", "Progressing", "refused", "interrupted", "held"), "warn"),
    **dict.fromkeys(("OutOfSync", "Degraded", "failed"), "bad"),
    **dict.fromkeys(("Unknown", "-", "not reached"), "dim"),
}


class Cell(NamedTuple):
    """Some text and how it looks."""

    text: str
    style: str = ""


def word(text: str) -> Cell:
    """A word of the product (`Synced`, `failed` …) in the colour that it always has."""
    return Cell(text, _MOOD.get(text, ""))


def plain(text: str) -> str:
    """Arrows and marks as this stdout can show them."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return text.replace(_MORE, "...").replace(ARROW, "->").replace("✓", "+").replace("✗", "x").replace("·", "-")
    return text


def say(text: str) -> None:
    """One line of data."""
    typer.echo(plain(escape(text)))


def note(text: str) -> None:
    """One line for people, beside the data."""
    typer.echo(escape(text), err=True)


def raw(text: str) -> None:
    """A document that is safe already: JSON in ASCII, YAML, a script."""
    typer.echo(text, nl=not text.endswith("\n"))


def problem(message: str, hint: str = "", reason: str | None = None) -> None:
    """An error as every command tells it, and where more is said of its reason.

    Further lines of a message are set in, so that none looks like a hint.
    """
    first, *rest = message.splitlines() or [""]
    note(f"error: {first}")
    for line in rest:
        note(f"  {line}")
    if hint:
        note(f"hint: {hint}")
    if reason:
        note(f"see: {explained(reason)}")


def explained(reason: str) -> str:
    """The command that tells more of a reason."""
    return f"reconciler explain {reason}"


def coloured() -> bool:
    """Whether stdout is a terminal whose user did not turn colours off (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def columns(
    header: Sequence[str],
    rows: Iterable[Sequence[Cell | str]],
    *,
    titles: bool = True,
    least: Sequence[int] = (),
    cut: bool = False,
    spare: Sequence[str] = (),
) -> list[int]:
    """Print aligned columns; returns their widths.

    Args:
        header: The titles.
        rows: A cell for each title.
        titles: Whether to print them.
        least: What an earlier call returned, for further rows of the same table.
        cut: The last column ends where a terminal does; what is no terminal gets all of it.
        spare: Columns that a narrow terminal does without, the first of them first.
    """
    table = [[Cell(title, "head") for title in header]] if titles else []
    table += [[_cell(value) for value in row] for row in rows]
    floor = least or [0] * len(header)
    widths = [max(floor[n], *(_width(row[n].text) for row in table), 0) for n in range(len(header))]
    widths = [_LEFT_OUT if left == _LEFT_OUT else width for left, width in zip(floor, widths, strict=True)]
    terminal = shutil.get_terminal_size().columns if cut and sys.stdout.isatty() else _UNBOUNDED
    if not least:
        _make_room(header, widths, spare, terminal)
    shown, colours = [n for n, width in enumerate(widths) if width != _LEFT_OUT], coloured()
    kept = [widths[n] for n in shown]
    room = max(_LEAST, terminal - sum(kept[:-1]) - len(_GAP) * (len(kept) - 1))
    for row in table:
        *first, last = (row[n] for n in shown)
        typer.echo(_line([*first, Cell(_cut(last.text, room), last.style)], kept, colours))
    return widths


def _make_room(header: Sequence[str], widths: list[int], spare: Sequence[str], terminal: int) -> None:
    """Leave columns out until the last one can be read."""
    for title in spare:
        kept = [width for width in widths if width != _LEFT_OUT]
        if sum(kept[:-1]) + len(_GAP) * (len(kept) - 1) + min(kept[-1], _READABLE) <= terminal:
            return
        widths[header.index(title)] = _LEFT_OUT


def _cell(value: Cell | str) -> Cell:
    cell = value if isinstance(value, Cell) else Cell(value)
    return Cell(plain(escape(cell.text)) or "-", cell.style)


def _line(row: Sequence[Cell], widths: Sequence[int], colours: bool) -> str:
    last = len(row) - 1
    parts = []
    for n, (cell, width) in enumerate(zip(row, widths, strict=True)):
        shown = typer.style(cell.text, **_STYLES[cell.style]) if colours and cell.style else cell.text
        parts.append(shown if n == last else shown + " " * (width - _width(cell.text)))
    return _GAP.join(parts).rstrip()


def _cut(text: str, room: int) -> str:
    """The text, or its beginning and a mark when it is wider than there is room."""
    if _width(text) <= room:
        return text
    from rich.cells import set_cell_size

    mark = plain(_MORE)
    return set_cell_size(text, room - len(mark)).rstrip() + mark


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


class Page:
    """Prose: lines and grids, wrapped to the terminal; everything that is put on it is escaped."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(
            file=sys.stdout,
            width=None if sys.stdout.isatty() else _UNBOUNDED,
            color_system="auto" if coloured() else None,
            highlight=False,
            markup=False,
            emoji=False,
        )

    @property
    def width(self) -> int:
        """Columns that there are."""
        return self._console.width

    def line(self, *cells: Cell | str, indent: int = 0) -> None:
        """One paragraph, its cells one behind the other; empty for a blank line."""
        from rich.padding import Padding
        from rich.text import Text

        text = Text.assemble(*(self._text(cell) for cell in cells))
        if not text:
            typer.echo()
            return
        self._print(Padding(text, (0, 0, 0, indent), expand=False))

    def grid(self, rows: Iterable[Sequence[Cell | str]], indent: int = 0) -> None:
        """Rows of cells side by side; the last column takes what is left, and wraps within it."""
        from rich.padding import Padding
        from rich.table import Table

        table: Table | None = None
        for row in rows:
            if table is None:
                table = Table.grid(padding=(0, 3, 0, 0))
                for n in range(len(row)):
                    table.add_column(no_wrap=n < len(row) - 1, overflow="fold")
            table.add_row(*(self._text(cell) for cell in row))
        if table is not None:
            self._print(Padding(table, (0, 0, 0, indent), expand=False))

    def points(self, items: Iterable[Sequence[Cell | str]], indent: int = 0) -> None:
        """A list: each item's cells one behind the other, wrapped behind its mark."""
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for cells in items:
            table.add_row(Text("-"), Text.assemble(*(self._text(cell) for cell in cells)))
        self._print(Padding(table, (0, 0, 0, indent), expand=False))

    def _text(self, value: Cell | str) -> Any:
        from rich.text import Text

        cell = value if isinstance(value, Cell) else Cell(value)
        return Text(plain(escape(cell.text)), style=_RICH.get(cell.style, ""))

    def _print(self, what: Any) -> None:
        """Without the blanks that a layout leaves at the ends of lines."""
        with self._console.capture() as capture:
            self._console.print(what)
        for line in io.StringIO(capture.get()):
            text = _END.sub(lambda found: found[0].replace(" ", ""), line.rstrip("\n"))
            typer.echo(text, color=True if coloured() else None)


# --- values as people read them ------------------------------------------------------------------


def span(seconds: float) -> str:
    """A length of time in its two largest units: `45s`, `3m10s`, `2h`, `5d3h`; a dash below zero."""
    left = int(seconds)
    if left < 0:
        return "-"
    n = next((n for n, (_, length) in enumerate(_UNITS) if left >= length), len(_UNITS) - 1)
    unit, length = _UNITS[n]
    text = f"{left // length}{unit}"
    if n + 1 < len(_UNITS):
        smaller, size = _UNITS[n + 1]
        rest = left % length // size
        text += f"{rest}{smaller}" if rest else ""
    return text


_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def age(since: datetime | None, now: datetime) -> str:
    """How long ago."""
    return span((now - since).total_seconds()) if since else "-"
