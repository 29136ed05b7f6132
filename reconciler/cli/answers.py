"""What is known, from the memory alone: `get`, `describe`, `why`, `history`, `events`.

None of them looks at the repository or a target: they show what the last passes saw, judged and did, and say
so when no daemon keeps that current.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.exits import ExitCode, Stop
from reconciler.cli.options import (
    EnvironmentArgument,
    EnvironmentsArgument,
    MaybeEnvironmentArgument,
    Output,
    OutputOption,
    WatchOption,
    settings_file,
)

LimitOption = Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, max=100_000, help="Only the newest N.")]
_PAGE = 20
"""Attempts that a table shows, unless it is told how many."""
_EVERYTHING = 2**31 - 1


class HistoryOutput(StrEnum):
    """How a history is printed: as any answer, or as a sheet."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"
    CSV = "csv"


def get(
    ctx: typer.Context,
    environments: EnvironmentsArgument = None,
    output: OutputOption = Output.TABLE,
    watch: WatchOption = False,
) -> None:
    """Show where environments stand.

    RUN is the live run, with the declared one behind an arrow when that is another; REVISION the commit of the
    declaration; AGE how long it has stood like this. In `-o wide` ROLLBACK tells whether going back would work now.
    """
    from reconciler.cli import forms, listing, memory

    with memory.recall(settings_file(ctx)) as known:
        if watch:
            listing.follow_environments(known, environments or [], output)
            return
        statuses = known.store.statuses()
        if not statuses and not environments and output in (Output.JSON, Output.YAML):
            forms.answer(output, lambda: listing.environment_list([], {}), (), lambda: None)
        names = memory.chosen(environments, statuses)
        listing.show_environments(known.store, [statuses[name] for name in names], output)
        memory.remark_age(known.settings)


