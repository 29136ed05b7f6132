"""One word for how an environment is doing, for colours, counts and filters. The two axes are shown beside it."""

from __future__ import annotations

from enum import StrEnum

from reconciler.errors import Reason
from reconciler.model import Health, OperatorHand, Status, Sync


class State(StrEnum):
    """What matters most about an environment; the worse, the later."""

    WELL = "well"
    PROGRESSING = "progressing"
    SUSPENDED = "suspended"
    FROZEN = "frozen"
    HELD = "held"
    UNKNOWN = "unknown"
    DRIFTED = "drifted"
    DEGRADED = "degraded"


def state_of(status: Status, hand: OperatorHand) -> State:
    """The worst that is to be said of it."""
    if status.ready and not status.reason and not status.drift and not hand.suspended:
        return State.WELL
    if status.drift or status.reason is Reason.DRIFTED:
        return State.DRIFTED
    if status.health is Health.DEGRADED:
        return State.DEGRADED
    if hand.suspended or status.reason is Reason.SUSPENDED:
        return State.SUSPENDED
    if status.reason is Reason.FROZEN:
        return State.FROZEN
    match status.sync, status.health:
        case Sync.SYNCED, Health.HEALTHY:
            return State.WELL
        case (Sync.HELD, _):
            return State.HELD
        case (Sync.PROGRESSING, _) | (_, Health.PROGRESSING):
            return State.PROGRESSING
        case (Sync.OUT_OF_SYNC, _):
            return State.PROGRESSING
    return State.UNKNOWN
