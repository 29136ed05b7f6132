"""What takes a while says so on a terminal's last line, and leaves nothing behind. Pipes and logs get nothing."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from reconciler.core.readable import escape

_PATIENCE_SECONDS = 0.4
"""Before anything is shown: what is quick needs no words."""


class Progress:
    """One line that tells what is under way; nothing where stderr is no terminal."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._status: Any = None
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._over = False

    def tell(self, text: str) -> None:
        """Say something else from now on."""
        with self._lock:
            self._text = text
            if self._status is not None:
                self._status.update(_line(text))

    def start(self) -> None:
        """Show it after a moment."""
        if _on_terminal():
            self._timer = threading.Timer(_PATIENCE_SECONDS, self._show)
            self._timer.daemon = True
            self._timer.start()

    def stop(self) -> None:
        """Take it away."""
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._over = True
            if self._status is not None:
                self._status.stop()
                self._status = None

    def _show(self) -> None:
        from rich.console import Console

        with self._lock:
            if not self._over:
                console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False, no_color=_colourless())
                self._status = console.status(_line(self._text), spinner="line" if _colourless() else "dots")
                self._status.start()


@contextmanager
def showing(text: str) -> Iterator[Progress]:
    """Tell what goes on as long as the block lasts.

    Never around what may ask for a password: it would be overwritten.
    """
    progress = Progress(text)
    progress.start()
    try:
        yield progress
    finally:
        progress.stop()


def _line(text: str) -> str:
    return escape(text)


def _colourless() -> bool:
    return bool(os.environ.get("NO_COLOR"))


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
