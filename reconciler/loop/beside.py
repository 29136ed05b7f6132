"""A job that may take long, beside a loop that may not."""

from __future__ import annotations

import threading
from collections.abc import Callable

from reconciler.core.schedule import retry_delay
from reconciler.ports import Clock

LONGEST_WAIT = 60.0
"""Seconds after which a job that goes on failing is tried again at the latest."""


class Beside:
    """Runs a job in a thread of its own, never twice at a time; each call asks for one more run.

    A call returns at once, and raises what an earlier run ended with. After a run that failed the next one waits, later
    and later. The thread ends with the process: only for a job that may be cut off at any point.

    Args:
        job: What is run.
        name: The thread's.
        clock: For the waiting.
    """

    def __init__(self, job: Callable[[], object], name: str, clock: Clock) -> None:
        self._job = job
        self._name = name
        self._clock = clock
        self._failures = 0
        self._not_before = 0.0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._again = False
        self._error: Exception | None = None

    def __call__(self) -> None:
        """Ask for a run: now, or behind the one under way."""
        with self._lock:
            error, self._error = self._error, None
            self._again = self._again or self._clock.monotonic() >= self._not_before
            if self._again and self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        if error is not None:
            raise error

    def wait(self, seconds: float) -> bool:
        """Wait for the run under way; returns whether none is."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return self._thread is None

    def _run(self) -> None:
        while self._asked():
            error: Exception | None = None
            try:
                self._job()
            except Exception as raised:  # noqa: BLE001 - told by the next call
                error = raised
            with self._lock:
                self._error = error
                self._failures = self._failures + 1 if error else 0
                wait = retry_delay(self._failures, LONGEST_WAIT, 1.0) if error else 0.0
                self._not_before = self._clock.monotonic() + wait

    def _asked(self) -> bool:
        with self._lock:
            if not self._again:
                self._thread = None
                return False
            self._again = False
            return True
