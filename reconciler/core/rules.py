"""The rules in force for all environments: the operator's floors, and what the policy file says.

Of two policies, the one that people let in and the one that stands at the tip, the strictest counts: a tightening
holds at once, whoever pushed it, and a loosening only when it was let in by the policy before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from reconciler.core.declare import ApprovalSpec
from reconciler.core.freeze import closing, opening
from reconciler.core.policyfile import (
    NO_POLICY,
    Entry,
    FloorSpec,
    FreezeSpec,
    PolicyDocument,
    PolicyReading,
    RevokedSpec,
    policy_json_schema,
    read_policy,
)
from reconciler.core.revoke import with_revocation
from reconciler.model import Digest, EnvironmentName, GateResult, RunId

__all__ = [
    "NO_POLICY",
    "Entry",
    "FloorSpec",
    "FreezeSpec",
    "Frozen",
    "PolicyDocument",
    "PolicyReading",
    "RevokedSpec",
    "Rules",
    "policy_json_schema",
    "read_policy",
    "with_revocation",
]


@dataclass(frozen=True, slots=True)
class Frozen:
    """That a freeze is closed."""

    reason: str
    opens: datetime | None
    """The first instant, in UTC, at which no freeze is closed; None: not within what was looked at."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds now, whatever an environment's own file says."""

    documents: tuple[PolicyDocument, ...]
    """The policy that people let in and the one at the tip, where they differ: the strictest counts."""
    floors: tuple[FloorSpec, ...] = ()
    """The operator's."""
    pending: GateResult | None = None
    """Why the policy at the tip is not in force as a whole."""

    def floors_for(self, environment: EnvironmentName) -> tuple[ApprovalSpec, ...]:
        """The approvals that an environment can't go below, each once: the operator's, then the policies'."""
        floors = (*self.floors, *(floor for document in self.documents for floor in document.approval))
        return tuple(dict.fromkeys(floor.spec for floor in floors if floor.covers(environment)))

    def revoked(self, run_id: RunId, sha256: Digest) -> RevokedSpec | None:
        """The first revocation of an artifact, or of its run."""
        entries = (entry for document in self.documents for entry in document.revoked)
        return next((entry for entry in entries if entry.names(run_id, sha256)), None)

    def windows(self, environment: EnvironmentName) -> tuple[FreezeSpec, ...]:
        """The freezes that cover an environment, closed or open, each once."""
        freezes = (freeze for document in self.documents for freeze in document.freeze)
        return tuple(dict.fromkeys(freeze for freeze in freezes if freeze.covers(environment)))

    def frozen(self, environment: EnvironmentName, now: datetime) -> Frozen | None:
        """Whether a freeze is closed: one is enough. None when all are open.

        Args:
            environment: Whose freezes count.
            now: An aware time.
        """
        windows = self.windows(environment)
        closed = closing(windows, now)
        return Frozen(closed[0].reason, opening(windows, closed[1])) if closed else None
