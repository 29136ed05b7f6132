"""Lists of environments, attempts and events; printed once, or followed while they change.

Following asks the memory every half second and prints what differs from what was printed: one row per change,
and one JSON document per line for programs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from reconciler import documents
from reconciler.cli import forms, lives, render, story
from reconciler.cli.memory import Memory, chosen, hand_of
from reconciler.cli.options import Output
from reconciler.cli.render import Cell, Page, age, span, word
from reconciler.core.readable import ARROW, moment, short
from reconciler.machine.clock import SystemClock
from reconciler.model import Attempt, EnvironmentName, OperatorHand, Status, Transition
from reconciler.ports import Store

LOOK_SECONDS = 0.5
"""Between two looks at the memory while following it."""

_TABLE = ("NAME", "RUN", "REVISION", "SYNC", "HEALTH", "READY", "AGE", "MESSAGE")
_WIDE = (*_TABLE[:-1], "LIVE SHA256", "LIVE APPROVED BY", "LIVE REQUEST", "REASON", "TARGET", "ROLLBACK", "MESSAGE")
_SPARE = ("REVISION", "AGE", "READY")
Row = Sequence[Cell | str]
Hands = Mapping[EnvironmentName, OperatorHand]


# --- environments --------------------------------------------------------------------------------


def environment_list(statuses: Iterable[Status], hands: Hands) -> documents.Document:
    """The JSON of `get`."""
    items = [documents.environment(status, hand_of(hands, status.environment)) for status in statuses]
    return documents.kind("EnvironmentList", {"items": items})


def show_environments(store: Store, statuses: Sequence[Status], output: Output) -> None:
    """Print environments in the order given."""
    hands = store.hands()
    rows = [_row(status, hand_of(hands, status.environment), output, _now()) for status in statuses]
    forms.answer(
        output,
        lambda: environment_list(statuses, hands),
        [status.environment for status in statuses],
        lambda: _print_rows(output, rows, []) if rows else None,
    )


def follow_environments(memory: Memory, wanted: Sequence[str], output: Output) -> None:
    """Print environments, then each that changes, until interrupted."""
    shown: dict[EnvironmentName, tuple[Status, OperatorHand]] = {}
    widths: list[int] = []
    if not memory.store.statuses():
        render.note("note: nothing is known yet; waiting for the first look")
    while True:
        statuses, hands = memory.store.statuses(), memory.store.hands()
        names = chosen(wanted, statuses) if statuses else ()
        news = [(statuses[name], hand_of(hands, name)) for name in names]
        news = [(status, hand) for status, hand in news if shown.get(status.environment) != (status, hand)]
        shown |= {status.environment: (status, hand) for status, hand in news}
        match output:
            case Output.JSON | Output.YAML:
                for status, hand in news:
                    render.raw(documents.line(documents.kind("Environment", documents.environment(status, hand))))
            case Output.NAME:
                for status, _ in news:
                    render.say(status.environment)
            case _ if news:
                rows = [_row(status, hand, output, _now()) for status, hand in news]
                widths = _print_rows(output, rows, widths)
        _wait()


def _print_rows(output: Output, rows: Iterable[Row], widths: list[int]) -> list[int]:
    """Rows under their titles; further ones, where widths are known from before, without."""
    wide = output is Output.WIDE
    if wide:
        return render.columns(_WIDE, rows, titles=not widths, least=widths)
    return render.columns(_TABLE, rows, titles=not widths, least=widths, cut=True, spare=_SPARE)


def _row(status: Status, hand: OperatorHand, output: Output, now: datetime) -> Row:
    row: list[Cell | str] = [
        status.environment,
        story.run_cell(status),
        story.revision(status),
        word(status.sync.value),
        word(status.health.value),
        word(str(status.ready)),
        age(status.since, now),
    ]
    if output is Output.WIDE:
        row += [_digests(status), ", ".join(status.approvers), status.request, status.reason or "-"]
        row += [status.target or "-", lives.rollback_cell(status.rollback)]
    return [*row, _message(status, hand)]


def _digests(status: Status) -> str:
    """What is live; with what is declared behind an arrow when that is another, as in the column RUN."""
    live, declared = status.live.sha256 if status.live else "-", status.declared.sha256
    return live if declared in (None, live) else f"{live} {ARROW} {declared}"


def _message(status: Status, hand: OperatorHand) -> str:
    if hand.suspended:
        return f"suspended by {hand.by or 'the operator'}" + (f": {hand.reason}" if hand.reason else "")
    return f"{status.reason}: {status.message}" if status.reason else status.message


# --- one environment -----------------------------------------------------------------------------


def describe(
    status: Status, hand: OperatorHand, attempts: Sequence[Attempt], transitions: Sequence[Transition]
) -> None:
    """All that is known of one environment."""
    page = Page()
    story.tell_why(page, status, hand, _now(), attempts)
    lives.tell_output(page, status, attempts)
    if attempts:
        page.line()
        page.line(Cell("Last attempts", "head"))
        show_attempts(attempts, wide=False, of_one=True)
    if transitions:
        page.line()
        page.line(Cell("Last events", "head"))
        show_events(transitions, wide=False, of_one=True)


# --- attempts ------------------------------------------------------------------------------------

_ATTEMPT = ("ID", "STARTED", "ENVIRONMENT", "ACTION", "RUN", "OUTCOME", "TOOK", "APPROVED BY", "REQUEST", "REASON")
_ATTEMPT_SPARE = ("MESSAGE", "TOOK", "REQUEST", "APPROVED BY", "ID", "ACTION")


def show_attempts(attempts: Iterable[Attempt], *, wide: bool, of_one: bool) -> None:
    """Print attempts in the order given.

    Args:
        attempts: Which.
        wide: With all that is known of each, however long the lines become.
        of_one: They are all of one environment, which needs no column then, unless wide.
    """
    header = (*_ATTEMPT, *(("SHA256", "COMMIT", "TOKEN", "MESSAGE") if wide else ("MESSAGE",)))
    rows = [_attempt_row(attempt, wide) for attempt in attempts]
    if wide:
        render.columns(header, rows)
    else:
        render.columns(*_of(header, rows, of_one), cut=True, spare=_ATTEMPT_SPARE)


def _of(header: Sequence[str], rows: Sequence[Row], of_one: bool) -> tuple[Sequence[str], Sequence[Row]]:
    """A table without the column that says the same in each row."""
    if not of_one:
        return header, rows
    place = header.index("ENVIRONMENT")
    return (
        [title for n, title in enumerate(header) if n != place],
        [[cell for n, cell in enumerate(row) if n != place] for row in rows],
    )


def _attempt_row(attempt: Attempt, wide: bool) -> Row:
    took = span((attempt.finished - attempt.started).total_seconds()) if attempt.finished else "-"
    declared = attempt.declared
    row: list[Cell | str] = [
        str(attempt.id),
        moment(attempt.started),
        attempt.environment,
        f"{attempt.action} (automatic)" if attempt.automatic else attempt.action.value,
        str(declared.run_id or "-"),
        word(attempt.outcome.value) if attempt.outcome else Cell("under way", "warn"),
        took,
        ", ".join(attempt.approvers),
        attempt.request,
        attempt.reason or "-",
    ]
    if wide:
        row += [declared.sha256 or "-", short(declared.commit), str(attempt.token)]
    return [*row, attempt.message]


# --- events --------------------------------------------------------------------------------------

_EVENT_SPARE = ("MESSAGE", "LIVE", "HEALTH")
_EVENT = ("AT", "ENVIRONMENT", "SYNC", "HEALTH", "LIVE", "REASON", "MESSAGE")


def show_events(
    transitions: Iterable[Transition], widths: Sequence[int] = (), *, wide: bool, of_one: bool
) -> list[int]:
    """Print changes of state in the order given; with the widths of earlier ones, below those."""
    rows = [_event_row(item) for item in transitions]
    if wide:
        return render.columns(_EVENT, rows, titles=not widths, least=widths)
    header, shown = _of(_EVENT, rows, of_one)
    return render.columns(header, shown, titles=not widths, least=widths, cut=True, spare=_EVENT_SPARE)


def follow_events(store: Store, environment: EnvironmentName | None, limit: int, output: Output) -> None:
    """Print the last changes of state, then each new one, until interrupted."""
    last, widths = 0, list[int]()
    while True:
        found = store.transitions(environment, after=last, limit=1000 if last else limit)
        last = found[-1].id if found else last
        if output in (Output.JSON, Output.YAML):
            for item in found:
                render.raw(documents.line(documents.kind("Event", documents.transition(item))))
        elif found:
            widths = show_events(found, widths, wide=output is Output.WIDE, of_one=environment is not None)
        _wait()


def _event_row(item: Transition) -> Row:
    return [
        moment(item.at),
        item.environment,
        word(item.sync.value),
        word(item.health.value),
        item.live,
        item.reason or "-",
        item.message,
    ]


def _now() -> datetime:
    return SystemClock().now()


def _wait() -> None:
    threading.Event().wait(LOOK_SECONDS)
