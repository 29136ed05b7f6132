"""What all pages say alike: times, sizes, spans, and one sign for each word of the two axes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from reconciler.core.readable import size, spelled
from reconciler.model import Health, Outcome, Sync, Verdict
from reconciler.views.chain import Proof
from reconciler.views.states import State

LONGEST = 4_000
"""Characters of one value on a page; the rest of a longer one is left out."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_NOW_SECONDS = 5

WORST_FIRST = tuple(reversed(State))

STATES: Mapping[State, str] = {
    State.WELL: "Well",
    State.PROGRESSING: "Progressing",
    State.SUSPENDED: "Suspended",
    State.FROZEN: "Frozen",
    State.HELD: "Held",
    State.UNKNOWN: "Unknown",
    State.DRIFTED: "Drifted",
    State.DEGRADED: "Degraded",
}
"""The word for each state."""

TONES: Mapping[str, State] = {
    Sync.SYNCED: State.WELL,
    Sync.OUT_OF_SYNC: State.PROGRESSING,
    Sync.PROGRESSING: State.PROGRESSING,
    Sync.HELD: State.HELD,
    Sync.UNKNOWN: State.UNKNOWN,
    Health.HEALTHY: State.WELL,
    Health.DEGRADED: State.DEGRADED,
    Outcome.SUCCEEDED: State.WELL,
    Outcome.FAILED: State.DEGRADED,
    Outcome.REFUSED: State.HELD,
    Outcome.INTERRUPTED: State.UNKNOWN,
    Verdict.PASSED: State.WELL,
    Verdict.PENDING: State.PROGRESSING,
    Verdict.NOT_REACHED: State.UNKNOWN,
    Proof.PROVEN: State.WELL,
    Proof.BROKEN: State.DEGRADED,
}
"""The state whose sign and colour a word of another kind has."""


def tone(word: str) -> State:
    """The sign and colour of a word; nobody knows what an odd one means."""
    return TONES.get(word) or next((state for state in State if state == word.lower()), State.UNKNOWN)


def clean(text: str) -> str:
    """One value with everything spelled out that hides, or turns text around, and not too long to be read."""
    return spelled(text, LONGEST)


def printed(text: str) -> str:
    """What a program printed: as `clean`, with its lines kept."""
    return "\n".join(clean(line) for line in text[-16 * LONGEST :].splitlines())


def span(seconds: float) -> str:
    """A span of time with one unit: `42 s`, `5 min`, `3 h`, `12 days`."""
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{round(seconds * 1000)} ms" if seconds else "0 s"
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    if seconds < _MINUTE:
        return f"{int(seconds)} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min"
    if seconds < 2 * _DAY:
        return f"{int(seconds // _HOUR)} h"
    return f"{int(seconds // _DAY)} days"


def took(time: timedelta | None) -> str:
    """How long something took; a dash where nobody knows."""
    return "-" if time is None else span(time.total_seconds())


def relative(at: datetime, now: datetime) -> str:
    """An instant as seen from now: `3 h ago`, `in 5 min`. The script of the pages says it in the same words."""
    seconds = (now - at).total_seconds()
    if abs(seconds) < _NOW_SECONDS:
        return "now"
    said = span(int(abs(seconds)))
    return f"{said} ago" if seconds > 0 else f"in {said}"


def change_of_size(before: int, after: int) -> str:
    """By how much something grew or shrank."""
    if before == after:
        return "±0"
    return f"{'+' if after > before else '-'}{size(abs(after - before))}"


def percent(part: float) -> str:
    """A part of a whole."""
    return f"{part:.0%}" if part in (0, 1) or part >= 0.1 else f"{part:.1%}"


def web_address(address: str) -> str:
    """The address if it is one that a page may link to, else nothing."""
    return address if address.startswith(("https://", "http://")) else ""
