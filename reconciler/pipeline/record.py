"""What a pass says of its environment: status and attempt, built from what was seen and judged."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from reconciler.core.approve import Approval
from reconciler.core.plan import Plan, plan_digest
from reconciler.declarations.catalog import Declared as DeclaredFile
from reconciler.errors import DID_NOT_RUN, Reason, ReconcilerError
from reconciler.model import (
    Accepted,
    Action,
    Attempt,
    Checked,
    Declared,
    GateResult,
    Health,
    HealthState,
    Observation,
    Outcome,
    Status,
    Sync,
)
from reconciler.pipeline.gates import Gates
from reconciler.pipeline.home import Home
from reconciler.pipeline.living import has_failed

_TOLD = 10
"""Drifted paths that the record of a repair names."""


def declared(file: DeclaredFile, home: Home | None, gates: Gates | None, previous: Status | None) -> Declared:
    """The commit that last changed the file, and what the file says."""
    declaration = file.reading.declaration if file.reading else None
    run_id, sha256 = (declaration.run_id, declaration.sha256) if declaration else (None, None)
    if gates and gates.changes:
        return Declared(gates.changes[-1].commit, run_id, sha256)
    if home and home.accepted and home.reading:
        return Declared(home.accepted.commit, run_id, sha256)
    # Nobody could find out which commit changed it: as long as it says the same, the one that was known.
    if previous and (previous.declared.run_id, previous.declared.sha256) == (run_id, sha256):
        return previous.declared
    return Declared(file.tip, run_id, sha256)


def attempt(
    file: DeclaredFile,
    home: Home | None,
    gates: Gates | None,
    approval: Approval | None,
    plan: Plan | None,
    previous: Status | None,
    now: datetime,
) -> Attempt:
    """A try at what the tip declares; with its approval, and what was to be done, when it got so far."""
    return Attempt(
        environment=file.environment,
        action=plan.action if plan and plan.action is not Action.NONE else Action.DEPLOY,
        plan=plan.digest if plan else "",
        declared=declared(file, home, gates, previous),
        before=home.observed.live if home else None,
        started=now,
        request=approval.request if approval else "",
        approvers=approval.approvers if approval else (),
        gates=gates.results() if gates else (),
    )


def attempt_at(action: Action, approval: Approval, home: Home, gates: Gates, token: int, now: datetime) -> Attempt:
    """A try at what was approved, with all that it rests on."""
    return Attempt(
        environment=approval.environment,
        action=action,
        declared=Declared(approval.commit, approval.run_id, approval.sha256),
        before=home.observed.live,
        started=now,
        request=approval.request,
        approvers=approval.approvers,
        gates=gates.results(),
        token=token,
        plan=plan_digest(approval.environment, action, approval, home.observed.live, home.path),
        message=_drifted(home.observed) if action is Action.REPAIR else _led_elsewhere(approval, home.observed),
    )


def ended(attempt: Attempt, outcome: Outcome, now: datetime, result: GateResult | None = None) -> Attempt:
    """The attempt with its outcome, and the gate that stopped it, if one did."""
    return replace(
        attempt,
        finished=now,
        outcome=outcome,
        reason=result.reason if result else None,
        message=result.message if result else attempt.message,
    )


def converged(
    file: DeclaredFile,
    home: Home,
    gates: Gates,
    approval: Approval,
    checked: Checked | None,
    repairs_at: datetime | None,
    previous: Status | None,
    now: datetime,
) -> Status:
    """Declared and live are one; whether it is whole, and runs, is told beside it."""
    live = home.observed.live
    reason, message, hint = _runs_how(file, home.observed, checked, repairs_at)
    return _since(
        Status(
            environment=file.environment,
            sync=Sync.OUT_OF_SYNC if home.observed.drift else Sync.SYNCED,
            health=_health(home.observed, checked),
            reason=reason,
            message=message,
            hint=hint,
            declared=Declared(approval.commit, approval.run_id, approval.sha256),
            live=live,
            live_since=home.observed.live_since,
            gates=gates.results(),
            drift=home.observed.drift,
            request=approval.request,
            approvers=approval.approvers,
            target=home.path,
        ),
        previous,
        now,
    )


def held(
    file: DeclaredFile,
    home: Home | None,
    gates: Gates | None,
    result: GateResult,
    sync: Sync,
    revoked: str,
    checked: Checked | None,
    previous: Status | None,
    now: datetime,
) -> Status:
    """Live stays as it is, and why; `revoked` says why nobody should run it, if that is so."""
    observed = home.observed if home else None
    accepted: Accepted | None = home.accepted if home else None
    return _since(
        Status(
            environment=file.environment,
            sync=sync,
            health=Health.DEGRADED if revoked or result.reason in DID_NOT_RUN else _health(observed, checked),
            reason=result.reason,
            message=_told(result, observed, revoked),
            hint=result.hint,
            declared=declared(file, home, gates, previous),
            live=observed.live if observed else None,
            live_since=observed.live_since if observed else None,
            gates=gates.results() if gates else (result,),
            drift=observed.drift if observed else (),
            request=accepted.request if accepted else "",
            approvers=accepted.approvers if accepted else (),
            target=home.path if home else "",
        ),
        previous,
        now,
    )


def internal_error(file: DeclaredFile, previous: Status | None, error: Exception, now: datetime) -> Status:
    """After a bug: nothing is known, nothing more is done, and no other environment is touched."""
    base = previous or Status(
        environment=file.environment,
        sync=Sync.UNKNOWN,
        health=Health.UNKNOWN,
        reason=None,
        message="",
        hint="",
        declared=Declared(file.tip),
        live=None,
        live_since=None,
        gates=(),
    )
    status = replace(
        base,
        sync=Sync.UNKNOWN,
        reason=Reason.INTERNAL_ERROR,
        message=f"unexpected {type(error).__name__} in the pass; what is live was left as it is",
        hint="the log has the details; please report it",
    )
    return _since(status, previous, now)


def unrecorded(file: DeclaredFile, previous: Status | None, error: ReconcilerError, now: datetime) -> Status:
    """The memory is out of reach: what can't be recorded is not done."""
    status = internal_error(file, previous, error, now)
    return replace(status, reason=error.reason, message=error.message, hint=error.hint)


