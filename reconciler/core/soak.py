"""How long a release was seen healthy without a break: evidence for the environments behind it.

Time counts between two healthy sightings of the same release, by one process, that are not too far apart; and then
the slower of two clocks counts, so that a wall clock that jumps, or stands, earns nothing. What nobody saw earns
nothing either. A row breaks where the release was replaced (also when the same one was put back), was not healthy,
got other settings, or was out of sight for longer than `GAP` allows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.model import Digest, EnvironmentName, RunId, Soak

GAP = 2.5
"""Intervals between two looks for which a release may be out of sight: one that is late, and not one that is lost."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was seen of an environment at one instant."""

    environment: EnvironmentName
    run_id: RunId
    sha256: Digest
    live_since: datetime | None
    settings: Digest
    """Of all in the accepted declaration that decides what runs, the artifact aside."""
    healthy: bool
    at: datetime
    ticks: float
    """Monotonic seconds of the process that looks."""
    token: int
    """Which process looks."""


def seen(soak: Soak | None, ticks: float | None, sighting: Sighting, gap: float) -> Soak | None:
    """The row after one more sighting; None when it is broken.

    Args:
        soak: The row so far.
        ticks: Monotonic seconds at its last sighting by this process; None when there was none, or when it was
            out of sight in between.
        sighting: What is seen now.
        gap: Seconds for which it may be out of sight.
    """
    if not sighting.healthy:
        return None
    if soak is None or _identity(soak) != _identity(sighting):
        return _begun(sighting)
    wall = (sighting.at - soak.seen).total_seconds()
    since = sighting.ticks - soak.ticks
    mine = soak.token == sighting.token and ticks is not None
    if mine and since < 0:
        return soak  # two looked at once, and this look was the earlier
    if max(wall, since) > gap or (soak.token != sighting.token and min(wall, since) < 0):
        return _begun(sighting)
    ticked = since if mine else None
    credit = max(0.0, min(wall, ticked)) if ticked is not None else 0.0
    return replace(soak, seen=sighting.at, earned=soak.earned + credit, token=sighting.token, ticks=sighting.ticks)


def same(soak: Soak, sighting: Sighting) -> bool:
    """Whether a row is of what is seen now: by what it is and since when, not by how long ago it was looked at."""
    return sighting.healthy and _identity(soak) == _identity(sighting)


def _begun(sighting: Sighting) -> Soak:
    return Soak(
        environment=sighting.environment,
        run_id=sighting.run_id,
        sha256=sighting.sha256,
        live_since=sighting.live_since,
        settings=sighting.settings,
        began=sighting.at,
        seen=sighting.at,
        earned=0.0,
        token=sighting.token,
        ticks=sighting.ticks,
    )


def _identity(one: Soak | Sighting) -> tuple[object, ...]:
    return one.environment, one.run_id, one.sha256, one.live_since, one.settings
