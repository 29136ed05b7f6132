"""`notify`: tries where people are told of environments."""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.cli.exits import ExitCode, Stop
from reconciler.cli.options import settings_file


def notify(
    ctx: typer.Context,
    route: Annotated[str, typer.Option("--test", metavar="ROUTE", help="Send a test message on this route.")],
) -> None:
    """Send a test message on a route of the settings.

    It says that it is a test, counts for nothing, and is not recorded.
    """
    from reconciler.cli.render import note, say
    from reconciler.machine.clock import SystemClock
    from reconciler.notifications import words
    from reconciler.notifications.channel import NotSent
    from reconciler.settings import load
    from reconciler.wiring import notifying

    settings = load(settings_file(ctx))
    known = {found.name: (found, channel) for found, channel in notifying.open_routes(settings)}
    if route not in known:
        there = f"there are: {', '.join(sorted(known))}" if known else "the settings have none"
        raise Stop(ExitCode.USAGE, f"there is no route {route!r}", there)
    chosen, channel = known[route]
    note(f"sending a test message on {route} …")
    try:
        channel.send(words.trial(chosen, notifying.page(settings), SystemClock().now()))
    except NotSent as error:
        raise Stop(ExitCode.FAILED, error.message, error.hint) from None
    say(f"{route} took the message")
