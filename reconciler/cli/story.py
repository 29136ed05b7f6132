"""Why an environment stands as it does, told to a person: first the answer, then what it rests on.

Used by `why` and `describe`. Everything shown was recorded by the pass that judged it; nothing is judged here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from reconciler.cli import lives
from reconciler.cli.render import Cell, Page, age, explained, word
from reconciler.core.readable import ARROW, counted, moment, short
from reconciler.errors import BAD_BYTES, DID_NOT_RUN, Reason
from reconciler.model import Attempt, GateResult, Health, OperatorHand, Status, Sync, Verdict

_MARKS = {
    Verdict.PASSED: Cell("✓", "good"),
    Verdict.HELD: Cell("✗", "bad"),
    Verdict.PENDING: Cell("…", "warn"),
    Verdict.NOT_REACHED: Cell("·", "dim"),
}
_SHOWN_DRIFT = 20
_NARROW = 64
"""Columns that a page needs for what a gate says beside the gate."""
_FAILED_FOR_GOOD = BAD_BYTES | DID_NOT_RUN
"""What is not tried again by itself."""
_HASH = re.compile(r"\b([0-9a-f]{12})(?:[0-9a-f]{52}|[0-9a-f]{28})\b")


def summary(status: Status, hand: OperatorHand) -> str:
    """The answer in one line."""
    name, live = status.environment, _live(status)
    if hand.suspended:
        return f"{name} is suspended by {hand.by or 'the operator'}; {live}"
    if status.ready:
        return f"{name} is Ready: what is declared is live and whole; {live}"
    if status.sync is Sync.HELD:
        gate = held_gate(status)
        by = f" by the gate {gate.gate}" if gate else ""
        return f"{name} is Held{by}: {status.reason or 'no reason given'}; {live}"
    if lives.on_probation(status):
        return f"{name} is Synced, but {status.health}: {live}, and has to become healthy in time"
    if status.sync is Sync.SYNCED:
        return f"{name} is Synced, but {status.health}; {live}"
    return f"{name} is {status.sync}: {status.reason or status.message or 'no reason given'}; {live}"


def _live(status: Status) -> str:
    if status.live is None:
        return "nothing is live"
    if lives.is_back(status):
        return f"run {status.live.run_id} is live again"
    is_declared = status.sync is Sync.SYNCED or status.reason in DID_NOT_RUN
    return f"run {status.live.run_id} {'is' if is_declared else 'stays'} live"


def held_gate(status: Status) -> GateResult | None:
    """The gate that holds, if one does."""
    return next((result for result in status.gates if result.verdict is Verdict.HELD), None)


def tell_why(page: Page, status: Status, hand: OperatorHand, now: datetime, attempts: Sequence[Attempt] = ()) -> None:
    """The answer, what to do, what is live meanwhile, what failed to run, and each gate with its evidence.

    `attempts`: those of the environment, newest first.
    """
    page.line(Cell(summary(status, hand), "head"))
    page.line()
    if hand.suspended or not status.ready:
        _tell_reason(page, status, hand)
    page.grid(coordinates(status, now), indent=2)
    lives.tell_failure(page, status, attempts)
    if status.gates:
        page.line()
        tell_gates(page, status)
    if status.drift:
        page.line()
        tell_drift(page, status)


def _tell_reason(page: Page, status: Status, hand: OperatorHand) -> None:
    rows: list[tuple[Cell | str, Cell | str]] = []
    if hand.suspended and hand.reason:
        rows.append((Cell("Because", "dim"), hand.reason))
    elif status.message:
        rows.append((Cell("Because", "dim"), status.message))
    if hand.suspended:
        rows.append((Cell("What to do", "dim"), f"reconciler resume {status.environment}"))
    elif told := what_to_do(status):
        rows.append((Cell("What to do", "dim"), told))
    gate = held_gate(status)
    if gate and gate.not_before:
        rows.append((Cell("Not before", "dim"), moment(gate.not_before)))
    if reason := Reason.SUSPENDED if hand.suspended else status.reason:
        rows.append((Cell("See", "dim"), explained(reason)))
    if rows:
        page.grid(rows, indent=2)
        page.line()


def what_to_do(status: Status) -> str:
    """The way out; what was given up says how it is tried again."""
    again = ""
    if status.sync is not Sync.SYNCED and status.reason in _FAILED_FOR_GOOD and "reconciler retry" not in status.hint:
        again = f"it is not tried again until the declaration changes or `reconciler retry {status.environment}`"
    if lives.on_probation(status) and not status.hint:
        return "wait: its first health checks decide"
    if not status.hint and not again and status.health is Health.DEGRADED:
        return "nothing: it is mended at the next pass; then look who changed it"
    return "; ".join(filter(None, (status.hint, again)))


def coordinates(status: Status, now: datetime) -> list[tuple[Cell | str, Cell | str]]:
    """What is declared, what is live, and who let it in."""
    declared, live = status.declared, status.live
    rows: list[tuple[Cell | str, Cell | str]] = [
        (Cell("Declared", "dim"), f"run {declared.run_id or '-'}, sha256 {declared.sha256 or '-'}"),
        (Cell("", "dim"), f"commit {declared.commit or '-'}"),
    ]
    if live:
        rows.append((Cell("Live", "dim"), f"run {live.run_id}, sha256 {live.sha256}"))
        rows.append(("", f"release {live.id}, for {age(status.live_since, now)}"))
    else:
        rows.append((Cell("Live", "dim"), "nothing"))
    who = _who(status)
    if who and status.sync is Sync.SYNCED:
        rows.append((Cell("Approved by", "dim"), who))
    elif who and live:  # not the declared run: they let in what it is to replace
        rows.append(("", f"let in by {who}"))
    rows += lives.rollback_row(status.rollback)
    rows.append((Cell("Since", "dim"), f"{moment(status.since)}, for {age(status.since, now)}"))
    return rows


def _who(status: Status) -> str:
    """Who let in what is live, and by which request."""
    if not (status.request or status.approvers):
        return ""
    who = ", ".join(status.approvers) or "nobody: no approval was needed"
    return f"{who} ({status.request})" if status.request else who


def tell_gates(page: Page, status: Status) -> None:
    """Each gate: its word, and beside it what it rests on."""
    page.line(Cell("Gates", "head"))
    show_gates(page, [row for result in status.gates for row in gate_rows(result, status.message)])


def show_gates(page: Page, rows: Iterable[tuple[Cell | str, ...]]) -> None:
    """Rows of gates side by side; where that leaves too little room for what they say, with it below."""
    if page.width >= _NARROW:
        page.grid(rows, indent=2)
        return
    for mark, name, verdict, said in rows:
        if mark:
            page.line(mark, " ", name, " ", verdict, indent=2)
        if said.text if isinstance(said, Cell) else said:
            page.line(said, indent=4)


def gate_rows(result: GateResult, told: str) -> list[tuple[Cell | str, ...]]:
    """One gate: mark, name, word and the first of what it says; the rest below. What was `told` before is left out."""
    held = result.verdict is Verdict.HELD
    said: list[Cell | str] = [Cell(_shortened(evidence), "dim") for evidence in result.evidence]
    if held and result.message != told:
        said = [f"{result.reason}: {_shortened(result.message)}", *said, f"{ARROW} {result.hint}"]
    elif held:
        said = [str(result.reason), *said]
    elif not said:
        said = [Cell(_shortened(result.message), "dim")]
    first, *rest = said
    verdict = Cell("HELD", "bad") if held else word(result.verdict.value)
    name = Cell(result.gate.value, "head" if held else "")
    return [(_MARKS[result.verdict], name, verdict, first), *(("", "", "", what) for what in rest)]


def _shortened(text: str) -> str:
    """Digests and commits by their first twelve digits: in full they are in JSON."""
    return _HASH.sub(r"\1", text)


def tell_drift(page: Page, status: Status) -> None:
    """What is not as it was put there, path by path."""
    page.line(Cell("Drift", "head"), f" (not as put there: {counted(len(status.drift), 'path')})")
    page.grid(
        [
            (Cell(item.kind.value, "bad"), item.path, f"expected {item.expected or '-'}, found {item.found or '-'}")
            for item in status.drift[:_SHOWN_DRIFT]
        ],
        indent=2,
    )
    if len(status.drift) > _SHOWN_DRIFT:
        page.line(f"and {len(status.drift) - _SHOWN_DRIFT} more: see -o json", indent=2)


def run_cell(status: Status) -> str:
    """The live run; with the declared one behind an arrow when that is another."""
    live, declared = status.live, status.declared
    shown = str(live.run_id) if live else "-"
    same = live and (live.run_id, live.sha256) == (declared.run_id, declared.sha256)
    if same or declared.run_id is None:
        return shown
    return f"{shown} {ARROW} {declared.run_id}"


def revision(status: Status) -> str:
    """The commit that the declaration stands in."""
    return short(status.declared.commit)
