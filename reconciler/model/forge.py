"""What is told at the forge: plans on open pull requests, and how far rollouts have come."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.model.ids import CommitId, Digest, EnvironmentName, RunId


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A pull request that asks to be let in to the tracked branch."""

    number: int
    head: CommitId
    head_ref: str
    """Where its head can be fetched."""
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class PlanNotice:
    """What is told on a pull request: what merging it would do."""

    number: int
    head: CommitId
    """The head that was planned; what is told of another one would mislead."""
    body: str
    """Markdown."""
    refused: bool
    """Whether a gate would hold after the merge."""
    summary: str
    """One line: what holds, or what happens."""
    broken: bool = False
    """Whether nobody can tell now what merging it would do."""
    quiet: bool = False
    """Whether it is commented on only where a comment of ours is there already."""


class RolloutState(StrEnum):
    """How far a rollout has come."""

    QUEUED = "queued"
    """Let in, and a gate holds it for now."""
    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"
    INACTIVE = "inactive"
    """It was live, and something else is now."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One declaration on its way to one environment, as a forge shows it."""

    environment: EnvironmentName
    commit: CommitId
    """The commit that brought the declaration."""
    run_id: RunId
    sha256: Digest
    state: RolloutState
    told: str
    """One line for people."""

    @property
    def key(self) -> str:
        """The same for every state of it."""
        return f"{self.environment}/{self.commit}/{self.run_id}"


@dataclass(frozen=True, slots=True)
class ToldPlan:
    """What was told on one open pull request last: so that the same is told once."""

    number: int
    head: CommitId
    content: Digest
    """Of what was told, without the moment it was told at."""
    artifacts: tuple[Digest, ...]
    """What it would deploy: kept in custody while it is open, as CI may throw it away before the merge."""
