"""How a release came to life, told to a person: probation, an automatic rollback, what its activation printed.

All of it was recorded by the passes; nothing is asked here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reconciler.cli.render import Cell, Page, span
from reconciler.core.readable import moment
from reconciler.errors import DID_NOT_RUN
from reconciler.model import Attempt, Gate, Health, Outcome, Readiness, Status, Sync, Verdict

Rows = list[tuple[Cell | str, Cell | str]]
_LINES = 20
"""Lines of an output that a page shows: the last ones, which say how it ended."""


def on_probation(status: Status) -> bool:
    """Whether what is live is what is declared, and did not show yet that it is healthy."""
    return status.sync is Sync.SYNCED and status.health is Health.PROGRESSING


def is_back(status: Status) -> bool:
    """Whether something else is live again, since what is declared did not run."""
    live, declared = status.live, status.declared
    other = live is not None and (live.run_id, live.sha256) != (declared.run_id, declared.sha256)
    return status.reason in DID_NOT_RUN and other


def rollback_cell(found: Readiness | None) -> Cell:
    """Whether a rollback would work, in a column; a dash: nobody looked yet, or nothing is kept."""
    if found is None:
        return Cell("-", "dim")
    return Cell(f"ready {found.release}", "good") if found.ready else Cell(f"no: {found.why}", "bad")


def rollback_row(found: Readiness | None) -> Rows:
    """The same as a sentence; nothing where nobody can tell."""
    if found is None:
        return []
    told = f"would work: {found.release} is kept, and whole" if found.ready else f"would not work: {found.why}"
    return [(Cell("Rollback", "dim"), told)]


def tell_failure(page: Page, status: Status, attempts: Sequence[Attempt]) -> None:
    """What failed to run, and what came of it; nothing when what is declared does run.

    Args:
        page: Where to.
        status: Where the environment stands.
        attempts: Those of the environment, newest first.
    """
    failed = _failed(status, attempts) if status.reason in DID_NOT_RUN else None
    if failed is None:
        return
    page.line()
    page.line(Cell("What happened", "head"))
    page.grid(_failure(status, failed, attempts), indent=2)


def _failed(status: Status, attempts: Sequence[Attempt]) -> Attempt | None:
    """The last attempt at what is declared that came to a switch, and did not run."""
    tried = (one for one in attempts if one.declared == status.declared and one.outcome is Outcome.FAILED)
    return next((one for one in tried if one.reason in DID_NOT_RUN), None)


def _failure(status: Status, failed: Attempt, attempts: Sequence[Attempt]) -> Iterator[tuple[Cell | str, ...]]:
    yield moment(failed.finished), f"run {failed.declared.run_id} failed: attempt {failed.id} ({failed.action})"
    yield "", f"{failed.reason}: {failed.message}"
    back = next((one for one in attempts if one.automatic and (one.id or 0) > (failed.id or 0)), None)
    if back is None:
        yield "", f"nothing was rolled back: {status.live.id} stays live" if status.live else "nothing is live"
        return
    number = f"attempt {back.id} (rollback)"
    match back.outcome:
        case None:
            yield moment(back.started), f"run {back.declared.run_id} is being brought back by itself: {number}"
        case Outcome.SUCCEEDED:
            yield moment(back.finished), f"run {back.declared.run_id} was brought back by itself{_in(back)}: {number}"
        case _:
            yield moment(back.finished), f"run {back.declared.run_id} could not be brought back: {number}"
            yield "", f"{back.reason or back.outcome}: {back.message}"
    health = next((word for word in back.gates if word.gate is Gate.HEALTH), None)
    if health and health.verdict is Verdict.PASSED and health.evidence:
        yield "", health.evidence[0]


def _in(attempt: Attempt) -> str:
    took = (attempt.finished - attempt.started).total_seconds() if attempt.finished else 0.0
    return f", in {span(took)}" if took >= 1 else ""


def tell_output(page: Page, status: Status, attempts: Sequence[Attempt]) -> None:
    """What the activation printed: of what failed to run, where something did; else the last time."""
    failed = _failed(status, attempts) if status.reason in DID_NOT_RUN else None
    shown = next((one for one in (failed, *attempts) if one is not None and one.output), None)
    if shown is None:
        return
    lines = shown.output.splitlines()
    page.line()
    page.line(Cell("Output of the activation", "head"), f" of run {shown.declared.run_id} in attempt {shown.id}")
    if len(lines) > _LINES:
        page.line(f"… {len(lines) - _LINES} lines before; all that was kept: -o json", indent=2)
    for text in lines[-_LINES:]:
        page.line(text, indent=2)
