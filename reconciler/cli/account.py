"""What ran at a time that has passed, told to a person and to a program: what `describe --at` prints."""

from __future__ import annotations

from datetime import datetime

from reconciler import documents
from reconciler.cli import story
from reconciler.cli.exits import ExitCode, Stop
from reconciler.cli.past import Past, unsettled
from reconciler.cli.render import Cell, Page, word
from reconciler.core.readable import moment
from reconciler.model import Attempt, EnvironmentName
from reconciler.ports import Store

Rows = list[tuple[Cell | str, Cell | str]]


def nothing(store: Store, environment: EnvironmentName, at: datetime) -> Stop:
    """Ends the command when nothing is known to have been live by then."""
    first = next(iter(store.audit()), None)
    hint = f"this memory begins at {moment(first.at)}" if first else "this memory holds no attempt"
    if first and first.at > at:
        hint += "; an export or a backup of an earlier one may know more"
    told = "".join(f"\n{what}" for what in unsettled(store, environment, at))
    return Stop(ExitCode.NOT_YET, f"nothing is known to have been live in {environment} at {moment(at)}{told}", hint)


def document(past: Past) -> documents.Document:
    """The JSON of `describe --at`."""
    state, force = past.state, past.force
    deployed = past.deployment.finished if past.deployment else None
    environment = {
        "name": past.environment,
        "sync": state.sync.value if state else None,
        "health": state.health.value if state else None,
        "reason": str(state.reason) if state and state.reason else None,
        "message": state.message if state else None,
        "since": documents.time(state.at) if state else None,
        "declared": documents.declared(force.declared),
        "live": {
            "release": past.release,
            "runId": force.declared.run_id,
            "sha256": force.declared.sha256,
            "since": documents.time(deployed),
            "request": force.request,
            "approvers": list(force.approvers),
        },
    }
    body = {
        "at": documents.time(past.at),
        "environment": environment,
        "proven": not past.unproven,
        "unproven": list(past.unproven),
        "inForce": _attempt(past, force),
        "deployment": _attempt(past, past.deployment) if past.deployment else None,
        "repairs": [_attempt(past, one) for one in past.repairs],
        "attempts": [_attempt(past, one) for one in past.doubts],
    }
    return documents.kind("Description", body)


def _attempt(past: Past, attempt: Attempt) -> documents.Document:
    return {**documents.attempt(attempt), "auditEntries": _entries(past, attempt)}


def _entries(past: Past, attempt: Attempt) -> list[int]:
    return [entry.seq for entry in past.entries.get(attempt.id or 0, ())]


def tell(past: Past) -> None:
    """The answer, what makes it doubtful, what it rests on."""
    page, force, deployment = Page(), past.force, past.deployment
    proven = "" if not past.unproven else ", as far as the record tells"
    page.line(Cell(f"{past.environment} ran run {force.declared.run_id} at {moment(past.at)}{proven}", "head"))
    page.line()
    if past.unproven:
        page.grid([(Cell("Not proven", "warn"), what) for what in past.unproven], indent=2)
        page.line()
    page.grid([*_bytes(past), *_force(past), *_seen(past)], indent=2)
    for attempt in (force,) if deployment in (None, force) else (force, deployment):
        _tell_gates(page, attempt)


def _bytes(past: Past) -> Rows:
    declared = past.force.declared
    rows: Rows = [
        (Cell("Live", "dim"), f"run {declared.run_id}, sha256 {declared.sha256}"),
        ("", f"release {past.release}"),
    ]
    if past.deployment:
        rows.append(("", f"since {moment(past.deployment.finished)}: {_named(past, past.deployment)}"))
        if past.deployment != past.force:
            rows += [("", f"commit {past.deployment.declared.commit or '-'}, plan {past.deployment.plan or '-'}")]
            rows += [("", f"let in by {_who(past.deployment)}")]
    for repair in past.repairs:
        rows.append((Cell("Repaired", "dim"), f"{moment(repair.finished)}: {_named(past, repair)}"))
        rows.append(("", repair.message or "-"))
    return rows


def _force(past: Past) -> Rows:
    force = past.force
    rows: Rows = [(Cell("Declared in", "dim"), f"commit {force.declared.commit or '-'}")]
    if force != past.deployment:
        rows.append(("", f"in force since {moment(force.finished)}: {_named(past, force)}"))
    return [*rows, (Cell("Approved by", "dim"), _who(force)), (Cell("Plan", "dim"), force.plan or "-")]


def _seen(past: Past) -> Rows:
    state = past.state
    if state is None:
        return [(Cell("State", "dim"), "no longer remembered")]
    rows: Rows = [(Cell("State", "dim"), f"{state.sync}, {state.health} since {moment(state.at)}")]
    if state.reason:
        rows.append(("", f"{state.reason}: {state.message}"))
    return rows


def _named(past: Past, attempt: Attempt) -> str:
    numbers = " and ".join(str(seq) for seq in _entries(past, attempt)) or "none"
    return f"attempt {attempt.id} ({attempt.action}, {attempt.outcome}), audit entries {numbers}"


def _who(attempt: Attempt) -> str:
    who = ", ".join(attempt.approvers) or "nobody: no approval was needed"
    return f"{who} ({attempt.request})" if attempt.request else who


def _tell_gates(page: Page, attempt: Attempt) -> None:
    page.line()
    page.line(Cell("Gates", "head"), f" of attempt {attempt.id} ({attempt.action}), as they were recorded")
    if not attempt.gates:
        page.line(word("-"), indent=2)
    story.show_gates(page, [row for result in attempt.gates for row in story.gate_rows(result, "")])
