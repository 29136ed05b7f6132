"""What people are told of an environment, and what is remembered of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from reconciler.model.ids import EnvironmentName
from reconciler.model.memory import Status


class NoticeKind(StrEnum):
    """What there is to tell; of several that an environment is, the first in this order is told."""

    FAILED = "failed"
    """What was declared did not come to life."""
    DRIFTED = "drifted"
    """What is live is not as it was put there, and that was not mended."""
    DEGRADED = "degraded"
    """What is live is not healthy, or nobody should run it."""
    STUCK = "stuck"
    """What it needs is out of reach, or a pass hit a bug."""
    HELD = "held"
    """A gate holds what was declared."""
    WAITING = "waiting"
    """A gate holds it as somebody meant it to: it soaks, or a freeze or an operator's hand stops it."""
    DEPLOYED = "deployed"
    """Another release is live."""
    RECOVERED = "recovered"
    """What was told of it is over."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What is to be told of one environment."""

    environment: EnvironmentName
    kind: NoticeKind
    status: Status
    reminder: bool = False
    """Whether just this was told before."""


@dataclass(frozen=True, slots=True)
class ToldNotice:
    """What was told of one environment on one route last: so that the same is told once."""

    kind: NoticeKind
    about: str
    """Why, and of what."""
    at: datetime
    times: int
    """How many times in a row it was told of a change, with no calm in between."""
    live: str = ""
    """The release that was told as deployed last; empty when none was."""


@dataclass(frozen=True, slots=True)
class ToldRoute:
    """What is remembered of one route."""

    began: datetime
    """When it told nothing yet: what was deployed before is history."""
    busy_until: datetime
    """When the messages that were sent are spread out; see `core.notifying.Allowance`."""
    failed_since: datetime | None = None
    """Since when it takes no message; None: it does."""
    failure: str = ""
    """Why not, without secrets."""
