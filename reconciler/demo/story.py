"""How the tour is told: what happens on stdout, what takes a while on stderr, what people type in dim."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text


class Story:
    """Lines for a reader. Colours follow the terminal and `NO_COLOR`."""

    def __init__(self) -> None:
        self._out = Console(highlight=False, soft_wrap=True)
        self._aside = Console(highlight=False, soft_wrap=True, stderr=True)

    def says(self, text: str = "") -> None:
        """One line of the tale."""
        self._out.print(Text(text))
        self._out.file.flush()

    def headline(self, text: str) -> None:
        """What this step is about."""
        self._out.print(Text(text, style="bold"))
        self._out.file.flush()

    def typed(self, who: str, command: str) -> None:
        """What somebody types; `who` is empty for the reader."""
        self.faint(f"{who}$ {command}")

    def faint(self, text: str) -> None:
        """Something to look at in passing."""
        self._out.print(Text(text, style="dim"))
        self._out.file.flush()

    def aside(self, text: str) -> None:
        """Progress."""
        self._aside.print(Text(text, style="dim"))
