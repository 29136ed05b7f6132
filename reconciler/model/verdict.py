"""What the judge says: gates, in their order, and their words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from reconciler.errors import Reason


class Gate(StrEnum):
    """Conditions that must hold before live may change, in the order in which they are judged."""

    HISTORY = "history"
    SCHEMA = "schema"
    APPROVAL = "approval"
    REVOCATION = "revocation"
    SUSPENSION = "suspension"
    PROVENANCE = "provenance"
    PROMOTION = "promotion"
    FREEZE = "freeze"
    ACTIVATION = "activation"
    """The activation is allowed, and has all secrets that it needs; later, that it came about."""
    CUSTODY = "custody"
    TARGET = "target"
    HEALTH = "health"


class Verdict(StrEnum):
    """What a gate says."""

    PASSED = "passed"
    HELD = "held"
    PENDING = "pending"
    """Not decided yet, and not by the product: a plan's approval, which the merge will be."""
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate's word: the evidence it rests on and, when it holds, the reason and the way out."""

    gate: Gate
    verdict: Verdict
    reason: Reason | None = None
    message: str = ""
    evidence: tuple[str, ...] = ()
    hint: str = ""
    not_before: datetime | None = None
    """The earliest instant at which it can pass, when that is known."""
