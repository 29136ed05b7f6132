"""Wall clocks and cron schedules as instants.

A daylight-saving change makes some wall times happen twice and skips others. Such a wall time has two readings:
with the offset before the change, and with the one after it. Nothing is chosen here: both are given.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_ZONE = re.compile(r"(?!right/|posix/)[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})
"""Beside the zones, and not the same on each machine. `right/` counts leap seconds, which no clock here does."""
_WALL = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?")
_FIELDS = re.compile(r"[0-9A-Za-z*,/#-]+(?: +[0-9A-Za-z*,/#-]+){4}")
_PARTS = ("minute", "hour", "day of month", "month", "day of week")
_AROUND = timedelta(hours=26)
"""No change of a clock is larger: the widest were of a whole day, where a country moved the date line."""
_TICK = timedelta(seconds=1)


def zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name.

    Raises:
        ValueError: There is none of that name.
    """
    if not _ZONE.fullmatch(name) or len(name) > 64 or name in _NO_ZONES:
        raise ValueError("no IANA time zone")
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ValueError("no IANA time zone") from None


def wall(text: str) -> datetime:
    """A wall time without a zone: `2026-12-24T18:00`, or the beginning of the day `2026-12-24`.

    Raises:
        ValueError: It is none, or not of this century.
    """
    if not _WALL.fullmatch(text):
        raise ValueError("no wall time")
    return datetime.fromisoformat(text)


def readings(local: datetime, where: ZoneInfo) -> tuple[datetime, datetime]:
    """The two instants, in UTC, that a wall time can mean, the earlier first; the same one twice in ordinary times."""
    first, second = (local.replace(tzinfo=where, fold=fold).astimezone(UTC) for fold in (0, 1))
    return (first, second) if first <= second else (second, first)


def check_cron(text: str) -> None:
    """Look whether this is a schedule.

    Raises:
        ValueError: It is none; says which parts.
    """
    if len(text) > 100 or not _FIELDS.fullmatch(text):
        raise ValueError("")
    if _parses(text):
        return
    parts = list(zip(_PARTS, text.split(), strict=True))
    bad = [
        f"{part} is no {name}"
        for n, (name, part) in enumerate(parts)
        if not _parses(" ".join([*"*" * n, part, *"*" * (len(parts) - n - 1)]))
    ]
    raise ValueError("; ".join(bad) or "this day never comes")


def _parses(text: str) -> bool:
    try:
        CronSim(text, datetime(2026, 1, 1))  # noqa: DTZ001 - only to have it parsed
    except CronSimError:
        return False
    return True


def last_start(cron: str, where: ZoneInfo, at: datetime) -> datetime | None:
    """The last instant, at or before another, at which a schedule's wall time comes.

    A wall time that comes twice, or is skipped, starts at both of its readings. Cronsim walks wall times
    without a zone here: with one it looks for the last start among those of one reading only.

    Args:
        cron: A schedule of five fields.
        where: The clock that it is meant by.
        at: An aware time.

    Returns:
        An aware time in UTC; None when the schedule did not fire in decades.
    """
    return _last_start(cron, where, at.astimezone(UTC).replace(second=0, microsecond=0))


@lru_cache(maxsize=4096)
def _last_start(cron: str, where: ZoneInfo, at: datetime) -> datetime | None:
    """The same for a whole minute in UTC: schedules know no seconds, and a rare one takes long to look for."""
    here = at.replace(tzinfo=None)
    offsets = _offsets(here, where)
    best: datetime | None = None
    for local in CronSim(cron, (here + max(offsets)).replace(microsecond=0) + _TICK, reverse=True):
        if best is None:
            offsets |= _offsets(local, where)
        elif local - min(offsets) <= best.replace(tzinfo=None):
            break
        starts = [start for start in readings(local, where) if start <= at]
        best = max([*starts, best] if best else starts, default=None)
    return best


def _offsets(around: datetime, where: ZoneInfo) -> set[timedelta]:
    """The offsets from UTC that hold there within about a day."""
    instants = (around.replace(tzinfo=UTC) + step for step in (-_AROUND, timedelta(), _AROUND))
    return {offset for instant in instants if (offset := instant.astimezone(where).utcoffset()) is not None}
