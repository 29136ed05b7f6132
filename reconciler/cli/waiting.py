"""`wait`: for scripts that need to know when an environment got somewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.exits import ExitCode, Stop
from reconciler.cli.options import known_environments, seconds, settings_file

if TYPE_CHECKING:
    from reconciler.model import Status
    from reconciler.ports import Clock
    from reconciler.settings import Settings

LOOK_SECONDS = 0.5
"""Between two looks at the memory."""
_RUN = "run="
_CONDITIONS = ("Ready", "Synced", "Healthy", "Held")


def wait(
    ctx: typer.Context,
    environments: Annotated[
        list[str], typer.Argument(metavar="ENV", help="Environments.", autocompletion=known_environments)
    ],
    condition: Annotated[
        str, typer.Option("--for", metavar="Ready|Synced|Healthy|Held|run=ID", help="What to wait for.")
    ] = "Ready",
    timeout: Annotated[str, typer.Option("--timeout", metavar="TIME", help="How long: 30s, 5m, 1h.")] = "60s",
) -> None:
    """Wait until environments got somewhere, for scripts.

    Exits with 5 when one did not in time. An environment that is Ready before its new declaration was seen is Ready:
    after a merge, wait for `run=ID`.
    """
    from reconciler.machine.clock import SystemClock
    from reconciler.settings import load

    holds = parse(condition)
    limit = seconds(timeout)
    settings = load(settings_file(ctx))
    wanted = tuple(dict.fromkeys(environments))
    missing = _await(settings, wanted, holds, limit, SystemClock())
    if missing:
        for name, status in missing.items():
            _explain(name, status, condition, timeout, _statuses(settings))
        raise typer.Exit(ExitCode.TIMEOUT)
    for name in wanted:
        typer.echo(f"{name}: {condition}")


def parse(condition: str) -> Callable[[Status], bool]:
    """What `--for` says, as a question to a status.

    Raises:
        Stop: It says nothing that can be waited for.
    """
    if condition.startswith(_RUN) and (text := condition.removeprefix(_RUN)).isascii() and text.isdecimal():
        run_id = int(text)
        return lambda status: status.live is not None and status.live.run_id == run_id
    known = {name.lower(): name for name in _CONDITIONS}
    match known.get(condition.lower()):
        case "Ready":
            return lambda status: status.ready
        case "Healthy":
            return lambda status: status.health.value == "Healthy"
        case "Synced" | "Held" as name:
            return lambda status: status.sync.value == name
    from reconciler.cli.commands import closest

    close = closest(condition.lower(), known)
    meant = f"; did you mean {known[close]}?" if close else ""
    hint = f"one of {', '.join(_CONDITIONS)}, run=ID{meant}"
    raise Stop(ExitCode.USAGE, f"--for {condition[:80]!r} is nothing to wait for", hint)


def _await(
    settings: Settings, wanted: Sequence[str], holds: Callable[[Status], bool], limit: float, clock: Clock
) -> dict[str, Status | None]:
    """Look until every environment got there; returns those that did not in time, with where they stand."""
    from reconciler.cli.progress import showing
    from reconciler.cli.render import note, span

    deadline = clock.monotonic() + limit
    told = False
    with showing(f"waiting for {', '.join(wanted)}") as progress:
        while True:
            statuses = _statuses(settings)
            missing = {name: statuses.get(name) for name in wanted}
            missing = {name: status for name, status in missing.items() if status is None or not holds(status)}
            left = deadline - clock.monotonic()
            if not missing or left <= 0:
                return missing
            if not told and (strangers := [name for name, status in missing.items() if status is None]):
                note(f"note: nothing is known of {', '.join(strangers)} so far; waiting for it to be declared")
                told = True
            progress.tell(f"{_standing(missing)}; gives up in {span(left)}")
            threading.Event().wait(min(LOOK_SECONDS, left))


def _standing(missing: Mapping[str, Status | None]) -> str:
    """Where those stand that are waited for."""
    name, status = next(iter(missing.items()))
    more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
    where = (
        f"{status.sync}, {status.health}{f', {status.reason}' if status.reason else ''}" if status else "not seen yet"
    )
    return f"{name}: {where}{more}"


def _statuses(settings: Settings) -> dict[str, Status]:
    from reconciler.cli import memory

    if not memory.exists(settings):
        return {}
    with memory.opened(settings) as store:
        return {str(name): status for name, status in store.statuses().items()}


def _explain(name: str, status: Status | None, condition: str, timeout: str, known: Mapping[str, Status]) -> None:
    from reconciler.cli.commands import closest
    from reconciler.cli.render import problem
    from reconciler.cli.story import what_to_do

    if status is None:
        close = closest(name, known)
        hint = f"did you mean {close}?" if close else ""
        problem(f"{name}: not {condition} after {timeout}: no such environment was seen", hint)
        return
    why = f"{status.reason}: {status.message}" if status.reason else status.message
    told = f"{name}: not {condition} after {timeout}: {status.sync}, {status.health}; {why}"
    problem(told, what_to_do(status), status.reason)
