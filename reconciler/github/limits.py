"""When GitHub must not be asked, by "Rate limits for the REST API": asking all the same may end in a ban.

Time is taken from the monotonic clock, and from GitHub's own Date where it names an instant, so that a wrong clock
here neither asks too early nor waits for days.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Lock

from reconciler.net import Answer, Unavailable
from reconciler.ports import Clock

_LEAST_SECONDS = 60
"""'Otherwise, wait for at least one minute'; doubled each time, as the same page asks."""
_MOST_SECONDS = 3_600
"""The window of the primary limit. A longer wait, as a broken server may ask for, would be one for ever."""
_LIMITED = frozenset({403, 429})
_WORDS = ("rate limit", "abuse detection")


class Limits:
    """Remembers until when nothing may be asked.

    Args:
        clock: For now, and for how long.
        unavailable: How a limit in force is told.
    """

    def __init__(self, clock: Clock, unavailable: Unavailable) -> None:
        self._clock = clock
        self._unavailable = unavailable
        self._until = 0.0
        self._what = ""
        self._row = 0
        self._lock = Lock()

    def check(self) -> None:
        """Call before each request.

        Raises:
            Transient: A limit is in force; the message names its end.
        """
        with self._lock:
            left = self._until - self._clock.monotonic()
            if not self._what or left <= 0:
                return
            end = (self._clock.now() + timedelta(seconds=left)).astimezone(UTC)
            raise self._unavailable(
                f"GitHub's {self._what} is used up; it is asked again after {end:%Y-%m-%d %H:%M:%SZ}",
                "nothing to do: it goes on by itself; if it comes often, give this daemon a credential of its own",
            )

    def learn(self, answer: Answer, message: str = "") -> bool:
        """Call with each answer; returns whether it was refused for a limit.

        Args:
            answer: Its status and headers.
            message: What the body of an error says.
        """
        refused = answer.status in _LIMITED
        wait: float | None = answer.retry_after if refused or answer.status == 503 else None
        what = "secondary rate limit"
        if wait is None and (wait := self._until_reset(answer)) is not None:
            what = "rate limit"
        with self._lock:
            if wait is None and (answer.status == 429 or (refused and any(one in message.lower() for one in _WORDS))):
                wait = _LEAST_SECONDS * 2 ** min(self._row, 6)
                self._row += 1
            elif not refused:
                self._row = 0
            if wait is None:
                return False
            self._hold(what, wait)
        return refused

    def _hold(self, what: str, wait: float) -> None:
        until = self._clock.monotonic() + min(max(wait, 1), _MOST_SECONDS)
        if until > self._until:
            self._until, self._what = until, what

    def _until_reset(self, answer: Answer) -> float | None:
        """Seconds until the primary limit is lifted; None when something is left of it, or it is not told."""
        left, reset = (answer.headers.get(f"X-RateLimit-{name}", "") for name in ("Remaining", "Reset"))
        if left != "0" or not (reset.isascii() and reset.isdigit() and len(reset) < 12):
            return None
        end = datetime.fromtimestamp(int(reset), UTC)
        wait = (end - (answer.date or self._clock.now())).total_seconds()
        return wait if wait > 0 else None
