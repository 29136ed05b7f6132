"""Whether what is live is healthy, and whether a rollback would work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a rollback would work right now."""

    release: str
    """The id of the release that it would go back to."""
    ready: bool
    why: str = ""
    """What is in the way; empty when nothing is."""


class HealthState(StrEnum):
    """Where the checks of one activation stand."""

    WAITING = "waiting"
    """No check passed yet, and there is time left."""
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    """It was healthy, and is not any more."""
    FAILED = "failed"
    """It did not become healthy within its time."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks of one activation came to so far."""

    state: HealthState
    since: datetime
    message: str = ""
    """What the last check that did not pass said; empty when none did."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What one check said."""

    passed: bool
    message: str
    """In one line, without secrets: `answered 503 in 0.2 s`, `refused the connection`."""
