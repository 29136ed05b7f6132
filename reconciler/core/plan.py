"""What one pass does to one environment, from what is wanted and what is there. No second opinion elsewhere."""

from __future__ import annotations

from reconciler.core.approve import Approval
from reconciler.model import Action, Observation


def decide(approval: Approval, observed: Observation) -> Action:
    """The one action that brings a target from what it is to what was approved."""
    live = observed.live
    if live is None or (live.run_id, live.sha256) != (approval.run_id, approval.sha256):
        return Action.DEPLOY
    if observed.drift:
        return Action.REPAIR
    accepted = observed.accepted
    if accepted is None or accepted.declaration != approval.declaration:
        return Action.ACCEPT
    return Action.NONE
