"""What acts: `run` until told to stop, `reconcile` once. Both are the only one for their state folder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from reconciler.cli.exits import ExitCode, Stop
from reconciler.cli.options import EnvironmentsArgument, Output, OutputOption, settings_file

_LONGEST_PROBATION = 2 * 3_600.0
"""Seconds: twice what a file may give its first checks."""
_DECISIONS = 4
"""Passes of one environment: it is deployed, its checks fail, it is rolled back, and those checks decide."""

if TYPE_CHECKING:
    from reconciler.cli.log import Log
    from reconciler.cli.reports import Reports
    from reconciler.loop.daemon import Daemon
    from reconciler.loop.runner import Runner
    from reconciler.metrics.figures import Figures
    from reconciler.metrics.passes import Passes
    from reconciler.model import EnvironmentName, Status
    from reconciler.settings import Settings
    from reconciler.web import Opened
    from reconciler.wiring import System


def run(ctx: typer.Context) -> None:
    """Bring every environment to its declaration, until stopped.

    SIGTERM and Ctrl-C let passes under way end; the log goes to stderr, one line per change of state.
    """
    import uuid

    from reconciler.cli.log import open_log
    from reconciler.cli.reports import Reports
    from reconciler.machine import statefolder
    from reconciler.machine.clock import SystemClock
    from reconciler.metrics.passes import Passes

    passes = Passes(SystemClock(), uuid.uuid4().hex[:4])
    with _system(settings_file(ctx), passes) as system:
        log, figures = open_log(system.settings), _figures(system)
        reports = Reports(log, passes, figures, partial(statefolder.leave_word, system.settings.state))
        runner = system.runner(reports.passed, passes.began)
        daemon = system.daemon(
            runner,
            reports.looked,
            tell=log.info,
            say=lambda environment, told: log.info(told, environment=environment),
        )
        with _listening(system, runner, daemon, reports, log, figures) as url:
            if figures is not None:
                _read(figures, system, runner, daemon, passes)
            log.info("started", **_tracked(system.settings), **({"listening": url} if url else {}))
            with _stopped_by_signals(daemon):
                ended = daemon.run()
        if not ended:
            _leave(log)
        log.info("stopped")


def _figures(system: System) -> Figures | None:
    """Only where somebody can ask for them: what makes them takes a few megabytes."""
    web = system.settings.web
    if web.listen is None or web.metrics == "none":
        return None
    from reconciler.metrics.figures import Figures

    return Figures(system.world.clock, each=web.metrics == "environments")


def _read(figures: Figures, system: System, runner: Runner, daemon: Daemon, passes: Passes) -> None:
    """Where the numbers are that somebody else keeps."""
    from reconciler.metrics.figures import Sources

    figures.read_from(
        Sources(
            statuses=runner.statuses,
            waiting=lambda: daemon.waiting,
            under_way=lambda: passes.under_way,
            workers=system.settings.workers,
            skipped=lambda: runner.skipped,
            forge_requests=_requests_of(system),
            probes=lambda: system.prober.made,
        )
    )


def _requests_of(system: System) -> Callable[[], int] | None:
    """A forge that asks no server has none."""
    forge = system.world.forge
    return (lambda: getattr(forge, "requests", 0)) if hasattr(forge, "requests") else None


@contextlib.contextmanager
def _listening(
    system: System, runner: Runner, daemon: Daemon, reports: Reports, log: Log, figures: Figures | None
) -> Iterator[str]:
    """Answer HTTP while the daemon runs, if it is to and can; gives the address, or nothing."""
    opened = _opened(system, runner, daemon, reports, log, figures)
    if opened is None:
        yield ""
        return
    reports.tell(opened.changed)
    with opened.listener:
        yield opened.listener.url


def _opened(
    system: System, runner: Runner, daemon: Daemon, reports: Reports, log: Log, figures: Figures | None
) -> Opened | None:
    if system.settings.web.listen is None:
        from reconciler import wiring

        return wiring.open_listener(system, runner, daemon, _WebLog(log))  # says so when a secret is named all the same
    from reconciler import web, wiring

    scrape = figures.scrape if figures else None
    try:
        return wiring.open_listener(system, runner, daemon, _WebLog(log), scrape, lambda: reports.problem)
    except web.Taken as taken:
        log.warning("no pages are served", message=taken.message, hint=taken.hint)
        return None


class _WebLog:
    """What the listener tells: deliveries for who looks closely, and trouble once."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._last = ""

    def delivered(self, event: str, delivery: str, outcome: str) -> None:
        """A webhook was answered."""
        self._log.debug("webhook", name=event, delivery=delivery, answer=outcome)

    def trouble(self, problem: Exception) -> None:
        """Told again only when it changed."""
        hint = getattr(problem, "hint", None)
        told = type(problem).__name__ if hint is None else str(problem)
        if told == self._last:
            return
        self._last = told
        if hint is None:
            self._log.error("unexpected error in the listener", exc_info=problem)
        else:
            told = getattr(problem, "consequence", "pages and API can't tell everything")
            self._log.warning(told, message=str(problem), hint=hint)


