"""`demo up|approve|merge|…|break|down`: the tour. Each command finds the folder, plays one step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.commands import Command
from reconciler.cli.options import settings_file

if TYPE_CHECKING:
    from reconciler.demo.folder import DemoFolder
    from reconciler.demo.tour import Tour

app = typer.Typer(add_completion=False, no_args_is_help=True)

DirOption = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        envvar="RECONCILER_DEMO_DIR",
        metavar="FOLDER",
        help="The demo's folder; default: that of the settings in force if they are a demo's, else ./.demo.",
    ),
]


@app.command(cls=Command)
def up(ctx: typer.Context, folder: DirOption = None) -> None:
    """Set up a demo of its own and start the daemon.

    A repository, two people with keys, three CI runs that build this project, and three environments.
    """
    from reconciler.demo import up as step

    step.up(_located(ctx, folder))


@app.command(cls=Command)
def approve(
    ctx: typer.Context,
    branch: Annotated[
        str | None, typer.Argument(metavar="BRANCH", help="The proposed branch; default: the only one.")
    ] = None,
    folder: DirOption = None,
) -> None:
    """Let a proposed branch in, as the reviewer: a signed merge."""
    from reconciler.demo.approve import approve as step

    _play(ctx, folder, lambda tour: step(tour, branch))


@app.command(cls=Command)
def merge(
    ctx: typer.Context,
    environment: Annotated[str, typer.Argument(metavar="ENV", help="Which environment is promoted.")] = "staging",
    run_id: Annotated[int, typer.Option("--run", metavar="ID", min=1, help="The CI run that it gets.")] = 102,
    folder: DirOption = None,
) -> None:
    """Promote a run by a signed change and a signed merge."""
    from reconciler.demo.merge import merge as step
    from reconciler.model import EnvironmentName, RunId

    _play(ctx, folder, lambda tour: step(tour, EnvironmentName(environment), RunId(run_id)))


@app.command(cls=Command)
def freeze(
    ctx: typer.Context,
    lift: Annotated[bool, typer.Option("--lift", help="End it.")] = False,
    folder: DirOption = None,
) -> None:
    """Let nothing new come to staging and prod for an hour."""
    from reconciler.demo import freeze as step

    _play(ctx, folder, step.lift if lift else step.freeze)


@app.command(cls=Command)
def smuggle(
    ctx: typer.Context,
    revert: Annotated[bool, typer.Option("--revert", help="Take it back.")] = False,
    folder: DirOption = None,
) -> None:
    """Push a change of prod that nobody reviewed, and see it held."""
    from reconciler.demo import smuggle as step

    _play(ctx, folder, step.revert if revert else step.smuggle)


@app.command(cls=Command)
def tamper(
    ctx: typer.Context,
    restore: Annotated[bool, typer.Option("--restore", help="Put the bytes back, and retry.")] = False,
    folder: DirOption = None,
) -> None:
    """Alter an artifact after its approval, and see it held."""
    from reconciler.demo import tamper as step

    _play(ctx, folder, step.restore if restore else step.tamper)


@app.command(cls=Command)
def drift(ctx: typer.Context, folder: DirOption = None) -> None:
    """Edit the live release of staging by hand, and see it mended."""
    from reconciler.demo.drift import drift as step

    _play(ctx, folder, step)


@app.command(name="break", cls=Command)
def break_it(ctx: typer.Context, folder: DirOption = None) -> None:
    """Deploy a service that does not become healthy: it goes back."""
    from reconciler.demo.breaking import break_it as step

    _play(ctx, folder, step)


@app.command(cls=Command)
def down(ctx: typer.Context, folder: DirOption = None) -> None:
    """Stop the daemon and remove the demo's folder; nothing is left."""
    from reconciler.demo import up as step

    step.down(_located(ctx, folder))


def _located(ctx: typer.Context, folder: Path | None) -> DemoFolder:
    from reconciler.demo.folder import forget_overrides, locate

    found = locate(folder, settings_file(ctx))
    forget_overrides()
    return found


def _play(ctx: typer.Context, folder: Path | None, step: Callable[[Tour], None]) -> None:
    from reconciler.demo.tour import play

    play(_located(ctx, folder), step)
