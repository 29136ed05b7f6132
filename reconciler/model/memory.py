"""What is remembered and shown: where an environment stands on its two axes, and every attempt."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from reconciler.errors import Reason
from reconciler.model.ids import CommitId, Digest, EnvironmentName, RunId
from reconciler.model.running import Readiness
from reconciler.model.target import Drift, Release
from reconciler.model.verdict import Gate, GateResult, Verdict


class Sync(StrEnum):
    """How live relates to what is declared."""

    SYNCED = "Synced"
    OUT_OF_SYNC = "OutOfSync"
    PROGRESSING = "Progressing"
    HELD = "Held"
    UNKNOWN = "Unknown"


class Health(StrEnum):
    """How live itself is, whatever is declared."""

    HEALTHY = "Healthy"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    UNKNOWN = "Unknown"


class Action(StrEnum):
    """What a plan does to one environment."""

    NONE = "none"
    ACCEPT = "accept"
    """The declaration changed, the artifact did not: only the record on the target moves on."""
    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    """Back to an artifact of an earlier run that was live here before."""
    REPAIR = "repair"
    ACTIVATE = "activate"
    """The artifact is live already: it is started anew, with other settings or because it does not run."""


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """The process ended between intent and outcome; the next pass found out what was left."""


@dataclass(frozen=True, slots=True)
class Declared:
    """The coordinates of a declaration, for the record."""

    commit: CommitId | None
    run_id: RunId | None = None
    sha256: Digest | None = None


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long one stage of an attempt took."""

    stage: str
    """`fetch`, `verify`, `release`, `switch`, `activate`, `health`."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to bring an environment to its declaration, as remembered."""

    environment: EnvironmentName
    action: Action
    declared: Declared
    before: Release | None
    started: datetime
    id: int | None = None
    request: str = ""
    approvers: tuple[str, ...] = ()
    gates: tuple[GateResult, ...] = ()
    token: int = 0
    plan: str = ""
    """The digest of the plan that was carried out; empty when nothing was planned."""
    finished: datetime | None = None
    outcome: Outcome | None = None
    reason: Reason | None = None
    message: str = ""
    output: str = ""
    """What the activation printed: bounded, secrets masked; empty when it printed nothing."""
    stages: tuple[StageTime, ...] = ()
    """Where its time went; empty where nobody measured it, or who did ended in between."""

    @property
    def automatic(self) -> bool:
        """Whether it went back because what was declared did not run: nobody declared that, so nobody let it in."""
        approval = next((word for word in self.gates if word.gate is Gate.APPROVAL), None)
        return self.action is Action.ROLLBACK and approval is not None and approval.verdict is Verdict.NOT_REACHED


@dataclass(frozen=True, slots=True)
class Status:
    """Where an environment stands after a pass: what `get`, `why` and `wait` show."""

    environment: EnvironmentName
    sync: Sync
    health: Health
    reason: Reason | None
    message: str
    hint: str
    declared: Declared
    live: Release | None
    live_since: datetime | None
    gates: tuple[GateResult, ...]
    drift: tuple[Drift, ...] = ()
    request: str = ""
    approvers: tuple[str, ...] = ()
    target: str = ""
    """Where it lives; empty while nobody can tell."""
    since: datetime | None = None
    """When sync, health, reason or live last changed."""
    rollback: Readiness | None = None
    """Whether a rollback would work, as of the last thorough look; None while nobody looked, or nothing is kept."""

    @property
    def ready(self) -> bool:
        """Declared, live and whole."""
        return self.sync is Sync.SYNCED and self.health is Health.HEALTHY


@dataclass(frozen=True, slots=True)
class OperatorHand:
    """What an operator asked for one environment."""

    suspended: bool = False
    reason: str = ""
    by: str = ""
    retry_after: int = 0
    """Attempts up to this id no longer stop a new try."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of an environment's state, as `events` shows it."""

    id: int
    at: datetime
    environment: EnvironmentName
    sync: Sync
    health: Health
    reason: Reason | None
    message: str
    live: str = field(default="")
