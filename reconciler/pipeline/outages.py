"""Which sources seem to be out, by how they answered the last passes that asked them.

It holds nothing and decides nothing: it says only who need not go in front of others. A thousand environments of a
source that is out would each find that out for themselves, at the expense of all that wait for a worker. One answer,
of whichever run, and the source is not out any more, so that one environment's bad run counts against no other for
long: as long as nobody is answered, somebody goes first every few seconds to see.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from reconciler.errors import PolicyDenied
from reconciler.ports import Clock

FAILURES = 3
"""Failures in a row, without an answer in between, after which a source seems to be out."""
SILENCE = 1.0
"""Seconds for which somebody waits, without an answer to anybody, after which it does, too."""
PROBE = 5.0
"""Seconds after the last one asked, and nobody waits for an answer, from which the next one may go first."""


@dataclass(slots=True)
class _Record:
    """How one source answered."""

    failures: int = 0
    """In a row."""
    asked: float = 0.0
    """When somebody asked last, in monotonic seconds."""
    waiting: dict[int, float] = field(default_factory=dict)
    """Since when those wait who asked after its last answer, oldest first."""


class Outages:
    """By name of the source, as in the settings. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, _Record] = {}
        self._numbers = itertools.count()

    @contextmanager
    def asking(self, source: str, clock: Clock) -> Iterator[None]:
        """Inside, a source is asked. That it says no to what is asked for is an answer; any other error is none."""
        number, answered = next(self._numbers), False
        with self._lock:
            record = self._records.setdefault(source, _Record())
            record.waiting[number] = record.asked = clock.monotonic()
        try:
            yield
            answered = True
        except PolicyDenied:
            answered = True
            raise
        finally:
            with self._lock:
                record.waiting.pop(number, None)
                record.failures = 0 if answered else record.failures + 1
                if answered:
                    record.waiting.clear()

    def any(self, clock: Clock) -> bool:
        """Whether any source seems to be out."""
        now = clock.monotonic()
        with self._lock:
            return any(_is_out(record, now) for record in self._records.values())

    def of(self, source: str, clock: Clock) -> bool:
        """Whether this source seems to be out."""
        now = clock.monotonic()
        with self._lock:
            return source in self._records and _is_out(self._records[source], now)


def _is_out(record: _Record, now: float) -> bool:
    if record.waiting and now - next(iter(record.waiting.values())) > SILENCE:
        return True
    return record.failures >= FAILURES and (bool(record.waiting) or now - record.asked < PROBE)
