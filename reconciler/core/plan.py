"""What one pass does to one environment, from what is wanted and what is there. No second opinion elsewhere.

A `Plan` is what `reconciler plan` shows of a change before it is merged, and what a pass carries out after it was:
both come from the same judgement. Its digest names the act, not the moment: what is live, what is wanted, and where.
A reviewer who saw a digest finds it again in the audit entry, if what was done is what was shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from reconciler.core.strictjson import canonical
from reconciler.model import Action, CommitId, Digest, EnvironmentName, GateResult, Observation, Release, RunId, Verdict

VERSION = 1
"""Of what a plan's digest is made over."""
INSTALLS = frozenset({Action.DEPLOY, Action.ROLLBACK})
"""Actions that bring other bytes to a target than those that are live."""


class Wanted(Protocol):
    """What a declaration asks for: an `Approval`, or a declaration that is only proposed."""

    @property
    def declaration(self) -> Digest:
        """SHA-256 of the declaration file's bytes."""
        ...

    @property
    def run_id(self) -> RunId:
        """The declared run."""
        ...

    @property
    def sha256(self) -> Digest:
        """The declared content."""
        ...


@dataclass(frozen=True, slots=True)
class Proposed:
    """A declaration that nobody let in yet: for planning, and for nothing else."""

    declaration: Digest
    run_id: RunId
    sha256: Digest


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pass would do now, and each gate's word on it."""

    environment: EnvironmentName
    action: Action
    """What is done once every gate lets it."""
    commit: CommitId
    """The commit that declares it."""
    wanted: Wanted
    before: Release | None
    """What is live now."""
    target: str
    gates: tuple[GateResult, ...]
    first: GateResult | None = None
    """The first gate that held when they were asked, which is not always the first in their order."""

    @property
    def held(self) -> GateResult | None:
        """The gate that a pass stops at; None when nothing stands in the way."""
        return self.first or next((word for word in self.gates if word.verdict is Verdict.HELD), None)

    @property
    def digest(self) -> str:
        """SHA-256, in hex, over what is done: not over when, or over what the gates say of it."""
        return plan_digest(self.environment, self.action, self.wanted, self.before, self.target)


def plan_digest(
    environment: EnvironmentName, action: Action, wanted: Wanted, before: Release | None, target: str
) -> str:
    """Names one act: SHA-256 in hex over its canonical form."""
    document = {
        "action": action.value,
        "before": {"id": before.id, "run_id": before.run_id, "sha256": before.sha256} if before else None,
        "declaration": wanted.declaration,
        "environment": environment,
        "run_id": wanted.run_id,
        "sha256": wanted.sha256,
        "target": target,
        "v": VERSION,
    }
    return hashlib.sha256(canonical(document).encode()).hexdigest()


def decide(
    wanted: Wanted, observed: Observation, was_live: Callable[[RunId, Digest], bool], *, repairs: bool = True
) -> Action:
    """The one action that brings a target from what it is to what is wanted.

    Args:
        wanted: What the declaration asks for.
        observed: What is there.
        was_live: Whether an artifact was live here before; asked only of one of an earlier run than the live one.
        repairs: Whether drift is mended now; else it is only told.
    """
    live = observed.live
    if live is None or (live.run_id, live.sha256) != (wanted.run_id, wanted.sha256):
        back = live is not None and wanted.run_id < live.run_id and was_live(wanted.run_id, wanted.sha256)
        return Action.ROLLBACK if back else Action.DEPLOY
    if observed.drift and repairs:
        return Action.REPAIR
    accepted = observed.accepted
    if accepted is None or accepted.declaration != wanted.declaration:
        return Action.ACCEPT
    return Action.NONE
