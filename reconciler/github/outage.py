"""When GitHub gives no answer: one request finds out whether it is back, and all others are spared the wait for it.

Hundreds of environments ask, each for itself. While nothing answers, every one of them would wait for its own deadline,
and keep a thread as long.
"""

from __future__ import annotations

from threading import Lock

from reconciler.net import Unavailable
from reconciler.ports import Clock

_IN_A_ROW = 5
"""Requests without an answer that make an outage. One alone says little: an answer of 502 is nothing unusual."""
_SECONDS = 1.0
"""Between two requests that find out whether it is over: less than an environment waits before it asks again."""


class Outage:
    """Remembers that nothing answers.

    Args:
        clock: For how long.
        unavailable: How it is told.
    """

    def __init__(self, clock: Clock, unavailable: Unavailable) -> None:
        self._clock = clock
        self._unavailable = unavailable
        self._row = 0
        self._until = 0.0
        self._lock = Lock()

    def check(self) -> None:
        """Call before each request. Whoever is let through while it lasts is the one that finds out.

        Raises:
            Transient: It lasts, and somebody found out just now, or is about to.
        """
        with self._lock:
            if self._row < _IN_A_ROW:
                return
            now = self._clock.monotonic()
            if now >= self._until:
                self._until = now + _SECONDS
                return
        raise self._unavailable(
            f"GitHub gave no answer to the last {self._row} requests",
            "nothing to do if it passes: it is asked again each second; if it stays, see GitHub's status page, "
            "and check url, proxy and the way there with `reconciler check`",
        )

    def learn(self, *, answered: bool) -> None:
        """Call after each request; an error of the server's own (5xx) is no answer."""
        with self._lock:
            self._row = 0 if answered else self._row + 1
            self._until = self._clock.monotonic() + _SECONDS
