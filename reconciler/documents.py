"""The JSON contract of the command line and of the HTTP API: what each kind of answer looks like to a program.

Keys are only ever added. Every document has `apiVersion` and `kind`; keys are camelCase; times are RFC 3339 in UTC;
what is not known is null; run ids are numbers; digests and commits are in full.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from reconciler.core.yamltree import Problem
from reconciler.model import (
    Attempt,
    Declared,
    Drift,
    GateResult,
    OperatorHand,
    Readiness,
    Release,
    Status,
    Transition,
)

API_VERSION = "reconciler/v1"
Document = dict[str, Any]


def kind(name: str, body: Document) -> Document:
    """A document of one kind."""
    return {"apiVersion": API_VERSION, "kind": name, **body}


def line(document: Document) -> str:
    """A document on one line, for streams."""
    return json.dumps(document, separators=(",", ":"))


def environment(status: Status, hand: OperatorHand) -> Document:
    """Where one environment stands."""
    return {
        "name": status.environment,
        "sync": status.sync.value,
        "health": status.health.value,
        "ready": status.ready,
        "reason": _text(status.reason),
        "message": status.message,
        "hint": status.hint,
        "since": time(status.since),
        "declared": declared(status.declared),
        "live": _let_in(status),
        "suspension": {"by": hand.by, "reason": hand.reason} if hand.suspended else None,
        "gates": [gate(result) for result in status.gates],
        "drift": [drift(item) for item in status.drift],
        "rollback": readiness(status.rollback),
    }


def declared(value: Declared) -> Document:
    """What the file on the branch says."""
    return {"commit": value.commit, "runId": value.run_id, "sha256": value.sha256}


def live(release: Release | None, since: datetime | None) -> Document | None:
    """What serves now."""
    if release is None:
        return None
    return {"release": release.id, "runId": release.run_id, "sha256": release.sha256, "since": time(since)}


def _let_in(status: Status) -> Document | None:
    """What serves now, and who let it in."""
    serving = live(status.live, status.live_since)
    return serving and {**serving, "request": status.request, "approvers": list(status.approvers)}


def gate(result: GateResult) -> Document:
    """One gate's word."""
    return {
        "gate": result.gate.value,
        "verdict": result.verdict.value,
        "reason": _text(result.reason),
        "message": result.message,
        "evidence": list(result.evidence),
        "hint": result.hint,
        "notBefore": time(result.not_before),
    }


def drift(item: Drift) -> Document:
    """One path that is not as it was put there."""
    return {"path": item.path, "kind": item.kind.value, "expected": item.expected, "found": item.found}


def readiness(value: Readiness | None) -> Document | None:
    """Whether a rollback would work; None while nobody looked, or there is nothing to go back to."""
    return {"release": value.release, "ready": value.ready, "why": value.why or None} if value else None


def attempt(value: Attempt) -> Document:
    """One try to bring an environment to its declaration."""
    return {
        "id": value.id,
        "environment": value.environment,
        "action": value.action.value,
        "automatic": value.automatic,
        "declared": declared(value.declared),
        "before": value.before.id if value.before else None,
        "request": value.request,
        "approvers": list(value.approvers),
        "token": value.token,
        "plan": value.plan or None,
        "started": time(value.started),
        "finished": time(value.finished),
        "outcome": _text(value.outcome),
        "reason": _text(value.reason),
        "message": value.message,
        "output": value.output,
        "gates": [gate(result) for result in value.gates],
    }


def transition(value: Transition) -> Document:
    """One change of an environment's state."""
    return {
        "id": value.id,
        "at": time(value.at),
        "environment": value.environment,
        "sync": value.sync.value,
        "health": value.health.value,
        "reason": _text(value.reason),
        "message": value.message,
        "live": value.live or None,
    }


def problem(value: Problem) -> Document:
    """One thing wrong in one file."""
    return {
        "file": value.file,
        "line": value.line,
        "column": value.column,
        "at": value.at,
        "found": value.found,
        "wanted": value.wanted,
        "hint": value.hint,
    }


def error(status: int, reason: str, message: str, hint: str) -> Document:
    """Why the HTTP API does not answer."""
    return kind("Error", {"status": status, "reason": reason, "message": message, "hint": hint})


def time(at: datetime | None) -> str | None:
    """RFC 3339, in UTC."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z" if at else None


def _text(value: object) -> str | None:
    return str(value) if value is not None else None