def _tracked(settings: Settings) -> dict[str, object]:
    repository = settings.repository
    return {
        "repository": without_credentials(repository.url),
        "branch": repository.branch,
        "poll_seconds": repository.poll_seconds,
        "state": str(settings.state),
        "workers": settings.workers,
    }


def without_credentials(url: str) -> str:
    """A repository's URL as it may be shown."""
    scheme, found, rest = url.partition("://")
    if not found:
        return url
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


@contextlib.contextmanager
def _stopped_by_signals(daemon: Daemon) -> Iterator[None]:
    """A handler only sets events: it may run anywhere, so it neither locks nor logs."""
    import signal

    def stop(_: int, __: object) -> None:
        daemon.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(log: Log) -> None:
    """A pass hangs at some step: what it left is mended at the next start, like after any crash."""
    import os
    import sys

    from reconciler import wiring

    log.error("a pass did not end in time; leaving it", hint="the next start mends what it left")
    wiring.let_go()
    sys.stderr.flush()
    os._exit(ExitCode.FAILED)


def reconcile(
    ctx: typer.Context, environments: EnvironmentsArgument = None, output: OutputOption = Output.TABLE
) -> None:
    """Bring environments to their declarations once, and exit.

    Exits with 0 when all are Synced, 3 when a gate holds one, 1 when one failed.
    """
    from reconciler.cli import listing
    from reconciler.model import Sync

    with _system(settings_file(ctx)) as system:
        system.tracker.look()
        names = _named(system, environments or [])
        statuses = _pass(system, names)
        listing.show_environments(system.world.store, statuses, output)
    syncs = {status.sync for status in statuses}
    if syncs - {Sync.SYNCED, Sync.HELD}:
        raise typer.Exit(ExitCode.FAILED)
    if Sync.HELD in syncs:
        raise typer.Exit(ExitCode.REFUSED)


def _named(system: System, environments: Sequence[str]) -> list[EnvironmentName]:
    """What to work on: declared environments, and those whose file is gone."""
    from reconciler.cli import memory
    from reconciler.cli.render import note
    from reconciler.model import EnvironmentName

    catalog, branch = system.catalog, system.settings.repository.branch
    if catalog.tip is None:
        raise Stop(ExitCode.FAILED, f"there is no branch {branch!r} to follow", "check repository.branch, or push it")
    for problem in catalog.misnamed:
        note(f"warning: {problem}")
    known = sorted({*catalog.environments, *system.world.store.statuses()})
    for name in environments:
        if name not in known:
            raise memory.unknown(name, known)
    if not known:
        note(f"{branch} declares no environment")
    return [EnvironmentName(name) for name in dict.fromkeys(environments)] or known


@contextlib.contextmanager
def _checking(system: System) -> Iterator[None]:
    """Ask for the health of what is live meanwhile."""
    system.prober.start()
    try:
        yield
    finally:
        system.prober.stop()


def _pass(system: System, names: Sequence[EnvironmentName]) -> list[Status]:
    """One pass for each, several at once, but none before those that it promotes from; in the order of the names."""
    import traceback
    from concurrent.futures import ThreadPoolExecutor

    from reconciler.cli.progress import showing
    from reconciler.cli.render import note
    from reconciler.core.readable import counted

    def report(status: Status, _: Status | None, problem: Exception | None) -> None:
        told.add(status.environment)
        progress.tell(f"{len(told)} of {counted(len(names), 'environment')}")
        if problem is not None:
            note(f"unexpected error in {status.environment}:")
            for line in "".join(traceback.format_exception(problem)).splitlines():
                note(f"  {line}")

    runner = system.runner(report)
    done: dict[EnvironmentName, Status] = {}
    told: set[str] = set()
    pool = ThreadPoolExecutor(system.settings.workers)
    with showing(counted(len(names), "environment")) as progress, _checking(system), pool:
        for group in system.catalog.in_order(names):
            waiting: Sequence[EnvironmentName] = group
            for _ in range(_DECISIONS):
                results = zip(waiting, pool.map(runner.run, waiting), strict=True)
                done |= {name: result.status for name, result in results}
                waiting = sorted(runner.undecided().intersection(group))
                if not waiting:
                    break
                note(f"waiting for the first health checks of {', '.join(waiting)}")
                system.prober.settle(waiting, _LONGEST_PROBATION)
    return [done[name] for name in names]


@contextlib.contextmanager
def _system(config: Path | None, passes: Passes | None = None) -> Iterator[System]:
    """Every part, for the one process that may act; `passes` hears what they do."""
    from reconciler import wiring
    from reconciler.cli import memory
    from reconciler.machine import statefolder
    from reconciler.settings import load

    settings = load(config)
    trace = passes.step if passes else wiring.silent
    with statefolder.exclusive(settings.state), memory.opened(settings, trace, passes) as store:
        yield wiring.build(settings, store, trace)