def _told(result: GateResult, observed: Observation | None, revoked: str) -> str:
    """What holds; and what runs meanwhile, where that was gone back to, or nobody should run it."""
    live = observed.live if observed else None
    if observed is None or live is None:
        return result.message
    failed = observed.service.failed if observed.service else None
    told = result.message
    if failed and failed.message == told and (failed.run_id, failed.sha256) != (live.run_id, live.sha256):
        told = f"{told}; {live.id} is live again"
    if not revoked or result.reason is Reason.REVOKED:
        return told
    return f"{told}; meanwhile {live.id} is live, which is revoked: {revoked}"


def _drifted(observed: Observation) -> str:
    """What a repair found, for the record: once repaired, nothing else tells."""
    told = ", ".join(f"{drift.kind} {drift.path}" for drift in observed.drift[:_TOLD])
    more = len(observed.drift) - _TOLD
    return f"drift: {told}" + (f" and {more} more" if more > 0 else "")


def _led_elsewhere(approval: Approval, observed: Observation) -> str:
    """Where the link led, in place of what was let in already; empty where something new is let in."""
    accepted, live = observed.accepted, observed.live
    wanted = approval.run_id, approval.sha256
    if accepted is None or (accepted.run_id, accepted.sha256) != wanted:
        return ""
    if live is None:
        return _drifted(observed) if observed.drift else ""
    return f"current led to {live.id}" if (live.run_id, live.sha256) != wanted else ""


def _health(observed: Observation | None, checked: Checked | None) -> Health:
    if observed is None or (observed.live is None and not observed.drift):
        return Health.UNKNOWN
    failed = observed.accepted is not None and has_failed(observed.service, observed.accepted)
    if observed.drift or failed:
        return Health.DEGRADED
    return _BY_CHECKS[checked.state] if checked else Health.HEALTHY


_BY_CHECKS = {
    HealthState.WAITING: Health.PROGRESSING,
    HealthState.HEALTHY: Health.HEALTHY,
    HealthState.UNHEALTHY: Health.DEGRADED,
    HealthState.FAILED: Health.DEGRADED,
}


def _runs_how(
    file: DeclaredFile, observed: Observation, checked: Checked | None, repairs_at: datetime | None
) -> tuple[Reason | None, str, str]:
    """Of what is declared and live: why it is not well, in words, and what to do."""
    live = observed.live
    if live is None:
        return None, "nothing is live", ""
    if observed.drift:
        first, more = observed.drift[0], len(observed.drift) - 1
        told = f"{live.id} drifted: {first.path} ({first.kind})" + (f" and {more} more" if more else "")
        if repairs_at:
            told += f"; it came back too often, the next repair is at {repairs_at:%Y-%m-%d %H:%M:%S}Z"
            return Reason.DRIFTED, told, "find out who, or what, writes there"
        hint = f"drift is only reported here: reconciler diff {file.environment} shows it path by path"
        return Reason.DRIFTED, told, hint
    if checked and checked.state in (HealthState.UNHEALTHY, HealthState.FAILED):
        told = f"{live.id} is live and not healthy: {checked.message}"
        hint = f"look at the service's own log; to go back: reconciler rollback {file.environment}"
        return Reason.HEALTH_CHECK_FAILED, told, hint
    if checked and checked.state is HealthState.WAITING:
        return None, f"{live.id} is live, and its first checks have not passed yet", ""
    return None, f"{live.id} is live", ""


def _since(status: Status, previous: Status | None, now: datetime) -> Status:
    """Keep since when it stands like this, so that the same state twice is the same value."""
    same = previous and _state(previous) == _state(status)
    return replace(status, since=previous.since if previous and same else now)


def _state(status: Status) -> tuple[object, ...]:
    return status.sync, status.health, status.reason, status.live
