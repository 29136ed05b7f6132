"""Values that many tests need, made the short way."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime

from reconciler.core import approve, verify
from reconciler.core.approve import Approval
from reconciler.core.verify import VerifiedArtifact
from reconciler.model import CommitId, Digest, EnvironmentName, Run, RunId

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RUN = Run(
    run_id=RunId(1),
    repository="acme/shop",
    head_repository="acme/shop",
    workflow="build.yml",
    branch="main",
    event="push",
    commit="c" * 40,
    conclusion="success",
    attempt=1,
    created=NOON,
    artifacts=(),
)
"""A run that may be promoted, before it stored anything."""


def sha256(data: bytes) -> Digest:
    """The digest of some bytes."""
    return Digest(hashlib.sha256(data).hexdigest())


def verified(data: bytes) -> VerifiedArtifact:
    """Bytes as a verified artifact."""
    return verify.verify(io.BytesIO(data), sha256(data), 2**40)


def approval(
    data: bytes,
    *,
    run_id: int = 101,
    environment: str = "staging",
    commit: str = "c" * 40,
    declaration: str = "d" * 64,
    at: datetime = NOON,
) -> Approval:
    """An approval of some artifact bytes, without a judgement: for what comes after it."""
    return Approval(
        environment=EnvironmentName(environment),
        commit=CommitId(commit),
        declaration=Digest(declaration),
        run_id=RunId(run_id),
        sha256=sha256(data),
        request="merge cccccccccccc",
        approvers=("reviewer@example.com",),
        judged_at=at,
        _seal=approve._SEAL,
    )
