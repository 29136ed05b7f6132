"""What CI says: raw facts about runs, no verdict."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from reconciler.model.ids import Digest, RunId


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file that a run stored. `sha256` is what CI said of it, None where it said nothing."""

    name: str
    file: str
    size: int
    sha256: Digest | None
    expired: bool = False
    """CI names it, and has thrown its bytes away."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a source says of one CI run: raw facts, no verdict.

    `repository` ran the workflow; `head_repository` is where the code came from, another one for a fork.
    """

    run_id: RunId
    repository: str
    head_repository: str
    workflow: str
    branch: str
    event: str
    commit: str
    conclusion: str
    attempt: int
    created: datetime
    artifacts: tuple[Artifact, ...]
    on_branch: bool | None = None
    """Whether the commit is in the history of that branch now; None where the source can't tell."""
    repository_name: str = ""
    """For people, where `repository` is an id that never passes to another one; so is `head_repository_name`."""
    head_repository_name: str = ""
