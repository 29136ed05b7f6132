"""Who let a declaration in: facts of the forge against the rules that stood before the change.

The only place that makes an `Approval`, and a target takes nothing else: deploying what nobody approved
does not type-check.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import final

from reconciler.model import CommitId, Digest, EnvironmentName, RunId


@final
class _Seal:
    """Known to this module alone: what makes the constructor below private."""


_SEAL = _Seal()


@dataclass(frozen=True, slots=True)
class Approval:
    """Proof that people let this very declaration in."""

    environment: EnvironmentName
    commit: CommitId
    """The commit on the tracked branch that holds the declaration."""
    declaration: Digest
    """SHA-256 of the declaration file's bytes: what the approval is bound to."""
    run_id: RunId
    sha256: Digest
    request: str
    """How it came to the branch, for people: `#12`, `merge 1a2b3c4d5e6f`; empty without a gate."""
    approvers: tuple[str, ...]
    """Immutable ids."""
    judged_at: datetime
    _seal: _Seal
