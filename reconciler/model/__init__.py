"""Frozen values that travel along the pipeline. No behaviour beyond what follows from their fields.

Words are those of the documentation: a *run* is one CI run, an *artifact* one file that it stored,
a *release* an artifact installed on a target, *live* the release that serves. All times are aware
and in UTC; all sizes are bytes.
"""

from __future__ import annotations

from reconciler.model.branch import (
    Change,
    ChangeRequest,
    Commit,
    Decision,
    ForgeFacts,
    Person,
    Proposal,
    Review,
    TreeEntry,
)
from reconciler.model.ci import Artifact, Run
from reconciler.model.forge import OpenRequest, PlanNotice, Rollout, RolloutState, ToldPlan
from reconciler.model.governance import AcceptedPolicy, Rewrite, Soak
from reconciler.model.ids import BlobId, CommitId, Digest, EnvironmentName, RunId
from reconciler.model.memory import (
    Action,
    Attempt,
    Declared,
    Health,
    OperatorHand,
    Outcome,
    StageTime,
    Status,
    Sync,
    Transition,
)
from reconciler.model.notifying import Notice, NoticeKind, ToldNotice, ToldRoute
from reconciler.model.running import Checked, HealthState, Probed, Readiness
from reconciler.model.target import (
    Accepted,
    Activation,
    Drift,
    DriftKind,
    Failed,
    Observation,
    Release,
    Service,
)
from reconciler.model.verdict import Gate, GateResult, Verdict

__all__ = [
    "Accepted",
    "AcceptedPolicy",
    "Action",
    "Activation",
    "Artifact",
    "Attempt",
    "BlobId",
    "Change",
    "ChangeRequest",
    "Checked",
    "Commit",
    "CommitId",
    "Decision",
    "Declared",
    "Digest",
    "Drift",
    "DriftKind",
    "EnvironmentName",
    "Failed",
    "ForgeFacts",
    "Gate",
    "GateResult",
    "Health",
    "HealthState",
    "Notice",
    "NoticeKind",
    "Observation",
    "OpenRequest",
    "OperatorHand",
    "Outcome",
    "Person",
    "PlanNotice",
    "Probed",
    "Proposal",
    "Readiness",
    "Release",
    "Review",
    "Rewrite",
    "Rollout",
    "RolloutState",
    "Run",
    "RunId",
    "Service",
    "Soak",
    "StageTime",
    "Status",
    "Sync",
    "ToldNotice",
    "ToldPlan",
    "ToldRoute",
    "Transition",
    "TreeEntry",
    "Verdict",
]