def describe(
    ctx: typer.Context,
    environment: EnvironmentArgument,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="What ran then, and who had let it in: 2026-11-22T14:05Z, or with an offset: +01:00.",
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show all that is known of one environment, now or then."""
    from reconciler import documents
    from reconciler.cli import forms, listing, memory

    if at is not None:
        _describe_past(settings_file(ctx), environment, at, output)
        return
    with memory.recall(settings_file(ctx)) as known:
        store = known.store
        statuses = store.statuses()
        (name,) = memory.chosen([environment], statuses)
        status, hand = statuses[name], store.hand(name)
        attempts, transitions = store.attempts(name, 10), store.transitions(name, limit=10)
        forms.answer(
            output,
            lambda: documents.kind(
                "Description",
                {
                    "environment": documents.environment(status, hand),
                    "attempts": [documents.attempt(item) for item in attempts],
                    "events": [documents.transition(item) for item in transitions],
                },
            ),
            [name],
            lambda: listing.describe(status, hand, attempts, transitions),
        )
        memory.remark_age(known.settings)


def _describe_past(config: Path | None, environment: str, text: str, output: Output) -> None:
    from reconciler import documents
    from reconciler.cli import account, forms, memory, past
    from reconciler.machine.clock import SystemClock

    at = past.instant(text)
    if at is None:
        raise Stop(ExitCode.USAGE, f"{text!r} is not a time", "write 2026-11-22T14:05Z, or with an offset: +01:00")
    if at > (now := SystemClock().now()):
        hint = f"it is {documents.time(now.replace(microsecond=0))} now"
        raise Stop(ExitCode.USAGE, f"{documents.time(at)} is still to come", hint)
    with memory.recall(config) as known:
        name = memory.with_history(known, environment)
        found = past.recall(known.store, name, at)
        if found is None:
            raise account.nothing(known.store, name, at)
        forms.answer(output, lambda: account.document(found), [name], lambda: account.tell(found))


def why(ctx: typer.Context, environment: EnvironmentArgument, output: OutputOption = Output.TABLE) -> None:
    """Tell why an environment stands as it does, and what to do.

    Shows each gate with its evidence. Exits with 3 when a gate holds.
    """
    from reconciler import documents
    from reconciler.cli import forms, memory, story
    from reconciler.cli.render import Page
    from reconciler.machine.clock import SystemClock
    from reconciler.model import Verdict

    with memory.recall(settings_file(ctx)) as known:
        statuses = known.store.statuses()
        (name,) = memory.chosen([environment], statuses)
        status, hand = statuses[name], known.store.hand(name)
        attempts = known.store.attempts(name, 10)
        forms.answer(
            output,
            lambda: documents.kind(
                "Explanation", {"summary": story.summary(status, hand), **documents.environment(status, hand)}
            ),
            [name],
            lambda: story.tell_why(Page(), status, hand, SystemClock().now(), attempts),
        )
        memory.remark_age(known.settings)
    if any(word.verdict is Verdict.HELD for word in status.gates):
        raise typer.Exit(ExitCode.REFUSED)


def history(
    ctx: typer.Context,
    environment: MaybeEnvironmentArgument = None,
    every: Annotated[bool, typer.Option("--all", help="Of every environment.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "-n",
            metavar="N",
            min=1,
            max=100_000,
            help=f"Only the newest N; default: {_PAGE} of a table, else all.",
        ),
    ] = None,
    output: Annotated[
        HistoryOutput, typer.Option("--output", "-o", help="How to print the answer.")
    ] = HistoryOutput.TABLE,
) -> None:
    """Show every attempt, newest first, and who let it in.

    A table ends after the newest 20, and says so; every other form has all of them, unless --limit says how many.
    """
    from reconciler import documents
    from reconciler.cli import forms, listing, memory, render, sheet

    if (environment is None) is not every:
        raise Stop(ExitCode.USAGE, "of which environment?", "name one, or give --all")
    with memory.recall(settings_file(ctx)) as known:
        name = memory.with_history(known, environment) if environment else None
        count = limit or (_PAGE if output in (HistoryOutput.TABLE, HistoryOutput.WIDE) else _EVERYTHING)
        found = known.store.attempts(name, count + 1)
        attempts = found[:count]
        if output is HistoryOutput.CSV:
            render.raw(sheet.attempts(attempts))
            return
        forms.answer(
            Output(output.value),
            lambda: documents.kind("AttemptList", {"items": [documents.attempt(item) for item in attempts]}),
            [str(item.id) for item in attempts],
            lambda: listing.show_attempts(attempts, wide=output is HistoryOutput.WIDE, of_one=name is not None),
        )
        if limit is None and len(found) > count:
            render.note(f"the newest {count}; there are more: --limit N shows them")


def events(
    ctx: typer.Context,
    environment: MaybeEnvironmentArgument = None,
    limit: LimitOption = 50,
    output: OutputOption = Output.TABLE,
    watch: WatchOption = False,
) -> None:
    """Show changes of state: the newest N, oldest first."""
    from reconciler import documents
    from reconciler.cli import forms, listing, memory
    from reconciler.cli.commands import closest
    from reconciler.cli.render import note
    from reconciler.model import EnvironmentName

    with memory.recall(settings_file(ctx)) as known:
        name = EnvironmentName(environment) if environment else None
        if name is not None and not watch:
            memory.chosen([name], known.store.statuses())
        if watch:
            if name is not None and name not in (statuses := known.store.statuses()):
                close = closest(name, statuses)
                note(f"note: nothing is known of {name} so far" + (f"; did you mean {close}?" if close else ""))
            listing.follow_events(known.store, name, limit, output)
            return
        found = known.store.transitions(name, limit=limit)
        forms.answer(
            output,
            lambda: documents.kind("EventList", {"items": [documents.transition(item) for item in found]}),
            [str(item.id) for item in found],
            lambda: listing.show_events(found, wide=output is Output.WIDE, of_one=name is not None),
        )
